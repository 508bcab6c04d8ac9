"""One run of a scheduled job, from its record to its end: a one-off container of the release that was live.

Whatever cuts it, the record is what counts: a run that is recorded and not over is taken up again by the next daemon,
which goes on with its container (``adopt`` in :mod:`paas.ops.cron_due`).
"""

from __future__ import annotations

import logging
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from paas.deploy.oneoff import OneOff, ensure_network, give_empty_mounts, oneoff_spec
from paas.deploy.work import Work
from paas.errors import NotFound, PaasError
from paas.jobs import Job
from paas.model.access import PLATFORM
from paas.model.cron import CronRun, CronRunState
from paas.model.incident import Kind
from paas.model.release import CronJob, Overlap, Release
from paas.ops.cron_attended import Attended
from paas.ops.cron_output import KeptOutput, path_of
from paas.ops.incidents import close_incident, open_incident
from paas.ports import ContainerState

if TYPE_CHECKING:
    from paas.runtime import Runtime

CATCH_UP_SECONDS = 300                   # a run that was due while nobody could start it is started so much later
SLOT_SECONDS = 600.0                     # it waits for its turn (max-cron), or for the run that it replaces
POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0                      # while the engine does not answer
LOST = "it was lost when the machine stopped"

log = logging.getLogger("paas.cron")


@dataclass(frozen=True)
class Outcome:
    exit_code: int | None
    reason: str = ""                     # empty: it did what it was to do


def attend(rt: Runtime, entry: Attended) -> None:
    """See it through, in a thread of its own. Raises nothing."""
    try:
        conclude(rt, entry, carry_out(rt, entry))
    except PaasError as error:           # the database: the row stays, and is taken up again
        log.warning("cron.%d: %s", entry.run.id, error.what)
    except Exception:
        log.exception("cron.%d", entry.run.id)
        with suppress(PaasError):
            conclude(rt, entry, Outcome(None, "internal error; its cause stands in the log of paasd"))
    finally:
        rt.cron.end(entry)


def conclude(rt: Runtime, entry: Attended, outcome: Outcome) -> None:
    """Record the end, then remove the container: what is cut between the two is for reconcile."""
    state = CronRunState.FAILED if outcome.reason else CronRunState.SUCCEEDED
    ended = rt.store.end_cron_run(entry.run.id, state, outcome.exit_code, outcome.reason)
    if ended and outcome.reason:
        tell_failure(rt, ended)
    elif ended:
        close_incident(rt, Kind.CRON, incident_of(rt, ended), f"cron.{ended.id} succeeded")
    if entry.container:
        with suppress(PaasError):
            rt.containers.remove(entry.container)


def tell_failure(rt: Runtime, run: CronRun) -> None:
    """An event and an incident: which job, how it ended; never its output or environment."""
    code = {} if run.exit_code is None else {"exit_code": str(run.exit_code)}
    result = "skipped" if run.state == CronRunState.SKIPPED else "failed"
    rt.store.add_event(PLATFORM, "cron", rt.store.app_by_id(run.app_id).name, result,
                       {"job": run.job, "run": f"cron.{run.id}", **code, "reason": run.reason})
    app = rt.store.app_by_id(run.app_id).name
    open_incident(rt, Kind.CRON, incident_of(rt, run), f"the job {run.job} of {app} {result}: {run.reason}",
                  f"paas cron:log {app} cron.{run.id}; paas cron:history {app} {run.job}")


def incident_of(rt: Runtime, run: CronRun) -> str:
    """The object of the job's incident: over with its next run that succeeds."""
    return f"{rt.store.app_by_id(run.app_id).name} {run.job}"


def carry_out(rt: Runtime, entry: Attended) -> Outcome:
    run = entry.run
    app, release = rt.store.app_by_id(run.app_id), rt.store.release_by_id(run.release_id)
    work = Work(rt, app, PLATFORM, Job(app.id, "cron"))
    job = next(one for one in release.cron if one.id == run.job)
    if entry.container:
        entry.has_slot = True
        set_deadline(work, entry)
    elif not entry.fresh and rt.clock.now() - run.due_at > timedelta(seconds=CATCH_UP_SECONDS):
        return Outcome(None, "paasd was stopped before it could start")
    else:
        hindrance = make_way(work, entry, job) or wait_for_slot(work, entry)
        if hindrance:
            return Outcome(None, hindrance)
    return see_through(work, entry, release, job)


def make_way(work: Work, entry: Attended, job: CronJob) -> str:
    """Under Overlap.REPLACE: end the job's earlier runs. What hinders it, or nothing."""
    if job.overlap != Overlap.REPLACE:
        return ""
    waited = 0.0
    while earlier := [one for one in running(work.rt, entry.run.app_id, job.id) if one.id < entry.run.id]:
        for one in earlier:
            stop(work.rt, one, f"replaced by cron.{entry.run.id}")
        if entry.stop_reason:
            return entry.stop_reason
        if waited >= SLOT_SECONDS:
            return f"cron.{earlier[0].id}, which it replaces, did not stop"
        waited += POLL_SECONDS
        work.rt.clock.sleep(POLL_SECONDS)
    return ""


