"""From the receiver's spool to the target: what is new of the log, sealed and named with its time and MAC, each second.

A segment that grows is sent in pieces, every ``MERGE`` of them again as one; when it is full, as a whole, and the
pieces go. What the target did not take stays in the spool, whose size the receiver bounds.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from paas.backups.keyring import Keyring
from paas.backups.spool import DIRECTORY, opened
from paas.errors import ServiceError
from paas.model import pitr
from paas.model.pitr import Wal
from paas.ports_backup import ObjectStore, Sealing

BLOCK = 256 * 1024
ZEROS = bytes(BLOCK)
MERGE = 30                               # pieces of a growing segment, before they are sent again as one
SETTLED = 10**8                          # nanoseconds
LARGEST = 2**30                          # bytes of a segment, as PostgreSQL allows


@dataclass(frozen=True, order=True)
class Local:
    """A file of the spool."""

    segment: str
    partial: bool
    size: int
    modified: int                        # nanoseconds since 1970

    @property
    def name(self) -> str:
        return self.segment + (".partial" if self.partial else "")

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.modified / 1e9, UTC)


class Spool:
    """A directory that the receiver writes; nothing in it is trusted, no symbolic link is followed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def files(self) -> list[Local]:
        """By segment. ServiceError: the spool is gone."""
        found = []
        try:
            directory = os.open(self.root, DIRECTORY)
        except OSError:
            raise ServiceError("the spool of the log is gone", "A new base is made.") from None
        try:
            for name in os.listdir(directory):
                match = pitr.LOCAL.fullmatch(name)
                file = opened(directory, name) if match else None
                if file is not None:
                    with file:
                        facts = os.fstat(file.fileno())
                    found.append(Local(name.removesuffix(".partial"), name.endswith(".partial"), facts.st_size,
                                       facts.st_mtime_ns))
        finally:
            os.close(directory)
        return sorted(found)

    def read(self, one: Local) -> bytes | None:
        """All of it; None: it has gone meanwhile, or been renamed."""
        return self._with(one, lambda number: os.pread(number, min(one.size, LARGEST), 0))

    def grown(self, one: Local, start: int) -> bytes | None:
        """The bytes from *start* to the last one that is not zero: the receiver makes the file at its full size, and
        writes it from the front."""
        def look(number: int) -> bytes:
            end = last_written(number, start, one.size)
            # Read again: when the last byte was seen, all before it had been written; when they were, maybe not.
            return os.pread(number, max(0, end - start), start)

        return self._with(one, look)

    def remove(self, one: Local) -> None:
        directory = os.open(self.root, DIRECTORY)
        try:
            os.unlink(one.name, dir_fd=directory)
        except FileNotFoundError:
            pass
        finally:
            os.close(directory)

    def _with(self, one: Local, work: Callable[[int], bytes]) -> bytes | None:
        directory = os.open(self.root, DIRECTORY)
        try:
            file = opened(directory, one.name)
        finally:
            os.close(directory)
        if file is None:
            return None
        with file:
            return work(file.fileno())


def last_written(number: int, start: int, size: int) -> int:
    """One more than the place of the last byte that is not zero; *start* where there is none after it."""
    end = size
    while end > start:
        begin = max(start, end - BLOCK)
        data = os.pread(number, end - begin, begin)
        if data != ZEROS[:len(data)]:
            return begin + len(data.rstrip(b"\0"))
        end = begin
    return start


