"""The scheduler: which jobs are due, to the minute, and each due time once.

What was due is decided minute by minute, and the last minute that was decided is stored. After a pause (the daemon was
down, the clock was set) the last CATCH_UP_SECONDS are decided afterwards: a job that was due in them runs once, for the
newest of its due times, as with CronJobs of Kubernetes.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.model import app_settings
from paas.model.access import PLATFORM, Actor
from paas.model.app import App
from paas.model.cron import CronRunState
from paas.model.incident import Kind
from paas.model.release import CronJob, Overlap, Release
from paas.ops.cron_attended import Attended, Listener
from paas.ops.cron_run import CATCH_UP_SECONDS, attend, end_container, running, tell_failure
from paas.ops.incidents import open_incident

if TYPE_CHECKING:
    from paas.runtime import Runtime

DECIDED = "cron-decided"                 # setting: the last minute that was decided, ISO 8601
MINUTE = timedelta(minutes=1)

log = logging.getLogger("paas.cron")


def tick(rt: Runtime) -> None:
    """Every second or so. Idempotent."""
    adopt(rt)
    enforce(rt)
    fire(rt)


def adopt(rt: Runtime) -> None:
    """Take up the runs that an earlier daemon began, or that a thread of this one left."""
    with rt.cron.lock:
        found = [rt.cron.begin(run, fresh=False)
                 for run in rt.store.cron_runs(states=(CronRunState.RUNNING,), limit=10_000)]
    for entry in filter(None, found):
        log.info("cron.%d is taken up again", entry.run.id)
        rt.spawn(lambda entry=entry: attend(rt, entry))


def enforce(rt: Runtime) -> None:
    """End the runs whose time is over, and those that somebody wants ended."""
    now = rt.clock.monotonic()
    for entry in rt.cron.all():
        if entry.deadline is not None and now >= entry.deadline:
            entry.ask_to_stop("timed out")
        if entry.stop_reason and entry.container and not entry.stopping:
            rt.spawn(lambda entry=entry: end_container(rt, entry))


def fire(rt: Runtime) -> None:
    """Start what has become due since the last time."""
    minute = rt.clock.now().replace(second=0, microsecond=0)
    since = decided(rt, minute)
    if since >= minute:
        return
    missed_since = stored_minute(rt) or since
    for app in rt.store.apps():
        live = rt.store.live_release(app.id)
        if live and live.cron and not app.stopped:
            tell_missed(rt, app, live, missed_since, since, minute)
            fire_app(rt, app, live, since, minute)
    rt.store.set_setting(DECIDED, minute.isoformat())


def decided(rt: Runtime, minute: datetime) -> datetime:
    """The minute up to which all is decided: at most CATCH_UP_SECONDS ago, and never in the future."""
    stored = stored_minute(rt)
    if stored is None or stored > minute:
        return minute - MINUTE           # the clock was set back; what ran is recorded and does not run again
    return max(stored, minute - timedelta(seconds=CATCH_UP_SECONDS))


def stored_minute(rt: Runtime) -> datetime | None:
    try:
        return datetime.fromisoformat(rt.store.settings().get(DECIDED, ""))
    except ValueError:
        return None


def tell_missed(rt: Runtime, app: App, live: Release, since: datetime, until: datetime, now: datetime) -> None:
    """Jobs that were due between the last decided minute and the first that is made up for, and not since: paasd did
    not run then."""
    if since >= until:
        return
    suspended, zone = rt.store.suspended_jobs(app.id), zone_of(rt, app)
    for job in live.cron:
        with suppress(PaasError):
            due = rt.schedules.next(job.schedule, zone, since)
            if job.id not in suspended and due <= until and rt.schedules.next(job.schedule, zone, until) > now:
                open_incident(rt, Kind.CRON, f"{app.name} {job.id}", f"the job {job.id} of {app.name} was due at "
                              f"{due:%Y-%m-%d %H:%M} UTC while paasd did not run, and is not made up for",
                              f"Run it, if it matters: paas cron:run {app.name} {job.id}")


def fire_app(rt: Runtime, app: App, live: Release, since: datetime, until: datetime) -> None:
    suspended = rt.store.suspended_jobs(app.id)
    for job in live.cron:
        try:
            due = None if job.id in suspended else newest_due(rt, app, job, since, until)
            if due and known_at(rt, live, job, due):
                entry = launch(rt, live, job, due, PLATFORM)
                if entry:
                    rt.spawn(lambda entry=entry: attend(rt, entry))
        except PaasError as error:
            log.warning("the job %s of %s: %s", job.id, app.name, error.what)


def newest_due(rt: Runtime, app: App, job: CronJob, since: datetime, until: datetime) -> datetime | None:
    zone, found = zone_of(rt, app), None
    due = rt.schedules.next(job.schedule, zone, since)
    while due <= until:
        found, due = due, rt.schedules.next(job.schedule, zone, due)
    return found


def zone_of(rt: Runtime, app: App) -> str:
    own = app_settings.value_of(app_settings.APP, app.settings, "cron.timezone")
    return own or app_settings.value_of(app_settings.SERVER, rt.store.settings(), "cron-timezone")


def known_at(rt: Runtime, live: Release, job: CronJob, due: datetime) -> bool:
    """Was it a job of the app when it was due? One that came with a deploy counts from when that was live."""
    if live.live_at is None or live.live_at <= due or live.live_at > rt.clock.now():
        return True                      # in the future: the clock was set back since
    served = [one for one in rt.store.releases(live.app_id, limit=1000) if one.live_at and one.live_at <= due]
    then = max(served, key=lambda one: one.live_at, default=None)
    return then is not None and job.id in {one.id for one in then.cron}


def launch(rt: Runtime, live: Release, job: CronJob, due: datetime, actor: Actor,
           listener: Listener | None = None) -> Attended | None:
    """Record it, before anything starts. None: that due time has its run already, or it is skipped (Overlap.FORBID)."""
    with rt.cron.lock:
        busy = running(rt, live.app_id, job.id) if job.overlap == Overlap.FORBID else []
        state = CronRunState.SKIPPED if busy else CronRunState.RUNNING
        run = rt.store.add_cron_run(live.app_id, job.id, due, live.id, state, actor,
                                    reason=f"cron.{busy[0].id} was not over" if busy else "")
        if run and not busy:
            return rt.cron.begin(run, fresh=True, listener=listener)
    if run:
        tell_failure(rt, run)
    return None
