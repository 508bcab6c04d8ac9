"""The stream of a backup of the platform: a tar (POSIX pax) that any `tar` reads, made and read without a file."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from paas.errors import Forged
from paas.ports_backup import Reader, Writer
from paas.ports_platform import Piece
from paas.threads import started

CHUNK = 1024 * 1024
KINDS = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
LINKS_BELOW = "storage"                  # nowhere else is a symbolic link ours


class Pieced:
    """A Reader over bytes that come in pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._rest = iter(pieces), b""

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self._rest + b"".join(self._pieces)
        while len(self._rest) < size:
            more = next(self._pieces, None)
            if more is None:
                break
            self._rest += more
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


# --- writing -----------------------------------------------------------------------------------------------------


def packed(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """What has gone since it was listed is left out; what has shrunk is filled with zeros, as GNU tar does."""
    for piece in pieces:
        if piece.kind in KINDS:
            with suppress(FileNotFoundError):
                yield from packed_one(piece)
    yield bytes(2 * tarfile.BLOCKSIZE)


def packed_one(piece: Piece) -> Iterator[bytes]:
    head = tarfile.TarInfo(piece.name)
    head.type, head.mode, head.uid, head.gid = KINDS[piece.kind], piece.mode, piece.uid, piece.gid
    head.mtime, head.linkname = piece.modified, piece.target
    if piece.kind != "file":
        yield head.tobuf(tarfile.PAX_FORMAT)
        return
    with piece.open() as file:
        head.size = os.fstat(file.fileno()).st_size
        yield head.tobuf(tarfile.PAX_FORMAT)
        left = head.size
        while left:
            data = file.read(min(CHUNK, left)) or bytes(min(CHUNK, left))
            left -= len(data)
            yield data
    yield bytes(-head.size % tarfile.BLOCKSIZE)


# --- reading -----------------------------------------------------------------------------------------------------


def received(write: Callable[[Writer], None], read: Callable[[Reader], None]) -> None:
    """Let *read* take as a stream what *write* gives, through a pipe. The first error of either comes out; that of
    *write* tells more, for *read* then only sees a cut stream."""
    outlet, inlet = os.pipe()
    told: list[BaseException] = []

    def work() -> None:
        try:
            with open(inlet, "wb", buffering=0) as sink:
                write(Whole(sink))
        except BrokenPipeError:
            return                       # the reader has stopped, and says why
        except BaseException as error:   # noqa: B036 - told by the other thread
            told.append(error)

    writer = started(work, name="unpack")
    failed: BaseException | None = None
    with open(outlet, "rb") as source:
        try:
            read(source)
            while source.read(CHUNK):    # the padding of the tar: to the end, or the writer is not heard
                continue
        except Exception as error:
            failed = error
    writer.join()
    if told:
        raise told[0]
    if failed:
        raise failed


class Whole:
    """A pipe takes part of a large piece."""

    def __init__(self, sink: object) -> None:
        self._sink = sink

    def write(self, data: bytes, /) -> int:
        view = memoryview(data)
        while view:
            view = view[self._sink.write(view):]
        return len(data)


def unpacked(source: Reader, directory: Path) -> None:
    """Into an empty directory of root's. Forged: names or kinds that a backup of the platform never has."""
    links: list[tuple[Path, str]] = []
    try:
        with tarfile.open(fileobj=source, mode="r|", bufsize=CHUNK) as archive:
            for head in archive:
                unpacked_one(archive, head, directory, links)
    except tarfile.TarError as error:
        raise Forged(f"it is not a backup of the platform: {error}", "Take another backup.") from None
    for path, target in links:           # last: nothing is ever written through one
        os.symlink(target, path)


def unpacked_one(archive: tarfile.TarFile, head: tarfile.TarInfo, directory: Path,
                 links: list[tuple[Path, str]]) -> None:
    goal = directory / plain_name(head.name)
    goal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if head.issym() and head.name.startswith(f"{LINKS_BELOW}/"):
        links.append((goal, head.linkname))
        return
    if head.isdir():
        goal.mkdir(mode=0o700, exist_ok=True)
    elif head.isreg():
        write_out(archive, head, goal)
    else:
        raise Forged(f"a backup of the platform has no such entry: {head.name[:100]!r}", "Take another backup.")
    os.chown(goal, head.uid, head.gid)
    goal.chmod(head.mode & 0o7777)
    os.utime(goal, (head.mtime, head.mtime))


def write_out(archive: tarfile.TarFile, head: tarfile.TarInfo, goal: Path) -> None:
    content = archive.extractfile(head)
    with open(goal, "wb") as file:
        while data := content.read(CHUNK):
            file.write(data)


def plain_name(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise Forged(f"a backup of the platform has no such name: {name[:100]!r}", "Take another backup.")
    return str(path)