class Shipper:
    """Of one epoch of one service.

    :param place: the epoch's prefix in *store*, ending in "/".
    :param size: bytes of a segment.
    """

    def __init__(self, spool: Spool, store: ObjectStore, sealing: Sealing, keys: Keyring, place: str,
                 size: int) -> None:
        self.spool, self.store, self.sealing, self.keys = spool, store, sealing, keys
        self.place, self.size = place, size
        self.reach = 0                   # position in the log up to which the target has everything that was here
        self.sent = 0                    # bytes since the start
        self.broken = ""                 # name of a segment that is missing: only a new epoch mends that
        self.spooled = 0                 # bytes in the spool
        self._there: dict[str, list[Wal]] | None = None
        self._seen: Local | None = None

    def tick(self) -> bool:
        """One look; send all that is new. False: nothing was. StoreError, and everything stays."""
        if self._there is None:
            self._there = self._listed()
        files = self.spool.files()
        self.spooled = sum(one.size for one in files)
        sent = False
        for one in files:
            if one.segment.endswith(".history"):
                sent |= self._history(one)
            elif not one.partial:
                sent |= self._whole(one)
        for one in files:
            if one.partial:
                sent |= self._piece(one)
        self._tidy([one for one in files if not one.partial and not one.segment.endswith(".history")])
        return sent

    def _listed(self) -> dict[str, list[Wal]]:
        found: dict[str, list[Wal]] = {}
        for stored in self.store.list(self.place + "wal/"):
            if one := pitr.stored(stored.key.removeprefix(self.place), stored.size):
                found.setdefault(one.segment, []).append(one)
        return found

    def _length(self, segment: str) -> int:
        """How much of it the target has."""
        chosen = pitr.assemble(self._there.get(segment, ()))
        return chosen[-1].end if chosen else 0

    def _history(self, one: Local) -> bool:
        if self._there.get(one.segment):
            return False
        data = self.spool.read(one)
        return bool(data) and self._put(Wal(one.segment, 0, len(data), one.at), data)

    def _whole(self, one: Local) -> bool:
        if one.size != self.size:
            return False                 # being made
        if self._length(one.segment) >= self.size:
            return self._reached(one.segment, self.size)
        self._expect(one.segment)
        data = self.spool.read(one)
        if data is None or len(data) != self.size:
            return False
        self._put(Wal(one.segment, 0, self.size, one.at), data)
        self._replace(one.segment)
        self._reached(one.segment, self.size)
        return True

    def _piece(self, one: Local) -> bool:
        length = self._length(one.segment)
        if one == self._seen or one.size != self.size or length >= self.size:
            return False
        self._expect(one.segment)
        data = self.spool.grown(one, length)
        if data:
            start = 0 if len(self._there.get(one.segment, ())) >= MERGE else length
            if start < length:
                data = self.spool.grown(one, start)
            self._put(Wal(one.segment, start, start + len(data), one.at), data)
            if start < length:
                self._replace(one.segment)
        if data is not None:
            # A file's time moves in steps of some milliseconds: what was changed just now may change once more.
            self._seen = one if time.time_ns() - one.modified > SETTLED else None
            self._reached(one.segment, length if not data else self._length(one.segment))
        return bool(data)

    def _expect(self, segment: str) -> None:
        """The log goes on where it ended, or `broken` names what is missing."""
        known = [name for name in self._there if not name.endswith(".history")]
        number = pitr.number_of(segment, self.size)
        last = max((pitr.number_of(name, self.size) for name in known), default=number)
        if number > last + 1 or (number == last + 1 and self._length(max(known)) < self.size):
            missing = last if self._length(max(known)) < self.size else last + 1
            self.broken = pitr.name_of(int(segment[:8], 16), missing, self.size)
            raise ServiceError(f"the log has a hole: {self.broken} was never received", "A new base is made.")

    def _put(self, one: Wal, data: bytes) -> bool:
        named = pitr.signed(one, self.keys.mac, self.place, hashlib.sha256(data).hexdigest())
        sealed = io.BytesIO()
        self.sealing.seal(self.sealing.compress(io.BytesIO(data)), sealed, self.keys.recipients)
        self.store.put(self.place + named.key, sealed.getvalue())
        self.sent += sealed.tell()
        self._there.setdefault(one.segment, []).append(named)
        return True

    def _replace(self, segment: str) -> None:
        """What the newest piece covers goes; what the store keeps nevertheless, retention takes later."""
        pieces = self._there[segment]
        kept = list(pitr.assemble(pieces))
        gone = [one for one in pieces if one not in kept]
        self._there[segment] = kept
        self.store.delete([self.place + one.key for one in gone])

    def _reached(self, segment: str, length: int) -> bool:
        self.reach = max(self.reach, pitr.number_of(segment, self.size) * self.size + length)
        return False

    def _tidy(self, whole: Sequence[Local]) -> None:
        """Of the full segments here the newest stays: by it the receiver knows where to go on. What is known of the
        target is bounded by what is here."""
        done = [one for one in whole if self._length(one.segment) >= self.size]
        for one in done[:-1]:
            self.spool.remove(one)
        if done:
            self._there = {name: pieces for name, pieces in self._there.items()
                           if name.endswith(".history") or name >= done[-1].segment}
