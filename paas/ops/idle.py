"""Which apps nobody asks for: they are put to sleep after their span (``ps:autosleep``).

What counts is what clients ask of the app's hosts at the proxy, and what is being served now: an open websocket keeps
an app awake however quiet it is. What was seen is in memory; a daemon that starts anew counts the span anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.model.app import App
from paas.model.ports import requests_at
from paas.model.traffic import Traffic
from paas.ops import sleep, traffic_counts

if TYPE_CHECKING:
    from paas.runtime import Runtime

log = logging.getLogger("paas.sleep")


class Idle:
    """``tick`` every other second or so, from one thread."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[int, float]] = {}     # app id → (requests so far, since when none came: monotonic)
        self.leaving: set[int] = set()                   # on their way to sleep
        self.lock = threading.Lock()

    def tick(self, rt: Runtime) -> None:
        apps = [app for app in rt.store.apps() if sleep.after(app) and not app.asleep]
        self.seen = {app.id: self.seen[app.id] for app in apps if app.id in self.seen}
        if not apps or rt.traffic is None or not sleep.counted(rt):
            return
        counts, serving = rt.traffic.read(), rt.router.in_flight()
        for app in apps:
            if self.is_due(rt, app, counts, serving):
                with self.lock:
                    self.leaving.add(app.id)
                rt.spawn(lambda app=app: self.leave(rt, app))

    def is_due(self, rt: Runtime, app: App, counts: Mapping[str, Traffic], serving: Mapping[str, int]) -> bool:
        now, requests = rt.clock.monotonic(), requests_of(rt, app, counts)
        before, since = self.seen.get(app.id, (None, now))
        if requests != before or in_flight(rt, app, serving):
            since = now
        self.seen[app.id] = (requests, since)
        over = now - since >= sleep.after(app) and app.id not in self.leaving
        return over and not (sleep.hindrance(rt, app) or sleep.business(rt, app))

    def leave(self, rt: Runtime, app: App) -> None:
        requests, _ = self.seen.get(app.id, (None, 0.0))
        try:
            why = sleep.fall_asleep(rt, app.id, lambda: requests_of(rt, app, rt.traffic.read()) == requests)
            log.info("%s %s", app.name, f"stays awake: {why}" if why else "sleeps")
        except PaasError as error:
            log.warning("%s could not be put to sleep: %s", app.name, error.what)
        finally:
            with self.lock:
                self.leaving.discard(app.id)


def requests_of(rt: Runtime, app: App, counts: Mapping[str, Traffic]) -> int:
    """What clients have asked of its hosts since the proxy began to count."""
    return traffic_counts.of_app(rt, app, counts).requests


def in_flight(rt: Runtime, app: App, serving: Mapping[str, int]) -> int:
    pointed = rt.router.pointed(app.id) if serving else None
    return sum(requests_at(serving, target) for target in pointed) if isinstance(pointed, tuple) else 0
