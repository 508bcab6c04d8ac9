"""What apps do and use: sampled, stored by the minute, shown; over fakes, by a clock that the test moves."""

from dataclasses import replace
from datetime import timedelta

import pytest

from paas.errors import EngineError, NoSpace
from paas.model.usage import MINUTE, QUARTER
from paas.ops import apps, metrics, ps
from paas.ops.metering import WAITING, Metering
from paas.ports_watch import Load
from paas.testing.fake_loads import FakeLoads
from paas.testing.fake_traffic import FakeTraffic
from tests.flow.over_fakes import ALICE

HOUR = timedelta(hours=1)
HOST = "hello.apps.example.com"


@pytest.fixture
def metered(flow):
    flow.traffic, flow.loads = FakeTraffic(flow.faults), FakeLoads(flow.faults)
    flow.rt = replace(flow.rt, traffic=flow.traffic, loads=flow.loads)
    flow.deploy()
    flow.clock.passed = 600.0            # a full minute
    flow.load = lambda **given: flow.loads.of.update(
        {one.container_id: Load(**given) for one in flow.rt.store.instances(flow.app().id)})
    return flow


def tick(flow, seconds: float = 0.0) -> None:
    flow.clock.passed += seconds
    flow.rt.metering.tick(flow.rt)


def shown(flow, span: timedelta = HOUR) -> dict:
    return metrics.report(flow.rt, flow.app(), span)


def test_requests_are_shown_at_once(metered):
    tick(metered)
    metered.traffic.request(HOST, 200, times=7)
    metered.traffic.request(HOST, 404, 0.2, times=2)
    metered.traffic.request(HOST, 500, 3.0)
    found = shown(metered)
    assert [found[name] for name in ("requests", "2xx", "3xx", "4xx", "5xx")] == [10, 7, 0, 2, 1]
    assert 0 < found["p50_ms"] <= 5
    assert 100 < found["p95_ms"] <= 5000
    assert 2500 < found["p99_ms"] <= 5000
    assert found["per_second"] == round(10 / 3600, 2)


def test_hosts_that_the_proxy_has_no_more_are_not_remembered(metered):
    metered.traffic.request(HOST, 200)
    metered.traffic.request("preview-1.apps.example.com", 200)
    tick(metered)
    assert len(metered.rt.metering._hosts) == 2
    metered.traffic.hosts = {HOST}
    metered.traffic.request(HOST, 200)
    tick(metered)
    assert (list(metered.rt.metering._hosts), shown(metered)["requests"]) == ([HOST], 2)


def test_an_app_without_requests_has_no_times(metered):
    tick(metered)
    assert (shown(metered)["requests"], shown(metered)["p95_ms"]) == (0, None)


def test_each_app_has_its_own_and_nobodys_hosts_none(metered):
    other = apps.create(metered.rt, ALICE, "other")
    tick(metered)
    for host, times in ((HOST, 3), ("other.apps.example.com", 5), ("nobody.test", 7)):
        metered.traffic.request(host, times=times)
    assert {row["app"]: row["requests"] for row in metrics.overview(metered.rt, HOUR)} == {"hello": 3, "other": 5}
    assert metrics.report(metered.rt, other, HOUR)["requests"] == 5


def test_every_minute_is_stored_and_none_twice(metered):
    app = metered.app()
    for _ in range(20):                  # 200 s
        metered.traffic.request(HOST)
        tick(metered, 10)
    minutes = metered.rt.store.usage(app.id, MINUTE, metered.rt.clock.now() - HOUR)
    assert [one.usage.traffic.requests for one in minutes] == [5, 6, 6]
    [quarter] = metered.rt.store.usage(app.id, QUARTER, metered.rt.clock.now() - HOUR)
    assert quarter.usage.traffic.requests == 17
    assert shown(metered)["requests"] == 20


def test_a_later_daemon_loses_no_request_and_counts_none_twice(metered):
    for _ in range(9):
        metered.traffic.request(HOST)
        tick(metered, 10)
    metered.traffic.request(HOST)
    metered.rt = replace(metered.rt, traffic=metered.traffic.restarted(), metering=Metering())
    tick(metered)
    assert shown(metered)["requests"] == 10
    tick(metered, 60)
    assert shown(metered)["requests"] == 10


