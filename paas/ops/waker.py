"""Requests to apps that sleep: who is to be woken, one start for all who wait, and what becomes of each.

The proxy asks here and holds the request meanwhile (``Page.ASLEEP``). However many ask for an app, and by whatever of
its names, one flight starts it and answers them all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

from paas.errors import Cancelled, PaasError
from paas.jobs import Job
from paas.model import app_settings, sleep
from paas.model.access import PLATFORM
from paas.model.app import App
from paas.model.incident import Kind
from paas.model.sleep import Call, Rules
from paas.ops import incidents, server_state
from paas.ops import sleep as sleeping
from paas.ports_sleep import Knock, Verdict
from paas.ports_source import Budgets

if TYPE_CHECKING:
    from paas.runtime import Runtime

WAITING_MOST = 1000                      # requests held for one app; those beyond get 503 with Retry-After
LOOKUPS = 4                              # hosts looked up at once
WAKES = 16                               # apps woken at once
LATER, NOT_FOUND = Verdict(status=503), Verdict(status=404)

log = logging.getLogger("paas.waker")
Tell = Callable[[Verdict], None]


@dataclass
class Flight:
    """One app on its way, and who waits for it: (host, tell)."""

    app: App
    judge: Callable[[str, str], Call]
    hosts: set[str] = field(default_factory=set)
    waiting: list[tuple[str, Tell]] = field(default_factory=list)
    job: Job = field(default_factory=lambda: Job(0, "wake"))


class Waker:
    """Thread-safe. :meth:`knock` is what :class:`paas.ports_sleep.Door` calls."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self.lock = threading.Lock()
        self.flights: dict[int, Flight] = {}
        self.asked: dict[str, list[tuple[Knock, Tell]]] = {}     # host that is being looked up → who waits for that
        self.failed: dict[int, tuple[int, float]] = {}           # app id → (failures in a row, not before: monotonic)
        self.php: dict[tuple[int, str], bool] = {}               # (app id, commit)
        self.lookups = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="waker-look")
        self.wakes = ThreadPoolExecutor(WAKES, thread_name_prefix="waker")

    def knock(self, knock: Knock, tell: Tell) -> None:
        """Never waits; *tell* is called once."""
        host = knock.host.lower().removesuffix(".")
        with self.lock:
            flight = next((one for one in self.flights.values() if host in one.hosts), None)
            if flight:
                self.join(flight, host, knock, tell)
                return
            if host in self.asked:
                self.asked[host].append((knock, tell))
                return
            self.asked[host] = [(knock, tell)]
        if not submitted(self.lookups, self.look_up, host):
            with self.lock:
                refused = self.asked.pop(host, [])
            for _, each in refused:
                each(LATER)

    def end(self) -> None:
        """The daemon stops: what is on its way is given up, and sleeps on."""
        with self.lock:
            for flight in self.flights.values():
                flight.job.cancel()
        for pool in (self.lookups, self.wakes):
            pool.shutdown(wait=False, cancel_futures=True)

    # Private: from a host to its app

    def look_up(self, host: str) -> None:
        found: Flight | Verdict = LATER
        try:
            found = self.find(host)
        except PaasError as error:
            log.warning("a request to an app that sleeps: %s", error.what)
        except Exception:
            log.exception("a request to an app that sleeps")
        with self.lock:
            for knock, tell in self.asked.pop(host, ()):
                if isinstance(found, Verdict):
                    tell(found)
                else:
                    self.join(found, host, knock, tell)

    def find(self, host: str) -> Flight | Verdict:
        """A flight of the host's app that has not begun, or what to say at once."""
        rt, owned = self.rt, self.owner(host)
        if server_state.under_way(rt):
            return LATER
        if owned is None:
            return NOT_FOUND
        app = rt.store.app_by_id(owned)
        if not app.asleep:
            targets = sleeping.wake(rt, app.id)
            return LATER if isinstance(targets, str) else Verdict(targets[hash(host) % len(targets)])
        with self.lock:
            paths = [knock.path for knock, _ in self.asked[host]]
        return Flight(app, self.rules(app, paths).judge())

    def owner(self, host: str) -> int | None:
        """An exact name before the wildcard above it, as in the proxy."""
        owners = {one.name: one.app_id for one in self.rt.store.domains()}
        return owners.get(host, owners.get("*." + host.partition(".")[2]))

    def rules(self, app: App, paths: Sequence[str]) -> Rules:
        """What an app in PHP may be asked for is a scan only of others; looked up where one of *paths* is such."""
        def value(key: str) -> str:
            return app_settings.value_of(app_settings.APP, app.settings, f"sleep.{key}")

        agents, own = sleep.words(value("ignore-agents")), value("ignore-paths")
        if own:
            return Rules(agents, sleep.words(own))
        php = Rules((), sleep.PHP_SCANS).judge()
        unlike = any(php(path, "") is Call.SCAN for path in paths) and not self.is_php(app)
        return Rules(agents, sleep.SCANS + sleep.PHP_SCANS if unlike else sleep.SCANS)

    def is_php(self, app: App) -> bool:
        """By what its source holds; of an image without a source nobody knows, so it may be."""
        live = self.rt.store.live_release(app.id)
        if not live or not live.commit:
            return True
        key = (app.id, live.commit)
        if key not in self.php:
            directory = app_settings.value_of(app_settings.APP, app.settings, "builder.build-dir")
            try:
                names = self.rt.repos.read(app.id, live.commit, None, Budgets(), directory=directory).names
            except PaasError:
                names = frozenset({"composer.json"})
            self.php[key] = any(name == "composer.json" or name.endswith(".php") for name in names)
        return self.php[key]

    # Private: flights. The caller of `join` has the lock.

    def join(self, flight: Flight, host: str, knock: Knock, tell: Tell) -> None:
        judged = flight.judge(knock.path, knock.agent)
        if judged is not Call.WAKE:
            tell(NOT_FOUND if judged is Call.SCAN else LATER)
            return
        flight = self.flights.get(flight.app.id, flight)
        _, not_before = self.failed.get(flight.app.id, (0, 0.0))
        if len(flight.waiting) >= WAITING_MOST or self.rt.clock.monotonic() < not_before:
            tell(LATER)
            return
        flight.hosts.add(host)
        flight.waiting.append((host, tell))
        if flight.app.id not in self.flights:
            self.flights[flight.app.id] = flight
            if not submitted(self.wakes, self.fly, flight):
                del self.flights[flight.app.id]
                tell(LATER)

    def fly(self, flight: Flight) -> None:
        rt, app = self.rt, flight.app
        begun, reason, targets, slept = rt.clock.monotonic(), "", (), True
        try:
            slept = rt.store.app_by_id(app.id).asleep
            found = sleeping.wake(rt, app.id, flight.job)
            targets = () if isinstance(found, str) else found
        except Cancelled:
            slept = False                # nothing of the app's
        except PaasError as error:
            reason = error.what
        except Exception:
            log.exception("waking %s", app.name)
            reason = "internal error"
        with self.lock:
            self.flights.pop(app.id, None)
            self.note(app.id, reason)
        self.land(flight, targets)
        if slept:
            self.record(app, reason, rt.clock.monotonic() - begun, len(flight.waiting))

    def note(self, app_id: int, reason: str) -> None:
        if reason:
            failures = self.failed.get(app_id, (0, 0.0))[0] + 1
            self.failed[app_id] = (failures, self.rt.clock.monotonic() + sleep.backoff(failures))
        else:
            self.failed.pop(app_id, None)

    def land(self, flight: Flight, targets: tuple[str, ...]) -> None:
        """Tell all who wait; those whose host has gone to another app meanwhile are not sent to this one."""
        turns = cycle(targets)
        try:
            own = {host for host in flight.hosts if targets and self.owner(host) == flight.app.id}
        except PaasError as error:
            log.warning("requests to %s: %s", flight.app.name, error.what)
            own = set()
        for host, tell in flight.waiting:
            tell(Verdict(next(turns)) if host in own else LATER)

    def record(self, app: App, reason: str, seconds: float, waited: int) -> None:
        detail = {"seconds": f"{seconds:.3f}", "requests": str(waited), **({"reason": reason} if reason else {})}
        if reason:
            incidents.open_incident(self.rt, Kind.APP_DOWN, app.name, f"it sleeps and did not wake: {reason}",
                                    f"See: paas logs {app.name}")
        else:
            incidents.close_incident(self.rt, Kind.APP_DOWN, app.name, "it is awake")
        try:
            self.rt.store.add_event(PLATFORM, "wake", app.name, "failed" if reason else "ok", detail)
        except PaasError as error:
            log.warning("the waking of %s could not be recorded: %s", app.name, error.what)


def submitted(pool: ThreadPoolExecutor, work: Callable[..., object], *args: object) -> bool:
    """False: it ends, or the system gives it no thread; the pool may still do *work* when it has one again."""
    try:
        pool.submit(work, *args)
    except RuntimeError:
        return False
    return True
