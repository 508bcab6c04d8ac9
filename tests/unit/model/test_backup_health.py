"""What status and doctor say of a service's backups."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.model.backup import UNDER_WAY, Backup, BackupState, Drill, Target, Trigger
from paas.model.backup_health import Due, Level, Watched, health, late
from paas.model.backup_layout import new_id
from tests.unit.model.backup_examples import START, at

S3 = Target("s3://bucket/prefix")
FAILED, GOOD, DRILLED = BackupState.FAILED, BackupState.READ_BACK, BackupState.DRILLED


def backup(hours, state=DRILLED, reason="", size=5):
    return Backup(new_id(at(hours), 1), "uid1", "postgres", "db", state, Trigger.SCHEDULE, S3.url, at(hours), at(hours),
                  size, reason, False, "")


def drill(hours, passed=True, number=1, reason=""):
    return Drill(number, backup(hours).id, "uid1", at(hours), at(hours), passed, 12.0, 60.0, reason)


def is_overdue(watched, now):
    return any(late(watched, due, now) for due in watched.schedules)


def due(last=-1.0, every=6.0, since=-1000.0):
    return Due("0 */6 * * *", at(since), at(last), at(last - every))


WELL = Watched(S3, [backup(-1)], [drill(-1)], [due()])


def said(watched: Watched, now=START) -> list[str]:
    return [f"{finding.level}: {finding.text}" for finding in health(watched, now)]


def codes(watched: Watched, now=START) -> set[str]:
    return {finding.code for finding in health(watched, now)}


def test_all_is_well():
    assert said(WELL) == []
    assert not is_overdue(WELL, START)


def test_overdue():
    old = replace(WELL, backups=[backup(-31)], drills=[drill(-31)])
    assert said(old) == ["failure: no good backup for 31 h (wanted every 6 h)"]
    assert is_overdue(old, START)


@pytest.mark.parametrize(("newest", "last", "overdue"), [
    (-1, -1, False), (-0.9, -1, False), (-7, -1, False), (-7, -2.9, False), (-8.9, -2.9, False), (-8.9, -3.1, True),
    (-7.1, -1, True), (-100, 0, True), (None, -1, True), (-6, 0, False)])
def test_a_backup_is_late_half_a_period_after_its_due_time_and_when_the_one_before_is_missing(newest, last, overdue):
    backups = [] if newest is None else [backup(newest)]
    assert is_overdue(replace(WELL, backups=backups, schedules=[due(last)]), START) is overdue


def test_a_failed_backup_or_one_under_way_is_no_backup():
    for state in (FAILED, *UNDER_WAY, BackupState.DELETED):
        assert "overdue" in codes(replace(WELL, backups=[backup(-31), backup(-1, state)]))


def test_a_new_schedule_is_not_late_before_its_first_due_time():
    none = replace(WELL, backups=[], drills=[])
    assert said(replace(none, schedules=[due(last=-1, since=-0.5)])) == ["warning: no backup yet"]
    assert not is_overdue(replace(WELL, schedules=[Due("@yearly", START, None, None)]), START)
    first = replace(none, schedules=[due(last=-1, since=-2)])
    assert not is_overdue(first, START)
    assert is_overdue(first, at(3))
    assert said(first, at(3))[0] == "failure: no good backup yet (wanted every 6 h)"


def test_the_shortest_of_the_late_schedules_is_named():
    both = replace(WELL, backups=[backup(-200)], schedules=[due(-3, every=24), due(-1)])
    assert "failure: no good backup for 8 days (wanted every 6 h)" in said(both)


@pytest.mark.parametrize("reason", ["stopped", "empty", "no target", "skipped", "the key is refused"])
def test_the_newest_attempt_failed(reason):
    one = replace(WELL, backups=[backup(-2), backup(-1, FAILED, reason)])
    assert said(one) == [f"failure: newest backup failed: {reason}"]
    more = replace(WELL, backups=[backup(-0.5, FAILED, reason), *one.backups])
    assert said(more) == [f"failure: newest backup failed: {reason}, 2 attempts without a good one"]
    assert said(replace(WELL, backups=[*one.backups, backup(-0.5)])) == []


def test_a_backup_without_data_and_one_that_does_not_end():
    assert said(replace(WELL, backups=[backup(-1, size=0)]))[0].startswith("failure: newest backup is empty")
    for state in UNDER_WAY:
        stuck = replace(WELL, backups=[backup(-1), backup(-0.5, state)])
        assert said(stuck) == []
        later = replace(stuck, schedules=[due(-1, every=1000)], drills=[drill(-1)])
        assert said(later, at(25)) == ["failure: a backup is under way for 25 h"]


def test_no_target_and_one_that_is_no_other_place():
    assert said(replace(WELL, target=None)) == ["failure: no target: its backups have nowhere to go"]
    here = Target("file:///var/backups")
    assert said(replace(WELL, target=here)) == ["warning: its backups are on this machine only"]


def test_no_schedule_and_no_kit():
    assert said(replace(WELL, schedules=[])) == ["warning: no schedule: it is backed up by hand only"]
    assert said(replace(WELL, kit_confirmed=False))[0].startswith("failure: schedule but no recovery kit")
    assert codes(replace(WELL, kit_confirmed=False, schedules=[])) == {"no-schedule"}


def test_never_drilled():
    fresh = replace(WELL, backups=[backup(-1, GOOD)], drills=[])
    assert said(fresh) == ["warning: never drilled: no backup was restored yet"]
    older = replace(fresh, backups=[backup(-25, GOOD), backup(-1, GOOD)])
    assert said(older) == ["failure: never drilled: no backup was restored yet"]
    assert said(replace(older, drills=[drill(-2, passed=None)])) == said(older)
    assert said(replace(older, drill_every=timedelta())) == ["warning: never drilled: drills are off"]
    assert said(replace(older, can_drill=False)) == ["warning: never drilled: the key is not on this server"]


def test_drills_fail_and_get_old():
    failed = replace(WELL, drills=[drill(-9), drill(-1, False, 2, "3 rows differ")])
    assert said(failed)[0].startswith("failure: newest drill failed, of ")
    assert said(failed)[0].endswith(": 3 rows differ")
    assert said(replace(WELL, drills=[*failed.drills, drill(-0.5, True, 3)])) == []
    old = replace(WELL, backups=[backup(-300), backup(-1, GOOD)], drills=[drill(-24 * 10.4)])
    assert said(old) == []
    assert said(replace(old, drills=[drill(-24 * 10.6)])) == ["failure: no drill for 10 days (wanted every 7 days)"]
    assert said(replace(old, drills=[drill(-24 * 10.6)], drill_every=timedelta())) == []


def test_strangers_and_losses():
    assert said(replace(WELL, doubtful=["a", "b"])) == ["failure: not what we wrote: a, b"]
    assert said(replace(WELL, missing=["a"])) == ["failure: gone from the target: a"]
    assert said(replace(WELL, retention_refused="too many")) == ["warning: nothing old is deleted: too many"]


def test_a_clock_that_went_back():
    assert "clock" in codes(WELL, at(-2))


def test_failures_come_first_and_each_says_what_to_do():
    found = health(replace(WELL, target=None, schedules=[], missing=["a"], backups=[backup(-1, FAILED)]), START)
    levels = [finding.level for finding in found]
    assert levels == [Level.FAILURE] * 3 + [Level.WARNING] * 2
    assert all(finding.hint for finding in found)


@given(st.lists(st.tuples(st.floats(-500, 5), st.sampled_from(BackupState)), max_size=8))
def test_time_without_a_good_backup_is_never_silent(rows):
    """Whatever was recorded: two periods after the newest good backup there is a failure."""
    backups = [replace(backup(hours, state), id=new_id(at(hours), place)) for place, (hours, state) in enumerate(rows)]
    good = [one.started_at for one in backups if one.good]
    now = max([START, *good]) + timedelta(hours=13)
    last = now - timedelta(hours=now.hour % 6 + now.minute / 60)
    schedule = Due("0 */6 * * *", at(-1000), last, last - timedelta(hours=6))
    watched = replace(WELL, backups=backups, schedules=[schedule])
    assert is_overdue(watched, now)
    assert "overdue" in codes(watched, now)
