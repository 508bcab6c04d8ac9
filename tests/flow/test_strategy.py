"""How old instances give way: start-first, rolling, stop-first, and what memory allows; over fakes."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace

import pytest

from paas.errors import BadInput, EngineError
from paas.model.release import InstanceState
from paas.ops import ps, strategies
from paas.ops.reconcile import reconcile
from paas.ports import Page
from paas.testing.faults import Crash
from tests.flow.over_fakes import ALICE

PROCFILE = b"web: serve\nbeat: tick\n"


class Timeline(list):
    """Starts and stops of instances and turns of the proxy, in order."""

    def __init__(self, flow) -> None:
        self.flow, self.most = flow, {}
        containers, router = flow.containers, flow.router
        start, stop, point = containers.start, containers.stop, router.point
        containers.start = lambda one: (start(one), self.note("start", one))[0]
        containers.stop = lambda one, seconds: (self.note("stop", one), stop(one, seconds))[1]
        router.point = lambda app, targets: (point(app, targets), self.append(
            targets if isinstance(targets, Page) else f"point {len(targets)}"))[0]

    def note(self, verb: str, container: str) -> None:
        state = self.flow.containers.state(container)
        kind = state.labels["paas.process"]
        self.append(f"{verb} {kind} v{state.labels['paas.release']}")
        there = len(self.flow.containers.list({"paas.process": kind}))
        up = [one for one in self.flow.containers.list({"paas.process": kind}) if one.running]
        self.most[kind] = max(self.most.get(kind, 0), len(up))
        assert there >= len(up)


@pytest.fixture
def app(flow):
    """hello v1 with web=3, beat=1."""
    push(flow)
    ps.scale(flow.rt, flow.app(), ALICE, {"web": 3, "beat": 1}, flow.lines.append)
    flow.settle()
    return flow


def push(flow) -> int:
    code = flow.push(flow.commit({"Procfile": PROCFILE, "x": str(len(flow.lines)).encode()}))
    flow.settle()
    return code


def choose(flow, **wanted) -> None:
    assert strategies.set_strategies(flow.rt, flow.app(), wanted)


def serving(flow) -> list[str]:
    return [f"{row.name} v{flow.rt.store.release_by_id(row.release_id).version}"
            for row in flow.rt.store.instances(flow.app().id) if row.state == InstanceState.HEALTHY]


def memory(flow, free: int) -> None:
    class Host:
        def memory(self) -> int:
            return free
    flow.rt = replace(flow.rt, host=Host())


def test_start_first_runs_both_until_the_switch(app):
    seen = Timeline(app)
    assert push(app) == 0, app.lines.text
    assert (seen.most["web"], seen.most["beat"]) == (6, 2)
    assert seen.index("stop web v2") > max(at for at, what in enumerate(seen) if what.startswith("start"))


def test_rolling_has_one_more_at_most_and_always_enough_that_serve(app):
    choose(app, web="rolling")
    push(app)
    seen = Timeline(app)
    assert push(app) == 0, app.lines.text
    assert seen.most["web"] == 4
    turns = [what for what in seen if str(what).startswith("point") and "web" not in what]
    assert set(turns) == {"point 3"}
    assert serving(app) == ["beat.1 v4", "web.1 v4", "web.2 v4", "web.3 v4"]
    assert len(app.containers.list({"paas.process": "web"})) == 3


def test_stop_first_never_overlaps(app):
    choose(app, beat="stop-first")
    push(app)
    seen = Timeline(app)
    assert push(app) == 0, app.lines.text
    assert seen.most["beat"] == 1
    assert seen.index("stop beat v3") < seen.index("start beat v4")
    assert max(at for at, what in enumerate(seen) if what == "start web v4") < seen.index("stop beat v3")


def test_stop_first_of_web_holds_requests(app):
    choose(app, web="stop-first")
    push(app)
    seen = Timeline(app)
    assert push(app) == 0, app.lines.text
    assert seen.most["web"] == 3
    assert seen.index(Page.PARK) < seen.index("stop web v3") < seen.index("start web v4") < seen.index("point 3")


@pytest.mark.parametrize(("kind", "strategy", "start"), [
    ("web", "rolling", 3), ("web", "stop-first", 3), ("beat", "stop-first", 4)])
def test_a_deploy_that_fails_brings_the_old_ones_back(app, kind, strategy, start):
    """The start that fails comes when old instances have stepped down."""
    choose(app, **{kind: strategy})
    push(app)
    before = serving(app), app.router.pointed(1)
    app.faults.fail_on("containers.start", start, EngineError("no"))
    assert push(app) != 0
    assert (serving(app), app.router.pointed(1)) == before
    up = [one.labels["paas.release"] for one in app.containers.list({"paas.app": "1"}) if one.running]
    assert up == ["3"] * 4
    assert "Starting the old" in app.lines.text
    assert reconcile(app.rt) == []


@pytest.mark.parametrize("strategy", ["rolling", "stop-first"])
def test_a_crash_in_the_middle_is_repaired(app, strategy):
    choose(app, web=strategy)
    push(app)
    before = serving(app)
    app.dead_after_crash()
    app.faults.fail_on("containers.stop", 2, after=True)
    with contextlib.suppress(Crash):
        push(app)
    assert app.crash
    again = app.restarted()
    reconcile(again.rt)
    assert reconcile(again.rt) == []
    assert serving(again) == before
    assert {one.running for one in again.containers.list({"paas.app": "1"})} == {True}


def test_short_of_memory_it_rolls_and_says_so(app):
    memory(app, 64 * 1024**2 + 120_000_000)      # an instance uses 50 MB in the fake: 4 do not fit beside the old ones
    seen = Timeline(app)
    assert push(app) == 0, app.lines.text
    assert "web: one at a time" in app.lines.text
    assert (seen.most["web"], seen.most["beat"]) == (4, 2)


def test_shorter_still_a_lone_worker_stops_first_and_web_never(app):
    ps.scale(app.rt, app.app(), ALICE, {"web": 1}, app.lines.append)
    app.settle()
    memory(app, 64 * 1024**2 + 60_000_000)
    seen = Timeline(app)
    assert push(app) == 0, app.lines.text
    assert "beat: stopped before it starts anew" in app.lines.text
    assert (seen.most["web"], seen.most["beat"]) == (2, 1)


def test_old_instances_stop_at_the_same_time(app):
    """The barrier breaks unless all four are being stopped at once."""
    together, stop = threading.Barrier(4, timeout=10), app.containers.stop
    app.containers.stop = lambda *words: (together.wait(), stop(*words))
    assert push(app) == 0
    assert not together.broken
    assert serving(app) == ["beat.1 v3", "web.1 v3", "web.2 v3", "web.3 v3"]


def test_a_strategy_that_was_chosen_stays(app):
    choose(app, web="start-first")
    push(app)
    memory(app, 0)
    seen = Timeline(app)
    assert push(app) == 0, app.lines.text
    assert seen.most["web"] == 6


def test_what_is_reserved_counts_not_what_is_used(app):
    app.rt.store.set_limit(app.app().id, "web", "reserve", "10m")
    app.rt.store.set_limit(app.app().id, "beat", "reserve", "10m")
    memory(app, 64 * 1024**2 + 50 * 1024**2)
    seen = Timeline(app)
    assert push(app) == 0
    assert seen.most["web"] == 6


@pytest.mark.parametrize("words", [["web"], ["web=often"], ["Web=rolling"], ["web=rolling", "web=default"]])
def test_what_is_no_strategy(words):
    with pytest.raises(BadInput):
        strategies.parse(words)


def test_an_unknown_process_type(app):
    with pytest.raises(BadInput, match="no process type 'clock'"):
        strategies.set_strategies(app.rt, app.app(), {"clock": "rolling"})
