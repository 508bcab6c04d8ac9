"""Retention: what policies keep, and what no history of faults and clock jumps makes it delete."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from paas.errors import PaasError, UsageError
from paas.model.backup import UNDER_WAY, Backup, BackupState, Trigger
from paas.model.backup_layout import new_id
from paas.model.durations import read_span, rough, write_span
from paas.model.retention import DEFAULT, MAX_COUNT, Circumstances, Policy, plan, read_policy
from tests.unit.model.backup_examples import START

GOOD, DRILLED, FAILED = BackupState.READ_BACK, BackupState.DRILLED, BackupState.FAILED
DAY = timedelta(days=1)


def backup(at: datetime, state=GOOD, backup_id="", held=False) -> Backup:
    return Backup(backup_id or new_id(at, 1), "uid1", "postgres", "db", state, Trigger.SCHEDULE, "s3://b", at,
                  at + timedelta(seconds=15), 5, "" if state is not FAILED else "stopped", held, "")


def days(*ages: float, now=START) -> list[Backup]:
    return [backup(now - DAY * age - timedelta(minutes=1)) for age in ages]


def deleted(backups, policy, **more) -> list[int]:
    """Places in *backups* of what goes."""
    made = plan(backups, policy, START, force=True, **more)
    assert not made.refused, made.refused
    return [place for place, one in enumerate(backups) if one.id in made.delete]


# What policies keep


def test_the_last_so_many():
    assert deleted(days(0, 1, 2, 3, 4), Policy(keep_last=3)) == [3, 4]
    assert deleted(days(0, 1, 2), Policy(keep_last=3)) == []


def test_the_newest_of_each_day():
    backups = days(0, 0.25, 1, 1.25, 2, 3)                     # START is 16:00: 0.25 days before is the same day
    assert deleted(backups, Policy(keep_daily=3)) == [1, 3, 5]
    reasons = plan(backups, Policy(keep_daily=3), START, force=True).keep
    assert reasons[backups[2].id] == ("daily 2026-11-19",)


def test_days_without_a_backup_do_not_count():
    assert deleted(days(0, 10, 20, 30), Policy(keep_daily=3)) == [3]


def test_weeks_are_iso_weeks_and_months_are_months():
    assert START.isoweekday() == 5
    assert deleted(days(0, 4, 5, 11, 12), Policy(keep_weekly=3)) == [1, 3]        # Sundays are 5 and 12 days ago
    assert deleted(days(0, 19, 20, 50, 51), Policy(keep_monthly=3)) == [1, 3]     # the 1st, and the month before
    turn = datetime.fromisoformat("2027-01-01T12:00:00+00:00")                    # 2026-W53
    made = plan([backup(turn), backup(turn - 2 * DAY)], Policy(keep_weekly=5), turn + DAY, force=True)
    assert len(made.delete) == 1


def test_a_policy_is_a_union():
    backups = days(0, 0.1, 0.2, 1, 2, 3, 40)
    assert deleted(backups, Policy(keep_last=2, keep_daily=2, keep_monthly=2)) == [2, 4, 5]
    made = plan(backups, Policy(keep_last=2, keep_daily=2), START, force=True)
    assert made.keep[backups[0].id] == ("newest good", "last 1", "daily 2026-11-20")


def test_everything_within_and_the_end_by_age():
    backups = days(0, 1, 29, 31, 89, 91)
    assert deleted(backups, Policy(keep_within=30 * DAY)) == [3, 4, 5]
    assert deleted(backups, Policy(max_age=90 * DAY)) == [5]
    assert deleted(backups, Policy(keep_monthly=12, max_age=90 * DAY)) == [1, 3, 5]
    assert deleted(backups, Policy(keep_within=100 * DAY, max_age=30 * DAY)) == [3, 4, 5]
    assert deleted(backups, Policy(keep_last=6, max_age=30 * DAY)) == []           # a count does not ask the clock


def test_no_policy_keeps_everything():
    made = plan(days(0, 1, 1000), Policy(), START)
    assert set(made.keep.values()) == {("newest good", "no rule"), ("no rule",)}


def test_six_hourly_for_a_month_then_monthlies():
    backups = [backup(START - timedelta(hours=6 * step + 1)) for step in range(4 * 365)]
    kept = plan(backups, Policy(keep_within=30 * DAY, keep_monthly=6), START, force=True).keep
    assert len(kept) == 4 * 30 + 4


def test_failed_ones_and_those_under_way_count_for_nothing_and_stay():
    backups = [*days(0, 3), *[backup(one.started_at, FAILED) for one in days(1, 2)]]
    made = plan(backups, Policy(keep_daily=1), START)
    assert (set(made.keep), set(made.delete)) == ({backups[0].id}, {backups[1].id})


# What may never happen


ONE = Policy(keep_last=1)


def test_the_newest_drilled_a_held_and_a_needed_one_stay():
    backups = days(0, 1, 2, 3, 4, 5, 6)
    backups[2] = replace(backups[2], state=DRILLED)
    backups[4] = replace(backups[4], state=DRILLED)
    backups[3] = replace(backups[3], held=True)
    assert deleted(backups, ONE, around=Circumstances(needed={backups[5].id})) == [1, 4, 6]


def test_no_policy_deletes_the_newest_good_one():
    assert deleted(days(9), Policy(max_age=DAY)) == []
    assert deleted(days(9, 10), Policy(max_age=DAY)) == [1]


@pytest.mark.parametrize(("around", "why"), [
    (Circumstances(complete=False), "listed whole"), (Circumstances(doubtful=["x"]), "in doubt: x"),
    (Circumstances(clock_skew=301), "301 s"), (Circumstances(clock_skew=-301), "301 s"),
    (Circumstances(clock_skew=float("nan")), "differ"), (Circumstances(overdue=True), "overdue")])
def test_nothing_goes_when_the_view_is_not_clear(around, why):
    backups = days(0, 1)
    made = plan(backups, ONE, START, around, force=True)
    assert why in made.refused
    assert (made.delete, set(made.keep)) == ((), {one.id for one in backups})
    assert made.surplus == (backups[1].id,)
    assert plan(backups, ONE, START, Circumstances(clock_skew=300)).delete


@pytest.mark.parametrize("state", [FAILED, *sorted(UNDER_WAY)])
def test_nothing_goes_while_the_newest_attempt_is_not_good(state):
    last = backup(START, state)
    assert plan([*days(1, 2), last], ONE, START).refused
    assert not plan([*days(1, 2), replace(last, state=BackupState.DELETED)], ONE, START).refused
    assert not plan([*days(1, 2), last, backup(START + timedelta(seconds=1))], ONE, START + DAY, force=True).refused


def test_nothing_goes_when_the_clock_is_behind_the_newest():
    backups = days(0, 1, 2)
    assert "behind" in plan(backups, ONE, START - timedelta(hours=1), force=True).refused
    assert "behind" in plan([*backups, backup(START + 400 * DAY)], ONE, START, force=True).refused


def test_what_a_slow_clock_made_is_not_old():
    """The clock was six years behind for one backup, then right: that one is as old as the one before it."""
    first, second, fourth = (backup(START - DAY * age) for age in (3, 2, 1))
    slow = backup(START - 2200 * DAY, backup_id=new_id(START - 2200 * DAY, 1, after=second.id))
    made = plan([first, second, slow, fourth], Policy(max_age=30 * DAY), START, force=True)
    assert not made.delete
    assert deleted([first, second, slow, fourth], Policy(keep_last=2)) == [0, 1]


def test_the_newest_is_the_one_made_last_whatever_its_clock_said():
    first, last = backup(START - 100 * DAY), backup(START - 50 * DAY)
    slow = backup(START - 2000 * DAY, backup_id=new_id(START - 2000 * DAY, 1, after=first.id))
    assert plan([first, slow], Policy(max_age=DAY), START, force=True).delete == (first.id,)
    drilled = [replace(one, state=DRILLED) for one in (first, slow)]
    assert plan([*drilled, last], Policy(max_age=DAY), START, force=True).delete == (first.id,)


def test_a_deleted_row_does_not_hide_that_the_newest_attempt_failed():
    rows = [*days(3, 4, 5, 6), *[backup(one.started_at, FAILED) for one in days(2)],
            *[backup(one.started_at, BackupState.DELETED) for one in days(1)]]
    assert "failed: stopped" in plan(rows, DEFAULT, START).refused


def test_more_than_half_goes_only_by_force():
    assert "half" in plan(days(0, 1, 2), ONE, START).refused
    assert plan(days(0, 1, 2), ONE, START, force=True).delete
    assert len(plan(days(0, 1, 2, 3), Policy(keep_last=2), START).delete) == 2


def test_nothing_at_all():
    assert plan([], DEFAULT, START).refused == "there is no good backup"
    assert plan([backup(START, FAILED)], DEFAULT, START).delete == ()


# Any history


POLICIES = st.builds(Policy, *[st.integers(0, 4)] * 4, *[st.sampled_from([timedelta(), DAY, 7 * DAY, 90 * DAY])] * 2)
AROUND = st.builds(
    Circumstances, clock_skew=st.sampled_from([0.0] * 8 + [299.0, -400.0]),
    complete=st.sampled_from([True] * 8 + [False]),
    doubtful=st.sampled_from([()] * 8 + [("x",)]), overdue=st.sampled_from([False] * 8 + [True]))
MOVES = ["good"] * 12 + ["failed", "cut", "drill", "drill", "drill failed", "hold", "jump", "clock set right"]
MINUTES = 60 * 24 * 800
STEPS = st.lists(st.one_of(
    st.tuples(st.sampled_from(MOVES), st.integers(-MINUTES, MINUTES), st.integers(1, 60 * 24 * 10)),
    st.tuples(st.sampled_from(MOVES), st.integers(0, 9), st.integers(1, 60 * 24)),
    st.tuples(st.just("prune"), AROUND, st.just(1))), min_size=10, max_size=60)


class World:
    """The true order of things, kept apart from what clocks say."""

    def __init__(self) -> None:
        self.true, self.off = START, timedelta()
        self.made: list[Backup] = []                 # in the order in which they were made
        self.drilled: list[str] = []

    @property
    def now(self) -> datetime:
        return self.true + self.off

    def stored(self) -> list[Backup]:
        return [one for one in self.made if one.good]

    def step(self, what: str, how: int, minutes: int) -> None:
        """*how*: which backup, or how far a clock jumps; *minutes* that really pass before."""
        self.true += timedelta(minutes=minutes)
        if what in ("jump", "clock set right"):
            self.off = timedelta(minutes=how) if what == "jump" else timedelta()
        elif what in ("good", "failed", "cut"):
            state = {"good": GOOD, "failed": FAILED, "cut": BackupState.SEALED}[what]
            ids = [one.id for one in self.made]
            self.made.append(backup(self.now, state, new_id(self.now, how, after=max(ids, default=""))))
        elif stored := self.stored():
            one = stored[-1 - abs(how) % len(stored)]
            changed = {"drill": {"state": DRILLED}, "drill failed": {"state": FAILED}, "hold": {"held": True}}[what]
            self.made[self.made.index(one)] = replace(one, **changed)

    def prune(self, policy: Policy, around: Circumstances, force: bool) -> None:
        before = self.stored()
        needed = {one.id for one in before[::5]}
        made = plan(reversed(self.made), policy, self.now, replace(around, needed=needed), force=force)
        judge(self, before, made, around, needed, force)
        self.made = [one for one in self.made if one.id not in made.delete]


def judge(world, before, made, around, needed, force) -> None:
    gone = set(made.delete)
    ids = [one.id for one in before]
    assert gone <= set(ids)
    assert (gone | set(made.keep), gone & set(made.keep)) == (set(ids), set())
    assert all(made.keep.values())
    assert not (gone and made.refused)
    if not gone:
        return
    event("something was deleted")
    assert ids[-1] not in gone
    assert not gone & needed
    assert [one.id for one in before if one.state is DRILLED][-1:] == [
        one.id for one in before if one.state is DRILLED and one.id not in gone][-1:]
    assert not any(one.held for one in before if one.id in gone)
    assert world.made[-1].good
    assert around.complete
    assert not around.doubtful
    assert not around.overdue
    assert abs(around.clock_skew) <= 300
    assert all(one.finished_at <= world.now for one in before)
    assert force or 2 * len(gone) <= len(before)


@settings(max_examples=2000, deadline=None)
@given(STEPS, POLICIES, st.booleans())
def test_no_history_deletes_what_is_needed(steps, policy, force):
    world = World()
    for what, how, minutes in steps:
        if what == "prune":
            world.prune(policy, how, force)
        else:
            world.step(what, how, minutes)
    world.prune(policy, Circumstances(), force)


@settings(max_examples=300, deadline=None)
@given(STEPS, POLICIES)
def test_what_the_policy_keeps_does_not_depend_on_how_often_it_is_asked(steps, policy):
    """Deleting what goes changes nothing of what is kept: a second run deletes nothing more."""
    world = World()
    for what, how, minutes in steps:
        if what not in ("prune", "jump"):
            world.step(what, how, minutes)
    first = plan(world.made, policy, world.now, force=True)
    if first.refused:
        return
    rest = [one for one in world.made if one.id not in first.delete]
    assert plan(rest, policy, world.now, force=True) == replace(first, delete=(), surplus=())


@settings(max_examples=500, deadline=None)
@given(st.lists(st.integers(0, 60 * 24 * 100), max_size=30, unique=True), POLICIES, st.integers(1, 9))
def test_a_wider_policy_keeps_no_less(minutes, policy, more):
    backups = [backup(START - timedelta(minutes=1 + one)) for one in minutes]
    assume(policy.keep_last)
    narrow = set(plan(backups, policy, START, force=True).keep)
    for name in ("keep_last", "keep_daily", "keep_weekly", "keep_monthly"):
        wide = replace(policy, **{name: getattr(policy, name) + more})
        assert narrow <= set(plan(backups, wide, START, force=True).keep)


# Words


@settings(max_examples=300, deadline=None)
@given(POLICIES)
def test_words_of_a_policy_are_read_back(policy):
    assert read_policy(policy.words) == policy
    assert read_policy([f"{name}={value}" for name, value in zip(policy.words[::2], policy.words[1::2], strict=True)]) \
        == policy


def test_words():
    assert read_policy(["--keep-last", "7", "--max-age", "90d"]) == Policy(keep_last=7, max_age=90 * DAY)
    assert str(Policy(keep_last=7, max_age=90 * DAY)) == "--keep-last 7 --max-age 90d"
    assert str(Policy()) == "keep everything"
    assert str(DEFAULT) == "--keep-last 7 --keep-daily 7 --keep-weekly 4 --keep-monthly 6"
    assert read_policy(["--keep-last", str(MAX_COUNT)]).keep_last == MAX_COUNT


@pytest.mark.parametrize("words", [["--keep-last"], ["--keep-first", "7"], ["7"], ["keep-last", "7"], ["--keep-last="],
                                   ["--keep-last", "-1"], ["--keep-last", "many"], ["--keep-last", "\u0667"],
                                   ["--keep-last", "10001"], ["--keep-last", "9" * 5000], ["--max-age", "90"],
                                   ["--max-age", "0d"], ["--max-age", "101y"], ["--max-age", "1.5d"], ["--max-age=9 d"],
                                   ["--keep-within", "-1d"], ["--keep-last", "7", "8"], ["--max-age", "1d\n"]])
def test_words_that_are_no_policy(words):
    with pytest.raises(PaasError):
        read_policy(words)
    with pytest.raises(UsageError, match="--keep-within"):
        read_policy(["x"])


@pytest.mark.parametrize(("text", "seconds", "again"), [("30m", 1800, "30m"), ("90m", 5400, "90m"), ("60m", 3600, "1h"),
                                                        ("48h", 172_800, "2d"), ("4w", 2_419_200, "28d"),
                                                        ("1y", 31_536_000, "365d")])
def test_spans(text, seconds, again):
    assert read_span(text) == timedelta(seconds=seconds)
    assert write_span(read_span(text)) == again


def test_spans_for_people():
    spans = [timedelta(minutes=one) for one in (-5, 0, 119, 120, 31 * 60 + 59, 71 * 60, 72 * 60, 9 * 1440 - 1)]
    assert [rough(one) for one in spans] == [
        "0 min", "0 min", "119 min", "2 h", "31 h", "71 h", "3 days", "8 days"]
