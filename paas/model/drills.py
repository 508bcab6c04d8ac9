"""Drills of histories (point in time of services, streamed SQLite files): when the next is due, what is wrong, and what
is said of the last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Protocol

from paas.model.backup_health import Finding, failure
from paas.model.durations import rough
from paas.model.moments import write_moment

FIRST = 3600.0                           # seconds of history before the first drill
AGAIN = 86400.0                          # … from one that failed to the next
OLD = 45 * 86400.0                       # … after which a drill that passed proves nothing any more


class Drilled(Protocol):
    """A row that knows its last drill."""

    @property
    def drilled_at(self) -> datetime | None: ...     # whatever came of it
    @property
    def drill_to(self) -> datetime | None: ...       # the time that it restored to; None: it did not get so far
    @property
    def drill_passed(self) -> bool | None: ...
    @property
    def drill_seconds(self) -> float: ...
    @property
    def drill_reason(self) -> str: ...


def is_due(row: Drilled, began: datetime, every: timedelta, now: datetime) -> bool:
    """*began*: what can be restored."""
    if now - began < timedelta(seconds=FIRST):
        return False
    return row.drilled_at is None or now - row.drilled_at >= (every if row.drill_passed else timedelta(seconds=AGAIN))


def finding(row: Drilled, code: str, now: datetime, remedy: str, command: str, can_drill: bool) -> Iterator[Finding]:
    """None, or one. *remedy*: of a drill that failed."""
    if row.drill_passed is False:
        yield failure(code, f"the newest drill of its history failed: {row.drill_reason}", remedy)
    elif row.drilled_at and now - row.drilled_at > timedelta(seconds=OLD) and can_drill:
        yield failure(code, f"no drill of its history for {rough(now - row.drilled_at)}", f"Run `{command}`.")


def words(row: Drilled) -> str:
    if row.drilled_at is None:
        return "none yet"
    what = f"passed in {row.drill_seconds:.1f} s" if row.drill_passed else f"failed: {row.drill_reason}"
    return f"to {write_moment(row.drill_to)} {what}" if row.drill_to else what
