"""Is each app reachable as its visitors reach it? One request through the proxy every few seconds.

The proxy answers on a listener of its own for this: such a request is not counted as the app's traffic, and an app that
sleeps is not asked. Two failures in a row make an incident; the second check comes soon after the first failure.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas.errors import PaasError, ProxyError
from paas.model import app_settings
from paas.model.app import App
from paas.model.incident import Kind
from paas.model.uptime import KEEP, SLOT_SECONDS, SPANS, Checks, Uptime, uptime
from paas.ops import routes
from paas.ops.incidents import close_incident, open_incident
from paas.ports import Page, ProxyAnswer

if TYPE_CHECKING:
    from paas.runtime import Runtime

GRACE_SECONDS = 20.0                     # after the start of the daemon: with a machine that boots, so do the apps
AGAIN_SECONDS = 3.0                      # from a first failure to the check that confirms it, at most
IN_A_ROW = 2
AT_ONCE = 16                             # checks under way
FLUSH_SECONDS = 60.0
IDLE_SECONDS = 10.0                      # until the next look at an app that is not checked
UP, DOWN, UNKNOWN, UNWATCHED = "up", "down", "not known yet", "not checked"

log = logging.getLogger("paas.uptime")


@dataclass
class Probe:
    """One app, as this process knows it. Its incident may be of an earlier process."""

    next_at: float = 0.0                 # monotonic seconds
    checked: datetime | None = None      # when the newest check began
    busy: bool = False
    failures: int = 0                    # in a row
    state: str = UNKNOWN


@dataclass
class Monitor:
    lock: threading.Lock = field(default_factory=threading.Lock)
    probes: dict[int, Probe] = field(default_factory=dict)             # by app id
    samples: dict[tuple[int, int], Checks] = field(default_factory=dict)      # by app id and slot: not stored yet
    began: float | None = None
    flushed: float = 0.0


def tick(rt: Runtime) -> None:
    """Every second: check the apps whose turn it is, each in a thread; store what was counted every minute."""
    monitor, now = rt.monitor, rt.clock.monotonic()
    if monitor.began is None:
        monitor.began = monitor.flushed = now
    if now - monitor.began < GRACE_SECONDS:
        return
    apps = {app.id: app for app in rt.store.apps()}
    for gone in monitor.probes.keys() - apps.keys():
        del monitor.probes[gone]
    hasty = died(rt)
    for app in apps.values():
        probe = monitor.probes.setdefault(app.id, Probe())
        if not probe.busy and (now >= probe.next_at or app.id in hasty) and under_way(monitor) < AT_ONCE:
            probe.busy = True
            rt.spawn(lambda app=app, probe=probe: attend(rt, app, probe))
    if now - monitor.flushed >= FLUSH_SECONDS:
        monitor.flushed = now
        flush(rt)


def under_way(monitor: Monitor) -> int:
    return sum(one.busy for one in monitor.probes.values())


def died(rt: Runtime) -> set[int]:
    """Apps of which the engine told that a container ended since their last check, which was good: these do not wait
    for their turn."""
    found = {app_id: probe.checked for app_id, probe in rt.monitor.probes.items()
             if probe.state == UP and not probe.failures and probe.checked}
    return {row.app_id for row in rt.store.instances() if row.app_id in found and row.container_id
            and rt.happenings.of(row.container_id, "die", found[row.app_id])}


def attend(rt: Runtime, app: App, probe: Probe) -> None:
    """Raises nothing: it is a thread of its own."""
    interval, began, probe.checked = IDLE_SECONDS, rt.clock.monotonic(), rt.clock.now()
    try:
        interval = interval_of(rt, app) or IDLE_SECONDS
        check(rt, app, probe)
    except PaasError as error:
        log.warning("uptime of %s: %s", app.name, error.what)
    except Exception:
        log.exception("uptime of %s", app.name)
    finally:
        now, confirm = rt.clock.monotonic(), 0 < probe.failures < IN_A_ROW
        probe.next_at = now + min(interval, AGAIN_SECONDS) if confirm else max(began + interval, now)
        probe.busy = False


def check(rt: Runtime, app: App, probe: Probe) -> None:
    host = routes.visible_host(rt, app)
    if not watched(rt, app) or not host:
        if rt.router.pointed(app.id) is not Page.PARK:           # for seconds only: its deploy stops it first
            leave(rt, app, probe)
        return
    began = rt.clock.monotonic()
    fault = fault_of(rt, app, host)
    seconds = rt.clock.monotonic() - began
    now = rt.store.find_app(app.name)
    if fault and (now is None or not watched(rt, now)):
        return                           # stopped, put to sleep or into maintenance meanwhile
    count(rt, app, None if fault else seconds)
    if not fault:
        answered(rt, app, probe)
    elif rt.router.healthy():            # else nobody is reachable, which is an incident of its own
        failed(rt, app, probe, fault)


def watched(rt: Runtime, app: App) -> bool:
    """Is it to be reachable? What is stopped, in maintenance, asleep or without a release is not down."""
    if app.stopped or app.maintenance or app.asleep or value(app, "uptime.enabled") != "true" \
            or not interval_of(rt, app):
        return False
    return isinstance(rt.router.pointed(app.id), tuple)


def fault_of(rt: Runtime, app: App, host: str) -> str:
    """What a visitor would see in the place of the app; empty: the app."""
    path, timeout = path_of(rt, app), number(app, "uptime.timeout")
    try:
        answer = rt.router.ask(host, path, timeout)
    except ProxyError:
        return f"no answer for {path} within {timeout:g} s"
    return "" if good(answer, value(app, "uptime.status")) else f"it answers {answer.status} for {path}"


def path_of(rt: Runtime, app: App) -> str:
    own = value(app, "uptime.path")
    live = None if own else rt.store.live_release(app.id)
    web = live.process("web") if live else None
    return own or (web.check.path if web else "") or "/"


def good(answer: ProxyAnswer, accepted: str) -> bool:
    """Unless set otherwise: whatever the app itself says below 500. A page of the platform's own is not the app."""
    if not answer.upstream:
        return False
    low, _, high = (accepted or "100-499").partition("-")
    return int(low) <= answer.status <= int(high or low)


