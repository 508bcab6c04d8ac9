"""What a store of objects really does, tried out on scratch keys: stores differ, and some lie."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from paas.errors import NotFound, PaasError, StoreError
from paas.ports_backup import Capabilities, ObjectStore, Reader, Upload

SMALL = b"paas writes, reads and removes this object to learn what the store can do\n"
LARGE = 5 * 1024 * 1024 + 7              # bytes: two parts of S3's smallest size, 5 MiB
SKEW = 300.0                             # seconds; above, retention deletes nothing


class Refused(StoreError):
    """The store knows the credentials, and they may not do this."""


class Wrong(Exception):
    """The store did something else than it was asked; the text says what, for its user."""


@dataclass(frozen=True)
class Ways:
    """What a probe needs of a store beyond its port."""

    refuses_overwrite: Callable[[str], bool]        # writes to an existing key on condition that there is none
    upload: Callable[[str], Upload]                 # in parts of 5 MiB
    is_public: Callable[[str], bool] = lambda key: False        # can be read without credentials
    warnings: Callable[[], list[str]] = list        # more of them, asked for at the end


class Probe:
    """One run of all steps; `run` never raises for what the store does."""

    def __init__(self, store: ObjectStore, ways: Ways) -> None:
        self.store, self.ways = store, ways
        self.top = "probe-" + secrets.token_hex(6)
        self.small, self.big, self.aborted = (f"{self.top}/{name}" for name in ("small", "large", "aborted"))
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.conditional, self.deletes, self.skew = False, True, 0.0

    def run(self) -> Capabilities:
        if self._try(self._clock) and self._try(self._put):
            for step in (self._range, self._list, self._replace, self._large, self._abort, self._condition,
                         self._public):
                self._try(step)
            self._try(self._delete)
            self.warnings += self.ways.warnings()
        return Capabilities(tuple(self.problems), tuple(self.warnings), self.conditional, self.deletes, self.skew)

    def _try(self, step: Callable[[], None]) -> bool:
        try:
            step()
        except Wrong as error:
            self.problems.append(str(error))
        except PaasError as error:
            self.problems.append(error.what)
        else:
            return True
        return False

    def _clock(self) -> None:
        self.skew = (self.store.now() - datetime.now(UTC)).total_seconds()
        if abs(self.skew) > SKEW:
            self.warnings.append(f"the clocks of the store and of this server differ by {abs(self.skew) / 60:.0f} min: "
                                 "old backups are not deleted until they agree")

    def _put(self) -> None:
        self.store.put(self.small, SMALL)
        self._expect(self.store.get(self.small) == SMALL, "what is read is not what was written")

    def _range(self) -> None:
        reader = self.store.read(self.small, 5)
        self._expect(whole(reader) == hashlib.sha256(SMALL[5:]).digest(), "reading from the middle of an object fails")

    def _list(self) -> None:
        found = [(entry.key, entry.size) for entry in self.store.list(self.top)]
        self._expect(found == [(self.small, len(SMALL))], "a new object is not in the listing")

    def _replace(self) -> None:
        self.store.put(self.small, SMALL * 2)
        self._expect(self.store.get(self.small) == SMALL * 2, "an old object is read after it was replaced")

    def _large(self) -> None:
        data = secrets.token_bytes(1024)
        digest = self._upload(self.big, data)
        self._expect(self.store.size(self.big) == LARGE, "a large object in parts gets the wrong size")
        self._expect(whole(self.store.read(self.big)) == digest, "a large object in parts is not what was written")

    def _upload(self, key: str, block: bytes) -> bytes:
        upload, digest, left = self.ways.upload(key), hashlib.sha256(), LARGE
        try:
            while left:
                data = block[:left]
                upload.write(data)
                digest.update(data)
                left -= len(data)
            upload.commit()
        finally:
            upload.abort()
        return digest.digest()

    def _abort(self) -> None:
        upload = self.ways.upload(self.aborted)
        try:
            for _ in range(6):
                upload.write(bytes(1024 * 1024))
        finally:
            upload.abort()
        try:
            self.store.size(self.aborted)
        except NotFound:
            return
        raise Wrong("an upload that was given up left an object")

    def _condition(self) -> None:
        self.conditional = self.ways.refuses_overwrite(self.small)
        if not self.conditional:
            self.warnings.append("overwrites are not refused: two servers with one prefix could replace each other's "
                                 "backups")

    def _public(self) -> None:
        if self.ways.is_public(self.small):
            self.warnings.append("anyone can read it: objects are given out without credentials")

    def _delete(self) -> None:
        try:
            self.store.delete([entry.key for entry in self.store.list(self.top)])
        except Refused:
            self.deletes = False
            self.warnings.append("these credentials cannot delete: old backups stay until a lifecycle rule of the "
                                 "bucket removes them")
            return
        self._expect(not list(self.store.list(self.top)), "a deleted object is still in the listing")

    def _expect(self, holds: bool, problem: str) -> None:
        if not holds:
            raise Wrong(problem)


def whole(reader: Reader) -> bytes:
    """SHA-256 of all that *reader* gives."""
    digest = hashlib.sha256()
    while data := reader.read(256 * 1024):
        digest.update(data)
    return digest.digest()
