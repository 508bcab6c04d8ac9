"""Storage that is new belongs to whoever the image runs as: a non-root image writes to it without anybody's doing.

Only what is the platform's own, writable, empty and still root's is given away, so no data ever changes its owner.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paas.adapters.docker_client import Engine, asking
from paas.errors import NotFound, PaasError
from paas.model.names import printable

ACCOUNT_BYTES = 1024 * 1024              # of an image's /etc/passwd and /etc/group, each
TAR_BYTES = 64 * 1024                    # headers and padding around that file
MAX_ID = 2**31 - 1                       # as Docker takes them
LINKS = 5                                # links followed, inside the image, to find such a file
OWNER_MARK = "user.paas.owner"           # extended attribute: somebody chose this owner (`storage:mount --chown 0`)
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def give_empty_mounts(engine: Engine, container_id: str, below: Path) -> tuple[list[str], list[str]]:
    """See :meth:`paas.ports.Containers.give_empty_mounts`."""
    with asking("look at the container"):
        found = engine.api.inspect_container(container_id)
    user = found["Config"].get("User") or ""
    if user.partition(":")[0] in ("", "0"):
        return [], []                    # root writes everywhere
    with contextlib.ExitStack() as opened:
        new, refused = new_ones(engine, found["Mounts"], below, opened)
        if not new:
            return [], refused
        try:
            uid, gid = account(engine, container_id, user)
        except PaasError as error:       # no such user, or the image's files cannot be read
            targets = ", ".join(one.target for one in new)
            return [], [*refused, f"{error.what}: {targets} stays root's. {error.hint}".rstrip()]
        done = [one.target for one in new if uid and given(engine, container_id, one, uid, gid, refused)]
        return done, refused


@dataclass(frozen=True)
class New:
    """A mount that nobody has used yet."""

    target: str
    volume: bool
    descriptor: int                      # of the open directory


def new_ones(engine: Engine, mounts: list[Mapping[str, Any]], below: Path,
             opened: contextlib.ExitStack) -> tuple[list[New], list[str]]:
    """Those that nobody has used yet, and a line for each that may not be touched."""
    new, refused = [], []
    for one in sorted(mounts, key=lambda one: one["Destination"]):      # the engine has them in no order
        if not one["RW"] or not own(engine, one, below):
            continue
        try:
            descriptor = open_own(one, below)
        except OSError as error:
            refused.append(f"{one['Destination']}: {reason(error)}; its owner stays as it is")
            continue
        opened.callback(os.close, descriptor)
        if unused(descriptor):
            new.append(New(one["Destination"], one["Type"] == "volume", descriptor))
    return new, refused


def given(engine: Engine, container_id: str, one: New, uid: int, gid: int, refused: list[str]) -> bool:
    try:
        if one.volume:
            give_volume(engine, container_id, one, uid, gid)
        else:
            os.fchown(one.descriptor, uid, gid)
    except (OSError, PaasError) as error:
        said = error.what if isinstance(error, PaasError) else error.strerror
        refused.append(f"{one.target}: {said}; its owner stays as it is")
        return False
    return True


def give_volume(engine: Engine, container_id: str, one: New, uid: int, gid: int) -> None:
    """By the engine, whose files these are: paasd's own view of them is read only (``ProtectSystem=strict``).

    A directory in an archive that is unpacked over one that is there gives it owner and mode.
    """
    parent, _, name = one.target.rpartition("/")
    entry = tarfile.TarInfo(name)
    entry.type, entry.uid, entry.gid = tarfile.DIRTYPE, uid, gid
    entry.mode = os.fstat(one.descriptor).st_mode & 0o7777
    entry.mtime = int(os.fstat(one.descriptor).st_mtime)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(entry)
    with asking("give the volume to the image's user"):
        engine.api.put_archive(container_id, parent or "/", data.getvalue())


def own(engine: Engine, one: Mapping[str, Any], below: Path) -> bool:
    """Is it the platform's: a volume of an app, or a directory below *below*?"""
    if one["Type"] == "volume":
        return one.get("Driver") == "local" and one["Name"].startswith(f"{engine.prefix}-volume-")
    return one["Type"] == "bind" and Path(os.path.realpath(below)) in Path(one["Source"]).parents


