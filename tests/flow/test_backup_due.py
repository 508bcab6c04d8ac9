"""What backups do by themselves, by a clock that the test moves."""

from datetime import timedelta

import pytest

from paas.backups import keyring, leftovers
from paas.errors import BadInput, Forged, ServiceError, StoreError
from paas.model.backup import BackupState, Trigger
from paas.model.backup_health import Level
from paas.model.retention import Policy
from paas.model.service import ServiceState
from paas.ops import backup_due, backups
from tests.flow.backup_world import make_backups, six_hourly
from tests.flow.over_fakes import ALICE

HOUR, DAY = 60, 24 * 60                  # minutes


@pytest.fixture
def made(tmp_path):
    return six_hourly(tmp_path)


def started(made):
    """When its backups began, and how they ended; oldest first."""
    return [f"{row.started_at:%d %H:%M} {row.state}" for row in reversed(made.rows())]


def codes(made, level=Level.FAILURE):
    return {one.code for one in backup_due.findings(made.rt, made.service) if one.level is level}


def broken(made, times):
    """So many of the next dumps fail."""
    for nth in range(1, times + 1):
        made.faults.fail_on("data.dump", nth, ServiceError("it fails"))


def test_nothing_is_due_before_its_time(made):
    made.pass_time(5 * HOUR + 59)
    assert started(made) == []
    made.pass_time(1)
    assert started(made) == ["01 06:00 read-back"]
    assert made.rows()[0].trigger is Trigger.SCHEDULE


def test_each_time_once_however_often_it_looks(made):
    for _ in range(26):
        made.pass_time(HOUR)
        backup_due.tick(made.rt)
    assert [line[:8] for line in started(made)] == ["01 06:00", "01 12:00", "01 18:00", "02 00:00"]


def test_a_day_that_was_missed_is_made_up_for_once(made):
    made.pass_time(DAY + 3 * HOUR + 20)
    made.pass_time(1)
    assert started(made) == ["02 03:20 read-back"]
    made.pass_time(2 * HOUR + 39)
    assert started(made) == ["02 03:20 read-back", "02 06:00 read-back"]


def test_one_by_hand_does_not_stand_for_one_that_is_due(made):
    made.pass_time(5 * HOUR)
    made.backup()
    made.pass_time(HOUR)
    assert started(made) == ["01 05:00 read-back", "01 06:00 read-back"]


def test_one_that_failed_is_tried_again_once(made):
    made.pass_time(5 * HOUR + 59)
    broken(made, 2)
    made.pass_time(1)
    for _ in range(5 * 12):
        made.pass_time(5)
    assert started(made) == ["01 06:00 failed", "01 06:20 failed"]
    made.pass_time(HOUR)
    assert started(made)[2:] == ["01 12:00 read-back"]


def test_the_second_try_may_succeed(made):
    made.pass_time(5 * HOUR + 59)
    broken(made, 1)
    made.pass_time(1)
    made.pass_time(16)
    assert started(made) == ["01 06:00 failed", "01 06:16 read-back"]
    assert codes(made) == set()


def test_days_of_failures_are_two_attempts_for_each_time(made):
    broken(made, 100)
    for _ in range(2 * 24 * 12):
        made.pass_time(5)
    hours = [f"{day} {hour}" for day in ("01", "02") for hour in ("00", "06", "12", "18")][1:]
    assert started(made)[:14] == [f"{hour}:{minute} failed" for hour in hours for minute in ("00", "20")]
    assert {"failed", "overdue"} <= codes(made)


def test_a_service_that_does_not_run_fails_and_is_not_skipped(made):
    made.flow.containers.crash(made.service.container_id, 1)
    made.pass_time(6 * HOUR)
    assert started(made) == ["01 06:00 failed"]
    assert "does not run" in made.rows()[0].reason
    assert "failed" in codes(made)
    assert [one for one in made.rt.store.events(limit=5) if one.verb == "mem:backup" and one.result == "failed"]


@pytest.mark.parametrize("state", [ServiceState.CREATING, ServiceState.DESTROYING])
def test_a_service_that_comes_or_goes_is_left_alone(made, state):
    made.rt.store.update_service(made.service.id, state=state)
    made.pass_time(DAY)
    assert started(made) == []


def test_one_that_is_worked_on_waits_for_the_next_look(made):
    with made.rt.turns.hold(made.uid, "an upgrade"):
        made.pass_time(6 * HOUR)
        assert started(made) == []
    made.pass_time(1)
    assert started(made) == ["01 06:01 read-back"]


def test_two_schedules(made):
    backups.schedule(made.rt, made.service, ALICE, "30 6 * * *")
    made.pass_time(6 * HOUR)
    made.pass_time(30)
    assert started(made) == ["01 06:00 read-back", "01 06:30 read-back"]
    assert not backups.schedule(made.rt, made.service, ALICE, "30  6 * * *")


def test_without_a_recovery_kit_no_schedule(tmp_path):
    made = make_backups(tmp_path)
    with pytest.raises(BadInput, match="nobody has confirmed the recovery kit"):
        backups.schedule(made.rt, made.service, ALICE, "0 3 * * *")
    made.pass_time(2 * DAY)
    assert started(made) == []


