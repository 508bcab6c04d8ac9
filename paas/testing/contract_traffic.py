"""What every `TrafficCounters` must do. Subclass, and give a `world` fixture with the members of :class:`World`."""

from typing import Protocol

import pytest

from paas.errors import ProxyError
from paas.model.traffic import Traffic
from paas.ports_watch import TrafficCounters

SITES = ("one.test", "www.one.test", "*.two.test", "exact.two.test")


class World(Protocol):
    counters: TrafficCounters            # of a proxy with SITES, which has served nobody yet

    def visit(self, host: str, status: int = 200, times: int = 1) -> None:
        """As clients from outside; each is counted when it returns."""

    def platform_asks(self, host: str) -> None:
        """By `Router.ask`."""

    def restart_proxy(self) -> None: ...

    def later(self) -> TrafficCounters:
        """As a daemon that was started anew has it."""

    def break_off(self) -> None:
        """Nothing can be read from now on."""


class TrafficContract:
    def test_nothing_yet(self, world: World) -> None:
        assert world.counters.read() == {}

    def test_hosts_and_statuses_are_counted(self, world: World) -> None:
        for status, times in ((200, 7), (204, 1), (302, 2), (404, 3), (500, 4), (503, 1)):
            world.visit("one.test", status, times)
        world.visit("www.one.test", times=5)
        found = world.counters.read()
        assert set(found) == {"one.test", "www.one.test"}
        assert found["one.test"].statuses == (0, 8, 2, 3, 5)
        assert found["one.test"].requests == sum(found["one.test"].durations) == 18
        assert found["www.one.test"].statuses == (0, 5, 0, 0, 0)
        world.visit("one.test")
        assert world.counters.read()["one.test"].since(found["one.test"]).statuses == (0, 1, 0, 0, 0)
        assert world.counters.read()["www.one.test"] == found["www.one.test"]

    def test_a_host_is_as_its_site_has_it(self, world: World) -> None:
        for host in ("ONE.test", "one.test:8080"):
            world.visit(host)
        for host in ("a.two.test", "b.two.test", "exact.two.test"):
            world.visit(host)
        assert {host: one.requests for host, one in world.counters.read().items()} == {
            "one.test": 2, "*.two.test": 2, "exact.two.test": 1}

    def test_hosts_of_nobody_take_no_room(self, world: World) -> None:
        for number in range(20):
            world.visit(f"host-{number}.evil.test", 404)
        world.visit("one.test")
        assert set(world.counters.read()) == {"one.test"}

    def test_the_platforms_own_requests_are_not_counted(self, world: World) -> None:
        world.platform_asks("one.test")
        world.visit("www.one.test")
        assert set(world.counters.read()) == {"www.one.test"}

    def test_a_restart_of_the_proxy_loses_none(self, world: World) -> None:
        world.visit("one.test", times=3)
        before = world.counters.read()
        world.visit("one.test", times=2)
        world.restart_proxy()
        world.visit("one.test", times=4)
        assert world.counters.read()["one.test"].since(before["one.test"]).requests == 6

    def test_a_later_process_counts_what_was_not_settled(self, world: World) -> None:
        world.visit("one.test", times=3)
        world.counters.read()
        assert world.later().read()["one.test"].requests == 3
        world.counters.settle()
        world.visit("one.test", times=2)
        assert world.later().read()["one.test"].requests == 2
        assert world.counters.read()["one.test"].requests == 5

    def test_what_cannot_be_read_is_an_error(self, world: World) -> None:
        world.visit("one.test")
        assert world.counters.read()["one.test"] != Traffic()
        world.break_off()
        with pytest.raises(ProxyError):
            world.counters.read()
