"""Watched releases: look at each, go back where it does badly, close the window when its time is over."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from paas.deploy import Work, warm
from paas.deploy.plan import as_it_was
from paas.deploy.probes import LAST_LINES
from paas.errors import CheckFailed, NotFound, PaasError
from paas.jobs import Job
from paas.model import app_settings
from paas.model import watch as rules
from paas.model.access import PLATFORM
from paas.model.app import App
from paas.model.incident import Kind
from paas.model.release import Instance, InstanceState, Release
from paas.model.watch import Outcome, Watch
from paas.ops import crashes, deploys, releases, traffic_counts
from paas.ops.app_repairs import work_of
from paas.ops.incidents import close_incident, open_incident
from paas.ports import Output

if TYPE_CHECKING:
    from paas.runtime import Runtime


log = logging.getLogger("paas.watch")


def tick(rt: Runtime) -> None:
    """Look at every release that is being watched. Called every second."""
    for one in rt.store.watches(open_only=True):
        try:
            look(rt, one)
        except PaasError as error:
            log.warning("watching release %d: %s", one.release_id, error.what)


def look(rt: Runtime, watched: Watch) -> None:
    app = rt.store.app_by_id(watched.app_id)
    live = rt.store.live_release(app.id)
    if live is None or live.id != watched.release_id:
        close(rt, app, watched, Outcome.CUT_SHORT)
        return
    reason = watched.reason or breach(rt, app, live, watched)
    if reason and rt.store.note_breach(live.id, reason):
        log.info("v%d of %s does badly: %s", live.version, app.name, reason)
        if not goes_back(app):
            tell_unchanged(rt, app, live, reason)
    if reason and goes_back(app):
        go_back(rt, app, live, replace(watched, reason=reason))
    elif rt.clock.now() >= watched.ends_at:
        close(rt, app, watched, Outcome.BAD if reason else Outcome.GOOD)


def goes_back(app: App) -> bool:
    """A locked app stays as it is: a person wants that."""
    return not app.locked and app_settings.value_of(app_settings.APP, app.settings, "watch.rollback") == "true"


def close(rt: Runtime, app: App, watched: Watch, outcome: Outcome) -> None:
    if rt.store.end_watch(watched.release_id, outcome):
        warm.let_all_go(work_of(rt, app))


# --- does it do badly? -------------------------------------------------------------------------------------------


def breach(rt: Runtime, app: App, live: Release, watched: Watch) -> str:
    """In words; empty: no. Where the old instances ended as well it was the engine, or a person, not the release."""
    work = work_of(rt, app)
    old = warm.instances(work)
    if app.asleep or (old and not any(warm.runs(work, row) for row in old)):
        return ""
    rows = [row for row in rt.store.instances(app.id, release_id=live.id) if row.state == InstanceState.HEALTHY]
    deaths = [crashes.death_of(rt, live, row, watched.began_at) for row in rows]
    return rules.dying([one for one in deaths if one]) or ("" if app.maintenance else answers(rt, app, watched))


def answers(rt: Runtime, app: App, watched: Watch) -> str:
    now = traffic_counts.so_far(rt, app).since(watched.counted)
    return rules.answering(now, watched.before, rules.limits(app.settings))


# --- back --------------------------------------------------------------------------------------------------------


def go_back(rt: Runtime, app: App, live: Release, watched: Watch) -> None:
    """Queue the rollback, once; a deploy that is under way comes first, and may make it needless."""
    target = rt.store.release_by_id(watched.before_id)
    title = f"automatic rollback of v{live.version}"
    queue = [rt.jobs.running(app.id), *rt.jobs.waiting(app.id)]
    if any(job and job.title == title for job in queue):
        return

    def steps(work: Work) -> Release | None:
        now = rt.store.live_release(work.app.id)
        if now is None or now.id != live.id or not rt.store.watches(work.app.id, open_only=True):
            return None                  # somebody did something else meanwhile
        return rolled_back(work, live, target, watched.reason)

    deploys.submit(rt, app, PLATFORM, title, steps)


def rolled_back(work: Work, live: Release, target: Release, reason: str) -> Release:
    """The release before, as the next one. The pusher that still waits is told, with the app's last words."""
    rt, app, pusher = work.rt, work.app, work.rt.jobs.awaited.get(live.id)
    for out in [work.out, *([pusher.log] if pusher else [])]:
        out.stage(f"v{live.version} does badly: {reason}. Rolling back to v{target.version}")
        last_words(rt, app, live, out)

    def told(made: Release) -> None:
        tell_rolled_back(rt, app, live, target, made, reason)
        decide(pusher, f"v{live.version} was rolled back to v{target.version}: {reason}", app)

    work.then = told
    try:
        return releases.back(work, target, as_it_was(
            target, releases.kept_image(rt, target), f"rollback to v{target.version}: {reason}"))
    except PaasError as error:
        rt.store.end_watch(live.id, Outcome.BAD)
        open_incident(rt, Kind.DEPLOY_FAILED, app.name, f"v{live.version} of {app.name} does badly ({reason}), and the "
                      f"rollback to v{target.version} failed: {error.what}", f"Look at: paas logs {app.name}")
        decide(pusher, f"v{live.version} does badly: {reason}; the rollback failed: {error.what}", app)
        raise


