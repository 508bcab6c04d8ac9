"""What a switch did to visitors, measured in each deploy: somebody asks the app through the proxy all the time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from paas.deploy.drain import still_busy
from paas.deploy.work import Work
from paas.errors import PaasError
from paas.model.release import Instance
from paas.ops import routes
from paas.ports import Page

PAUSE = 0.01                             # seconds between an answer and the next request
MOST = 500                               # requests of one deploy
ASK_SECONDS = 10.0                       # that one request may take
DRAIN_SECONDS = 1.0                      # that a deploy waits for the requests of the old instances before its verdict
SHOWN = 3                                # failures that are told


@dataclass
class Probes:
    """Requests one after another, in a thread, from just before the proxy turns until :meth:`finish`.

    An answer of 5xx counts where a new instance gave it; one of an old instance is no fault of the switch.
    """

    work: Work
    host: str
    path: str
    new: Sequence[str]                   # targets
    asked: int = 0
    slowest: float = 0.0                 # seconds
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.over.is_set() and self.asked < MOST:
            self.ask()
            self.over.wait(PAUSE)
        self.ended.set()

    def finish(self) -> None:
        """No more requests; one that is under way is waited for, a moment."""
        self.over.set()
        self.ended.wait(DRAIN_SECONDS)

    def ask(self) -> None:
        clock = self.work.rt.clock
        begun = clock.monotonic()
        failure = self.failure()
        took = clock.monotonic() - begun
        self.asked, self.slowest = self.asked + 1, max(self.slowest, took)
        if failure:
            self.failures.append(f"GET {self.path} at the switch: {failure} after {1000 * took:.0f} ms")

    def failure(self) -> str:
        try:
            answer = self.work.rt.router.ask(self.host, self.path, ASK_SECONDS)
        except PaasError as error:
            return error.what
        bad = not answer.upstream or (answer.status >= 500 and answer.upstream in self.new)
        return f"status {answer.status}" if bad else ""


def begin(work: Work, before: Sequence[str] | Page | None, targets: Sequence[str] | Page, path: str) -> Probes | None:
    """None: nobody can visit the app, before the switch or after it."""
    host = routes.visible_host(work.rt, work.app)
    if work.rt.beside is None or not host or not isinstance(before, tuple) or not isinstance(targets, tuple):
        return None
    probes = Probes(work, host, path, targets)
    work.rt.beside(probes.run)
    return probes


def settle(work: Work, probes: Probes | None, old: Sequence[Instance]) -> None:
    """The old instances get a moment to finish their requests; then how it went is told in one line.

    Like ``0 of 12 requests failed, slowest 4 ms, drained 1 in 0.1 s``.
    """
    if not old and not probes:
        return
    clock = work.rt.clock
    begun = clock.monotonic()
    with work.timed("drain"):
        busy = still_busy(work, old, DRAIN_SECONDS)
        took = clock.monotonic() - begun
        if probes:
            probes.finish()
    told = [*asked(probes), *drained(old, busy, took)]
    if told:
        work.out.stage(f"Switched: {', '.join(told)}")
    for failure in probes.failures[:SHOWN] if probes else ():
        work.out.warn(failure)


def asked(probes: Probes | None) -> list[str]:
    if not probes or not probes.asked:
        return []
    return [f"{len(probes.failures)} of {probes.asked} requests failed, slowest {1000 * probes.slowest:.0f} ms"]


def drained(old: Sequence[Instance], busy: int, took: float) -> list[str]:
    web = sum(1 for row in old if row.process_type == "web" and row.port)
    return ([f"drained {web - busy} in {took:.1f} s"] if web > busy else []) + ([f"draining {busy}"] if busy else [])
