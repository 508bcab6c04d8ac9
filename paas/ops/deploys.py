"""Deploys as the commands see them: submit a job, follow its log, return its verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from paas.deploy import Work
from paas.errors import BadInput, Cancelled, Conflict, Locked, NotFound, PaasError, PushRefused
from paas.jobs import Job, JobLog
from paas.model import app_settings
from paas.model.access import Actor
from paas.model.app import App
from paas.model.incident import Kind
from paas.model.release import Release
from paas.ops import sleep
from paas.ops.incidents import close_incident, open_incident

if TYPE_CHECKING:
    from paas.runtime import Runtime

Say = Callable[[str], None]
REFUSALS = (BadInput, Cancelled, Conflict, Locked, NotFound, PushRefused)      # whoever asked was told, and that is all


def submit(rt: Runtime, app: App, actor: Actor, title: str, steps: Callable[[Work], object], *,
           wake: bool = True) -> Job:
    """Queue *steps* as a job of *app*; they get the app as it is when their turn comes. Locked if it is locked.

    An app that sleeps is woken before, unless *wake* is false: its release serves until another one does.
    """
    refuse_locked(app)
    rt.older.require_none()
    stored = rt.store.settings()
    job = Job(app.id, title, JobLog(int(app_settings.value_of(app_settings.SERVER, stored, "build-output-limit"))))
    rt.jobs.builds_at_once = int(app_settings.value_of(app_settings.SERVER, stored, "max-builds"))

    def run(job: Job) -> object:
        try:
            if wake:
                rouse(rt, app.id, job)
            before = rt.store.live_release(app.id)
            result = steps(Work(rt, rt.store.app_by_id(app.id), actor, job))
            tell_success(rt, app, before, result)
            return result
        except PaasError as error:
            rt.store.add_event(actor, "deploy", app.name, "failed", {"what": title, "reason": error.what})
            if not isinstance(error, REFUSALS):
                open_incident(rt, Kind.DEPLOY_FAILED, app.name, f"a deploy of {app.name} failed: {error.what}",
                              f"paas builds {app.name}; the release before keeps serving")
            raise

    return rt.jobs.submit(job, run, int(app_settings.value_of(app_settings.SERVER, stored, "max-queue")))


def tell_success(rt: Runtime, app: App, before: Release | None, result: object) -> None:
    """Of a job that made a release live, or was asked for one that is live already."""
    live = rt.store.live_release(app.id)
    if live and (isinstance(result, Release) or before is None or live.id != before.id):
        close_incident(rt, Kind.DEPLOY_FAILED, app.name, f"v{live.version} is live")


def rouse(rt: Runtime, app_id: int, job: Job) -> None:
    """One that does not wake is told of, and does not stand in the way of what may mend it."""
    app = rt.store.app_by_id(app_id)
    if not app.asleep:
        return
    job.log.stage(f"Waking {app.name}")
    try:
        sleep.rise(rt, app)
    except PaasError as error:
        job.log.warn(f"it did not wake: {error.what}")


def follow(job: Job, say: Say, watching: Callable[[], bool] = lambda: True) -> object:
    """Copy the job's lines to *say* until its verdict; return its result or raise its error.

    When nobody is *watching* any more the job goes on without us; None is returned.
    """
    for line in job.log.follow(done=lambda: job.decided or not watching()):
        say(line)
    if not job.decided:
        return None
    if job.error:
        raise job.error
    return job.result


def run(rt: Runtime, app: App, actor: Actor, title: str, steps: Callable[[Work], object], say: Say,
        watching: Callable[[], bool] = lambda: True, *, wake: bool = True) -> object:
    """Submit and follow."""
    return follow(submit(rt, app, actor, title, steps, wake=wake), say, watching)


def refuse_locked(app: App) -> None:
    if app.locked:
        raise Locked(f"{app.name} is locked: {app.locked}", f"Unlock it with: paas apps:unlock {app.name}")


def cancel(rt: Runtime, app: App) -> str:
    """Stop the deploy that runs for *app*; return its title. BadInput when none runs or it is too late; Conflict when
    it is no deploy, but a command that works."""
    jobs = rt.jobs.deploys(app.id)
    if not jobs:
        raise BadInput(f"no deploy of {app.name} is running", "See: paas builds " + app.name)
    job = jobs[0]
    if not job.cancel():
        if job.command:
            raise Conflict(f"this cannot be cancelled: {job.title}", "It does not take long; wait until it is over.")
        raise BadInput("the new release is live already", f"Go back with: paas rollback {app.name}")
    return job.title
