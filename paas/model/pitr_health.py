"""Can a service be restored to any time? Findings as those of :mod:`paas.model.backup_health`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paas.model.backup_health import Finding, failure, warning
from paas.model.drills import finding
from paas.model.durations import read_span, rough
from paas.model.pitr_row import Pitr, PitrBase

GRACE = timedelta(seconds=60)            # that a receiver or a target may be away
BEHIND = timedelta(minutes=5)            # that the target may be behind
NO_BASE = timedelta(hours=1)             # that a history may be without a base
BASE_EVERY = timedelta(days=7)
DRILL_EVERY = timedelta(days=30)
FULL = 0.5                               # of the spool's bound, from which on it is a warning


@dataclass(frozen=True)
class Watched:
    """What is known of one service that has point in time on."""

    row: Pitr
    bases: Sequence[PitrBase]            # newest first
    running: bool = True                 # the service is to run
    replaced: bool = False               # its data are others than those that the history is of
    error: str = ""                      # why the log cannot be stored
    failing_since: datetime | None = None
    problem: str = ""                    # why it is not received
    idle_since: datetime | None = None   # the receiver is not connected since
    synced: datetime | None = None       # all that was committed until then is in the target
    since: datetime | None = None        # this process watches it since
    slot: str = ""                       # as wal_status
    held: int = 0                        # bytes that the slot keeps
    spooled: int = 0                     # bytes in the spool
    bound: int = 0                       # of the spool
    can_drill: bool = True


def health(watched: Watched, now: datetime) -> list[Finding]:
    """Failures first. No finding: it can."""
    found = [one for rule in (receiving, storing, disk, gaps, bases, drills) for one in rule(watched, now)]
    return sorted(found, key=lambda one: one.level != "failure")


def receiving(watched: Watched, now: datetime) -> Iterator[Finding]:
    if watched.replaced:
        yield failure("pitr-replaced", "its data were replaced: the history of the ones before has ended",
                      "Restore them with --at, or begin a history of the new ones: pitr on.")
    elif watched.running and watched.problem:
        yield failure("pitr-receiver", f"its log is not received: {watched.problem}", "Look at `pitr status`.")
    elif watched.running and watched.idle_since and now - watched.idle_since > GRACE:
        yield failure("pitr-receiver", f"its log is not received since {rough(now - watched.idle_since)}",
                      "See why in the logs of the receiver's container and of the service.")


def storing(watched: Watched, now: datetime) -> Iterator[Finding]:
    if watched.error and watched.failing_since and now - watched.failing_since > GRACE:
        yield failure("pitr-target", f"its log cannot be stored since {rough(now - watched.failing_since)}: "
                      f"{watched.error}", "Look at the target. The log waits on this machine, up to a bound.")
        return
    last = watched.synced or watched.since
    if watched.running and not (watched.problem or watched.replaced or watched.idle_since) and last \
            and now - last > BEHIND:
        yield failure("pitr-behind", f"its log is stored {rough(now - last)} late",
                      "The target may be too slow for what is written.")


def disk(watched: Watched, now: datetime) -> Iterator[Finding]:
    if watched.bound and watched.spooled > watched.bound * FULL:
        yield warning("pitr-spool", f"{watched.spooled >> 20:,} MB of log wait on this machine",
                      f"At {watched.bound >> 20:,} MB receiving pauses, and the service keeps its log itself.")
    if watched.slot in ("extended", "unreserved"):
        yield warning("pitr-slot", f"the service keeps {watched.held >> 20:,} MB of log that was not received",
                      "When that reaches its bound, the log is dropped, and the history has a gap.")


def gaps(watched: Watched, now: datetime) -> Iterator[Finding]:
    row = watched.row
    if "lost" in row.reason and now - row.began_at < read_span(row.window):
        yield warning("pitr-gap", f"a gap in its history before {row.began_at:%Y-%m-%d %H:%M} UTC: {row.reason}",
                      "See which times can be restored to: `pitr status`.")


def bases(watched: Watched, now: datetime) -> Iterator[Finding]:
    ours = [one for one in watched.bases if one.epoch == watched.row.epoch]
    good = next((one for one in ours if one.state == "good"), None)
    bad = f": {ours[0].reason}" if ours and ours[0].state == "failed" else ""
    if good is None and (bad or now - watched.row.began_at > NO_BASE):
        yield failure("pitr-base", f"its history has no base{bad}", "Make one: `pitr base`.")
    elif good and now - good.started_at > BASE_EVERY * 1.5:
        yield failure("pitr-base", f"no base for {rough(now - good.started_at)} (wanted every 7 days){bad}",
                      "Make one: `pitr base`.")


def drills(watched: Watched, now: datetime) -> Iterator[Finding]:
    yield from finding(watched.row, "pitr-drill", now, "Make a new base: `pitr base`; then `pitr drill`.", "pitr drill",
                       watched.can_drill)
