"""Opens what a user named as the target of backups."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from paas.adapters.objects_keys import below
from paas.errors import BadInput
from paas.model.backup import Target
from paas.model.names import printable
from paas.ports_backup import ObjectStore

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
STORAGE_CLASS = re.compile(r"[A-Z][A-Z0-9_]{0,63}|")
REGION = re.compile(r"[A-Za-z0-9-]{0,64}")


class Objects:
    """See :class:`paas.ports_backup.Targets`. boto3 is imported when the first S3 target is opened."""

    def open(self, target: Target) -> ObjectStore:
        parts = split(target.url)
        if "@" in target.url:            # keys, perhaps: they are not repeated
            raise BadInput("the target's address contains '@'", "Give keys apart from the address.")
        if parts.scheme not in ("s3", "file") or parts.query or parts.fragment:
            raise BadInput(f"'{printable(target.url, 200)}' is no target for backups",
                           "Use s3://bucket/prefix or file:///directory.")
        return self._file(target) if parts.scheme == "file" else self._s3(target)

    def _file(self, target: Target) -> ObjectStore:
        from paas.adapters.objects_file import FileObjects

        parts = urlsplit(target.url)
        path = Path(parts.path)
        if parts.netloc or not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
            raise BadInput(f"'{printable(target.url, 200)}' is no absolute directory",
                           "Use file:///directory, with three '/'.")
        return FileObjects(path)

    def _s3(self, target: Target) -> ObjectStore:
        parts = urlsplit(target.url)
        if not BUCKET.fullmatch(parts.netloc):
            raise BadInput(f"'{printable(parts.netloc)}' is no name of a bucket", "Use s3://bucket/prefix.")
        prefix = below(parts.path)
        check_endpoint(target.endpoint)
        if not STORAGE_CLASS.fullmatch(target.storage_class) or not REGION.fullmatch(target.region):
            raise BadInput("the region or the storage class of the target is no such word",
                           "They look like 'eu-central-1' and 'STANDARD_IA'.")
        if bool(target.access_key) != bool(target.secret_key) or (target.endpoint and not target.access_key):
            raise BadInput("the target has no access key, or only one half of it", "Give the key and its secret.")
        if target.ca_bundle and not Path(target.ca_bundle).is_file():
            raise BadInput("the file of certificate authorities is not there", "Give the path of a PEM file.")

        from paas.adapters.objects_s3 import S3Objects

        return S3Objects(target, parts.netloc, prefix)


def split(url: str) -> SplitResult:
    try:
        if url.isprintable():
            return urlsplit(url)
    except ValueError:                   # "[" that begins no IPv6 address
        pass
    raise BadInput(f"'{printable(url, 200)}' is no target for backups",
                   "Use s3://bucket/prefix or file:///directory.")


def check_endpoint(endpoint: str) -> None:
    """BadInput unless it is empty or ``https://host[:port]`` (or http), without user, path or query."""
    try:
        parts = urlsplit(endpoint)
        fine = not endpoint or (parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
                                and parts.path in ("", "/") and not parts.query and not parts.fragment
                                and (parts.port or True))
    except ValueError:
        fine = False
    if not fine:
        raise BadInput("the endpoint is no address of a server", "It looks like https://s3.example.com or http://10.0.0.5:9000.")
