"""The files of this installation: read for a backup of the platform, replaced as a whole by a restore."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from paas.adapters.caddy_layout import Layout
from paas.adapters.files import sync_directory, write_atomic
from paas.errors import NoSpace, StateError
from paas.ports_platform import DATABASE, MASTER_KEY, SETTINGS, Piece
from paas.settings import Settings

REPOSITORY = re.compile(r"\d+\.git")
GIT_FILES = ("HEAD", "refs", "packed-refs", "shallow")           # in this order: a ref that is packed meanwhile stays
OBJECT = re.compile(r"[0-9a-f]{2}|[0-9a-f]{38}|info|pack|pack-[0-9a-f]{40}\.(pack|idx|rev)|packs|commit-graph")
PASSES = 5                               # over the objects of a repository that is being repacked
PROXY = ("certificates", "acme")         # of Caddy's storage; its locks and caches are this machine's
READY = "ready"


class ThisInstallation:
    """See :class:`paas.ports_platform.Installation`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._staging = settings.state_dir / "restore"
        self._scratch = settings.state_dir / "backup.tmp"

    # reading -----------------------------------------------------------------------------------------------------
    def pieces(self, *, storage: bool) -> Iterator[Piece]:
        yield piece(MASTER_KEY, self._settings.master_key)
        settings = self._settings.config_dir / SETTINGS
        if settings.is_file():
            yield piece(SETTINGS, settings)
        for repository in sorted(path for path in listed(self._settings.repos_dir) if REPOSITORY.fullmatch(path.name)):
            yield from of_repository(f"repos/{repository.name}", repository)
        for name in PROXY:
            yield from below(f"proxy/{name}", self._caddy / name)
        if storage:
            yield from below("storage", self._settings.storage_dir)

    @property
    def _caddy(self) -> Path:
        """Where Caddy keeps its accounts and what certificate authorities gave it."""
        return Layout(self._settings).storage

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with foreseen("prepare the backup"):
            emptied(self._scratch)
        try:
            yield self._scratch
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    # a restore -----------------------------------------------------------------------------------------------------
    def staging(self) -> Path:
        if (self._staging / READY).exists():
            raise StateError("an earlier restore was decided and not finished", "Restart paasd: it finishes it.")
        with foreseen("prepare the restore"):
            return emptied(self._staging)

    def drop(self) -> None:
        if not (self._staging / READY).exists():
            shutil.rmtree(self._staging, ignore_errors=True)

    def commit(self) -> None:
        with foreseen("write the restored files"):
            for directory, _, names in os.walk(self._staging):
                for name in names:
                    sync(Path(directory, name))
                sync_directory(Path(directory))
            write_atomic(self._staging / READY, b"")

    def swap(self) -> Path | None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        if not (self._staging / READY).exists():
            self.drop()                  # copies of the database and the key must not lie about
            return None
        before = self._settings.state_dir / "before-restore"
        with foreseen("put the restored files in their places"):
            if not (self._staging / "swapping").exists():        # of an earlier restore
                shutil.rmtree(before, ignore_errors=True)
                write_atomic(self._staging / "swapping", b"")
            before.mkdir(mode=0o700, exist_ok=True)
            self._swap_repositories(before)
            self._merge_certificates()
            self._merge(self._staging / "storage", self._settings.storage_dir)
            self._swap_database(before)
            (self._staging / READY).unlink()
            sync_directory(self._staging)
        shutil.rmtree(self._staging, ignore_errors=True)
        return before

    def _swap_database(self, before: Path) -> None:
        """With the key that opens it. SQLite's log belongs to the old file and must never meet the new one."""
        database, staged = self._settings.database, self._staging / DATABASE
        if staged.exists():
            for suffix in ("-wal", "-shm", ""):
                moved(database.with_name(database.name + suffix), before / (DATABASE + suffix))
            moved(staged, database)
        key = self._staging / MASTER_KEY
        if self._settings.master_key.exists() and not (before / MASTER_KEY).exists():
            write_atomic(before / MASTER_KEY, self._settings.master_key.read_bytes(), 0o400)
        write_atomic(self._settings.master_key, key.read_bytes(), 0o400)

    def _swap_repositories(self, before: Path) -> None:
        staged, home = self._staging / "repos", self._settings.repos_dir
        owner = ids(self._settings.ssh_user)
        if not staged.exists():
            return
        give(staged, owner, 0o750)
        moved(home, before / "repos")
        moved(staged, home)

    def _merge_certificates(self) -> None:
        """What the proxy already has for this machine stays; the backup's has the last word about one name."""
        Layout(self._settings).prepare()
        for name in PROXY:
            self._merge(self._staging / "proxy" / name, self._caddy / name, ids(self._settings.proxy_user))

    def _merge(self, staged: Path, home: Path, owner: tuple[int, int] | None = None) -> None:
        if not staged.is_dir():
            return
        for path in [staged, *sorted(staged.rglob("*"))]:
            goal = home / path.relative_to(staged)
            if path.is_dir() and not path.is_symlink():
                made(goal, path, owner)
            else:
                replace_file(path, goal, owner)


