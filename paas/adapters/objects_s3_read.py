"""A large object from S3 as a stream that survives cut connections."""

from __future__ import annotations

import contextlib
from typing import Any

from paas.adapters.objects_s3_client import Calls, need
from paas.adapters.objects_s3_words import Place
from paas.errors import NotFound, StoreError


def check_answer(answer: dict[str, Any], place: Place) -> int:
    """Size of the body of a GET. StoreError: it is no object's."""
    for name in ("LastModified", "ETag"):
        need(answer, name, place)
    return need(answer, "ContentLength", place)


class S3Reader:
    """See :class:`paas.ports_backup.Reader`. *head* is the answer of HeadObject."""

    def __init__(self, calls: Calls, key: str, full_key: str, head: dict[str, Any], start: int) -> None:
        self.calls, self.key, self.full_key, self.at = calls, key, full_key, start
        self.size, self.modified = head["ContentLength"], need(head, "LastModified", calls.place)
        self.body: Any = None
        self.failed = 0                  # attempts in a row that gave no byte
        if start > self.size:
            raise StoreError(f"'{key}' is shorter than {start} bytes", "It is not what was stored.")

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self._rest()
        size = min(size, self.size - self.at)
        while size:
            data = b""
            with contextlib.suppress(*self.calls.broken):
                self.body = self.body or self._open()
                data = self.body.read(size)
            if data:
                self.failed, self.at = 0, self.at + len(data)
                if self.at == self.size:
                    self.close()
                return data
            self._again()
        return b""

    def close(self) -> None:
        """Give the connection up. Idempotent."""
        if self.body is not None:
            with contextlib.suppress(*self.calls.broken):
                self.body.close()
            self.body = None

    def _rest(self) -> bytes:
        pieces = []
        while data := self.read(1024 * 1024):
            pieces.append(data)
        return b"".join(pieces)

    def _open(self) -> Any:
        """A body that begins at the byte where we are, of the object that we began to read."""
        where = {"Range": f"bytes={self.at}-"} if self.at else {}
        try:
            answer = self.calls("get_object", self.key, Key=self.full_key, **where)
        except NotFound:
            raise StoreError(f"'{self.key}' was deleted while it was read", "Take another backup.") from None
        left = check_answer(answer, self.calls.place)
        if where and answer.get("ContentRange") != f"bytes {self.at}-{self.size - 1}/{self.size}":
            answer["Body"].close()
            raise StoreError(f"{self.calls.place.endpoint} gives another part of '{self.key}' than it was asked for",
                             "Try again; use another store.")
        if left != self.size - self.at or answer["LastModified"] != self.modified:
            answer["Body"].close()
            raise StoreError(f"'{self.key}' was replaced while it was read", "Try again.")
        return answer["Body"]

    def _again(self) -> None:
        self.close()
        self.failed += 1
        if self.failed >= self.calls.patience.attempts:
            raise StoreError(f"{self.calls.place.endpoint} cuts '{self.key}' short, {self.size - self.at} bytes before "
                             "its end", "Try again later.")
        self.calls.rest(self.failed)
