"""app.json's `cron`, read."""

import hashlib

import pytest

from paas.errors import PushRefused
from paas.model.cron import MAX_COMMAND, MAX_JOBS, read_cron
from paas.model.release import CronJob, Overlap


def entry(schedule="0 3 * * *", command="python cleanup.py", **more):
    return {"schedule": schedule, "command": command, **more}


def read(*entries, ignored=None):
    return read_cron(list(entries), [] if ignored is None else ignored)


def test_a_job_has_an_id_made_of_its_schedule_and_command():
    made = hashlib.sha256(b"0 3 * * *\0python cleanup.py").hexdigest()[:8]
    assert read(entry()) == (CronJob(made, "0 3 * * *", ("/bin/sh", "-c", "exec python cleanup.py"), Overlap.FORBID),)
    assert read(entry("  0  3 * *   * "))[0].id == made
    assert read(entry(concurrency_policy="allow"))[0].id == made
    assert read(entry("1 3 * * *"))[0].id != made
    assert read(entry(command="python cleanup.py -v"))[0].id != made


@pytest.mark.parametrize("policy", list(Overlap))
def test_the_overlap_policy(policy):
    assert read(entry(concurrency_policy=str(policy)))[0].overlap is policy


@pytest.mark.parametrize("schedule", ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually",
                                      "*/5 0-6,22 1 JAN mon", "0 0 L * 5L", "0 0 * * MON#2"])
def test_schedules(schedule):
    assert read(entry(schedule))[0].schedule == schedule


def test_further_keys_are_named():
    ignored = []
    read(entry(), entry("@daily", maintenance=True, **{"a\nb": 1}), ignored=ignored)
    assert ignored == ["cron[1].maintenance", "cron[1].a\\nb"]


# The list D02: operators, newlines, a user in front, seconds, a thousand rows.
@pytest.mark.parametrize("given", [
    entry("* * * * * root x"), entry("* * * * * *"), entry("* * * *"), entry("0 3 * * *\n* * * * * root x"), entry(""),
    entry("0 3 * * $(x)"), entry("0 3 * * ;"), entry("@reboot"), entry("@every 1s"), entry("@daily x"), entry(5),
    entry(None), entry("1" * 101 + " * * * *"), entry("0 3 * * *\x00"),
    entry(command="a\nb"), entry(command="a\rb"), entry(command="a\x00b"), entry(command="\x1b[0m"), entry(command=" "),
    entry(command=""), entry(command=["a"]), entry(command=None), entry(command="x" * (MAX_COMMAND + 1)),
    entry(concurrency_policy="never"), entry(concurrency_policy=None), entry(concurrency_policy=5),
    entry(concurrency_policy=["allow"]), {"schedule": "@daily"}, {"command": "x"}, {}])
def test_what_is_malformed_refuses_the_push_and_is_named(given):
    with pytest.raises(PushRefused) as error:
        read(entry(), given)
    assert "cron[1]" in error.value.what
    assert error.value.what.isprintable()


@pytest.mark.parametrize("given", [None, {}, "x", 5, ["x"], [None], [["a"]], [entry(), "x"]])
def test_what_is_no_list_of_objects(given):
    with pytest.raises(PushRefused, match="list of objects"):
        read_cron(given, [])


def test_shell_words_of_a_command_are_the_containers_business():
    assert read(entry(command="a; touch $CN > /x"))[0].command == ("/bin/sh", "-c", "a; touch $CN > /x")


def test_the_number_of_jobs_is_bounded_and_none_is_there_twice():
    many = [entry(command=f"x {number}") for number in range(MAX_JOBS + 1)]
    assert len(read(*many[:MAX_JOBS])) == MAX_JOBS
    with pytest.raises(PushRefused, match="51"):
        read(*many)
    with pytest.raises(PushRefused, match="twice"):
        read(entry(), entry(concurrency_policy="allow"))
