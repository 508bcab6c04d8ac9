"""Streams between a datastore and a target, counted and hashed on the way: sent, read back, fetched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from paas.errors import Forged, ServiceError, StoreError
from paas.model.backup import StoredPart

if TYPE_CHECKING:
    from paas.ports_backup import ObjectStore, Reader, Sealing, Writer
    from paas.secret import Secret

CHUNK = 1024 * 1024
Moved = Callable[[int], None]            # told the bytes of each piece
Progress = Callable[[str, int], None]    # (stage, bytes so far); called often


def nobody(size: int) -> None:
    """A `Moved` that nobody wants."""


def silent(stage: str, size: int) -> None:
    """Progress that nobody wants."""


def counted(progress: Progress, stage: str) -> Moved:
    """Tells *progress* how much of *stage* there is so far, over all streams that it is given to."""
    total = 0

    def note(size: int) -> None:
        nonlocal total
        total += size
        progress(stage, total)
    return note


class Metered:
    """A Reader that knows what went through it."""

    def __init__(self, source: Reader, moved: Moved = nobody) -> None:
        self._source, self._moved = source, moved
        self._hash, self.size = hashlib.sha256(), 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        self.size += len(data)
        self._moved(len(data))
        return data

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class MeteredWriter:
    """A Writer that knows what went through it."""

    def __init__(self, sink: Writer, moved: Moved = nobody) -> None:
        self._sink, self._moved = sink, moved
        self._hash, self.size = hashlib.sha256(), 0

    def write(self, data: bytes, /) -> int:
        self._sink.write(data)
        self._hash.update(data)
        self.size += len(data)
        self._moved(len(data))
        return len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def drain(source: Reader) -> None:
    while source.read(CHUNK):
        continue


def send(objects: ObjectStore, sealing: Sealing, recipients: Sequence[str], source: Reader, key: str, *, what: str,
         expected: int = 0, moved: Moved = nobody, sealed: Callable[[], None] = lambda: None) -> StoredPart:
    """*source* sealed into the object *key*, in constant memory. Whatever fails, the upload is aborted.

    :param what: for messages: "dump". :param expected: bytes, about; 0: unknown.
    :param sealed: called when all is sealed and handed over, before the upload is committed.
    :raises ServiceError: *source* was empty. :raises StoreError: the store has not what it was given.
    """
    upload = objects.upload(key, expected)
    try:
        plain, stored = Metered(source), MeteredWriter(upload, moved)
        sealing.seal(plain, stored, recipients)
        if not plain.size:
            raise ServiceError(f"the {what} is empty", "Look at the service's logs.")
        sealed()
        size = upload.commit()
    except BaseException:
        upload.abort()
        raise
    if size != stored.size:
        raise StoreError(f"the store has {size:,} bytes of {stored.size:,}", "Try again; the backup before stays.")
    return StoredPart(key, stored.size, stored.sha256, plain.size, plain.sha256)


def read_back(objects: ObjectStore, part: StoredPart, moved: Moved = nobody) -> None:
    """Every stored byte, as anybody who restores would get it. StoreError: they are others than were sent."""
    source = Metered(objects.read(part.key), moved)
    drain(source)
    if (source.size, source.sha256) != (part.size, part.sha256):
        raise StoreError("the store gives back something else than it was given",
                         "It cannot be trusted with backups: choose another target.")


def fetch(objects: ObjectStore, sealing: Sealing, part: StoredPart, identity: Secret, sink: Writer,
          moved: Moved = nobody) -> None:
    """Part of a backup: from the store, opened, decompressed, into *sink*.

    :raises Forged: it is not what the manifest says. What *sink* got by then must be thrown away.
    """
    source = Metered(objects.read(part.key), moved)
    plain = sealing.decompress(sink)
    compressed = MeteredWriter(plain)
    sealing.unseal(source, compressed, identity)
    plain.finish()
    if (source.size, source.sha256) != (part.size, part.sha256):
        raise Forged(f"{part.key.rpartition('/')[2]} is not what the manifest says", "Take another backup.")
    if (compressed.size, compressed.sha256) != (part.plain_size, part.plain_sha256):
        raise Forged(f"{part.key.rpartition('/')[2]} holds something else than what was dumped", "Take another backup.")
