"""Instances that die: what counts as a crash loop and as a lack of memory, and the incidents of both.

The engine starts a container that ends with an error again by itself, with a back-off (`docker run --restart`); this
only looks on. An incident is over when all instances have been up for a minute, or another release serves.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas.deploy.readiness import SIGKILLED
from paas.errors import NotFound
from paas.model.app import App
from paas.model.incident import Kind
from paas.model.release import Instance, InstanceState, Process, Release
from paas.model.watch import Death
from paas.ops.incidents import close_incident, open_incident
from paas.ports import ContainerState
from paas.ports_watch import Happening

if TYPE_CHECKING:
    from paas.runtime import Runtime

LOOP_DEATHS = 3                          # of one instance
LOOP_SECONDS = 60.0
WELL_SECONDS = 60.0                      # up without a break: whatever was is over
KINDS = (Kind.CRASH_LOOP, Kind.OUT_OF_MEMORY)


def happened(rt: Runtime, one: Happening) -> None:
    """Remember it; an end may open an incident."""
    rt.happenings.note(one)
    if one.kind == "start" or one.labels.get("paas.kind") != "instance":
        return
    row = row_of(rt, one)
    live = rt.store.live_release(row.app_id) if row else None
    if row and live and row.release_id == live.id and row.state == InstanceState.HEALTHY:
        judge(rt, rt.store.app_by_id(row.app_id), live, row, one.at)


def row_of(rt: Runtime, one: Happening) -> Instance | None:
    return next((row for row in rt.store.instances(int(one.labels.get("paas.app", 0)))
                 if row.container_id == one.container_id), None)


def judge(rt: Runtime, app: App, live: Release, row: Instance, at: datetime) -> None:
    since = at - timedelta(seconds=LOOP_SECONDS)
    death = death_of(rt, live, row, since)
    if death is None or app.stopped or app.asleep:
        return
    turn = rt.jobs.running(app.id)
    told_to = turn is not None and not turn.housekeeping     # a deploy, or the like: it may have stopped this one
    what, hint = f"{row.name} of {app.name} (v{live.version})", f"Its last log lines: paas logs {app.name}"
    if death.out_of_memory and (not told_to or rt.happenings.of(row.container_id, "oom", since)):
        limit = f" with a memory limit of {death.memory // 1024**2} MB" if death.memory else ""
        open_incident(rt, Kind.OUT_OF_MEMORY, app.name, f"{what} ran out of memory and was killed{limit}",
                      f"{hint}. More memory: paas resource:limit --memory 512m {app.name}")
    if len(rt.happenings.of(row.container_id, "die", since)) >= LOOP_DEATHS:
        open_incident(rt, Kind.CRASH_LOOP, app.name, f"{what} died {LOOP_DEATHS} times within a minute"
                      f"{coded(death)}", hint)
    elif death.given_up and not told_to:
        open_incident(rt, Kind.CRASH_LOOP, app.name, f"{what} ended{coded(death)} and is not started again by its "
                      "restart policy", hint)


def coded(death: Death) -> str:
    return "" if death.exit_code is None else f" (exit code {death.exit_code})"


def death_of(rt: Runtime, release: Release, row: Instance, since: datetime) -> Death | None:
    """What became of an instance: by the engine's events since then, and by what its container says of its whole life,
    which a restart of the daemon does not forget. None: it has no container."""
    process = release.process(row.process_type)
    try:
        state = rt.containers.state(row.container_id)
    except NotFound:
        return None
    ends = rt.happenings.of(row.container_id, "die", since)
    down = not state.running and state.exit_code is not None
    code = ends[-1].exit_code if ends else state.exit_code
    killed = code == SIGKILLED and process.memory > 0
    oom = bool(rt.happenings.of(row.container_id, "oom", since)) or (down and state.oom_killed) or killed
    deaths = max(len(ends), state.restarts + down)
    return Death(row.name, deaths, code, down and given_up(process, state), oom, process.memory)


def given_up(process: Process, state: ContainerState) -> bool:
    """Docker does not start it again, although somebody expects it to run. A worker that ends with 0 has done its
    work; one whose policy is "no" may end."""
    policy, _, most = process.restart.partition(":")
    if policy != "on-failure" or (state.exit_code == 0 and process.type != "web"):
        return False
    return state.exit_code == 0 or bool(most and state.restarts >= int(most))


# --- over --------------------------------------------------------------------------------------------------------


def tick(rt: Runtime) -> None:
    """Close what is over. Called every few seconds."""
    for incident in rt.store.incidents(open_only=True, kinds=KINDS):
        app = rt.store.find_app(incident.app)
        if app is None or app.stopped or app.asleep or well(rt, app):
            close_incident(rt, incident.kind, incident.object, "it has been up for a minute" if app else "")


def well(rt: Runtime, app: App) -> bool:
    """All that should serve has run for a minute without a break."""
    live, begun = rt.store.live_release(app.id), rt.clock.now() - timedelta(seconds=WELL_SECONDS)
    for row in rt.store.instances(app.id, release_id=live.id) if live else ():
        if row.state != InstanceState.HEALTHY or live.process(row.process_type).restart == "no":
            continue
        try:
            state = rt.containers.state(row.container_id)
        except NotFound:
            return False
        if not state.running or state.started_at is None or state.started_at > begun:
            return False
    return True


def another_release(rt: Runtime, app: App) -> None:
    for kind in KINDS:
        close_incident(rt, kind, app.name, "another release serves")