def of_repository(name: str, path: Path) -> Iterator[Piece]:
    """Refs before objects: what is pushed meanwhile is missing, never half there (git's own order of writing). None of
    one that was removed since."""
    with contextlib.suppress(FileNotFoundError):
        yield piece(name, path)
    for top in GIT_FILES:
        if (path / top).exists():
            yield from below(f"{name}/{top}", path / top)
    yield from of_objects(f"{name}/objects", path / "objects")


def of_objects(name: str, path: Path) -> Iterator[Piece]:
    """Objects never change, but packs are rolled together: until a look finds nothing new, what is new is added."""
    sent: set[Path] = set()
    for _ in range(PASSES):
        new = [one for one in tree(path, OBJECT) if one not in sent]
        if not new:
            return
        for one in new:
            with contextlib.suppress(FileNotFoundError):
                found = piece(f"{name}/{one.relative_to(path)}".removesuffix("/."), one)
                sent.add(one)
                yield found
    raise StateError("a repository changes faster than it can be read", "Try again.")


def tree(path: Path, wanted: re.Pattern[str]) -> Iterator[Path]:
    if path.is_dir():
        yield path
    for one in listed(path):
        if wanted.fullmatch(one.name):
            if one.is_dir():
                yield from tree(one, wanted)
            else:
                yield one


def below(name: str, path: Path) -> Iterator[Piece]:
    """*path* and everything in it; links are not followed. What has gone meanwhile is left out."""
    try:
        found = piece(name, path)
    except FileNotFoundError:
        return
    if found.kind != "other" and not name.endswith(".lock"):
        yield found
    if found.kind == "directory":
        for one in listed(path):
            yield from below(f"{name}/{one.name}", one)


def piece(name: str, path: Path) -> Piece:
    try:
        facts = path.lstat()
    except NotADirectoryError:
        raise FileNotFoundError(path) from None
    kind = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}.get(stat.S_IFMT(facts.st_mode),
                                                                                     "other")
    return Piece(name, kind, stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid, int(facts.st_mtime),
                 facts.st_size, target=os.readlink(path) if kind == "link" else "",
                 open=partial(opened, path) if kind == "file" else None)


def opened(path: Path) -> BinaryIO:
    """Without following a link, or waiting for a pipe, that took the file's place."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def listed(path: Path) -> list[Path]:
    try:
        return [path / name for name in sorted(os.listdir(path))]
    except (FileNotFoundError, NotADirectoryError):
        return []


# --- writing -----------------------------------------------------------------------------------------------------


@contextmanager
def foreseen(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == 28:
            raise NoSpace(f"the disk is full: could not {doing}", "Free some space, then try again.") from None
        raise StateError(f"could not {doing}: {error.strerror}", "Look at the disk and the directories of paas.",
                         ) from error


def emptied(path: Path) -> Path:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
    path.mkdir(mode=0o700)
    return path


def moved(source: Path, goal: Path) -> None:
    """Within one file system, durably; one that was moved already is fine."""
    if not source.exists():
        return
    source.rename(goal)
    sync_directory(goal.parent)
    sync_directory(source.parent)


def sync(path: Path) -> None:
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ids(user: str) -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def give(top: Path, owner: tuple[int, int] | None, mode: int) -> None:
    """The whole tree to *owner*; *mode* is that of its top."""
    if owner:
        for path in [top, *top.rglob("*")]:
            os.chown(path, *owner, follow_symlinks=False)
    top.chmod(mode)


def made(goal: Path, like: Path, owner: tuple[int, int] | None) -> None:
    facts = like.stat()
    goal.parent.mkdir(parents=True, exist_ok=True)
    goal.mkdir(exist_ok=True)
    os.chown(goal, *(owner or (facts.st_uid, facts.st_gid)))
    goal.chmod(stat.S_IMODE(facts.st_mode))


def replace_file(source: Path, goal: Path, owner: tuple[int, int] | None) -> None:
    if owner:
        os.chown(source, *owner, follow_symlinks=False)
    try:
        os.replace(source, goal)
    except OSError as error:
        if error.errno != 18:            # another file system
            raise
        shutil.copy2(source, goal, follow_symlinks=False)
        facts = source.lstat()
        os.chown(goal, facts.st_uid, facts.st_gid, follow_symlinks=False)
