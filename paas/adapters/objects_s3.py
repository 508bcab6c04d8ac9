"""An S3-compatible bucket as a store of objects, by boto3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from paas.adapters.objects_keys import below, check_key
from paas.adapters.objects_probe import Probe, Refused, Ways
from paas.adapters.objects_s3_client import Calls, Patience, need
from paas.adapters.objects_s3_read import S3Reader, check_answer
from paas.adapters.objects_s3_upload import MIB, Body, S3Upload, md5, part_size
from paas.adapters.objects_s3_words import words_of_answer
from paas.errors import BadInput, Conflict, NotFound, StoreError
from paas.model.backup import Target
from paas.ports_backup import Capabilities, StoredObject

BATCH = 1000                             # keys in one DeleteObjects, S3's limit
PROBE_PART = 5 * MIB                     # bytes: the smallest part that S3 takes
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class S3Objects:
    """See :class:`paas.ports_backup.ObjectStore`. *prefix* is "" or ends with "/"."""

    def __init__(self, target: Target, bucket: str, prefix: str, patience: Patience | None = None) -> None:
        self.target, self.prefix = target, prefix
        self.calls = Calls(target, bucket, patience or Patience())
        self.extra = {"StorageClass": target.storage_class} if target.storage_class else {}

    def put(self, key: str, data: bytes, *, new: bool = False) -> None:
        if not new:
            self._put(key, data)
            return
        with contextlib.suppress(NotFound):
            self.calls("head_object", key, Key=self._full(key))
            raise Conflict(f"'{key}' is there already", "Choose another name.")
        self._put_new(key, data)

    def upload(self, key: str, expected: int = 0) -> S3Upload:
        return S3Upload(self.calls, key, self._full(key), part_size(expected), self.extra)

    def get(self, key: str, limit: int = 16 * 1024 * 1024) -> bytes:
        attempt = 1
        while True:
            answer = self.calls("get_object", key, Key=self._full(key))
            size = check_answer(answer, self.calls.place)
            if size > limit:
                answer["Body"].close()
                raise StoreError(f"'{key}' is longer than the {limit} bytes that were expected",
                                 "Look at what wrote it.")
            with contextlib.suppress(*self.calls.broken):
                data = answer["Body"].read()
                if len(data) == size:
                    return data
            if attempt == self.calls.patience.attempts:
                raise StoreError(f"{self.calls.place.endpoint} cuts '{key}' short", "Try again later.")
            self.calls.rest(attempt)
            attempt += 1

    def read(self, key: str, start: int = 0) -> S3Reader:
        return S3Reader(self.calls, key, self._full(key), self._head(key), start)

    def size(self, key: str) -> int:
        return self._head(key)["ContentLength"]

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        top = self.prefix + below(prefix)
        for page in self._pages("list_objects_v2", {"Prefix": top}, {"ContinuationToken": "NextContinuationToken"}):
            for entry in page.get("Contents", ()):
                key = entry["Key"].removeprefix(self.prefix)
                with contextlib.suppress(BadInput):              # another program's object, a "folder"
                    yield StoredObject(check_key(key), entry["Size"], entry["LastModified"])

    def delete(self, keys: Sequence[str]) -> None:
        full = [{"Key": self._full(key)} for key in keys]
        for start in range(0, len(full), BATCH):
            self._delete(full[start:start + BATCH])

    def abort_uploads(self, older_than: float, prefix: str = "") -> int:
        limit = self.now() - timedelta(seconds=older_than)
        markers = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
        pages = self._pages("list_multipart_uploads", {"Prefix": self.prefix + below(prefix)}, markers)
        old = [entry for page in pages for entry in page.get("Uploads", ()) if entry["Initiated"] <= limit]
        for entry in old:
            with contextlib.suppress(NotFound):
                self.calls("abort_multipart_upload", entry["Key"], Key=entry["Key"], UploadId=entry["UploadId"])
        return len(old)

    def now(self) -> datetime:
        return self.calls.date(Prefix=self.prefix)

    def probe(self) -> Capabilities:
        def upload(key: str) -> S3Upload:
            return S3Upload(self.calls, key, self._full(key), PROBE_PART, self.extra)
        ways = Ways(self._refuses_overwrite, upload, lambda key: self.calls.anyone_reads(self._full(key)),
                    self._warnings)
        return Probe(self, ways).run()

    # --- inside

    def _full(self, key: str) -> str:
        return self.prefix + check_key(key)

    def _head(self, key: str) -> dict[str, Any]:
        try:
            answer = self.calls("head_object", key, Key=self._full(key))
            need(answer, "ContentLength", self.calls.place)
            return answer
        except NotFound:                 # HEAD has no body that tells a missing object from a missing bucket
            with contextlib.suppress(Refused):
                self.calls("list_objects_v2", MaxKeys=1, Prefix=self.prefix)
            raise

    def _put(self, key: str, data: bytes, **condition: str) -> None:
        self.calls("put_object", key, Key=self._full(key), Body=Body(data), ContentMD5=md5(data), **condition)

    def _put_new(self, key: str, data: bytes) -> None:
        try:
            self._put(key, data, IfNoneMatch="*")
        except Conflict:                 # ours, when the first answer got lost and boto3 sent it again
            if not self._holds(key, data):
                raise
        except Refused:
            raise
        except StoreError as error:
            if "NotImplemented" not in error.what:
                raise
            self._put(key, data)

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.get(key, len(data)) == data
        except StoreError:               # longer, or not to be read
            return False

    def _refuses_overwrite(self, key: str) -> bool:
        try:
            self._put(key, b"", IfNoneMatch="*")
        except Conflict:
            return True
        except StoreError:
            return False
        return False

    def _delete(self, entries: list[dict[str, str]]) -> None:
        if len(entries) <= 2:
            for entry in entries:
                with contextlib.suppress(NotFound):
                    self.calls("delete_object", entry["Key"], **entry)
            return
        answer = self.calls("delete_objects", Delete={"Objects": entries, "Quiet": True})
        errors = [error for error in answer.get("Errors", ()) if error.get("Code") != "NoSuchKey"]
        if errors:
            status = 403 if errors[0].get("Code") == "AccessDenied" else 0
            raise words_of_answer({"Error": errors[0], "ResponseMetadata": {"HTTPStatusCode": status}},
                                  self.calls.place, "")

    def _pages(self, operation: str, first: dict[str, Any], markers: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Every page of a listing. *markers*: parameter of the next request → field of this answer."""
        seen: set[tuple[str, ...]] = set()
        asked = dict(first)
        while True:
            page = self.calls(operation, **asked)
            yield page
            if not page.get("IsTruncated"):
                return
            asked = dict(first) | {name: page[field] for name, field in markers.items() if page.get(field)}
            mark = tuple(map(str, asked.values()))
            if len(asked) == len(first) or mark in seen:
                raise StoreError(f"{self.calls.place.endpoint} cuts its listing short", "Try again; use another store.")
            seen.add(mark)

    def _warnings(self) -> list[str]:
        parts = urlsplit(self.target.endpoint)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            return ["the way to it is not encrypted (http): who listens sees names and sizes of backups, and may "
                    "delete or replace what passes"]
        return []
