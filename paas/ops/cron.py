"""Scheduled jobs of an app, as its users handle them: list, run, suspend, stop, look back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas.errors import BadInput, Conflict, NotFound, PaasError
from paas.model import names
from paas.model.access import Actor
from paas.model.app import App
from paas.model.cron import CronRun, CronRunState
from paas.model.release import CronJob, Overlap, Release
from paas.ops import cron_output, cron_run, logs
from paas.ops.cron_attended import Attended, Listener
from paas.ops.cron_due import launch, zone_of

if TYPE_CHECKING:
    from paas.runtime import Runtime

STOP_SECONDS = 30.0                      # beyond the app's stop timeout, for the record of a run that was stopped


# --- jobs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    app: str
    job: str
    schedule: str
    timezone: str
    next_due: datetime | None            # None: suspended, or the app is stopped
    last_run: datetime | None
    last_result: str
    state: str                           # "scheduled", "running", "waiting", "suspended", "stopped" (the app)
    concurrency: str
    command: str


def listed(rt: Runtime, app: App | None) -> list[Line]:
    """The jobs of the live release; of all apps if none is given."""
    made = []
    for one in [app] if app else rt.store.apps():
        live = rt.store.live_release(one.id)
        made += [line(rt, one, job) for job in (live.cron if live else ())]
    return made


def line(rt: Runtime, app: App, job: CronJob) -> Line:
    zone, state = zone_of(rt, app), state_of(rt, app, job)
    last = next(iter(rt.store.cron_runs(app.id, job=job.id, limit=1)), None)
    idle = state in ("suspended", "stopped")
    return Line(app.name, job.id, job.schedule, zone, None if idle else due_after(rt, job, zone),
                last.started_at if last else None, result_of(last) if last else "", state, str(job.overlap),
                command_of(job))


def due_after(rt: Runtime, job: CronJob, zone: str) -> datetime | None:
    try:
        return rt.schedules.next(job.schedule, zone, rt.clock.now())
    except PaasError:
        return None                      # its zone is no longer known to this machine


def state_of(rt: Runtime, app: App, job: CronJob) -> str:
    going = cron_run.running(rt, app.id, job.id)
    if going:
        return "running" if any(one.container_id for one in going) else "waiting"
    if job.id in rt.store.suspended_jobs(app.id):
        return "suspended"
    return "stopped" if app.stopped else "scheduled"


def result_of(run: CronRun) -> str:
    return f"{run.state}: {run.reason}" if run.reason else str(run.state)


def command_of(job: CronJob) -> str:
    """As app.json has it (:func:`paas.model.procfile.shell_command` may put `exec` in front)."""
    return job.command[-1].removeprefix("exec ")


def find_job(rt: Runtime, app: App, text: str) -> tuple[Release, CronJob]:
    """NotFound names those that there are; BadInput: nothing is live."""
    live = rt.store.live_release(app.id)
    if not live:
        raise BadInput(f"{app.name} has no release yet", "Push it first: git push.")
    for job in live.cron:
        if job.id == text:
            return live, job
    known = ", ".join(f"{job.id} ({command_of(job)[:60]})" for job in live.cron)
    raise NotFound(f"{app.name} has no scheduled job '{names.printable(text, 40)}'",
                   f"It has: {known}." if known else "Scheduled jobs stand under 'cron' in app.json; it has none.")


def suspend(rt: Runtime, app: App, actor: Actor, text: str) -> bool:
    """Its schedule starts it no more, also in later releases. False: so it was already."""
    _, job = find_job(rt, app, text)
    return rt.store.suspend_job(app.id, job.id, actor)


def resume(rt: Runtime, app: App, text: str) -> bool:
    """From now on: what was due meanwhile is not made up for. False: it was not suspended."""
    if text not in rt.store.suspended_jobs(app.id):
        find_job(rt, app, text)
    return rt.store.resume_job(app.id, text)


# --- runs ----------------------------------------------------------------------------------------------------------


def run_now(rt: Runtime, app: App, actor: Actor, text: str, listener: Listener | None = None) -> Attended:
    """Start a run now, in the background. Conflict: the last one is not over, and they may not overlap."""
    live, job = find_job(rt, app, text)
    with rt.cron.lock:
        busy = cron_run.running(rt, app.id, job.id)
        if busy and job.overlap == Overlap.FORBID:
            raise Conflict(f"cron.{busy[0].id} of this job is not over",
                           f"Wait for it, or end it: paas cron:stop {app.name} cron.{busy[0].id}")
        entry, due = None, rt.clock.now().replace(microsecond=1)
        while entry is None:             # a due time of its own: none of the schedule's, which are whole seconds
            entry = launch(rt, live, job, due, actor, listener)
            due += timedelta(microseconds=1)
    rt.spawn(lambda: cron_run.attend(rt, entry))
    return entry


def find_run(rt: Runtime, app: App, text: str) -> CronRun:
    """``12`` or ``cron.12``. BadInput, NotFound."""
    digits = text.removeprefix("cron.")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 12:
        raise BadInput(f"'{names.printable(text, 40)}' is not a run of a job",
                       f"Give it like cron.12. See: paas cron:history {app.name}")
    return rt.store.cron_run(app.id, int(digits))


def history(rt: Runtime, app: App, job: str | None, number: int) -> list[tuple[CronRun, str]]:
    """(run, release), newest first; also of jobs that the live release no longer has."""
    found = rt.store.cron_runs(app.id, job=job or "", limit=number)
    if job and not found:
        find_job(rt, app, job)
    return [(run, f"v{rt.store.release_by_id(run.release_id).version}") for run in found]


def output(rt: Runtime, app: App, run: CronRun, number: int | None, follow: bool,
           watching: Callable[[], bool]) -> Iterable[bytes]:
    """The last *number* lines (None: all that is kept), live while it runs if asked to *follow*."""
    if run.state == CronRunState.RUNNING and run.container_id:
        wanted = logs.Wanted(1_000_000 if number is None else number)
        source = (f"cron.{run.id}", run.container_id)
        lines = logs.follow_container(rt, source, wanted, watching) if follow else logs.read(rt, source, wanted)
        return (one.text for one in lines)
    try:
        lines = cron_output.stored(rt, run.id)
    except NotFound:
        if run.exit_code is None:
            return ()                    # it never began
        raise
    return lines if number is None else lines[len(lines) - min(number, len(lines)):]


def stop(rt: Runtime, app: App, actor: Actor, run: CronRun) -> None:
    """End it and wait for its record. Conflict: it is over."""
    entry = rt.cron.get(run.id)
    if run.state != CronRunState.RUNNING or entry is None:
        raise Conflict(f"cron.{run.id} is over ({result_of(rt.store.cron_run(app.id, run.id))})")
    cron_run.stop(rt, run, f"stopped by {actor.name}")
    entry.done.wait(STOP_SECONDS)


def report(rt: Runtime, app: App | None) -> list[tuple[object, ...]]:
    """app, time zone, jobs, suspended, running, failed: one per app."""
    made = []
    for one in [app] if app else rt.store.apps():
        live = rt.store.live_release(one.id)
        jobs = {job.id for job in live.cron} if live else set()
        failed = [run for run in rt.store.cron_runs(one.id, states=(CronRunState.FAILED,)) if run.job in jobs]
        made.append((one.name, zone_of(rt, one), len(jobs), len(jobs & rt.store.suspended_jobs(one.id).keys()),
                     len(cron_run.running(rt, one.id)), len(failed)))
    return made
