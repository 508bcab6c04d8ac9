"""The bare repository of each app: dulwich reads objects and refs, git itself makes repositories and moves refs.

Shallow pushes (CI checkouts of depth 1) are taken: ``receive.shallowUpdate`` lets git record where their history
ends. git's own client still refuses to push such a clone over a tip that it does not have; it needs ``--force``.
"""

import contextlib
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from dulwich.refs import DiskRefsContainer, check_ref_format

from paas.adapters import git_history, git_rules, git_tar, git_tree, git_write
from paas.adapters.files import sync_directory, write_atomic
from paas.adapters.git_objects import Damaged, Missing, Objects
from paas.errors import NotFound, PushRefused, StateError
from paas.model.buildpack import SourceFiles
from paas.model.names import printable
from paas.ports_source import Budgets, Quarantine, SourceFile, Tree
from paas.settings import Settings

GIT_TIMEOUT = 60                         # seconds; moving a ref takes milliseconds
REPACK_TIMEOUT = 900
MANY_PACKS = 50                          # every push brings one; `sweep` rolls them together from here on

JUDGED = Budgets(entries=10**9, blob_bytes=10**12)    # no limits any more: `read` has judged this very tree id

_REPOSITORY = re.compile(r"([0-9]+)\.git")
_QUARANTINE = re.compile(r"(tmp_objdir-)?incoming-\w+")
_PACK = re.compile(r"pack-[0-9a-f]{40}\.(pack|rev|idx)")
_LOOSE = re.compile(r"[0-9a-f]{38}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RANK = {".pack": 0, ".rev": 1, ".idx": 2}   # a pack exists for readers from the moment its index does

# What git may find in the environment and files of whoever starts it is nothing to us.
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "HOME": "/nonexistent",
                "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}

# git-config(1). Deletions and forced pushes are decided by the hook, before any work: git asks too late.
# The three fsck words are faults of old commits, harmless and incurable, that Gitaly lets pass too.
_CONFIG = """\
# Written by paas; changes are undone.
[core]
\trepositoryformatversion = 0
\tbare = true
\tfilemode = true
\thooksPath = {hooks}
\tfsync = all
\tbigFileThreshold = 32m
[receive]
\tfsckObjects = true
\tmaxInputSize = 1g
\tunpackLimit = 1
\tshallowUpdate = true
\tadvertisePushOptions = false
\tdenyDeletes = false
\tdenyNonFastForwards = false
\tautogc = false
[receive "fsck"]
\tbadTimezone = ignore
\tmissingSpaceBeforeDate = ignore
\tzeroPaddedFilemode = ignore
[transfer]
\thideRefs = refs/paas
[uploadpack]
\tallowFilter = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""


class GitRepos:
    """`Repos` of real repositories at ``<repos_dir>/<app id>.git``. Threads may share it: it keeps nothing open."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.repos_dir
        self._owner = _owner(settings.ssh_user)
        self._config = _CONFIG.format(hooks=_quoted(settings.lib_dir / "hooks")).encode()

    # --- the repository itself

    def ensure(self, app_id: int) -> Path:
        path = self._path(app_id)
        if not (path / "HEAD").exists():
            self._create(app_id, path)
        config = path / "config"
        if not config.exists() or config.read_bytes() != self._config:
            write_atomic(config, self._config, 0o644, self._owner)
        return path

    def remove(self, app_id: int) -> None:
        trash = self._root / f".trash-{app_id}-{secrets.token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            self._path(app_id).rename(trash)
            sync_directory(self._root)
        self._discard(app_id)

    def ids(self) -> list[int]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(int(found[1]) for name in os.listdir(self._root) if (found := _REPOSITORY.fullmatch(name)))
        return []

    def sweep(self, app_id: int, older_than: float) -> int:
        path = self._path(app_id)
        before = time.time() - older_than
        swept = sum(_remove_older(left, before) for left in (path / "objects").glob("tmp_objdir-*"))
        for left in (*path.glob("shallow_*"), *path.glob("objects/pack/tmp_*")):
            _remove_older(left, before)
        self._discard(app_id)
        if sum(1 for _ in path.glob("objects/pack/*.idx")) > MANY_PACKS:
            self._repack(path)
        return swept

    # --- what was pushed

    def read(self, app_id: int, commit: str, quarantine: Quarantine | None, budgets: Budgets,
             dockerfile_path: str = "Dockerfile", directory: str = "") -> Tree:
        with self._objects(app_id, quarantine) as objects, _told():
            return git_tree.read(objects, _checked(commit), budgets, dockerfile_path, directory)

    def source(self, app_id: int, tree: Tree, quarantine: Quarantine | None, wanted: frozenset[str]) -> SourceFiles:
        with self._objects(app_id, quarantine, gone_is_fine=True) as objects, _told():
            return git_tree.source(objects, tree.tree.encode(), JUDGED, wanted)

    def archive(self, app_id: int, tree: Tree, quarantine: Quarantine | None,
                left_out: Callable[[str], bool] = lambda path: False,
                added: Mapping[str, bytes] = git_tree.NOTHING) -> Iterator[bytes]:
        with self._objects(app_id, quarantine, gone_is_fine=True) as objects, _told():
            yield from git_tar.gathered(git_tree.tar(objects, tree.tree.encode(), JUDGED, left_out, added))

    def write(self, app_id: int, files: Iterable[SourceFile], message: str, author: str,
              parent: str | None) -> tuple[str, Quarantine]:
        objects = self._path(app_id) / "objects" / f"tmp_objdir-incoming-{secrets.token_hex(4)}"
        objects.mkdir(mode=0o755)
        commit = git_write.write_commit(objects, files, message, author, parent)
        return commit, Quarantine(objects)

    def adopt(self, app_id: int, quarantine: Quarantine | None, commit: str = "") -> None:
        """Links, not copies: the quarantine lies in the repository, and git's own move finds the same files there.

        ``.keep`` files stay behind: receive-pack removes its own, and one that outlived it would bar repacking.
        A receive-pack whose hook died empties the quarantine while it is read here: what counts is what arrived.
        """
        if quarantine is None:
            return
        objects = self._path(app_id) / "objects"
        source = self._quarantine(app_id, quarantine)
        try:
            found = _quarantined(source)
            for name in found:
                self._link(source / name, objects / name)
            for directory in {objects, *((objects / name).parent for name in found)}:
                sync_directory(directory)
            whole = _quarantined(source) == found
        except FileNotFoundError:
            raise _broken_off() from None
        if not whole or (commit and not self._has(app_id, commit)):
            raise _broken_off()

    def abandoned(self, app_id: int) -> list[Quarantine]:
        """By the command lines of all processes: git-receive-pack(1) is called with the repository's path. Looked at
        last, so whoever made one of those found is seen if it still runs."""
        found = [path for path in (self._path(app_id) / "objects").glob("tmp_objdir-*") if path.is_dir()]
        if not found or _receiving(self._path(app_id)):
            return []
        return [Quarantine(path) for path in found if path.is_dir()]     # git itself has removed it by its end

    def discard(self, app_id: int, quarantine: Quarantine) -> None:
        with contextlib.suppress(PushRefused):
            shutil.rmtree(self._quarantine(app_id, quarantine), ignore_errors=True)

    def _has(self, app_id: int, commit: str) -> bool:
        """The commit with its whole tree, without any quarantine."""
        try:
            with self._objects(app_id, None) as objects:
                git_tree.Survey(objects, JUDGED).walk(git_tree.read_commit(objects, _checked(commit).encode()).tree)
        except (Missing, Damaged):
            return False
        return True

    def is_ancestor(self, app_id: int, old: str, new: str, quarantine: Quarantine | None) -> bool:
        with self._objects(app_id, quarantine) as objects:
            return git_history.is_ancestor(objects, _checked(old).encode(), _checked(new).encode())

    # --- refs

    def ref(self, app_id: int, branch: str) -> str | None:
        name = _ref_name(branch)
        if not check_ref_format(name) or not self._path(app_id).is_dir():
            return None
        value = DiskRefsContainer(self._path(app_id)).read_ref(name)
        return value.decode() if value and _COMMIT.fullmatch(value.decode("latin-1")) else None

    def branches(self, app_id: int) -> dict[str, str]:
        if not self._path(app_id).is_dir():
            return {}
        refs = DiskRefsContainer(self._path(app_id)).as_dict(b"refs/heads")
        return {name.decode("utf-8", "surrogateescape"): value.decode() for name, value in sorted(refs.items())}

    def set_ref(self, app_id: int, branch: str, commit: str) -> None:
        path, name = self._path(app_id), _ref_name(branch)
        if not check_ref_format(name) or not path.is_dir():
            raise NotFound(f"there is no repository for a branch '{printable(branch)}'", "Push to the app first.")
        with self._objects(app_id, None) as objects:
            edge = git_history.shallow_edge(objects, _checked(commit).encode())
        self._record_shallow(path, edge)
        done = self._git(path, "update-ref", "--no-deref", os.fsdecode(name), commit)
        if done.returncode:
            raise StateError(f"branch '{printable(branch)}' could not be moved to {commit[:8]}: "
                             f"{printable(done.stderr.decode(errors='replace').strip(), 200)}",
                             "Push that commit again.")

    # --- inside

    def _path(self, app_id: int) -> Path:
        return self._root / f"{int(app_id)}.git"

    def _create(self, app_id: int, path: Path) -> None:
        """Make it under another name first: a repository is there as a whole or not at all."""
        if not self._root.is_dir():
            self._root.mkdir(parents=True, exist_ok=True)
            self._chown(self._root)
        self._discard(app_id)
        new = self._root / f".new-{app_id}-{secrets.token_hex(4)}"
        new.mkdir(mode=0o750)
        self._chown(new)
        done = self._git(new, "init", "--quiet", "--bare", "--template=", "--initial-branch=main")
        if done.returncode:
            raise StateError("the app's repository could not be made: "
                             f"{printable(done.stderr.decode(errors='replace').strip(), 200)}",
                             "Run `paas doctor` on the server.")
        write_atomic(new / "config", self._config, 0o644, self._owner)
        try:
            new.rename(path)
        except OSError:
            if not (path / "HEAD").exists():         # else another thread made it meanwhile
                raise
            shutil.rmtree(new, ignore_errors=True)
        sync_directory(self._root)

    def _discard(self, app_id: int) -> None:
        """Remove what an interrupted creation or removal left."""
        for left in self._root.glob(f".trash-{app_id}-*"):
            shutil.rmtree(left, ignore_errors=True)
        for left in self._root.glob(f".new-{app_id}-*"):
            _remove_older(left, time.time() - 60)

    def _chown(self, path: Path) -> None:
        if self._owner is not None:
            os.chown(path, *self._owner)

    def _quarantine(self, app_id: int, quarantine: Quarantine) -> Path:
        """The real quarantine directory of this very repository: no other path is read or linked from."""
        source = Path(os.path.realpath(quarantine.objects))
        home = Path(os.path.realpath(self._path(app_id))) / "objects"
        if source.parent != home or not _QUARANTINE.fullmatch(source.name) or not source.is_dir():
            raise _broken_off()
        return source

    @contextlib.contextmanager
    def _objects(self, app_id: int, quarantine: Quarantine | None, gone_is_fine: bool = False) -> Iterator[Objects]:
        directories = [self._path(app_id) / "objects"]
        if quarantine is not None:
            try:
                directories.insert(0, self._quarantine(app_id, quarantine))
            except PushRefused:
                if not gone_is_fine:
                    raise
        with Objects(*directories) as objects:
            yield objects

    def _link(self, source: Path, target: Path) -> None:
        if not stat.S_ISREG(source.lstat().st_mode):
            raise _broken_off()
        if not target.parent.is_dir():
            with contextlib.suppress(FileExistsError):
                target.parent.mkdir(mode=0o755)
            self._chown(target.parent)
        with contextlib.suppress(FileExistsError):
            os.link(source, target, follow_symlinks=False)
            descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _record_shallow(self, path: Path, edge: set[bytes]) -> None:
        """Tell git where history ends (gitformat-shallow(5)), or it would call the repository broken."""
        file = path / "shallow"
        known = set(file.read_bytes().split()) if file.exists() else set()
        if not edge <= known:
            write_atomic(file, b"".join(sha + b"\n" for sha in sorted(edge | known)), 0o644, self._owner)

    def _repack(self, path: Path) -> None:
        """Roll small packs into larger ones. Unlike `git gc` this drops nothing, so no reader can lose an object."""
        done = self._git(path, "repack", "-d", "--quiet", "--geometric=2", timeout=REPACK_TIMEOUT)
        if done.returncode:
            raise StateError("the packs of a repository could not be rolled together: "
                             f"{printable(done.stderr.decode(errors='replace').strip(), 200)}",
                             "Run `git fsck` in that repository.")

    def _git(self, path: Path, *words: str, timeout: float = GIT_TIMEOUT) -> subprocess.CompletedProcess[bytes]:
        """Run git as the repositories' owner: as root it would refuse them (safe.directory) and leave root's files."""
        become = {}
        if self._owner is not None and self._owner[0] != os.geteuid():
            become = {"user": self._owner[0], "group": self._owner[1], "extra_groups": []}
        try:
            return subprocess.run(["git", f"--git-dir={path}", *words], env=_ENVIRONMENT, cwd="/", timeout=timeout,
                                  stdin=subprocess.DEVNULL, capture_output=True, check=False, **become)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StateError(f"git {words[0]} did not run: {type(error).__name__}",
                             "Check that git is installed and the disk works.") from error


def _owner(user: str) -> tuple[int, int] | None:
    """uid and gid of the SSH user; None where there is no such user or files cannot be given away."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return None
    return (entry.pw_uid, entry.pw_gid) if os.geteuid() == 0 else None


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _checked(commit: str) -> str:
    if not _COMMIT.fullmatch(commit):
        raise PushRefused(f"'{printable(commit)}' is not a full commit id", "Give all 40 hexadecimal digits.")
    return commit


def _ref_name(branch: str) -> bytes:
    return b"refs/heads/" + branch.encode("utf-8", "surrogateescape")


def _receiving(repository: Path) -> bool:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            if os.fsencode(repository) in words and any(b"receive-pack" in word for word in words):
                return True
    return False


def _broken_off() -> PushRefused:
    return PushRefused("the push was broken off before its source was taken over", "Push again.")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say of missing and damaged objects what a pusher can do about them."""
    try:
        yield
    except Missing as error:
        raise git_rules.lacks(f"object {error.args[0][:8].decode()}") from None
    except Damaged as error:
        raise PushRefused(f"the pushed source cannot be read: {error}",
                          "Run `git fsck` in your clone, then push again.") from error


def _quarantined(source: Path) -> list[str]:
    """Relative names of the objects there, in the order in which they must appear elsewhere."""
    packs = [name for name in _listed(source / "pack") if _PACK.fullmatch(name)]
    packs.sort(key=lambda name: _RANK[os.path.splitext(name)[1]])
    fans = [name for name in os.listdir(source) if re.fullmatch(r"[0-9a-f]{2}", name)]
    loose = [f"{fan}/{name}" for fan in fans for name in _listed(source / fan) if _LOOSE.fullmatch(name)]
    return [f"pack/{name}" for name in packs] + loose


def _listed(directory: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(os.listdir(directory))
    return []


def _remove_older(path: Path, before: float) -> bool:
    """Remove a leftover that was last touched before that time; return whether it was removed."""
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_mtime < before:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            return True
    return False
