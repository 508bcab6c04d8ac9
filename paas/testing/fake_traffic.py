"""A fake of :class:`paas.ports_watch.TrafficCounters`: requests are told to it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

from paas.errors import ProxyError
from paas.model.traffic import BOUNDS, CLASSES, Traffic
from paas.testing.faults import Faults, faulty


def single(status: int, seconds: float) -> Traffic:
    """One request."""
    statuses = tuple(int(status // 100 == kind) for kind in range(1, CLASSES + 1))
    durations = tuple(int(status != 101 and bisect_left(BOUNDS, seconds) == kind) for kind in range(len(BOUNDS) + 1))
    return Traffic(statuses, durations)


class FakeTraffic:
    """``request`` is a visitor's; ``up = False``: nothing can be read; ``restarted()``: what a later process has.

    :param hosts: the proxy's sites; None: every host is one.
    """

    def __init__(self, faults: Faults | None = None, hosts: Iterable[str] | None = None) -> None:
        self.faults = faults or Faults()
        self.hosts = None if hosts is None else set(hosts)
        self.up = True
        self._asked: list[tuple[str, Traffic]] = []
        self._begin = self._read = self._settled = 0

    def request(self, host: str, status: int = 200, seconds: float = 0.003, times: int = 1) -> None:
        self._asked += [(host.lower(), single(status, seconds))] * times

    def restarted(self) -> FakeTraffic:
        later = FakeTraffic(self.faults, self.hosts)
        later._asked, later._begin, later._settled = self._asked, self._settled, self._settled
        return later

    @faulty("traffic.read")
    def read(self) -> Mapping[str, Traffic]:
        if not self.up:
            raise ProxyError("what the proxy counted cannot be read", "Look at: paas doctor.")
        self._read = len(self._asked)
        found: dict[str, Traffic] = {}
        for host, traffic in self._asked[self._begin:self._read]:
            site = self._site(host)
            if site:
                found[site] = found.get(site, Traffic()) + traffic
        return found

    @faulty("traffic.settle")
    def settle(self) -> None:
        self._settled = self._read

    def _site(self, host: str) -> str:
        names = (host, "*." + host.partition(".")[2])
        return host if self.hosts is None else next((name for name in names if name in self.hosts), "")
