"""What the daemon does without being asked: each piece of work in a thread of its own, at its own pace; :func:`start`
lists them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from paas.daemon import engine_events, prometheus, waker
from paas.errors import PaasError
from paas.failpoints import step
from paas.model import app_settings
from paas.ops import (
    backup_due,
    cleanup,
    crashes,
    cron_due,
    disk,
    heartbeat,
    night_watch,
    notify,
    pitr,
    runs,
    server_state,
    sqlite,
    sqlite_drill,
    uptime,
    watch,
)
from paas.ops.idle import Idle
from paas.ops.reconcile import LEFTOVER_SECONDS, reconcile

if TYPE_CHECKING:
    from paas.runtime import Runtime

RECONCILE_SECONDS = 120.0
CLEAN_SECONDS = 3600.0
SWEEP_SECONDS = 15.0
CRON_SECONDS = 1.0
BACKUP_SECONDS = 5.0
STREAM_SECONDS = 1.0
NOTIFY_SECONDS = 1.0
WATCH_SECONDS = 1.0
PARTS_SECONDS = 5.0
POLL_SECONDS = 60.0
SLEEP_SECONDS = 2.0
METER_SECONDS = 10.0
DISK_SECONDS = 10.0
RETRY_SECONDS = 2.0                      # while Docker or the proxy does not answer yet

log = logging.getLogger("paas.background")


def start(rt: Runtime) -> Background:
    """Start the threads; set the returned event to stop them."""
    stop = Background()
    if not server_state.under_way(rt):
        attempt(lambda: backup_due.begin(rt))
    attempt(lambda: rt.older.look(rt))
    attempt(lambda: pitr.begin(rt))
    attempt(lambda: night_watch.begin(rt))
    for name, work, seconds in (("reconcile", reconcile_once, RECONCILE_SECONDS), ("clean", clean_once, CLEAN_SECONDS),
                                ("runs", sweep_once, SWEEP_SECONDS), ("cron", cron_due.tick, CRON_SECONDS),
                                ("sqlite", stream_once, STREAM_SECONDS), ("backups", backup_due.tick, BACKUP_SECONDS),
                                ("pitr", pitr.tick, STREAM_SECONDS), ("notify", notify.tick, NOTIFY_SECONDS),
                                ("uptime", uptime.tick, NOTIFY_SECONDS),
                                ("heartbeat", heartbeat.tick, NOTIFY_SECONDS),
                                ("parts", night_watch.parts, PARTS_SECONDS),
                                ("watch", night_watch.poll, POLL_SECONDS),
                                ("metering", meter_once, METER_SECONDS),
                                ("sleep", Idle().tick, SLEEP_SECONDS),
                                ("drains", drain_once, STREAM_SECONDS), ("disk", disk.tick, DISK_SECONDS),
                                ("releases", watch.tick, WATCH_SECONDS), ("crashes", crashes.tick, PARTS_SECONDS)):
        stop.threads.append(threading.Thread(target=repeat, args=(rt, stop, work, seconds), name=name, daemon=True))
    stop.threads.append(threading.Thread(target=prometheus.serve, args=(rt, stop), name="prometheus", daemon=True))
    if rt.door:
        stop.threads.append(threading.Thread(target=waker.serve, args=(rt, stop), name="waker", daemon=True))
    if rt.engine_events:
        stop.threads.append(threading.Thread(target=engine_events.follow, args=(rt, stop), name="engine", daemon=True))
    for thread in stop.threads:
        thread.start()
    return stop


class Background(threading.Event):
    """Set it to stop the threads."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[threading.Thread] = []

    def end(self, seconds: float) -> bool:
        """Stop them and wait; False: one works on."""
        self.set()
        for thread in self.threads:
            thread.join(seconds)
        return not any(thread.is_alive() for thread in self.threads)


def attempt(work: Callable[[], object]) -> None:
    """What fails is in the log, and what comes next is done all the same."""
    try:
        work()
    except PaasError as error:
        log.warning("%s", error.what)
    except Exception:
        log.exception("a piece of work failed")


def repeat(rt: Runtime, stop: threading.Event, work: Callable[[Runtime], None], seconds: float) -> None:
    while not stop.is_set():
        pause = seconds
        try:
            if server_state.under_way(rt):       # an app may not start before its database is back
                stop.wait(RETRY_SECONDS)
                continue
            if rt.older.found and work in MAKING:
                stop.wait(RETRY_SECONDS)
                continue
            work(rt)
        except PaasError as error:
            log.warning("%s: %s", work.__name__, error.what)
            pause = RETRY_SECONDS
        except Exception:
            log.exception("%s failed", work.__name__)
        stop.wait(pause)


@step("background")
def reconcile_once(rt: Runtime) -> None:
    for repair in reconcile(rt):
        log.info("reconcile: %s: %s; %s%s", repair.object, repair.found, repair.fix,
                 f" FAILED: {repair.error}" if repair.error else "")


def clean_once(rt: Runtime) -> None:
    """One piece that fails, like the repository of one app, does not keep the others from being done."""
    days = int(app_settings.value_of(app_settings.SERVER, rt.store.settings(), "event-days"))
    rt.store.trim_events(rt.clock.now() - timedelta(days=days))
    for app in rt.store.apps():
        attempt(lambda app=app: cleanup.prune_images(rt, app))
        attempt(lambda app=app: rt.repos.sweep(app.id, LEFTOVER_SECONDS))
    for work in (cleanup.prune_logs, cleanup.prune_cron, cleanup.prune_cache, sqlite.clean, sqlite_drill.hourly,
                 pitr.hourly, night_watch.clean):
        attempt(lambda work=work: work(rt))


def stream_once(rt: Runtime) -> None:
    rt.streams.supervise(rt)


def meter_once(rt: Runtime) -> None:
    rt.metering.tick(rt)


def drain_once(rt: Runtime) -> None:
    rt.drains.supervise(rt)


def sweep_once(rt: Runtime) -> None:
    for run in runs.sweep(rt):
        log.info("run.%d was ended: its time was over or its session gone", run.id)


# What removes or makes something; not while the database is older than what runs.
MAKING = frozenset({clean_once, sweep_once, stream_once, cron_due.tick, backup_due.tick, pitr.tick, watch.tick})
