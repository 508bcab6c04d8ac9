"""Which names objects may have: the same in every store, so that a backup can be copied from one into another."""

from __future__ import annotations

import re

from paas.errors import BadInput
from paas.model.names import printable

PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
MAX_KEY = 900                            # bytes; S3 allows 1,024 with the target's own prefix


def check_key(key: str) -> str:
    """*key* itself. BadInput unless it is a relative path of ``[A-Za-z0-9._-]`` parts, none with a dot in front."""
    if len(key) > MAX_KEY or not all(PART.fullmatch(part) for part in key.split("/")):
        raise BadInput(f"'{printable(key)}' is no name for an object",
                       "Use parts of letters, digits, '.', '_' and '-' with '/' between them.")
    return key


def below(prefix: str) -> str:
    """*prefix* as the beginning of keys: "" or with one "/" at its end. ``a/b`` holds ``a/b/c``, not ``a/bc``."""
    prefix = prefix.strip("/")
    return check_key(prefix) + "/" if prefix else ""
