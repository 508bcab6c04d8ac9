"""Spans of time in words of one number and one unit: ``90d``, ``12h``."""

from __future__ import annotations

import re
from datetime import timedelta

from paas.errors import BadInput

SPAN = re.compile(r"([1-9]\d{0,5})([mhdwy])")
SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
LONGEST = timedelta(days=100 * 365)


def read_span(text: str) -> timedelta:
    """``30m``, ``12h``, ``90d``, ``4w``, ``1y`` (365 days), at most 100 years. BadInput: anything else."""
    found = SPAN.fullmatch(text)
    span = timedelta(seconds=int(found[1]) * SECONDS[found[2]]) if found else timedelta()
    if not timedelta() < span <= LONGEST:
        raise BadInput("A span of time is a number and a unit: 12h, 90d, 4w, 1y, and at most 100y")
    return span


def write_span(span: timedelta) -> str:
    """What `read_span` reads, in the largest of minutes, hours and days that fits whole."""
    seconds = int(span.total_seconds())
    unit = next(unit for unit in "dhm" if seconds % SECONDS[unit] == 0 or unit == "m")
    return f"{seconds // SECONDS[unit]}{unit}"


def rough(span: timedelta) -> str:
    """For people: ``12 min``, ``31 h``, ``9 days``."""
    minutes = max(0, int(span.total_seconds()) // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 72 * 60 else f"{minutes // 1440} days"
