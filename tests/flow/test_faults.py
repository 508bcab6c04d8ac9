"""A fault at every adapter call of a deploy: the old release serves, nothing is left over, the cause is recorded.

The calls are read off one deploy without faults, so a new call is covered the day it is written.
"""

import contextlib

import pytest

from paas.errors import EngineError, PaasError, ProxyError
from paas.model.build import BuildState
from paas.model.release import InstanceState, ReleaseState
from paas.ops.reconcile import reconcile
from paas.testing.faults import Crash
from tests.flow.over_fakes import make_flow

pytestmark = pytest.mark.timeout(600)    # many deploys in one test, on a busy machine
ERRORS = {"containers": EngineError("Docker is gone"), "images": EngineError("Docker is gone"),
          "router": ProxyError("the proxy is gone"), "repos": PaasError("the disk is gone")}


def two_deploys(flow) -> list[tuple[str, int]]:
    """The calls of the second deploy, by name and number."""
    flow.deploy("one")
    flow.faults.clear()
    flow.deploy("two")
    return flow.faults.points()


def calls(tmp_path_factory) -> list[tuple[str, int]]:
    return [point for point in two_deploys(make_flow(tmp_path_factory.mktemp("calls")))
            if point[0].partition(".")[0] in ERRORS]


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    return calls(tmp_path_factory)


def check_invariants(flow, first):
    """One live release, its instances and only they run and are routed, every row explains a container."""
    app = flow.app()
    live = flow.rt.store.live_release(app.id)
    rows = flow.rt.store.instances(app.id)
    assert live.version in (1, 2)
    assert all(row.release_id == live.id and row.state == InstanceState.HEALTHY for row in rows), rows
    assert flow.router.pointed(app.id) == tuple(row.target for row in rows)
    assert flow.containers.running() == sorted(f"paas-instance-{row.id}" for row in rows)
    for release in flow.rt.store.releases(app.id):
        assert release.state in (ReleaseState.LIVE, ReleaseState.RETIRED, ReleaseState.FAILED)
        if release.state == ReleaseState.FAILED:
            assert release.failure
    for build in flow.rt.store.builds(app.id):
        assert build.state in (BuildState.BUILT, BuildState.FAILED)
    if live.version == 1:
        assert live == first


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_error_at_any_call(points, tmp_path, after):
    """The call fails; or it did its work and the answer got lost."""
    assert len(points) > 15
    for number, (name, nth) in enumerate(points):
        flow = make_flow(tmp_path / str(number))
        flow.deploy("one")
        first = flow.rt.store.live_release(flow.app().id)
        commit = flow.commit({"index.html": b"two"})
        flow.faults.clear()
        flow.faults.fail_on(name, nth, ERRORS[name.partition(".")[0]], after=after)
        code = flow.push(commit)
        flow.settle()
        went_live = flow.rt.store.live_release(flow.app().id).version == 2
        assert (code == 0) == went_live, (name, nth, flow.lines.text)
        flow.faults.clear()
        flow.clock.sleep(10_000)         # past every drain limit
        reconcile(flow.rt)
        check_invariants(flow, first)
        assert flow.push(flow.commit({"index.html": b"three"})) == 0, (name, nth, flow.lines.text)
        flow.settle()


def test_without_reconcile_a_failed_deploy_leaves_the_old_release_routed(points, tmp_path):
    for number, (name, nth) in enumerate(points):
        flow = make_flow(tmp_path / str(number))
        flow.deploy("one")
        before = flow.router.pointed(flow.app().id)
        flow.faults.clear()
        flow.faults.fail_on(name, nth, ERRORS[name.partition(".")[0]])
        code = flow.push(flow.commit({"index.html": b"two"}))
        if code and not (name == "router.point" and nth > 1):
            assert flow.router.pointed(flow.app().id) == before, (name, nth)
        flow.settle()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_the_daemon_dies_at_any_call_and_reconcile_mends_it(points, tmp_path, after):
    for number, (name, nth) in enumerate(points):
        flow = make_flow(tmp_path / str(number))
        flow.deploy("one")
        first = flow.rt.store.live_release(flow.app().id)
        commit = flow.commit({"index.html": b"two"})
        flow.faults.clear()
        crash = Crash(name)
        flow.faults.fail_on(name, nth, crash, after=after)
        die(flow, commit)
        flow.faults.clear()
        reborn = flow.restarted()
        reborn.clock.sleep(10_000)
        reconcile(reborn.rt)
        check_invariants(reborn, first)
        assert reconcile(reborn.rt) == [], (name, nth)


def die(flow, commit):
    """Push, with undo forbidden: a process that is dead undoes nothing."""
    flow.dead_after_crash()
    with contextlib.suppress(Crash):
        flow.push(commit)
    flow.settle()


def behind(monkeypatch, owner, name: str, error: BaseException) -> None:
    """The method does its work, then its answer is lost."""
    method = getattr(owner, name)

    def call(*args, **kwargs):
        method(*args, **kwargs)
        monkeypatch.setattr(owner, name, method)
        raise error

    monkeypatch.setattr(owner, name, call)


def test_a_commit_whose_answer_is_lost_is_one(tmp_path, monkeypatch):
    """The database has committed: the push is accepted, and the proxy is not turned back."""
    flow = make_flow(tmp_path)
    first = flow.deploy("one") and flow.router.pointed(flow.app().id)
    behind(monkeypatch, flow.rt.store, "commit_live", OSError(5, "Input/output error"))
    flow.deploy("two")
    assert flow.router.pointed(flow.app().id) != first
    check_invariants(flow, None)
    assert reconcile(flow.rt) == []


def test_a_commit_that_fails_is_none(tmp_path, monkeypatch):
    flow = make_flow(tmp_path)
    flow.deploy("one")
    first = flow.router.pointed(flow.app().id)

    def fails(*args, **kwargs):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(flow.rt.store, "commit_live", fails)
    with pytest.raises(OSError, match="Input/output"):
        flow.push(flow.commit({"index.html": b"two"}))
    flow.settle()
    assert flow.router.pointed(flow.app().id) == first
    check_invariants(flow, flow.rt.store.live_release(flow.app().id))


def test_an_unforeseen_error_behind_the_switch_changes_no_verdict(tmp_path, monkeypatch):
    flow = make_flow(tmp_path)
    flow.deploy("one")
    behind(monkeypatch, flow.rt.store, "record_timings", OSError(28, "No space left on device"))
    flow.deploy("two")
    check_invariants(flow, None)
    assert reconcile(flow.rt) == []


def test_a_branch_that_cannot_be_moved_is_reconciles(tmp_path, monkeypatch):
    """Nobody moves it any more, so nothing keeps reconcile, or the next push, from going by what is there."""
    flow = make_flow(tmp_path)
    flow.deploy("one")
    behind(monkeypatch, flow.repos, "set_ref", OSError(5, "Input/output error"))
    commit = flow.deploy("two")
    assert flow.rt.jobs.accepted == {}
    monkeypatch.undo()
    flow.repos.set_ref(flow.app().id, "main", flow.rt.store.releases(flow.app().id)[-1].commit)
    assert [one.kind for one in reconcile(flow.rt)] == ["ref-wrong"]
    assert flow.repos.ref(flow.app().id, "main") == commit
