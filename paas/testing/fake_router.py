"""A fake of :class:`paas.ports.Router`: the same answers, from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from paas.errors import BadInput, ProxyError
from paas.model import names
from paas.model.ports import clash
from paas.ports import Page, ProxyAnswer, ProxyOptions, Site
from paas.testing.faults import Faults, faulty

SLOTS = 12


def always_ok(target: str, host: str, path: str) -> ProxyAnswer:
    return ProxyAnswer(200, target)


class FakeRouter:
    """``refuse(app_id, reason)`` quarantines a site, as if the proxy itself did not take it; ``serving`` holds requests
    in flight per target; ``held`` certificates; ``up = False`` makes it dead.

    ``waker(host, path)`` says where a request to an app that sleeps goes: a target, or a status; None: nobody answers.

    *answers* decides what a target says (it may raise ConnectionError: that instance is down).
    """

    def __init__(self, faults: Faults | None = None,
                 answers: Callable[[str, str, str], ProxyAnswer] = always_ok) -> None:
        self.faults = faults or Faults()
        self.answers = answers
        self.refusing: dict[int, str] = {}
        self.taken_ports: set[int] = set()               # that another program listens on
        self.up = True
        self.loads = 0
        self.waker: Callable[[str, str], str | int] | None = None
        self.serving: dict[str, int] = {}
        self.held: dict[str, datetime] = {}
        self._loaded: tuple[tuple[Site, ...], ProxyOptions] | None = None
        self._targets: dict[int, tuple[str, ...] | Page] = {}
        self._asked = 0

    def refuse(self, app_id: int, reason: str) -> None:
        self.refusing[app_id] = reason

    @property
    def options(self) -> ProxyOptions | None:
        """Of the newest load."""
        return self._loaded[1] if self._loaded else None

    @faulty("router.apply")
    def apply(self, sites: Sequence[Site], options: ProxyOptions) -> dict[int, str]:
        self.must_run()
        good, refused = self.sift(sites)
        if self._loaded != (good, options):
            self._loaded = (good, options)
            self.loads += 1
        for site in good:
            self._targets.setdefault(site.app_id, Page.NO_RELEASE)
        return refused

    def current(self, sites: Sequence[Site], options: ProxyOptions) -> bool:
        self.must_run()
        return self._loaded == (self.sift(sites)[0], options)

    def refused(self, sites: Sequence[Site]) -> dict[int, str]:
        return self.sift(sites)[1]

    def taken(self, numbers: Iterable[int]) -> frozenset[int]:
        self.must_run()
        return frozenset(self.taken_ports & set(numbers))

    @faulty("router.point")
    def point(self, app_id: int, targets: Sequence[str] | Page) -> None:
        if not targets:
            raise ProxyError("no target for the proxy")
        self._targets[app_id] = targets if isinstance(targets, Page) else tuple(dict.fromkeys(targets))[:SLOTS]

    @faulty("router.pointed")
    def pointed(self, app_id: int) -> tuple[str, ...] | Page | None:
        return self._targets.get(app_id)

    @faulty("router.forget")
    def forget(self, app_id: int) -> None:
        self._targets.pop(app_id, None)

    def known(self) -> list[int]:
        return sorted(self._targets)

    @faulty("router.ask")
    def ask(self, host: str, path: str, timeout: float) -> ProxyAnswer:
        self.must_run()
        targets = self._targets.get(self.owner(host) or 0)
        if targets is None:
            return ProxyAnswer(404, "")
        if targets is Page.ASLEEP and self.waker:
            said = self.waker(host, path)
            return self.answers(said, host, path) if isinstance(said, str) else ProxyAnswer(said, "")
        if isinstance(targets, Page):
            return ProxyAnswer(503, "")
        for _ in targets:
            target = targets[self._asked % len(targets)]
            self._asked += 1
            try:
                return self.answers(target, host, path)
            except ConnectionError:
                continue
        return ProxyAnswer(502, "")

    @faulty("router.in_flight")
    def in_flight(self) -> dict[str, int]:
        self.must_run()
        return {target: count for target, count in self.serving.items() if count}

    @faulty("router.certificates")
    def certificates(self) -> dict[str, datetime]:
        return dict(self.held)

    def healthy(self) -> bool:
        return self.up

    def visit(self, number: int, host: str) -> ProxyAnswer | None:
        """What a client of a further public port gets; None: nobody of the platform listens there."""
        loaded = self._loaded[0] if self._loaded else ()
        if all(port.number != number for site in loaded for port in site.ports):
            return None
        owner = self.owner(host)
        site = next((one for one in loaded if one.app_id == owner), None)
        container = next((port.container for port in site.ports if port.number == number), None) if site else None
        targets = self._targets.get(owner or 0)
        if container is None or targets is None or isinstance(targets, Page):
            return ProxyAnswer(404 if container is None else 503, "")
        address, _, main = targets[0].partition(":")
        return self.answers(f"{address}:{container or main}", host, "/")

    # Private

    def must_run(self) -> None:
        if not self.up:
            raise ProxyError("the proxy does not answer", "Is it running? Look at: paas doctor.")

    def owner(self, host: str) -> int | None:
        name = host.lower()
        for wanted in (name, "*." + name.partition(".")[2]):
            for site in self._loaded[0] if self._loaded else ():
                if wanted in site.hosts:
                    return site.app_id
        return None

    def sift(self, sites: Sequence[Site]) -> tuple[tuple[Site, ...], dict[int, str]]:
        good, refused, taken, schemes = [], {}, set(), {}
        for site in sites:
            reason = self.refusing.get(site.app_id) or self.fault(site, taken) or clash(site.ports, schemes)
            if reason:
                refused[site.app_id] = reason
            else:
                ports = tuple(one for one in site.ports if one.number not in self.taken_ports)
                good.append(replace(site, ports=ports))
                taken |= set(site.hosts)
        return tuple(good), refused

    @staticmethod
    def fault(site: Site, taken: set[str]) -> str:
        try:
            doubled = [host for host in site.hosts if names.domain(host) in taken]
        except BadInput as error:
            return error.what
        if site.certificate and ("BEGIN CERTIFICATE" not in site.certificate or not site.key):
            return "the certificate is not readable"
        return f"{doubled[0]} belongs to another app already" if doubled else ""
