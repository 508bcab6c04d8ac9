"""The commands of releases and builds: history, differences, the way back, logs."""

import pytest

from paas.errors import Cancelled
from paas.jobs import Job
from paas.testing.fake_containers import Behaviour


@pytest.fixture
def three(deployed):
    """v1 and v3 pushed, v2 a config change."""
    deployed.ok("config:set hello TOKEN=s3cr3t")
    deployed.flow.deploy("two")
    return deployed


def versions(desk):
    return [(row["version"], row["state"]) for row in desk.ok("releases hello --format json").json]


def test_the_list_is_newest_first(three):
    assert versions(three) == [("v3", "live"), ("v2", "retired"), ("v1", "retired")]
    first = three.ok("releases hello --format json").json[-1]
    assert set(first) == {"version", "created_at", "created_by", "state", "commit", "subject", "reason", "failure"}
    assert (first["created_by"], first["reason"], len(first["commit"])) == ("alice", "git push", 40)
    assert len(three.ok("releases hello -n 1").text.splitlines()) == 2


def test_a_failed_one_says_why(deployed):
    deployed.flow.containers.behave("paas.release=2", Behaviour(exits=1, logs=["boom"]))
    assert deployed.run("config:set hello A=1").code == 12
    assert versions(deployed)[0] == ("v2", "failed")
    assert "exited with exit code 1" in deployed.ok("releases hello").text
    assert "exited with exit code 1" in deployed.ok("releases:info hello v2 --format json").json["failure"]


def test_info_has_config_keys_without_values(three):
    facts = three.ok("releases:info hello --format json").json
    assert (facts["version"], facts["config_keys"], facts["build"]) == ("v3", ["TOKEN"], 2)
    assert "s3cr3t" not in three.ok("releases:info hello v3").text
    assert three.run("releases:info hello v9").code == 20
    assert three.run("releases:info hello latest").code == 3


def test_diff(three):
    assert three.ok("releases:diff hello v1 2").text == "config    + TOKEN\n"
    assert "image" in three.ok("releases:diff hello v2 v3").text
    assert three.ok("releases:diff hello v3 v3").text == "No difference.\n"
    assert three.ok("releases:diff hello v1 v2 --format json").json == [{"difference": "config    + TOKEN"}]


def test_rollback_shows_what_differs_and_then_does_it(three):
    said = three.ok("rollback hello v1")
    assert said.text.index("config    - TOKEN") < said.text.index("Release v4")
    assert versions(three)[0] == ("v4", "live")
    assert three.ok("config hello").text == ""
    assert three.events("rollback")[0].detail["release"] == "v4"


def test_rollback_without_a_version_goes_to_the_one_before(three):
    assert "image" in three.ok("rollback hello").text
    assert three.ok("releases:diff hello v2 v4").text == "No difference.\n"


def test_rollback_that_is_none(three):
    assert three.run("rollback hello v3").code == 3
    assert three.run("rollback hello v7").code == 20
    assert versions(three)[0] == ("v3", "live")


def test_builds_and_their_logs(three):
    rows = three.ok("builds hello --format json").json
    assert [(row["number"], row["state"]) for row in rows] == [(2, "built"), (1, "built")]
    assert three.ok("builds").text.count("hello") == 2
    log = three.ok("builds:log hello 1").text
    assert "-----> Building from Dockerfile (build 1)" in log
    assert "Live: v1" in log
    assert "Live: v3" in three.ok("builds:output hello current").text


def test_a_log_that_is_not_there(three):
    assert three.run("builds:log hello 9").code == 20
    assert three.run("builds:log hello x").code == 3
    three.ok("apps:create blog")
    assert three.run("builds:log blog").code == 20


def test_the_log_of_a_running_deploy_is_followed(three):
    job = three.flow.rt.jobs.try_turn(three.flow.app().id, "a push")
    assert isinstance(job, Job)
    job.number = 7
    job.log.stage("Building")
    job.decide()
    assert three.ok("builds:log hello").text == three.ok("builds:log hello 7").text == "-----> Building\n"
    three.flow.rt.jobs.leave(job)


@pytest.mark.timeout(30)
def test_a_command_that_has_the_turn_says_nothing_to_follow(three):
    with three.flow.rt.jobs.turn(three.flow.app().id, "a command of alice"):
        assert "Live: v3" in three.ok("builds:log hello").text


def test_cancel(three):
    assert three.run("builds:cancel hello").code == 3
    job = three.flow.rt.jobs.try_turn(three.flow.app().id, "a push")
    assert three.ok("builds:cancel hello").text == "Cancelled: a push\n"
    assert job.cancelled
    three.flow.rt.jobs.leave(job)


def test_a_command_that_has_the_turn_is_not_cancelled_but_what_waits_for_it_is(three):
    jobs, app = three.flow.rt.jobs, three.flow.app()
    with jobs.turn(app.id, "apps:destroy hello"):
        done = three.run("builds:cancel hello")
        assert (done.code, done.text) == (4, "")
        assert "this cannot be cancelled: apps:destroy hello" in done.stderr
        pushed = jobs.submit(Job(app.id, "a push"), lambda job: "live")
        done = three.run("builds:cancel hello --all")
        assert (done.code, done.text) == (4, "Cancelled: a push\n")
        assert isinstance(pushed.error, Cancelled)


def test_reconcile_is_no_deploy_whose_log_is_followed_or_that_is_cancelled(three):
    jobs, app = three.flow.rt.jobs, three.flow.app()
    turn = jobs.try_turn(app.id, "reconcile", housekeeping=True)
    assert "Live: v3" in three.ok("builds:log hello").text
    assert three.run("builds:cancel hello").code == 3
    first, second = (jobs.submit(Job(app.id, title), lambda job: None) for title in ("a push", "another"))
    first.log.stage("Building")
    assert three.ok("builds:cancel hello --all").text.splitlines() == ["Cancelled: a push", "Cancelled: another"]
    assert first.wait(30)
    assert second.wait(30)
    assert not turn.cancelled
    jobs.leave(turn)
