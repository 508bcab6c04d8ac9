"""cron, cron:…, over fakes."""

import json

import pytest

from paas import cli
from paas.cli.base import Local
from paas.errors import BadInput, Conflict, NotFound
from paas.ops import cron_due
from paas.testing.fake_containers import Behaviour
from tests.unit.cli.desk import ROOT, Screen

CRON = "paas.kind=cron"


@pytest.fixture
def job(desk) -> str:
    """The id of the one job of `hello`, deployed."""
    desk.flow.containers.behave(CRON, Behaviour(exits=0, logs=["worked \x1b[2J", "!and complained"]))
    files = {"app.json": json.dumps({"cron": [{"schedule": "0 3 * * *", "command": "nightly"}]}).encode()}
    assert desk.flow.push(desk.flow.commit(files)) == 0
    desk.flow.settle()
    return desk.flow.rt.store.live_release(desk.flow.app().id).cron[0].id


def test_the_list_tells_when_a_job_is_due_in_which_zone(desk, job):
    desk.ok("server:set cron-timezone Europe/Berlin")
    (row,) = desk.ok("cron hello --format json").json
    assert row == {"app": "hello", "id": job, "schedule": "0 3 * * *", "timezone": "Europe/Berlin",
                   "next_due": "2026-01-01T02:00:00+00:00", "last_run": None, "last_result": "", "state": "scheduled",
                   "concurrency": "forbid", "command": "nightly"}
    assert desk.ok("cron:list").text.splitlines()[1].split()[:2] == ["hello", job]
    desk.ok(f"cron:suspend hello {job}")
    (row,) = desk.ok("cron --format json").json
    assert (row["state"], row["next_due"]) == ("suspended", None)
    desk.ok(f"cron:resume hello {job}")
    desk.ok("ps:stop hello")
    assert desk.ok("cron hello --format json").json[0]["state"] == "stopped"


def test_run_shows_the_output_and_ends_with_the_exit_code_of_the_job(desk, job):
    said = desk.ok(f"cron:run hello {job}")
    assert (said.text, said.stderr) == ("worked \\x1b[2J\n", "and complained\n")
    desk.flow.containers.behave(CRON, Behaviour(exits=7))
    assert desk.run(f"cron:run hello {job}").code == 7
    results = [(event.result, event.detail["run"]) for event in desk.events("cron:run")]
    assert results == [("failed", "cron.2"), ("ok", "cron.1")]
    assert [event.detail["exit_code"] for event in desk.events("cron")] == ["7"]


def test_run_detached_prints_the_name_of_the_run(desk, job):
    assert desk.ok(f"cron:run hello {job} --detach --quiet").text == "cron.1\n"
    assert desk.ok("cron:log hello cron.1").text == "worked \\x1b[2J\nand complained\n"
    assert desk.ok("cron:log hello 1 -n 1").text == "and complained\n"


def test_a_caller_that_leaves_leaves_the_run_alone(desk, job):
    object.__setattr__(desk.flow.rt, "spawn", lambda work: None)
    gone = Screen()
    gone.alive = False
    assert cli.dispatch(desk.flow.rt, gone, ROOT, ["cron:run", "hello", job], Local()) == 0
    assert [event.result for event in desk.events("cron:run")] == ["ok"]
    assert desk.ok("cron:history hello --format json").json[0]["state"] == "running"


def test_one_that_could_not_start_has_no_exit_code(desk, job):
    desk.flow.containers.behave(CRON, Behaviour(start_error=Conflict("no such program")))
    said = desk.run(f"cron:run hello {job}")
    assert said.code == 1
    assert "it could not run: no such program" in said.stderr
    assert desk.ok("cron:log hello cron.1").text == ""


def test_history_and_report(desk, job):
    desk.flow.clock.passed = 3 * 3600
    cron_due.tick(desk.flow.rt)
    desk.flow.containers.behave(CRON, Behaviour(exits=2))
    desk.run(f"cron:run hello {job}")
    rows = desk.ok("cron:history hello --format json").json
    assert [(row["run"], row["state"], row["exit_code"], row["created_by"], row["release"], row["reason"])
            for row in rows] == [("cron.2", "failed", 2, "root", "v1", "exit code 2"),
                                 ("cron.1", "succeeded", 0, "paas", "v1", "")]
    assert {row["due_at"] for row in rows} == {"2026-01-01T03:00:00+00:00"}
    assert rows[0]["seconds"] == 0
    assert len(desk.ok(f"cron:history hello {job} -n 1 --format json").json) == 1
    assert desk.ok("cron:report hello --format json").json == [
        {"app": "hello", "timezone": "UTC", "jobs": 1, "suspended": 0, "running": 0, "failed": 1}]


@pytest.mark.parametrize(("line", "error"), [
    ("cron:run hello 00000000", NotFound), ("cron:suspend hello x", NotFound), ("cron:resume hello x", NotFound),
    ("cron:history hello x", NotFound), ("cron:log hello cron.99", NotFound), ("cron:stop hello 99", NotFound),
    ("cron:log hello ../../etc", BadInput), ("cron:set hello timezone Mars/Base", BadInput),
    ("cron:set hello timezone ../../etc/passwd", BadInput), ("cron:set hello timeout 0", BadInput),
    ("cron:set hello mailto x", BadInput), ("server:set cron-timezone x", BadInput),
    ("server:set max-cron 0", BadInput)])
def test_what_is_refused(desk, job, line, error):
    said = desk.run(line)
    assert said.code == error.exit_code, said.all
    assert len(said.stderr.splitlines()) >= 1


def test_a_run_that_is_over_cannot_be_stopped(desk, job):
    desk.ok(f"cron:run hello {job}")
    said = desk.run("cron:stop hello cron.1")
    assert (said.code, "is over (succeeded)" in said.stderr) == (Conflict.exit_code, True)


def test_settings_are_set_and_shown(desk, job):
    desk.ok("cron:set hello timezone Asia/Tokyo")
    desk.ok("cron:set hello timeout 600")
    assert {row["key"]: row["value"] for row in desk.ok("cron:settings hello --format json").json} == {
        "timezone": "Asia/Tokyo", "timeout": "600"}
    desk.ok("cron:set hello timezone")
    assert desk.ok("cron hello --format json").json[0]["timezone"] == "UTC"


def test_limits_of_scheduled_jobs_can_be_set(desk, job):
    desk.ok("resource:limit hello --process-type cron --memory 64m")
    assert desk.flow.rt.store.limits(desk.flow.app().id)["cron"] == {"memory": "64m"}
