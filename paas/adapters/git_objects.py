"""Git objects read straight from object directories, with every size known before anything is inflated.

dulwich finds objects in pack indexes and applies deltas; headers are read here, because a declared size must be
checked first: 2 MB of pack can hold a blob of 2 GB, and a small blob can be a delta of a huge one. Formats:
gitformat-pack(5). One :class:`Objects` belongs to one thread and is closed explicitly.
"""

import contextlib
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.pack import Pack

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
_TYPES = {b"commit": COMMIT, b"tree": TREE, b"blob": BLOB, b"tag": TAG}
_OFS_DELTA, _REF_DELTA = 6, 7
_MAX_CHAIN = 4095                        # git's own limit of pack.depth
_STEP = 64 * 1024
# How dulwich tells an index that makes no sense.
_INDEX_FAULTS = (ValueError, TypeError, AssertionError, LookupError, struct.error)


class Missing(Exception):
    """No directory has that object; the argument is its id (40 hex digits as bytes)."""


class Damaged(Exception):
    """An object cannot be decoded, or is larger than the reader was told to accept."""


@dataclass(frozen=True, slots=True)
class Info:
    """What an object will cost, from headers alone. Sizes in bytes."""

    type: int
    size: int                            # of the object
    memory: int                          # held at once while it is rebuilt from deltas
    work: int                            # inflated and copied on the way
    deltas: int = 0                      # length of the delta chain; 0: stored whole


class Objects:
    """The objects of some directories, the first that has one wins (git's alternates). A context manager."""

    def __init__(self, *directories: Path) -> None:
        self._directories = [os.fspath(directory) for directory in directories]
        self._packs: list[_Pack] = []
        self._open: set[str] = set()
        self.damaged = False                         # a pack could not be opened: what is missing may be there
        self._rescan()

    def __enter__(self) -> "Objects":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for pack in self._packs:
            pack.close()
        self._packs = []

    def info(self, sha: bytes) -> Info:
        """:raises Missing, Damaged:"""
        found = self._find(sha)
        return found[0].info(found[1]) if isinstance(found, tuple) else _loose_info(found)

    def __contains__(self, sha: bytes) -> bool:
        try:
            self._find(sha)
        except (Missing, Damaged):
            return False
        return True

    def content(self, sha: bytes, limit: int) -> bytes:
        """The whole object. :raises Missing, Damaged: also when it takes more than *limit* bytes of memory."""
        if self.info(sha).memory > limit:
            raise Damaged(f"object {sha[:8].decode()} is too large")
        return b"".join(self.chunks(sha))

    def head(self, sha: bytes, length: int) -> bytes:
        """The first *length* bytes; an object that is stored whole is not inflated further than that."""
        parts, missing = [], length
        for chunk in self.chunks(sha, min(length, _STEP)):
            parts.append(chunk)
            missing -= len(chunk)
            if missing <= 0:
                break
        return b"".join(parts)[:length]

    def opened(self, sha: bytes) -> tuple[int, Iterator[bytes]]:
        """(size, chunks) of an object."""
        return self.info(sha).size, self.chunks(sha)

    def chunks(self, sha: bytes, step: int = _STEP) -> Iterator[bytes]:
        """The object in pieces: at most *step* bytes each when it is stored whole, one piece when it is a delta."""
        found = self._find(sha)
        try:
            yield from found[0].chunks(found[1], step) if isinstance(found, tuple) else _loose_chunks(found, step)
        except (zlib.error, KeyError, IndexError, ValueError, AssertionError) as error:
            raise Damaged(f"object {sha[:8].decode()} cannot be decoded") from error

    def _find(self, sha: bytes) -> "tuple[_Pack, int] | str":
        """Where an object is: in a pack at an offset, or in a file of its own."""
        raw = bytes.fromhex(sha.decode())
        place = self._packed(raw) or self._loose(sha.decode())
        if place is None and self._rescan():         # a repack may have moved it meanwhile
            place = self._packed(raw)
        if place is None:
            raise Damaged("a pack cannot be opened") if self.damaged else Missing(sha)
        return place

    def _packed(self, raw: bytes) -> "tuple[_Pack, int] | None":
        for number, pack in enumerate(self._packs):
            try:
                place = pack, pack.index.object_offset(raw)
            except KeyError:
                continue
            except _INDEX_FAULTS:
                self.damaged = True
                continue
            if number:                               # neighbours are asked for next
                self._packs.insert(0, self._packs.pop(number))
            return place
        return None

    def _loose(self, sha: str) -> str | None:
        paths = (f"{directory}/{sha[:2]}/{sha[2:]}" for directory in self._directories)
        return next((path for path in paths if os.path.isfile(path)), None)

    def _rescan(self) -> bool:
        """Open packs that are new; return whether there were any."""
        before = len(self._open)
        for directory in self._directories:
            with contextlib.suppress(FileNotFoundError):
                names = set(os.listdir(f"{directory}/pack"))
                for name in sorted(names):
                    if name.endswith(".pack") and name[:-5] + ".idx" in names:
                        self._add(f"{directory}/pack/{name[:-5]}")
        return len(self._open) > before

    def _add(self, base: str) -> None:
        if base in self._open:
            return
        with contextlib.suppress(FileNotFoundError):
            try:
                self._packs.append(_Pack(base))
            except _INDEX_FAULTS:
                self.damaged = True                  # git goes on with the other packs, too
            self._open.add(base)


