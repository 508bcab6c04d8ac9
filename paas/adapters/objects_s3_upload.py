"""A large object on its way to S3: parts of one size, two at a time, in constant memory."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import queue
import threading
import time
from typing import Any

from paas.adapters.objects_s3_client import Calls, need
from paas.errors import NotFound, PaasError, StoreError
from paas.threads import started

MIB = 1024 * 1024
SMALLEST = 8 * MIB                       # bytes of a part
EXPECTED_PARTS = 9_000
MAX_PARTS = 10_000                       # S3's own limit
WORKERS = 2


def part_size(expected: int) -> int:
    """Bytes: fixed for one object (R2 wants that), twice what *expected* needs, in whole MiB."""
    return max(SMALLEST, -(-2 * expected // (EXPECTED_PARTS * MIB)) * MIB)


def md5(data: Any) -> str:
    """Content-MD5 (RFC 1864) of bytes."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


class Body(io.BytesIO):
    """One part, sent in blocks: each that is taken is progress, and a slow uplink meets the timeout block by block."""

    moved = time.monotonic                            # what is called when some of it was taken

    def read(self, size: int | None = -1, /) -> bytes:
        self.moved()
        return super().read(size)


class S3Upload:
    """See :class:`paas.ports_backup.Upload`. Less than one part goes as one put; more begins a multipart upload."""

    def __init__(self, calls: Calls, key: str, full_key: str, size_of_part: int, extra: dict[str, str]) -> None:
        self.calls, self.key, self.extra, self.part_size = calls, key, extra, size_of_part
        self.there = {"Key": full_key}
        self.size = 0
        self.open = True
        self.upload: dict[str, str] = {}              # Key and UploadId, once begun
        self.etags: dict[int, str] = {}
        self.sent = 0                                 # parts handed to the workers
        self.failure: BaseException | None = None
        self.work: queue.SimpleQueue[tuple[int, Body] | None] = queue.SimpleQueue()
        self.room = threading.Semaphore(WORKERS)      # so: this many parts in flight, and the one being filled
        self.threads: list[threading.Thread] = []
        self.body = self._body()

    def write(self, data: bytes, /) -> int:
        view = memoryview(data)
        with self._or_abort():
            for start in self._cuts(len(view)):
                self.body.write(view[start[0]:start[1]])
                if self.body.tell() == self.part_size:
                    self._send()
            self.size += len(view)
        return len(view)

    def commit(self) -> int:
        with self._or_abort():
            if not self.upload:
                self._put()
            else:
                if self.body.tell():
                    self._send()
                for _ in range(WORKERS):
                    self._wait_for_room()
                self._complete()
            self._compare()
        self._stop()
        self.open = False
        return self.size

    def abort(self) -> None:
        if not self.open:
            return
        self.open = False
        self._stop()
        if self.upload:
            with contextlib.suppress(PaasError):
                self.calls("abort_multipart_upload", **self.upload)

    def _cuts(self, size: int) -> list[tuple[int, int]]:
        """Where to cut the next *size* bytes so that each piece fills at most the part that is open."""
        cuts, start, free = [], 0, self.part_size - self.body.tell()
        while start < size:
            cuts.append((start, min(start + free, size)))
            start, free = start + free, self.part_size
        return cuts

    def _put(self) -> None:
        data = self.body.getvalue()
        self.calls("put_object", Body=Body(data), ContentMD5=md5(data), **self.there, **self.extra)

    def _send(self) -> None:
        """Hand the part over to the workers; wait while they have enough."""
        if self.sent >= MAX_PARTS:
            raise StoreError("the data is far larger than was expected: it does not fit into one object",
                             "Try again: the size is estimated anew.")
        if not self.upload:
            answer = self.calls("create_multipart_upload", **self.there, **self.extra)
            self.upload = {**self.there, "UploadId": need(answer, "UploadId", self.calls.place)}
            self._start()
        self._wait_for_room()
        self.sent += 1
        self.body.seek(0)
        self.work.put((self.sent, self.body))
        self.body = self._body()

    def _body(self) -> Body:
        body = Body()
        body.moved = self._moved                      # type: ignore[method-assign]
        self._moved()
        return body

    def _moved(self) -> None:
        self.moved_at = time.monotonic()

    def _wait_for_room(self) -> None:
        self._moved()
        while not self.room.acquire(timeout=0.5):
            if time.monotonic() - self.moved_at > self.calls.patience.progress:
                raise StoreError(f"{self.calls.place.endpoint} has taken nothing for "
                                 f"{self.calls.patience.progress:.0f} s", "Check the network, then try again.")
        if self.failure is not None:
            raise self.failure

    def _start(self) -> None:
        for number in range(WORKERS):
            self.threads.append(started(self._carry, name=f"upload-{number}"))

    def _carry(self) -> None:
        """A worker: until it is told to end."""
        while (item := self.work.get()) is not None:
            number, body = item
            try:
                if self.open and self.failure is None:
                    digest = md5(body.getbuffer())
                    answer = self.calls("upload_part", PartNumber=number, Body=body, ContentMD5=digest, **self.upload)
                    self.etags[number] = need(answer, "ETag", self.calls.place)
            except BaseException as error:
                self.failure = self.failure or error
            del item, body
            self.room.release()

    def _complete(self) -> None:
        parts = [{"PartNumber": number, "ETag": self.etags[number]} for number in range(1, self.sent + 1)]
        known = self._known()
        try:
            answer = self.calls("complete_multipart_upload", MultipartUpload={"Parts": parts}, **self.upload)
        except StoreError:
            if known is not None or self._known() != self.size:
                raise
            return                                    # it was done, only the answer got lost
        need(answer, "ETag", self.calls.place)

    def _known(self) -> int | None:
        """Size of what is at the key now."""
        try:
            return need(self.calls("head_object", self.key, **self.there), "ContentLength", self.calls.place)
        except NotFound:
            return None

    def _compare(self) -> None:
        found = self._known()
        for attempt in (1, 2, 3):
            if found is not None:
                break
            self.calls.rest(attempt)                  # a store whose listing lags
            found = self._known()
        if found != self.size:
            raise StoreError(f"{self.calls.place.endpoint} holds {found or 0} bytes of the {self.size} that were sent",
                             "Try again; if it stays so, use another store.")

    @contextlib.contextmanager
    def _or_abort(self):
        if not self.open:
            raise StoreError("this upload has ended already")
        try:
            yield
        except BaseException:
            self.abort()
            raise

    def _stop(self) -> None:
        for _ in self.threads:
            self.work.put(None)
        for thread in self.threads:
            thread.join(self.calls.patience.connect)
        self.threads = []
