"""Moments in words: ISO 8601, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from paas.errors import BadInput
from paas.model import durations
from paas.model.names import printable

AGO = re.compile(r"(\d{1,7})\s*(s|m|h|d|w)(?:\s+ago)?")
SECONDS = {"s": 1, **durations.SECONDS}
EXAMPLES = "Examples: 2026-11-20T16:00:00Z, '2026-11-20 16:00:00.25+01:00', '5m ago', 90s"


def read_moment(text: str, now: datetime) -> datetime:
    """``2026-11-20T16:00:00Z`` (ISO 8601; without a zone: UTC), ``5m ago`` or ``90s``; in UTC.

    BadInput: unreadable, or in the future.
    """
    text = text.strip()
    found = AGO.fullmatch(text)
    try:
        at = now - timedelta(seconds=int(found[1]) * SECONDS[found[2]]) if found else datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"'{printable(text, 40)}' is not a time", EXAMPLES) from None
    if at > now:
        raise BadInput("that time is in the future", EXAMPLES)
    return at


def write_moment(at: datetime) -> str:
    """In UTC to the microsecond where it has any; what `read_moment` reads."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