def tell_rolled_back(rt: Runtime, app: App, live: Release, target: Release, made: Release, reason: str) -> None:
    rt.store.add_event(PLATFORM, "rolled-back", app.name, "ok",
                       {"from": f"v{live.version}", "to": f"v{target.version}", "as": f"v{made.version}",
                        "reason": reason})
    open_incident(rt, Kind.ROLLED_BACK, app.name, f"v{live.version} of {app.name} was rolled back to "
                  f"v{target.version}: {reason}", f"The windows: paas watch {app.name}")
    close_incident(rt, Kind.ROLLED_BACK, app.name)


def decide(pusher: Job | None, what: str, app: App) -> None:
    if pusher:
        pusher.decide(error=CheckFailed(what, f"The log lines above are its last. The windows: paas watch {app.name}"))


def last_words(rt: Runtime, app: App, live: Release, out: Output) -> None:
    """Of every instance, while they are still there."""
    for row in rt.store.instances(app.id, release_id=live.id):
        lines = logged(rt, row)
        if lines:
            out.heading(f"Last log lines of {row.name}")
        for line in lines:
            out.detail(line)


def logged(rt: Runtime, row: Instance) -> list[str]:
    try:
        return [line.text.decode("utf-8", "replace") for line in rt.containers.logs(row.container_id, tail=LAST_LINES)]
    except NotFound:
        return []


def tell_unchanged(rt: Runtime, app: App, live: Release, reason: str) -> None:
    why = f"it is locked ({app.locked})" if app.locked else "watch:set rollback is false"
    rt.store.add_event(PLATFORM, "watch", app.name, "failed", {"release": f"v{live.version}", "reason": reason})
    open_incident(rt, Kind.DEPLOY_FAILED, app.name, f"v{live.version} of {app.name} does badly: {reason}; not rolled "
                  f"back, as {why}", f"Go back with: paas rollback {app.name}")


# --- the report --------------------------------------------------------------------------------------------------

COLUMNS = ("release", "before", "began_at", "ends_at", "outcome", "reason")


def windows(rt: Runtime, app: App, number: int = 20) -> list[tuple[object, ...]]:
    """Newest first, a row of COLUMNS each; the outcome of one that is open is "watching"."""
    def version(release_id: int) -> str:
        return f"v{rt.store.release_by_id(release_id).version}"

    return [(version(one.release_id), version(one.before_id), one.began_at, one.ended_at or one.ends_at,
             one.outcome or "watching", one.reason) for one in rt.store.watches(app.id, limit=number)]
