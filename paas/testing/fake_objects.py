"""A store of objects in memory, with faults on demand: see :mod:`paas.testing.faults` and `FakeObjects`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from paas.adapters.objects_keys import below, check_key
from paas.errors import BadInput, Conflict, NotFound, StoreError
from paas.model.backup import Target
from paas.ports_backup import Capabilities, StoredObject
from paas.testing.faults import Faults


class FakeObjects:
    """See :class:`paas.ports_backup.ObjectStore`.

    Points of faults: ``objects.put/upload/write/commit/get/read/chunk/size/list/delete/abort_uploads/now``; with
    ``after=True`` the work is done and the answer lost. A test may also change what is stored by `flip` and `cut`, let
    answers wait by clearing `going`, and set `skew` and `capabilities`.
    """

    def __init__(self, faults: Faults | None = None, clock: Callable[[], datetime] | None = None) -> None:
        self.faults = faults or Faults()
        self.clock = clock or (lambda: datetime.now(UTC))
        self.skew = timedelta()                       # its clock is so much ahead of `clock`
        self.going = threading.Event()                # cleared: every call waits ("stall")
        self.going.set()
        self.capabilities = Capabilities(conditional_put=True)
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.uploads: dict[FakeUpload, datetime] = {}
        self._lock = threading.RLock()

    # --- what tests do to it

    def flip(self, key: str, offset: int = 0, bit: int = 0) -> None:
        """Change one bit of what is stored."""
        data, modified = self.objects[key]
        changed = bytearray(data)
        changed[offset] ^= 1 << bit
        self.objects[key] = (bytes(changed), modified)

    def cut(self, key: str, size: int) -> None:
        """Keep only the first *size* bytes."""
        data, modified = self.objects[key]
        self.objects[key] = (data[:size], modified)

    def keys(self) -> list[str]:
        return sorted(self.objects)

    # --- the port

    def put(self, key: str, data: bytes, *, new: bool = False) -> None:
        with self._call("put"):
            self._store(check_key(key), data, new)

    def upload(self, key: str, expected: int = 0) -> FakeUpload:
        with self._call("upload"):
            upload = FakeUpload(self, check_key(key))
            self.uploads[upload] = self.now_here()
            return upload

    def get(self, key: str, limit: int = 16 * 1024 * 1024) -> bytes:
        with self._call("get"):
            data = self._data(key)
            if len(data) > limit:
                raise StoreError(f"'{key}' is longer than the {limit} bytes that were expected")
            return data

    def read(self, key: str, start: int = 0) -> FakeReader:
        with self._call("read"):
            data = self._data(key)
            if start > len(data):
                raise StoreError(f"'{key}' is shorter than {start} bytes")
            return FakeReader(self, data[start:])

    def size(self, key: str) -> int:
        with self._call("size"):
            return len(self._data(key))

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        with self._call("list"):
            top = below(prefix)
            found = [StoredObject(key, len(data), modified) for key, (data, modified) in sorted(self.objects.items())
                     if key.startswith(top)]
        yield from found

    def delete(self, keys: Sequence[str]) -> None:
        with self._call("delete"):
            for key in keys:
                self.objects.pop(check_key(key), None)

    def abort_uploads(self, older_than: float, prefix: str = "") -> int:
        with self._call("abort_uploads"):
            limit, top = self.now_here() - timedelta(seconds=older_than), below(prefix)
            old = [upload for upload, begun in self.uploads.items() if begun <= limit and upload.key.startswith(top)]
            for upload in old:
                upload.abort()
            return len(old)

    def now(self) -> datetime:
        with self._call("now"):
            return self.now_here()

    def probe(self) -> Capabilities:
        return self.capabilities

    # --- inside

    def now_here(self) -> datetime:
        return self.clock() + self.skew

    def _store(self, key: str, data: bytes, new: bool = False) -> None:
        with self._lock:
            if new and key in self.objects:
                raise Conflict(f"'{key}' is there already", "Choose another name.")
            self.objects[key] = (bytes(data), self.now_here())

    def _data(self, key: str) -> bytes:
        if check_key(key) not in self.objects:
            raise NotFound(f"the store of backups has no '{key}'", "List the backups.")
        return self.objects[key][0]

    def _call(self, name: str) -> _Call:
        return _Call(self, f"objects.{name}")


class _Call:
    """Around one call: wait, fail before, do the work, fail after."""

    def __init__(self, store: FakeObjects, name: str) -> None:
        self.store, self.name = store, name

    def __enter__(self) -> None:
        self.store.going.wait()
        self.nth = self.store.faults.before(self.name)

    def __exit__(self, kind: type | None, *rest: object) -> None:
        if kind is None:
            self.store.faults.after(self.name, self.nth)


class FakeUpload:
    """See :class:`paas.ports_backup.Upload`."""

    def __init__(self, store: FakeObjects, key: str) -> None:
        self.store, self.key = store, key
        self.data: bytearray | None = bytearray()

    def write(self, data: bytes, /) -> int:
        with self._whole("write"):
            self.data += data
        return len(data)

    def commit(self) -> int:
        with self._whole("commit"):
            size = len(self.data)
            self.store._store(self.key, self.data)
        self.abort()
        return size

    def abort(self) -> None:
        self.store.uploads.pop(self, None)
        self.data = None

    @contextlib.contextmanager
    def _whole(self, name: str) -> Iterator[None]:
        """One call. A failure ends the upload; a crash leaves it open, as a killed process does."""
        if self.data is None:
            raise StoreError("this upload has ended already")
        try:
            with self.store._call(name):
                yield
        except Exception:
            self.abort()
            raise


class FakeReader:
    """See :class:`paas.ports_backup.Reader`."""

    def __init__(self, store: FakeObjects, data: bytes) -> None:
        self.store, self.data, self.at = store, data, 0

    def read(self, size: int = -1, /) -> bytes:
        with self.store._call("chunk"):
            end = len(self.data) if size < 0 else self.at + size
            chunk = self.data[self.at:end]
            self.at += len(chunk)
            return chunk


class FakeTargets:
    """See :class:`paas.ports_backup.Targets`: one FakeObjects for each URL, the same at every opening."""

    def __init__(self, faults: Faults | None = None, clock: Callable[[], datetime] | None = None) -> None:
        self.faults, self.clock = faults or Faults(), clock
        self.stores: dict[str, FakeObjects] = {}

    def open(self, target: Target) -> FakeObjects:
        if not target.url.startswith(("s3://", "file:///")):
            raise BadInput(f"'{target.url}' is no target for backups", "Use s3://bucket/prefix or file:///directory.")
        return self.stores.setdefault(target.url, FakeObjects(self.faults, self.clock))