def test_a_further_key_needs_no_new_kit_another_identity_does(made):
    """The kit holds the identity: what else backups are sealed for does not change it."""
    identity, recipient = made.rt.sealing.new_identity()
    keyring.add_recipient(made.rt, recipient)
    assert "no-recovery-kit" not in codes(made)
    made.rt.store.set_setting(keyring.OWN, recipient)
    made.rt.store.set_sealed_setting(keyring.IDENTITY, identity)
    assert "no-recovery-kit" in codes(made)


def test_a_backup_that_was_cut_is_made_again(made):
    """The daemon died under it; the next one marks it as failed, and its retry counts as a retry."""
    row = made.rt.store.add_backup("20260101T060000Z-00000000", made.uid, "mem", "db", trigger=Trigger.SCHEDULE,
                                   target="s3://bucket/paas")
    made.flow.clock.passed += 6 * 3600.0
    backup_due.begin(made.rt)
    assert made.rt.store.backup(row.id).reason == leftovers.CUT
    made.pass_time(1)
    assert [one.state for one in made.rows()] == [BackupState.READ_BACK, BackupState.FAILED]


def test_retention_follows_each_good_backup(made):
    backups.set_retention(made.rt, made.service, Policy(keep_last=2))
    for _ in range(5):
        made.pass_time(6 * HOUR)
    assert [row.good for row in made.rows()] == [True, True, False, False, False]
    made_there = {one.id for one in made.listing().backups}
    assert made_there == {row.id for row in made.rows()[:2]}


def test_retention_that_fails_does_not_undo_the_backup(made):
    made.pass_time(6 * HOUR, tick=False)
    made.faults.fail_on("objects.now", 1, StoreError("it is gone"))
    backup_due.tick(made.rt)
    assert started(made) == ["01 06:00 read-back"]


# --- drills --------------------------------------------------------------------------------------------------------


@pytest.fixture
def drilled(made):
    backups.set_drills(made.rt, made.service, "7d")
    return made


def proofs(made):
    """Newest last."""
    return [f"{one.started_at:%d %H:%M} {one.passed}" for one in reversed(made.rt.store.drills(made.uid))]


def test_the_first_backup_is_proved_at_once_then_one_a_week(drilled):
    drilled.pass_time(6 * HOUR)
    assert proofs(drilled) == []
    drilled.pass_time(1)
    assert proofs(drilled) == ["01 06:01 True"]
    for _ in range(8 * 24 * 2):
        drilled.pass_time(30)
    assert len(proofs(drilled)) == 2
    assert proofs(drilled)[1].startswith("08 ")
    assert codes(drilled) == set()


def test_a_failed_drill_is_tried_again_after_a_day_and_the_next_backup_counts(drilled):
    drilled.pass_time(6 * HOUR)
    drilled.memory.lie = True
    drilled.pass_time(1)
    assert proofs(drilled) == ["01 06:01 False"]
    assert drilled.rows()[0].state is BackupState.FAILED
    assert "drill-failed" in codes(drilled)
    drilled.memory.lie = False
    for _ in range(26):
        drilled.pass_time(HOUR)
    assert proofs(drilled)[1:] == ["02 07:01 True"]
    assert codes(drilled) == set()


def test_a_drill_that_could_not_run_leaves_the_backup_good(drilled):
    drilled.flow.images.free = 1
    drilled.pass_time(6 * HOUR)
    drilled.pass_time(1)
    assert proofs(drilled) == ["01 06:01 False"]
    assert drilled.rows()[0].good
    assert "drill-failed" in codes(drilled)


def test_drills_that_are_off(made):
    for _ in range(4):
        made.pass_time(6 * HOUR)
    assert proofs(made) == []
    assert "never-drilled" in codes(made, Level.WARNING)


def test_a_server_that_cannot_open_its_backups_makes_them_and_no_drill(drilled):
    keyring.forget_identity(drilled.rt, keyring.keyring(drilled.rt).word)
    for _ in range(5):
        drilled.pass_time(6 * HOUR)
    assert len(started(drilled)) == 5
    assert proofs(drilled) == []
    assert codes(drilled) == set()
    assert "never-drilled" in codes(drilled, Level.WARNING)


def test_a_drill_that_was_cut_is_ended_and_its_container_goes(drilled):
    drilled.pass_time(6 * HOUR)
    number = drilled.rt.store.begin_drill(drilled.rows()[0])
    drilled.rt.containers.ensure_volume(f"paas-drill-{number}", {"paas.kind": "drill"})
    backup_due.begin(drilled.rt)
    assert proofs(drilled) == ["01 06:00 False"]
    assert not [name for name in drilled.rt.containers.volumes() if "drill" in name]


# --- what is overdue -----------------------------------------------------------------------------------------------


def test_silence_is_a_failure(made):
    """No attempt, no error: only the age of the last good backup tells."""
    made.pass_time(6 * HOUR)
    assert codes(made) == set()
    made.pass_time(8 * HOUR, tick=False)
    assert codes(made) == set()
    made.pass_time(2 * HOUR, tick=False)
    assert codes(made) == {"overdue"}


def test_a_forged_drill_says_so(drilled):
    drilled.pass_time(6 * HOUR)
    key = next(key for key in drilled.objects.keys() if key.endswith(".age"))
    drilled.objects.flip(key, 300)
    with pytest.raises(Forged):
        backups.drill.run(drilled.rt, drilled.rows()[0], ALICE, progress=lambda stage, size: None)
    assert backup_due.protection(drilled.rt, drilled.service)["backups"] == "failing"
    assert timedelta() < backup_due.drill_every(drilled.service)