def answered(rt: Runtime, app: App, probe: Probe) -> None:
    probe.failures = 0
    if probe.state != UP:
        close_incident(rt, Kind.APP_DOWN, app.name, f"{app.name} answers again")
        probe.state = UP


def failed(rt: Runtime, app: App, probe: Probe, fault: str) -> None:
    probe.failures += 1
    if probe.failures >= IN_A_ROW and probe.state != DOWN:
        open_incident(rt, Kind.APP_DOWN, app.name, f"{app.name} is down: {fault}, twice in a row",
                      f"paas ps {app.name}; paas logs {app.name}")
        probe.state = DOWN


def leave(rt: Runtime, app: App, probe: Probe) -> None:
    """Nobody expects it to be reachable now."""
    probe.failures = 0
    if probe.state != UNWATCHED:
        close_incident(rt, Kind.APP_DOWN, app.name, f"{app.name} is not checked any more")
        probe.state = UNWATCHED


def count(rt: Runtime, app: App, seconds: float | None) -> None:
    slot = slot_now(rt)
    with rt.monitor.lock:
        known = rt.monitor.samples.get((app.id, slot)) or Checks(app.id, slot)
        rt.monitor.samples[app.id, slot] = known.with_check(seconds)


def flush(rt: Runtime) -> None:
    """What cannot be stored is tried again with the next."""
    with rt.monitor.lock:
        taken = dict(rt.monitor.samples)
        if not taken:
            return
        rt.store.add_uptime(taken.values())
        rt.monitor.samples.clear()
    rt.store.trim_uptime(slot_now(rt) - int(KEEP.total_seconds()) // SLOT_SECONDS)


def slot_now(rt: Runtime) -> int:
    return int(rt.clock.now().timestamp()) // SLOT_SECONDS


def value(app: App, key: str) -> str:
    return app_settings.value_of(app_settings.APP, app.settings, key)


def interval_of(rt: Runtime, app: App) -> float:
    """Seconds; 0: it is not checked."""
    own = value(app, "uptime.interval")
    return float(own or app_settings.value_of(app_settings.SERVER, rt.store.settings(), "uptime-interval"))


def number(app: App, key: str) -> float:
    return float(value(app, key))


# --- what is known -------------------------------------------------------------------------------------------------


def report(rt: Runtime, app: App) -> list[Uptime]:
    """The last day, week and month."""
    samples = [*rt.store.uptime(first_slot(rt, max(SPANS.values())), app.id), *waiting(rt, app.id)]
    return [uptime(span, [one for one in samples if one.slot >= first_slot(rt, back)])
            for span, back in SPANS.items()]


def overview(rt: Runtime, apps: list[App]) -> list[tuple[App, str, list[float | None]]]:
    """(app, state, its availability in the last day, week and month)."""
    totals = [rt.store.uptime_totals(first_slot(rt, back)) for back in SPANS.values()]
    return [(app, state_of(rt, app), [availability(rt, app, one.get(app.id, (0, 0))) for one in totals])
            for app in apps]


def availability(rt: Runtime, app: App, stored: tuple[int, int]) -> float | None:
    """Percent, with what is not stored yet."""
    total = sum(waiting(rt, app.id), Checks(app.id, 0, *stored))
    return uptime("", [total]).availability


def state_of(rt: Runtime, app: App) -> str:
    probe = rt.monitor.probes.get(app.id)
    return probe.state if probe else UNKNOWN


def waiting(rt: Runtime, app_id: int) -> list[Checks]:
    with rt.monitor.lock:
        return [one for one in rt.monitor.samples.values() if one.app_id == app_id]


def first_slot(rt: Runtime, back: timedelta) -> int:
    return slot_now(rt) - int(back.total_seconds()) // SLOT_SECONDS + 1
