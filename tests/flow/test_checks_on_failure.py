"""What app.json's `onFailure` of a health check does, over fakes."""

from dataclasses import replace

import pytest

from paas.deploy import probes
from paas.deploy.work import Work
from paas.errors import CheckFailed, EngineError
from paas.ports import Answer, ContainerState
from paas.testing.fake_containers import Behaviour
from tests.flow.check_world import WORKER, Runs, fails, passes, push
from tests.flow.over_fakes import Flow

REPORT = {"onFailure": {"command": ["./report"]}}


def shown_after(flow: Flow, heading: str, number: int) -> list[str]:
    lines = [line.strip() for line in flow.lines]
    at = lines.index(f"=====> {heading}")
    return lines[at + 1:at + 1 + number]


def test_a_check_that_has_failed_for_good_runs_its_command_once_and_shows_it(flow):
    flow.prober.default = Answer(500)
    runs = Runs(flow, 0, says=b"pool: 5 of 5 in use\n")
    said = fails(flow, {"name": "page", "path": "/up", **REPORT}, {"command": "true", "attempts": 99})
    assert "within 30 s: check 'page': GET /up answered 500" in said
    assert [command for _, command in runs.began].count(("./report",)) == 1
    assert shown_after(flow, "onFailure of the check 'page' in web.1", 1) == ["pool: 5 of 5 in use"]
    assert runs.open == set()


def test_a_check_that_passes_runs_no_command_of_failure(flow):
    runs = Runs(flow, 0)
    passes(flow, {"path": "/up", **REPORT})
    assert runs.began == []


def test_one_that_only_warns_runs_it_too_and_the_push_goes_on(flow):
    flow.prober.pages[8080, "/cache"] = Answer(503)
    runs = Runs(flow, 3)
    passes(flow, {"path": "/up"}, {"name": "cache", "path": "/cache", "warn": True, **REPORT})
    assert [command for _, command in runs.began] == [("./report",)]
    assert shown_after(flow, "onFailure of the check 'cache' in web.1", 1) == [
        "(the command './report' exited with exit code 3)"]


def test_an_instance_that_never_listened_has_failed_all_its_checks(flow):
    flow.containers.behave("paas.release=1", Behaviour(listens=[]))
    runs = Runs(flow, 0)
    said = fails(flow, {"path": "/1", **REPORT}, {"path": "/2"}, {"path": "/3", **REPORT})
    assert "nothing listens on port 8080" in said
    assert [command for _, command in runs.began] == [("./report",)] * 2


def started_again(state: ContainerState) -> ContainerState:
    return state if state.running else replace(state, running=True, restarts=1)


@pytest.mark.parametrize("again", [False, True])
def test_an_instance_that_has_ended_does_not_run_it_and_that_is_said(flow, again):
    """Nor where the engine has started it again."""
    flow.containers.behave("paas.release=1", Behaviour(exits=4, looks=6))
    runs, state = Runs(flow, 0), flow.containers.state
    if again:
        flow.containers.state = lambda container: started_again(state(container))
    assert push(flow, {"path": "/up", "initialDelay": 1000, **REPORT}) == CheckFailed.exit_code
    assert shown_after(flow, "onFailure of the check 'GET /up' in web.1", 1) == [
        "(the command './report' did not run: the instance had ended)"]
    assert runs.began == []
    assert "web.1 exited" in flow.lines.text


def test_one_that_hangs_is_left_after_its_time_and_the_next_has_what_is_left(flow):
    flow.prober.default = Answer(500)
    runs = Runs(flow, None)
    said = fails(flow, {"name": "one", "path": "/1", **REPORT}, {"name": "two", "path": "/2", **REPORT})
    assert "check 'one': GET /1 answered 500; check 'two': GET /2 answered 500" in said
    assert shown_after(flow, "onFailure of the check 'one' in web.1", 1) == [
        "(the command './report' was not over within 30 s)"]
    assert shown_after(flow, "onFailure of the check 'two' in web.1", 1) == [
        "(the command './report' did not run: those before it took 30 s)"]
    assert (len(runs.began), runs.open) == (1, set())


def test_an_engine_that_fails_meanwhile_changes_nothing_of_the_failure(flow, monkeypatch):
    flow.prober.default = Answer(500)
    runs = Runs(flow, 0)

    def lost(*words):
        raise EngineError("Docker has no such exec")

    monkeypatch.setattr(probes, "wait_for", lost)
    assert "GET /up answered 500" in fails(flow, {"path": "/up", **REPORT})
    assert "(the command './report' was lost sight of: Docker has no such exec)" in flow.lines.text
    assert runs.open == set()


def test_a_cancelled_push_does_not_wait_for_it(flow, monkeypatch):
    flow.prober.default = Answer(500)
    runs = Runs(flow, None)
    original = Work.stop_if_cancelled

    def cancel_when_it_runs(work):
        if runs.began and flow.clock.passed > runs.began[0][0] + 5:
            work.job.cancel()
        original(work)

    monkeypatch.setattr(Work, "stop_if_cancelled", cancel_when_it_runs)
    assert push(flow, {"path": "/up", **REPORT}) != 0
    assert "the deploy was cancelled" in flow.lines.text
    assert runs.open == set()


def test_another_instance_that_gives_up_has_not_failed(flow):
    flow.rt.store.set_scale(flow.app().id, {"worker": 1})
    flow.prober.default = Answer(500)
    runs = Runs(flow, 0)
    fails(flow, {"path": "/up"}, worker=[{"uptime": 3000, **REPORT}], files=WORKER)
    assert runs.began == []
