"""What apps do and use, sampled every few seconds and stored every minute.

Requests come from the proxy's counts, processor, memory and restarts from the engine. The proxy's counts are settled
only when they are stored: what a killed daemon had counted since then, the next one counts, so that none is lost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.model.durations import read_span
from paas.model.traffic import Traffic
from paas.model.usage import MINUTE, MINUTES_KEPT, QUARTER, QUARTERS_KEPT, Usage
from paas.ports_watch import Load

if TYPE_CHECKING:
    from paas.runtime import Runtime

WAITING = 10_000                         # minutes of apps that wait for a database that takes none; then the oldest go
TRIM_SECONDS = 3600.0

log = logging.getLogger("paas.metering")


@dataclass(frozen=True)
class Present:
    """Of an app now."""

    memory: int = 0
    instances: int = 0                   # that run


class Metering:
    """Thread-safe. ``tick`` by one background thread; ``refresh`` by whoever wants the newest figures."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.totals: dict[int, Usage] = {}               # by app, since this daemon began
        self.present: dict[int, Present] = {}
        self._rt: Runtime | None = None                  # the daemon's own: a caller's may not see every app
        self._hosts: dict[str, Traffic] = {}
        self._loads: dict[str, Load] | None = None       # None: what runs may have run for days
        self._waiting: dict[tuple[int, datetime], Usage] = {}
        self._minute: datetime | None = None
        self._trimmed = float("-inf")

    def tick(self, rt: Runtime) -> None:
        with self.lock:
            self._rt = rt
            minute = rt.clock.now().replace(second=0, microsecond=0)
            if self._minute not in (None, minute):
                self._store(rt)
            self._minute = minute
            self._sample(rt)
            self._trim(rt)

    def refresh(self) -> None:
        """Count what came since the last tick; nothing where no tick was yet."""
        with self.lock:
            if self._rt:
                self._sample(self._rt)

    def waiting(self, app_id: int, since: datetime) -> Usage:
        """What is counted, and not stored yet."""
        with self.lock:
            return sum((one for (owner, at), one in self._waiting.items() if owner == app_id and at >= since), Usage())

    # Private

    def _store(self, rt: Runtime) -> None:
        try:
            rt.store.add_usage(self._waiting)
        except PaasError as error:
            log.warning("figures of apps wait in memory: %s", error.what)
            for key in sorted(self._waiting, key=lambda key: key[1])[:-WAITING]:
                del self._waiting[key]
            return
        self._waiting.clear()
        if rt.traffic:
            rt.traffic.settle()

    def _trim(self, rt: Runtime) -> None:
        if rt.clock.monotonic() - self._trimmed < TRIM_SECONDS:
            return
        for seconds, kept in ((MINUTE, MINUTES_KEPT), (QUARTER, QUARTERS_KEPT)):
            rt.store.trim_usage(seconds, rt.clock.now() - read_span(kept))
        self._trimmed = rt.clock.monotonic()

    def _sample(self, rt: Runtime) -> None:
        minute = rt.clock.now().replace(second=0, microsecond=0)
        for app_id, used in (*self._traffic(rt), *self._use(rt)):
            self.totals[app_id] = self.totals.get(app_id, Usage()) + used
            key = app_id, minute
            self._waiting[key] = self._waiting.get(key, Usage()) + used

    def _traffic(self, rt: Runtime) -> Iterator[tuple[int, Usage]]:
        if rt.traffic is None:
            return
        try:
            counted = rt.traffic.read()
        except PaasError:                # not counted, or not now: what is missed now comes with the next sample
            return
        owners = {one.name: one.app_id for one in rt.store.domains()}
        for host, total in counted.items():
            new = total.since(self._hosts.get(host, Traffic()))
            if new.requests and host in owners:
                yield owners[host], Usage(new)
        self._hosts = dict(counted)      # hosts that nobody has any more are not remembered

    def _use(self, rt: Runtime) -> Iterator[tuple[int, Usage]]:
        if rt.loads is None:
            return
        owners = {one.container_id: one.app_id for one in rt.store.instances() if one.container_id}
        try:
            loads = rt.loads.read(owners)
        except PaasError:
            return
        first, before = self._loads is None, self._loads or {}
        self._loads = {one: loads.get(one) or before[one] for one in owners if one in loads or one in before}
        self.present = present = {}
        for one, load in loads.items():
            was = before.get(one, load if first else Load(0.0, 0, 0))
            cpu = load.cpu - was.cpu if load.cpu >= was.cpu and load.restarts == was.restarts else load.cpu
            now = present.get(owners[one], Present())
            present[owners[one]] = Present(now.memory + load.memory, now.instances + 1)
            yield owners[one], Usage(cpu=cpu, restarts=max(0, load.restarts - was.restarts))
        yield from ((app_id, Usage(memory=now.memory)) for app_id, now in present.items())


def recent(rt: Runtime, app_id: int, span: timedelta) -> Usage:
    """What the app did and used in the last *span*, from the beginning of its first minute; of its first quarter of an
    hour, where the span is longer than minutes are kept."""
    since = rt.clock.now() - span
    seconds = MINUTE if span <= read_span(MINUTES_KEPT) else QUARTER
    stored = sum((slot.usage for slot in rt.store.usage(app_id, seconds, since)), Usage())
    return stored + rt.metering.waiting(app_id, since.replace(second=0, microsecond=0))
