"""Is a service backed up? Findings for `status`, `doctor` and a service's `info`, from what is recorded and the time.

A backup that does not exist is the usual fault, and no program reports it: so what counts is not the last error but
the age of the last good backup and of the last drill (a dead man's switch, as healthchecks.io does it).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from paas.model.backup import UNDER_WAY, Backup, BackupState, Drill, Target
from paas.model.durations import rough
from paas.model.retention import newest_drilled, newest_good

FIRST_DRILL = timedelta(days=1)          # after the first backup
LONGEST = timedelta(days=1)              # that a backup may be under way
WEEKLY = timedelta(days=7)


class Level(StrEnum):
    FAILURE = "failure"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    level: Level
    code: str                            # stable: "overdue", "never-drilled"
    text: str                            # "no good backup for 31 h (wanted every 6 h)"
    hint: str


@dataclass(frozen=True)
class Due:
    """A schedule and its two last due times; None where it had none."""

    schedule: str                        # "0 */6 * * *"
    since: datetime                      # when it was set
    last: datetime | None
    previous: datetime | None


@dataclass(frozen=True)
class Watched:
    """What is known of one service."""

    target: Target | None
    backups: Sequence[Backup]            # in any order; all that retention has left, and the failed ones
    drills: Sequence[Drill] = ()
    schedules: Sequence[Due] = ()
    drill_every: timedelta = WEEKLY      # zero: off
    can_drill: bool = True               # False: the identity is not on this server (write-only)
    kit_confirmed: bool = True
    doubtful: Sequence[str] = ()         # ids whose manifest is forged, or of a key that is not here
    missing: Sequence[str] = ()          # ids that we know as good and the target has not
    retention_refused: str = ""          # why the last run of retention deleted nothing


def health(watched: Watched, now: datetime) -> list[Finding]:
    """Failures first. No finding: backed up, in time, and proved."""
    found = [finding for rule in (targets, keys, attempts, ages, drills, strangers) for finding in rule(watched, now)]
    return sorted(found, key=lambda finding: finding.level is Level.WARNING)


def late(watched: Watched, due: Due, now: datetime) -> bool:
    """Is there no good backup since a due time that passed half a period ago, or since the one before it?

    A regular schedule is overdue when the last good backup is older than one and a half periods.
    """
    if due.last is None:
        return False
    newest = newest_good(watched.backups)
    covered = max([due.since, *([newest.started_at] if newest else [])])
    if covered >= due.last:
        return False
    period = due.last - (due.previous or due.since)
    return now > due.last + period / 2 or (due.previous is not None and covered < due.previous)


def failure(code: str, text: str, hint: str) -> Finding:
    return Finding(Level.FAILURE, code, text, hint)


def warning(code: str, text: str, hint: str) -> Finding:
    return Finding(Level.WARNING, code, text, hint)


def targets(watched: Watched, now: datetime) -> Iterator[Finding]:
    if watched.target is None:
        yield failure("no-target", "no target: its backups have nowhere to go", "Set one with `backup-target`.")
    elif watched.target.url.startswith("file:"):
        yield warning("local-target", "its backups are on this machine only",
                      "A disk that dies takes both. Set an S3 target with `backup-target`.")
    if not watched.schedules:
        yield warning("no-schedule", "no schedule: it is backed up by hand only", "Set one with `backup-schedule`.")


def keys(watched: Watched, now: datetime) -> Iterator[Finding]:
    if watched.schedules and not watched.kit_confirmed:
        yield failure("no-recovery-kit", "schedule but no recovery kit: without this machine nobody can read them",
                      "Print the recovery kit, keep it elsewhere and confirm it.")


def attempts(watched: Watched, now: datetime) -> Iterator[Finding]:
    """The newest attempt, whatever it was: stopped, empty, no target, skipped are failures like others."""
    made = sorted((one for one in watched.backups if one.state is not BackupState.DELETED), key=lambda one: one.id)
    if not made:
        return
    last = made[-1]
    if last.state is BackupState.FAILED:
        row = len(made) - 1 - max((place for place, one in enumerate(made) if one.good), default=-1)
        again = f", {row} attempts without a good one" if row > 1 else ""
        yield failure("failed", f"newest backup failed: {last.reason or 'no reason is known'}{again}",
                      f"Look at `backups:info {last.id}`, then back up again.")
    elif last.state in UNDER_WAY and now - last.started_at > LONGEST:
        yield failure("stuck", f"a backup is under way for {rough(now - last.started_at)}",
                      "Restart the daemon: it ends what it left.")
    elif last.good and last.size <= 0:
        yield failure("empty", f"newest backup is empty: {last.id} has no data", "Back up again and look at its log.")


def ages(watched: Watched, now: datetime) -> Iterator[Finding]:
    newest = newest_good(watched.backups)
    overdue = [due for due in watched.schedules if late(watched, due, now)]
    if newest and newest.started_at > now:
        yield failure("clock", f"this machine's clock is behind backup {newest.id}", "Set the clock (NTP).")
    if overdue:
        due = min(overdue, key=period_of)
        text = f"no good backup for {rough(now - newest.started_at)}" if newest else "no good backup yet"
        yield failure("overdue", f"{text} (wanted every {rough(period_of(due))})",
                      "See why in `backups`, then back up by hand.")
    elif newest is None:
        yield warning("no-backup", "no backup yet", "Back up once by hand.")


def period_of(due: Due) -> timedelta:
    return (due.last or due.since) - (due.previous or due.since)


def drills(watched: Watched, now: datetime) -> Iterator[Finding]:
    """A backup counts as proved only by a restore."""
    newest, ended = newest_good(watched.backups), [one for one in watched.drills if one.passed is not None]
    last = max(ended, key=lambda one: one.id, default=None)
    if last is not None and not last.passed:
        reason = last.reason or "no reason is known"
        yield failure("drill-failed", f"newest drill failed, of {last.backup_id}: {reason}",
                      "Keep the older backups (`backups:hold`) and drill another one.")
    passed = [one.finished_at or one.started_at for one in ended if one.passed]
    if newest is None or not (watched.drill_every and watched.can_drill):
        yield from undrilled(watched, passed)
    elif not passed and newest_drilled(watched.backups) is None:
        level = failure if now - first_good(watched.backups).started_at > FIRST_DRILL else warning
        yield level("never-drilled", "never drilled: no backup was restored yet", "Run `backups:drill`.")
    elif passed and now - max(passed) > watched.drill_every * 1.5:
        yield failure("drill-overdue",
                      f"no drill for {rough(now - max(passed))} (wanted every {rough(watched.drill_every)})",
                      "Run `backups:drill`, and see why none ran.")


def undrilled(watched: Watched, passed: Sequence[datetime]) -> Iterator[Finding]:
    if newest_good(watched.backups) is None or passed:
        return
    why = "drills are off" if watched.can_drill else "the key is not on this server"
    yield warning("never-drilled", f"never drilled: {why}", "Run `backups:drill` by hand; it asks for the key.")


def first_good(backups: Iterable[Backup]) -> Backup:
    return min((one for one in backups if one.good), key=lambda one: one.id)


def strangers(watched: Watched, now: datetime) -> Iterator[Finding]:
    if watched.doubtful:
        yield failure("forged", f"not what we wrote: {', '.join(watched.doubtful[:3])}",
                      "Somebody may have written to the bucket. Change its keys; hold the good backups.")
    if watched.missing:
        yield failure("missing", f"gone from the target: {', '.join(watched.missing[:3])}",
                      "Somebody or a lifecycle rule deleted it. Look at the bucket.")
    if watched.retention_refused:
        yield warning("retention", f"nothing old is deleted: {watched.retention_refused}",
                      "Look at `backup-retention` with a dry run.")
