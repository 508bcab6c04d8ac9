"""What a store of objects answered, in the words of its user: never a key, never the store's own free text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from paas.adapters.objects_probe import Refused
from paas.errors import BadInput, Conflict, NotFound, PaasError, StoreError

SKEW = 840.0                             # seconds; S3 refuses requests that are more than 15 min off


@dataclass(frozen=True)
class Place:
    bucket: str
    endpoint: str                        # or "AWS"


# code → what, hint; {bucket} and {endpoint} are filled in
CODES = {
    "NoSuchBucket": ("the bucket '{bucket}' does not exist at {endpoint}", "Create it, or correct the target."),
    "InvalidBucketName": ("'{bucket}' is no name of a bucket at {endpoint}", "Correct the target."),
    "InvalidAccessKeyId": ("{endpoint} does not know the access key", "Set the target again with a valid key."),
    "SignatureDoesNotMatch": ("{endpoint} refuses the access key: its secret is wrong",
                              "Set the target again with the right secret."),
    "ExpiredToken": ("the access key has expired at {endpoint}", "Set the target again with a new key."),
    "AccountProblem": ("{endpoint} has closed the account of the access key", "Ask its provider."),
    "PermanentRedirect": ("the bucket '{bucket}' lies in another region", "Set the target's region and endpoint."),
    "AuthorizationHeaderMalformed": ("the bucket '{bucket}' lies in another region", "Set the target's region."),
    "SlowDown": ("{endpoint} takes no more requests for now", "Try again later."),
    "InvalidObjectState": ("the object lies in cold storage", "Ask the provider to bring it back, then try again."),
    "InvalidStorageClass": ("{endpoint} does not know the target's storage class", "Set the target without one."),
    "BadDigest": ("data was changed on its way to {endpoint}, several times", "Look for a broken network or memory."),
    "EntityTooLarge": ("{endpoint} takes no object of this size", "Use another store."),
    "QuotaExceeded": ("the quota at {endpoint} is used up", "Free room there, or raise it."),
    "InsufficientStorage": ("the store at {endpoint} is full", "Free room there."),
    "NotImplemented": ("{endpoint} does not know a request (NotImplemented)", "Use another store."),
    "NoSuchUpload": ("the upload was ended by somebody else, or the store forgot it", "Try again."),
}
ALIASES = {
    "TokenRefreshRequired": "ExpiredToken", "InvalidToken": "ExpiredToken", "AllAccessDisabled": "AccountProblem",
    "XAmzContentSHA256Mismatch": "BadDigest", "InvalidDigest": "BadDigest", "IncompleteBody": "BadDigest",
    "XMinioStorageFull": "InsufficientStorage", "507": "InsufficientStorage", "RequestLimitExceeded": "SlowDown",
    "501": "NotImplemented", "TooManyRequests": "SlowDown", "429": "SlowDown", "503": "SlowDown",
    "301": "PermanentRedirect",
    "InvalidSecurity": "SignatureDoesNotMatch", "XAmzInvalidAccessKeyId": "InvalidAccessKeyId",
}
CONFLICTS = {"PreconditionFailed", "ConditionalRequestConflict", "412"}


def words_of_answer(answer: dict[str, Any], place: Place, key: str) -> PaasError:
    """An answer that is a refusal (``ClientError.response``) as one of ours. *key* is named when it is not there."""
    code = str(answer.get("Error", {}).get("Code", ""))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = ALIASES.get(code, code)
    if key and code in ("NoSuchKey", "404", "NotFound"):
        return NotFound(f"the store of backups has no '{key}'", "List the backups.")
    if key and code in CONFLICTS:
        return Conflict(f"'{key}' is there already", "Choose another name.")
    minutes = abs(skew_of(answer)) / 60
    if code == "RequestTimeTooSkewed" or (status == 403 and minutes * 60 > SKEW):
        return StoreError(f"{place.endpoint} refuses requests: the clock differs by {minutes:.0f} min",
                          "Set this server's clock (systemctl status systemd-timesyncd).")
    if code in CODES:
        return StoreError(*(text.format(bucket=place.bucket, endpoint=place.endpoint) for text in CODES[code]))
    if status in (401, 403):
        return Refused(f"{place.endpoint} refuses the access key this in the bucket '{place.bucket}'",
                       "Give the key the rights to list, read and write below the target's prefix.")
    if 500 <= status < 600:
        return StoreError(f"{place.endpoint} failed ({status})", "Try again later.")
    name = code if code.isalnum() and len(code) < 64 else ""
    return StoreError(f"{place.endpoint} refused a request ({status or 'no status'}{' ' + name if name else ''})",
                      "Check the target: is it an S3 endpoint, and is the bucket's name right?")


def skew_of(answer: dict[str, Any]) -> float:
    """Seconds that the store's clock (Date of its answer) is ahead of ours; 0 when it has none."""
    try:
        theirs = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, ValueError):
        return 0.0
    return (theirs.astimezone(UTC) - datetime.now(UTC)).total_seconds()


def words_of_failure(error: Exception, place: Place) -> PaasError:
    """No answer at all, or a request that boto3 would not send."""
    if isinstance(error, boto.ParamValidationError | boto.InvalidRegionError):
        return BadInput("the target's bucket or region is no such name", "Correct the target.")
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return StoreError("the target has no access key and this server has no role", "Set the target with a key.")
    if isinstance(error, boto.SSLError):
        return StoreError(f"the certificate of {place.endpoint} is not trusted, or it does not speak TLS",
                          "Set the target's CA bundle, or check https:// against http://.")
    if isinstance(error, boto.ConnectTimeoutError | boto.EndpointConnectionError):
        return StoreError(f"{place.endpoint} cannot be reached", "Check the endpoint's name and port, and the network.")
    if isinstance(error, boto.ReadTimeoutError):
        return StoreError(f"{place.endpoint} does not answer", "Try again later.")
    if isinstance(error, ResponseParserError):
        return StoreError(f"{place.endpoint} does not answer as an S3 store does", "Check the endpoint.")
    return StoreError(f"the connection to {place.endpoint} broke", "Try again; check the network.")
