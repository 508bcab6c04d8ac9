"""`cron` of app.json: what is read, and what is refused before anything is built (D02)."""

import pytest

from paas.errors import PushRefused
from paas.model.cron import MAX_COMMAND, MAX_JOBS, read_cron
from paas.model.release import Overlap

JOB = {"schedule": "0 3 * * *", "command": "./nightly"}


def test_a_job_is_read():
    (job,) = read_cron([JOB], [])
    assert (job.schedule, job.overlap) == ("0 3 * * *", Overlap.FORBID)
    assert job.command == ("/bin/sh", "-c", "exec ./nightly")


def test_the_id_is_that_of_schedule_and_command():
    (first,), (same,) = read_cron([JOB], []), read_cron([{**JOB, "schedule": " 0  3 * * * "}], [])
    (other,) = read_cron([{**JOB, "schedule": "1 3 * * *"}], [])
    assert first.id == same.id == "8ed9787a"
    assert other.id != first.id


@pytest.mark.parametrize("policy", list(Overlap))
def test_policies(policy):
    assert read_cron([{**JOB, "concurrency_policy": str(policy)}], [])[0].overlap == policy


@pytest.mark.parametrize("schedule", ["@daily", "@hourly", "*/5 0-6,22 1 JAN-MAR MON", "0 0 29 2 *"])
def test_schedules_as_people_write_them(schedule):
    assert read_cron([{**JOB, "schedule": schedule}], [])[0].schedule == schedule


def test_other_keys_are_named():
    ignored = []
    read_cron([{**JOB, "maintenance": True, "a\nb": 1}], ignored)
    assert ignored == ["cron[0].maintenance", "cron[0].a\\nb"]


def test_a_command_is_nobodys_but_the_containers_shell():
    (job,) = read_cron([{**JOB, "command": "a; touch /tmp/x > $(id) `id`"}], [])
    assert job.command == ("/bin/sh", "-c", "a; touch /tmp/x > $(id) `id`")


@pytest.mark.parametrize("data", [
    {}, "x", [1], [{}], [{"schedule": "0 3 * * *"}], [{"command": "x"}],
    [{**JOB, "schedule": "* * * * * root x"}], [{**JOB, "schedule": "* * * * * *"}], [{**JOB, "schedule": "@reboot"}],
    [{**JOB, "schedule": "0 3 * * *\n* * * * * root x"}], [{**JOB, "schedule": "0 3 * * $(id)"}],
    [{**JOB, "schedule": 5}], [{**JOB, "schedule": ""}], [{**JOB, "schedule": "0 " * 200}],
    [{**JOB, "command": "a\nb"}], [{**JOB, "command": "a\0b"}], [{**JOB, "command": "\x1b[2J"}],
    [{**JOB, "command": ["a"]}], [{**JOB, "command": " "}], [{**JOB, "command": "x" * (MAX_COMMAND + 1)}],
    [{**JOB, "concurrency_policy": "sometimes"}], [JOB, JOB],
    [{**JOB, "command": f"job {number}"} for number in range(MAX_JOBS + 1)],
    [{**JOB, "command": f"job {number}"} for number in range(1000)],
])
def test_what_is_refused(data):
    with pytest.raises(PushRefused, match="app.json"):
        read_cron(data, [])