def running(rt: Runtime, app_id: int, job: str = "") -> list[CronRun]:
    """Those that are not over; also what still waits for its turn."""
    return rt.store.cron_runs(app_id, job=job, states=(CronRunState.RUNNING,), limit=10_000)


def wait_for_slot(work: Work, entry: Attended) -> str:
    """What hinders it, or nothing."""
    waited = 0.0
    while not work.rt.cron.take_slot(entry, int(work.server_setting("max-cron"))):
        if waited >= SLOT_SECONDS:
            return f"it waited {SLOT_SECONDS:g} s: so many jobs of this server run that there was no room (max-cron)"
        if entry.stop_reason:
            break
        waited += POLL_SECONDS
        work.rt.clock.sleep(POLL_SECONDS)
    return entry.stop_reason


def see_through(work: Work, entry: Attended, release: Release, job: CronJob) -> Outcome:
    """Until it has ended, however often the engine goes away meanwhile."""
    while True:
        try:
            ended = once(work, entry, release, job)
        except NotFound as error:
            return Outcome(None, entry.stop_reason or (LOST if entry.container else error.what))
        except PaasError as error:
            if answers(work.rt):
                return Outcome(None, entry.stop_reason or f"it could not run: {error.what}")
            ended = None
        if ended:
            return ended
        if entry.stop_reason and not entry.container:
            return Outcome(None, entry.stop_reason)
        work.rt.clock.sleep(RETRY_SECONDS)


def once(work: Work, entry: Attended, release: Release, job: CronJob) -> Outcome | None:
    """Create, start and follow it, from wherever it is; None: its output ended, and it has not."""
    rt = work.rt
    if not entry.container:
        create(work, entry, release, job)
    found = rt.containers.state(entry.container)
    if not found.running and found.exit_code is None:
        if entry.stop_reason:
            return Outcome(None, entry.stop_reason)
        give_empty_mounts(work, entry.container)
        rt.containers.start(entry.container)
    copy_output(rt, entry)
    found = rt.containers.state(entry.container)
    return None if found.running else outcome_of(entry, found)


def create(work: Work, entry: Attended, release: Release, job: CronJob) -> None:
    """The container's id is recorded before it starts: a row without one was never started."""
    one = OneOff("cron", entry.run.id, release, job.command, limits_of="cron", labels={"paas.cron-job": job.id})
    with work.rt.cron.opening(work.app.id):
        ensure_network(work)
        made = work.rt.containers.create(oneoff_spec(work, one))
        work.rt.store.start_cron_run(entry.run.id, made)
        entry.container = made
    set_deadline(work, entry)


def set_deadline(work: Work, entry: Attended) -> None:
    """From its start on; a clock that was set meanwhile neither ends it at once nor lets it run for ever."""
    limit = float(work.setting("cron.timeout"))
    spent = 0.0 if entry.fresh else (work.rt.clock.now() - entry.run.started_at).total_seconds()
    entry.deadline = work.rt.clock.monotonic() + limit - min(max(spent, 0.0), limit)


def copy_output(rt: Runtime, entry: Attended) -> None:
    """All of it, from the first line on: what an earlier daemon had written is written anew."""
    output = KeptOutput(path_of(rt, entry.run.id))
    with closing(output):
        for number, line in enumerate(rt.containers.logs(entry.container, follow=True), 1):
            output.add(line.text)
            if entry.listener and number > entry.told:
                entry.listener.tell(line)
                entry.told = number


def outcome_of(entry: Attended, ended: ContainerState) -> Outcome:
    if entry.stop_reason:
        return Outcome(ended.exit_code, entry.stop_reason)
    if ended.oom_killed:
        return Outcome(ended.exit_code, "it was ended because its memory was used up")
    return Outcome(ended.exit_code, f"exit code {ended.exit_code}" if ended.exit_code else "")


def answers(rt: Runtime) -> bool:
    try:
        return bool(rt.containers.version())
    except PaasError:
        return False


def stop(rt: Runtime, run: CronRun, reason: str) -> None:
    """Ask for its end: SIGTERM, SIGKILL after the app's stop timeout. What fails here is tried again (``enforce``)."""
    entry = rt.cron.get(run.id)
    if entry:
        entry.ask_to_stop(reason)
        end_container(rt, entry)


def end_container(rt: Runtime, entry: Attended) -> None:
    if not entry.container or entry.stopping:
        return
    entry.stopping = True
    try:
        work = Work(rt, rt.store.app_by_id(entry.run.app_id), PLATFORM, Job(entry.run.app_id, "cron"))
        rt.containers.stop(entry.container, int(work.setting("ps.stop-timeout")))
    except PaasError as error:
        log.warning("cron.%d could not be stopped: %s", entry.run.id, error.what)
    finally:
        entry.stopping = False
