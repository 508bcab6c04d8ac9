"""Calls to one bucket by boto3: how the client is set up, what is tried again, errors in the user's words."""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

import botocore.session
from boto3.session import Session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from paas.adapters.objects_s3_words import Place, words_of_answer, words_of_failure
from paas.errors import StoreError
from paas.model.backup import Target

# What is wrong on the way and not with what we ask; botocore's own standard retries leave these out.
AGAIN = {"BadDigest", "InvalidDigest", "RequestTimeout", "IncompleteBody", "XAmzContentSHA256Mismatch"}
# What a connection that fails raises, or an answer that is none of S3's.
BROKEN = (BotoCoreError, ResponseParserError, HTTPError, HTTPException, OSError)
CLIENT = threading.Lock()                # boto3 makes one client at a time


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to try."""

    connect: float = 10.0
    read: float = 60.0
    progress: float = 600.0              # an upload of which not one byte moved for so long has failed
    attempts: int = 5
    pause: float = 0.5                   # before the second attempt; doubles


class Calls:
    """One bucket at one endpoint. Thread-safe. The client is made at the first call."""

    def __init__(self, target: Target, bucket: str, patience: Patience) -> None:
        self.target, self.bucket, self.patience = target, bucket, patience
        self.place = Place(bucket, target.endpoint or "AWS")
        self.broken = BROKEN
        self._client: Any = None

    def __call__(self, operation: str, key: str = "", **parameters: Any) -> dict[str, Any]:
        """boto3's answer. *key* is the one to name in errors. Only StoreError, NotFound, Conflict, BadInput."""
        attempt = 1
        while True:
            try:
                return getattr(self._made(), operation)(Bucket=self.bucket, **parameters)
            except ClientError as error:
                if error.response["Error"].get("Code") not in AGAIN or attempt >= self.patience.attempts:
                    raise words_of_answer(error.response, self.place, key) from None
            except BROKEN as error:
                raise words_of_failure(error, self.place) from None
            self.rest(attempt)
            attempt += 1
            if hasattr(parameters.get("Body"), "seek"):
                parameters["Body"].seek(0)

    def rest(self, attempt: int) -> None:
        """Wait after so many attempts that failed."""
        time.sleep(min(self.patience.pause * 2 ** (attempt - 1), 20))

    def anyone_reads(self, key: str) -> bool:
        """Whether the object is given out without credentials."""
        try:
            client(self.target, self.patience, anonymous=True).head_object(Bucket=self.bucket, Key=key)
        except (ClientError, *BROKEN):
            return False
        return True

    def date(self, **parameters: Any) -> datetime:
        """The store's clock: the Date (RFC 9110, 6.6.1) of an answer, be it a refusal. Resolution: 1 s."""
        try:
            answer = self._made().list_objects_v2(Bucket=self.bucket, MaxKeys=1, **parameters)
        except ClientError as error:
            answer = error.response
            if "date" not in answer["ResponseMetadata"]["HTTPHeaders"]:
                raise words_of_answer(answer, self.place, "") from None
        except BROKEN as error:
            raise words_of_failure(error, self.place) from None
        return moment(answer) or datetime.now(UTC)

    def _made(self) -> Any:
        with CLIENT:
            if self._client is None:
                self._client = client(self.target, self.patience)
            return self._client


def need(answer: dict[str, Any], name: str, place: Place) -> Any:
    """A field of an answer that S3 always gives. StoreError: a proxy, a login page or the like answered instead."""
    if name not in answer:
        raise StoreError(f"{place.endpoint} answered something that is none of a store of objects",
                         "Check the endpoint, and whether a proxy stands before it.")
    return answer[name]


def moment(answer: dict[str, Any]) -> datetime | None:
    """The Date of an answer of boto3; None when it has none."""
    try:
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return None


def client(target: Target, patience: Patience, anonymous: bool = False) -> Any:
    """A boto3 client that knows only *target*: nothing of ~/.aws and AWS_CA_BUNDLE, AWS_PROFILE, AWS_ENDPOINT_URL."""
    for name in ("boto3", "botocore", "urllib3", "s3transfer"):
        logging.getLogger(name).setLevel(logging.WARNING)        # at DEBUG they log signatures and the access key
    nowhere = (None, None, os.devnull, None)
    core = botocore.session.Session(session_vars={
        "profile": (None, None, None, None), "config_file": nowhere, "credentials_file": nowhere})
    keys = {}
    if target.access_key and not anonymous:
        keys = {"aws_access_key_id": target.access_key, "aws_secret_access_key": target.secret_key.reveal()}
    config = Config(
        signature_version=UNSIGNED if anonymous else "s3v4",
        s3={"addressing_style": "path" if target.path_style else "virtual"},
        request_checksum_calculation="when_required",            # CRCs in trailers break many S3-compatibles
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": 1 if anonymous else patience.attempts},
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        max_pool_connections=8,
        tcp_keepalive=True,
        ignore_configured_endpoint_urls=True,
    )
    made = Session(botocore_session=core, region_name=target.region or "us-east-1").client(
        "s3", endpoint_url=target.endpoint or None, verify=target.ca_bundle or system_authorities(), config=config,
        **keys)
    made.meta.events.register("before-call.s3.DeleteObjects", add_md5)
    return made


def add_md5(params: dict[str, Any], **_: Any) -> None:
    """A batch delete needs a checksum; Content-MD5 is the one that every store knows (boto3 would send CRC32 only)."""
    from paas.adapters.objects_s3_upload import md5

    for name in [name for name in params["headers"] if name.lower().startswith("x-amz-checksum-")]:
        del params["headers"][name]
    params["headers"]["Content-MD5"] = md5(params["body"])


def system_authorities() -> str | bool:
    """The system's bundle of certificate authorities; True (certifi's) where there is none."""
    return ssl.get_default_verify_paths().cafile or True