def open_own(one: Mapping[str, Any], below: Path) -> int:
    """The directory, open. Below *below* each part is opened from the one before, so no link leads out, not even one
    that appears meanwhile."""
    source = Path(one["Source"])
    start = source.parent if one["Type"] == "volume" else Path(os.path.realpath(below))
    descriptor = os.open(start, DIRECTORY)
    for part in source.relative_to(start).parts:
        try:
            if part == "..":
                raise OSError(errno.ELOOP, "leads upwards")
            deeper = os.open(part, DIRECTORY, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = deeper
    return descriptor


def reason(error: OSError) -> str:
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return "what is mounted there is a symbolic link, or no directory"
    return f"the directory cannot be opened ({error.strerror})"


def unused(descriptor: int) -> bool:
    """Empty, root's, and not because somebody said so."""
    if os.fstat(descriptor).st_uid != 0 or os.listdir(descriptor):
        return False
    try:
        os.getxattr(descriptor, OWNER_MARK)
    except OSError:                      # not marked, or a file system without such marks
        return True
    return False


# Whom the image runs as: read from its files, never by running something in it


def account(engine: Engine, container_id: str, user: str) -> tuple[int, int]:
    """(uid, gid) of *user*, ``USER[:GROUP]``, each a name or a number, as Docker reads it. NotFound.

    A number needs no entry in ``/etc/passwd``; without one, and without a group, its group is 0.
    """
    name, _, group = user.partition(":")
    uid, gid = user_of(name, entries(engine, container_id, "/etc/passwd", 4))
    return uid, group_of(group, entries(engine, container_id, "/etc/group", 3)) if group else gid


def user_of(name: str, known: list[list[str]]) -> tuple[int, int]:
    for one in known:
        if name in (one[0], one[2]) and number(one[2]) is not None:
            return number(one[2]), number(one[3]) or 0
    uid = number(name)
    if uid is None:
        raise NotFound(f"the image's user '{printable(name)}' is not in its /etc/passwd",
                       "Create the user in the Dockerfile, or give its number (USER 1000).")
    return uid, 0


def group_of(name: str, known: list[list[str]]) -> int:
    for one in known:
        if name in (one[0], one[2]) and number(one[2]) is not None:
            return number(one[2])
    gid = number(name)
    if gid is None:
        raise NotFound(f"the image's group '{printable(name)}' is not in its /etc/group",
                       "Create the group in the Dockerfile, or give its number.")
    return gid


def number(text: str) -> int | None:
    plain = text.isascii() and text.isdigit() and len(text) <= 10
    return int(text) if plain and int(text) <= MAX_ID else None


def entries(engine: Engine, container_id: str, path: str, fields: int) -> list[list[str]]:
    """The lines of a file like passwd(5), split at colons; none if it is missing, too large or no file."""
    for _ in range(LINKS):
        try:
            with asking("read the image's accounts"):
                stream, about = engine.api.get_archive(container_id, path)
        except NotFound:
            return []
        with contextlib.closing(stream):
            if about.get("linkTarget"):
                path = about["linkTarget"]       # resolved by the engine, inside the container
                continue
            lines = content(stream).decode("utf-8", "replace").splitlines()
        return [parts for line in lines if len(parts := line.split(":")) >= fields]
    return []


def content(stream) -> bytes:
    """The one file of a tar that the engine sends; empty beyond the bound."""
    data = io.BytesIO()
    with asking("read the image's accounts"):
        for piece in stream:
            data.write(piece)
            if data.tell() > ACCOUNT_BYTES + TAR_BYTES:
                return b""
    data.seek(0)
    try:
        with tarfile.open(fileobj=data, mode="r:") as archive:
            first = archive.next()
            file = archive.extractfile(first) if first and first.isreg() else None
            return file.read(ACCOUNT_BYTES) if file else b""
    except tarfile.TarError:
        return b""
