"""The platform over fakes, for each test anew."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from paas.ops import autosleep, cron_due, idle
from paas.testing.fake_containers import Behaviour
from paas.testing.fake_traffic import FakeTraffic
from tests.flow import cron_world, watch_world
from tests.flow.over_fakes import Flow, make_flow


@pytest.fixture
def flow(tmp_path) -> Flow:
    return make_flow(tmp_path)


@pytest.fixture
def begun(flow) -> Flow:
    """Scheduled jobs succeed at once; the first tick is behind: what is due is decided from 00:00 on."""
    flow.containers.behave(cron_world.CRON, Behaviour(exits=0, logs=["worked", "!and complained"]))
    cron_due.tick(flow.rt)
    return flow


@pytest.fixture
def threaded(flow) -> Iterator[Flow]:
    """Scheduled jobs run until they are stopped, each in a thread; the first tick is behind."""
    flow.containers.behave(cron_world.CRON, Behaviour(logs=["began"]))
    made = replace(flow, rt=replace(flow.rt, spawn=cron_world.Threads()))
    cron_due.tick(made.rt)
    yield made
    for container in made.containers.list({"paas.kind": "cron"}):
        made.containers.crash(container.id, 0)
    made.rt.spawn.settle()


@pytest.fixture
def awake(flow):
    """hello, v1, that may sleep after 15 minutes; the first look is behind."""
    made = replace(flow, rt=replace(flow.rt, traffic=FakeTraffic()))
    made.deploy()
    autosleep.set_after(made.rt, made.app(), 900)
    made.idle = idle.Idle()
    made.idle.tick(made.rt)
    made.faults.clear()
    return made


@pytest.fixture
def watched(flow):
    """Two deploys; the second is being watched."""
    flow.rt.store.set_setting("watch-seconds", None)
    flow.containers.now = flow.clock.now
    made = replace(flow, rt=replace(flow.rt, host=watch_world.Host(watch_world.PLENTY), traffic=watch_world.Counters()))
    watch_world.deploy(made)
    watch_world.deploy(made)
    return made
