"""Which backups may go: one pure function over what is there, the policy and the time.

The rules that keep by count and calendar are those of `restic forget` and `borg prune`; what they can never do is ours:
see :func:`plan`. It decides by the order in which backups were made, which is the order of their ids (see
`backup_layout.new_id`), and looks at the clock as little as it can: clocks jump.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from paas.errors import BadInput, UsageError
from paas.model.backup import UNDER_WAY, Backup, BackupState
from paas.model.durations import read_span, write_span

MAX_SKEW = 300.0                         # seconds between the store's clock and ours
MAX_COUNT = 10_000
ZERO = timedelta()


@dataclass(frozen=True)
class Policy:
    """A backup stays while any rule keeps it. Without any, everything stays.

    ``max_age`` ends the keeping by calendar and ``keep_within``, not that by ``keep_last``: a count does not ask the
    clock, so it is what remains when the clock is wrong. With ``max_age`` alone, what is younger stays.
    """

    keep_last: int = 0
    keep_daily: int = 0                  # the newest of each of so many days (UTC) that have one
    keep_weekly: int = 0                 # ISO 8601 weeks
    keep_monthly: int = 0
    keep_within: timedelta = ZERO        # everything younger
    max_age: timedelta = ZERO            # zero: none

    @property
    def keeps(self) -> bool:
        """Has it a rule beside ``max_age``?"""
        return bool(self.keep_last or self.keep_daily or self.keep_weekly or self.keep_monthly or self.keep_within)

    @property
    def words(self) -> tuple[str, ...]:
        """``("--keep-last", "7", "--max-age", "90d")``: what `read_policy` reads."""
        found: list[str] = []
        for field in fields(self):
            if value := getattr(self, field.name):
                text = write_span(value) if isinstance(value, timedelta) else str(value)
                found += ["--" + field.name.replace("_", "-"), text]
        return tuple(found)

    def __str__(self) -> str:
        return " ".join(self.words) or "keep everything"


DEFAULT = Policy(keep_last=7, keep_daily=7, keep_weekly=4, keep_monthly=6)


def read_policy(words: Sequence[str]) -> Policy:
    """Options as ``--keep-last 7`` or ``--keep-last=7``. UsageError: an unknown one, or one without value; BadInput."""
    known = {"--" + field.name.replace("_", "-"): field for field in fields(Policy)}
    pending = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    values: dict[str, int | timedelta] = {}
    while pending:
        option = pending.pop(0)
        if option not in known or not pending:
            raise UsageError(f"A retention has the options {', '.join(known)}, each with a value")
        field = known[option]
        values[field.name] = (read_span if isinstance(field.default, timedelta) else read_count)(pending.pop(0))
    return Policy(**values)


def read_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= MAX_COUNT):
        raise BadInput(f"A number of backups to keep is a whole number up to {MAX_COUNT}")
    return int(text)


@dataclass(frozen=True)
class Circumstances:
    """What retention must know beside the backups. The defaults are the good case."""

    clock_skew: float = 0.0              # seconds that the store's clock is ahead of ours
    complete: bool = True                # the target was listed to its end, and every manifest was read
    doubtful: Collection[str] = ()       # ids whose manifest is forged or proven by no key that is here
    overdue: bool = False                # see backup_health.overdue
    needed: Collection[str] = ()         # ids that a point-in-time window begins with


@dataclass(frozen=True)
class Plan:
    """Of the good backups only: failed ones are no backups, and those under way are not finished."""

    keep: dict[str, tuple[str, ...]]     # id → why
    delete: tuple[str, ...] = ()         # oldest first; empty when refused
    refused: str = ""                    # why nothing is deleted, in words
    surplus: tuple[str, ...] = ()        # what the policy alone would delete


def plan(backups: Iterable[Backup], policy: Policy, now: datetime, around: Circumstances | None = None, *,
         force: bool = False) -> Plan:
    """What stays and why, what goes.

    *backups*: all of one service, in any order, those that failed or are under way as well. Never deleted: the newest
    good one, the newest drilled one, a held one, one that a point-in-time window needs. Nothing is deleted when the
    listing was incomplete, a manifest is in doubt, our clock is more than 5 minutes off the store's or behind the
    newest backup, the newest attempt failed or is under way, or a backup is overdue. *force* lifts one rule only: that
    more than half of all good backups do not go at once.
    """
    around = around or Circumstances()
    attempts = sorted((one for one in backups if one.state is not BackupState.DELETED), key=lambda one: one.id)
    good = [one for one in attempts if one.good]
    safe, asked = protected(good, around.needed), wanted(good, policy, now)
    keep = {one.id: (*safe[one.id], *asked[one.id]) for one in good}
    surplus = tuple(one.id for one in good if not keep[one.id])
    refused = refusal(attempts, good, now, around)
    if surplus and not refused and not force and 2 * len(surplus) > len(good):
        refused = (f"{len(surplus)} of {len(good)} backups would go at once, which is more than half: "
                   "look at them (dry run), then force it")
    if refused:
        return Plan({one.id: keep[one.id] or ("nothing is deleted now",) for one in good}, (), refused, surplus)
    return Plan({key: why for key, why in keep.items() if why}, surplus, "", surplus)


def refusal(attempts: Sequence[Backup], good: Sequence[Backup], now: datetime, around: Circumstances) -> str:
    """Why nothing may be deleted now; empty when something may."""
    if not around.complete:
        return "the store could not be listed whole"
    if around.doubtful:
        return f"a manifest is in doubt: {', '.join(sorted(around.doubtful)[:3])}"
    if not abs(around.clock_skew) <= MAX_SKEW:
        return f"our clock and that of the store differ by {abs(around.clock_skew):.0f} s"
    if not good:
        return "there is no good backup"
    if newer := [one.id for one in good if (one.finished_at or one.started_at) > now]:
        return f"our clock is behind backup {newer[-1]}: it, or the clock when that was made, is wrong"
    if attempts[-1].state is BackupState.FAILED:
        return f"the newest backup failed: {attempts[-1].reason or attempts[-1].id}"
    if attempts[-1].state in UNDER_WAY:
        return "a backup is under way"
    return "a backup is overdue" if around.overdue else ""


def newest_good(backups: Iterable[Backup]) -> Backup | None:
    return max((one for one in backups if one.good), key=lambda one: one.id, default=None)


def newest_drilled(backups: Iterable[Backup]) -> Backup | None:
    return max((one for one in backups if one.state is BackupState.DRILLED), key=lambda one: one.id, default=None)


def protected(good: Sequence[Backup], needed: Collection[str]) -> dict[str, list[str]]:
    """Why no policy may delete a backup, by id. Empty: one may."""
    newest, drilled = newest_good(good), newest_drilled(good)
    return {one.id: [reason for reason, holds in (
        ("newest good", one is newest), ("newest drilled", one is drilled), ("held", one.held),
        ("needed for a point in time", one.id in needed)) if holds] for one in good}


def wanted(good: Sequence[Backup], policy: Policy, now: datetime) -> dict[str, list[str]]:
    """The policy's reasons to keep, by id."""
    times = moments(good)
    reasons: dict[str, list[str]] = {one.id: [] for one in good}
    for place, one in enumerate(reversed(good[-policy.keep_last:] if policy.keep_last else []), 1):
        reasons[one.id].append(f"last {place}")
    young = [one for one in good if not policy.max_age or now - times[one.id] <= policy.max_age]
    for noun, count, period in calendar(policy):
        for label, backup_id in newest_of_each(young, times, period)[:count]:
            reasons[backup_id].append(f"{noun} {label}")
    for one in young:
        if policy.keep_within and now - times[one.id] <= policy.keep_within:
            reasons[one.id].append(f"within {write_span(policy.keep_within)}")
        elif not policy.keeps:
            reasons[one.id].append(f"younger than {write_span(policy.max_age)}" if policy.max_age else "no rule")
    return reasons


def moments(good: Sequence[Backup]) -> dict[str, datetime]:
    """When each was made, but not before those made before it: a clock that once was behind made nothing old."""
    return dict(zip((one.id for one in good), accumulate((one.started_at for one in good), max), strict=True))


Period = Callable[[datetime], str]


def calendar(policy: Policy) -> list[tuple[str, int, Period]]:
    return [("daily", policy.keep_daily, lambda moment: f"{moment.astimezone(UTC):%Y-%m-%d}"),
            ("weekly", policy.keep_weekly, lambda moment: f"{moment.astimezone(UTC):%G-W%V}"),
            ("monthly", policy.keep_monthly, lambda moment: f"{moment.astimezone(UTC):%Y-%m}")]


def newest_of_each(good: Sequence[Backup], times: dict[str, datetime], period: Period) -> list[tuple[str, str]]:
    """(period, id of its newest backup), newest period first."""
    newest: dict[str, str] = {}
    for one in reversed(good):
        newest.setdefault(period(times[one.id]), one.id)
    return list(newest.items())
