"""Incidents of backups and drills: from the first failure to the next success, and of silence, too."""

import pytest

from paas.errors import ServiceError
from paas.model.backup import Trigger
from paas.model.incident import Kind
from paas.ops import backups, night_watch
from tests.flow.backup_world import six_hourly

HOUR = 60                                # minutes


@pytest.fixture
def made(tmp_path):
    return six_hourly(tmp_path)


def seen(made):
    night_watch.poll(made.rt), night_watch.poll(made.rt)
    return [(one.kind, one.object, one.closed_at is not None) for one in made.rt.store.incidents()[::-1]]


def test_one_that_failed_is_over_with_the_next_good_one(made):
    made.pass_time(5 * HOUR + 59)
    assert seen(made) == []
    made.faults.fail_on("data.dump", 1, ServiceError("it fails"))
    made.pass_time(1)
    assert seen(made) == [(Kind.BACKUP, made.service.title, False)]
    assert "newest backup failed: it fails" in made.rt.store.incidents()[0].what
    made.pass_time(16)
    assert seen(made) == [(Kind.BACKUP, made.service.title, True)]


def test_while_the_next_one_runs_it_is_not_over(made):
    made.pass_time(5 * HOUR + 59)
    made.faults.fail_on("data.dump", 1, ServiceError("it fails"))
    made.pass_time(1)
    assert not seen(made)[0][2]
    made.rt.store.add_backup("20260101T070000Z-0001", made.uid, "mem", "db", trigger=Trigger.MANUAL, target="s3://b/p")
    assert seen(made) == [(Kind.BACKUP, made.service.title, False)]


def test_silence_is_an_incident(made):
    made.pass_time(6 * HOUR)
    made.pass_time(10 * HOUR, tick=False)
    assert seen(made) == [(Kind.BACKUP, made.service.title, False)]
    assert "no good backup for" in made.rt.store.incidents()[0].what


def test_a_failed_drill(made):
    backups.set_drills(made.rt, made.service, "7d")
    made.pass_time(6 * HOUR)
    made.memory.lie = True
    made.pass_time(1)
    assert (Kind.DRILL, made.service.title, False) in seen(made)
    made.memory.lie = False
    for _ in range(26):
        made.pass_time(HOUR)
    assert {over for *_, over in seen(made)} == {True}