def test_old_requests_leave_the_span_and_the_database(metered):
    metered.traffic.request(HOST)
    tick(metered)
    tick(metered, 60)
    assert shown(metered, timedelta(minutes=5))["requests"] == 1
    tick(metered, 600)
    assert shown(metered, timedelta(minutes=5))["requests"] == 0
    tick(metered, 72 * 3600)
    assert metered.rt.store.usage(metered.app().id, MINUTE, metered.rt.clock.now() - 90 * 24 * HOUR) == []
    assert shown(metered, timedelta(days=30))["requests"] == 1
    tick(metered, 31 * 24 * 3600)
    assert metered.rt.store.usage(metered.app().id, QUARTER, metered.rt.clock.now() - 90 * 24 * HOUR) == []


def test_processor_memory_and_restarts(metered):
    metered.load(cpu=1000.0, memory=50, restarts=3)      # it ran before this daemon
    tick(metered)
    metered.load(cpu=1030.0, memory=80, restarts=3)
    tick(metered, 10)
    metered.load(cpu=2.0, memory=60, restarts=4)         # started anew
    tick(metered, 10)
    found = shown(metered)
    assert (found["cpu_seconds"], found["memory"], found["memory_highest"]) == (32.0, 60, 80)
    assert (found["restarts"], found["instances"]) == (1, 1)
    assert found["cpu_percent"] == round(32 / 36, 1)


def test_instances_add_up(metered):
    ps.scale(metered.rt, metered.app(), ALICE, {"web": 3}, metered.lines.append)
    metered.settle()
    tick(metered)
    metered.load(cpu=2.0, memory=10, restarts=1)
    tick(metered, 10)
    found = shown(metered)
    assert (found["instances"], found["memory"], found["memory_highest"]) == (3, 30, 30)
    assert (found["cpu_seconds"], found["restarts"]) == (6.0, 3)


def test_a_container_that_comes_later_counts_from_its_start(metered):
    tick(metered)
    metered.load(cpu=4.0, memory=10, restarts=2)
    tick(metered, 10)
    assert (shown(metered)["cpu_seconds"], shown(metered)["restarts"]) == (4.0, 2)
    metered.loads.of.clear()             # between two starts
    tick(metered, 10)
    assert (shown(metered)["instances"], shown(metered)["memory"]) == (0, 0)
    metered.load(cpu=1.0, memory=10, restarts=3)
    tick(metered, 10)
    assert (shown(metered)["cpu_seconds"], shown(metered)["restarts"]) == (5.0, 3)


@pytest.mark.parametrize("fault", ["traffic", "loads"])
def test_what_cannot_be_read_now_comes_later(metered, fault):
    tick(metered)
    metered.traffic.request(HOST)
    metered.load(cpu=2.0, memory=10, restarts=0)
    if fault == "traffic":
        metered.traffic.up = False
    else:
        metered.faults.fail_on("loads.read", error=EngineError("away"))
    tick(metered, 10)
    metered.traffic.up = True
    tick(metered, 10)
    assert (shown(metered)["requests"], shown(metered)["cpu_seconds"]) == (1, 2.0)


def test_a_full_disk_delays_what_is_stored(metered, monkeypatch):
    tick(metered)
    metered.traffic.request(HOST, times=4)
    tick(metered, 10)
    real = metered.rt.store.add_usage

    def full(used):
        raise NoSpace("the disk is full")

    monkeypatch.setattr(metered.rt.store, "add_usage", full)
    tick(metered, 60)
    assert shown(metered)["requests"] == 4
    later = replace(metered.rt, traffic=metered.traffic.restarted(), metering=Metering())
    later.metering.tick(later)
    assert metrics.report(later, metered.app(), HOUR)["requests"] == 4, "nothing was settled"
    monkeypatch.setattr(metered.rt.store, "add_usage", real)
    tick(metered, 60)
    assert metered.rt.store.usage(metered.app().id, MINUTE, metered.rt.clock.now() - HOUR) != []
    assert shown(metered)["requests"] == 4


def test_what_waits_is_bounded(metered, monkeypatch):
    monkeypatch.setattr("paas.ops.metering.WAITING", 3)
    monkeypatch.setattr(metered.rt.store, "add_usage", lambda used: (_ for _ in ()).throw(NoSpace("full")))
    for _ in range(8):
        metered.traffic.request(HOST)
        tick(metered, 60)
    assert WAITING > 3
    assert 3 <= shown(metered)["requests"] <= 4