class _Pack:
    """One pack: dulwich for the index and for deltas, a mapping of its own for headers and whole objects."""

    def __init__(self, base: str) -> None:
        self._pack = Pack(base, object_format=DEFAULT_OBJECT_FORMAT)
        self.index = self._pack.index
        try:
            with open(base + ".pack", "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except BaseException:
            self._pack.close()
            raise
        self._known: dict[int, Info] = {}

    def close(self) -> None:
        self._pack.close()
        with contextlib.suppress(BufferError):       # a generator still holds a view: freed with it
            self._map.close()

    def info(self, offset: int) -> Info:
        try:
            return self._known.get(offset) or self._measure(offset)
        except (KeyError, IndexError, zlib.error) as error:
            raise Damaged("a pack cannot be decoded") from error

    def chunks(self, offset: int, step: int) -> Iterator[bytes]:
        kind, size, base, position = self._header(offset)
        if base is None:
            yield from _inflated(self._slices(position), size, step)
            return
        data = self._pack.data.get_object_at(offset)
        _, parts = self._pack.resolve_object(offset, *data)
        yield b"".join(parts)

    def _measure(self, offset: int) -> Info:
        """Follow the delta chain by its headers, down to what is known or stored whole, and add up again."""
        chain = []
        while offset not in self._known:
            kind, size, base, position = self._header(offset)
            if base is None:
                self._known[offset] = Info(kind, size, size, size)
                break
            chain.append((offset, size, position))
            if len(chain) > _MAX_CHAIN:
                raise Damaged("a chain of deltas is too long")
            offset = base
        info = self._known[offset]
        for offset, size, position in reversed(chain):
            result = self._result_size(position)
            if info.deltas >= _MAX_CHAIN:
                raise Damaged("a chain of deltas is too long")
            info = Info(info.type, result, max(info.memory, result) + size, info.work + size + result, info.deltas + 1)
            self._known[offset] = info
        return info

    def _header(self, offset: int) -> tuple[int, int, int | None, int]:
        """(type, inflated size, offset of the delta's base or None, where the deflated data begins)"""
        data = self._map
        byte = data[offset]
        position = offset + 1
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 128:
            byte = data[position]
            position += 1
            size |= (byte & 127) << shift
            shift += 7
        if kind == _OFS_DELTA:
            back, position = self._distance(position)
            return kind, size, offset - back, position
        if kind == _REF_DELTA:                       # receive-pack completes thin packs: the base is in this one
            return kind, size, self.index.object_offset(data[position:position + 20]), position + 20
        return kind, size, None, position

    def _distance(self, position: int) -> tuple[int, int]:
        byte = self._map[position]
        distance = byte & 127
        while byte & 128:
            position += 1
            byte = self._map[position]
            distance = (distance + 1 << 7) | byte & 127
        return distance, position + 1

    def _result_size(self, position: int) -> int:
        """A delta begins with the sizes of its base and of its result, 7 bits a byte, least first."""
        start = zlib.decompressobj().decompress(self._map[position:position + 128], 24)
        place, size, shift = 0, 0, 0
        while start[place] & 128:
            place += 1
        while True:
            place += 1
            size |= (start[place] & 127) << shift
            shift += 7
            if not start[place] & 128:
                return size

    def _slices(self, position: int) -> Iterator[bytes]:
        length = 4096                                # most files are small: do not copy what lies behind them
        while piece := self._map[position:position + length]:
            yield piece
            position += length
            length = _STEP


def _inflated(pieces: Iterator[bytes], size: int, step: int) -> Iterator[bytes]:
    """Exactly *size* bytes out of deflated *pieces*, at most *step* at once."""
    stream, left = zlib.decompressobj(), size
    data = b""
    while left:
        data = stream.unconsumed_tail or next(pieces, b"")
        chunk = stream.decompress(data, min(step, left))
        if not chunk and (stream.eof or not data):
            raise ValueError("less data than declared")
        left -= len(chunk)
        if chunk:
            yield chunk


def _loose_head(path: str) -> tuple[bytes, int, int]:
    """(type, size, length of the header with its NUL) of a loose object: ``blob 12\\0…``, deflated."""
    with open(path, "rb") as file:
        start = zlib.decompressobj().decompress(file.read(512), 64)
    words, nul, _ = start.partition(b"\0")
    kind, _, size = words.partition(b" ")
    if not nul or kind not in _TYPES or not size.isdigit():
        raise ValueError("not a loose object")
    return kind, int(size), len(words) + 1


def _loose_info(path: str) -> Info:
    try:
        kind, size, _ = _loose_head(path)
    except (ValueError, zlib.error) as error:
        raise Damaged("a loose object cannot be decoded") from error
    return Info(_TYPES[kind], size, size, size)


def _loose_chunks(path: str, step: int) -> Iterator[bytes]:
    _, size, skip = _loose_head(path)
    with open(path, "rb") as file:
        pieces = iter(lambda: file.read(_STEP), b"")
        for chunk in _inflated(pieces, size + skip, max(step, 128)):
            if skip:
                chunk, skip = chunk[skip:], max(0, skip - len(chunk))
            if chunk:
                yield chunk
