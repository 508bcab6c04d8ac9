"""A fault at every adapter call of a scheduled run: one record, with an end; nothing is left over; the next one runs.

The calls are read off one run without faults, so a new call is covered the day it is written.
"""

import contextlib
from dataclasses import replace

import pytest

from paas.errors import EngineError
from paas.ops import cron_due
from paas.ops.cron_attended import AttendedRuns
from paas.ops.reconcile import reconcile
from paas.testing.fake_containers import Behaviour
from paas.testing.faults import Crash
from tests.flow.cron_world import CRON, EVERY_MINUTE, SUCCEEDED, dues, failures, history, pass_time, push
from tests.flow.over_fakes import make_flow

CONTAINER_CALLS = ("containers.create", "containers.start", "containers.logs", "containers.remove")


def deployed(tmp_path):
    """An app with one job; its containers keep the count of what ran."""
    flow = make_flow(tmp_path)
    flow.containers.behave(CRON, Behaviour(exits=0, logs=["worked"]))
    cron_due.tick(flow.rt)
    assert push(flow, EVERY_MINUTE) == 0
    flow.faults.clear()
    return flow


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    flow = deployed(tmp_path_factory.mktemp("calls"))
    pass_time(flow)
    found = flow.faults.points()
    assert set(CONTAINER_CALLS) <= {name for name, _ in found}
    return found



def watch_starts(flow):
    flow.started, start = [], flow.containers.start

    def started(container_id):
        before = flow.containers.state(container_id).started_at
        try:
            start(container_id)
        finally:
            found = flow.containers.state(container_id)
            if found.labels["paas.kind"] == "cron" and found.started_at != before:
                flow.started.append("started")

    flow.containers.start = started


def check(flow, point):
    """One run for the minute, over, its job started once at the most; no container; the next minute's run succeeds."""
    flow.faults.clear()
    cron_due.tick(flow.rt)
    reconcile(flow.rt)
    assert dues(flow) == ["00:01"], point
    (run,) = history(flow)
    assert run.finished_at is not None, point
    assert bool(run.reason) == (run.state != SUCCEEDED) == bool(failures(flow)), (point, run)
    assert flow.containers.list({"paas.kind": "cron"}) == [], point
    assert reconcile(flow.rt) == [], point
    pass_time(flow)
    assert [one.due_at.minute for one in history(flow)] == [1, 2], point
    assert history(flow)[1].state == SUCCEEDED, point


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_error_at_any_call(points, tmp_path, after):
    for number, (name, nth) in enumerate(points):
        flow = deployed(tmp_path / str(number))
        flow.faults.fail_on(name, nth, EngineError("Docker is gone"), after=after)
        pass_time(flow)
        assert flow.faults.pending == [], (name, nth)
        check(flow, (name, nth))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_daemon_that_dies_at_any_call(points, tmp_path, after):
    """The next one ends what was begun; a job that had started is not started again."""
    for number, (name, nth) in enumerate(points):
        flow = deployed(tmp_path / str(number))
        watch_starts(flow)
        flow.faults.clear()
        flow.dead_after_crash()
        flow.faults.fail_on(name, nth, Crash(name), after=after)
        with contextlib.suppress(Crash):
            pass_time(flow)
        assert flow.crash, (name, nth)
        reborn = flow.restarted()
        reborn = replace(reborn, rt=replace(reborn.rt, cron=AttendedRuns()))
        cron_due.tick(reborn.rt)
        assert len(flow.started) == 1, (name, nth)
        check(reborn, (name, nth))
