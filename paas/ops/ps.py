"""The instances of an app: what runs, scaling, restarting, stopping, starting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from paas.deploy import Candidate, Work, bring_up, replace_instances, warm
from paas.deploy.check import check
from paas.deploy.drain import drain, remove
from paas.deploy.plan import as_it_was, from_release, with_settings
from paas.deploy.retire import abandon
from paas.deploy.switch import verify, wanted_targets
from paas.errors import BadInput, NotFound
from paas.jobs import Job
from paas.model import names
from paas.model.access import PLATFORM, Actor
from paas.model.app import App
from paas.model.release import Instance, InstanceState, Process, Release
from paas.ops import deploys, releases, routes, sleep
from paas.ops.app_repairs import running
from paas.ports import ContainerState, Page

if TYPE_CHECKING:
    from paas.runtime import Runtime

Say = deploys.Say
WEB_MOST = 12                            # the proxy has so many slots per app
OTHERS_MOST = 50
GOING = (InstanceState.DRAINING, InstanceState.WARM)


# --- what runs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One instance, as it is now."""

    app: str
    name: str                            # "web.1"
    state: str                           # "healthy", "starting", "draining", "asleep", "missing", "exited 1", …
    release: str                         # "v3"
    started_at: datetime | None
    age: float | None                    # seconds since it was started; None: it does not run
    restarts: int
    memory: int                          # bytes


def listed(rt: Runtime, app: App | None) -> list[Line]:
    """By app, process type and ordinal; the ones that are on their way out after those that serve."""
    return [line(rt, one, row) for one in ([app] if app else rt.store.apps()) for row in in_order(rt, one)]


def in_order(rt: Runtime, app: App) -> list[Instance]:
    return sorted(rt.store.instances(app.id), key=lambda row: (row.process_type != "web", row.process_type,
                                                               row.ordinal, row.state in GOING))


def line(rt: Runtime, app: App, row: Instance) -> Line:
    version = f"v{rt.store.release_by_id(row.release_id).version}"
    try:
        found = rt.containers.state(row.container_id) if row.container_id else None
        memory = rt.containers.memory(row.container_id) if found and found.running else 0
    except NotFound:
        found, memory = None, 0
    began = found.started_at if found and found.running else None
    age = (rt.clock.now() - began).total_seconds() if began else None
    state = "asleep" if app.asleep and found and not found.running else state_of(row, found)
    return Line(app.name, row.name, state, version, began, age, found.restarts if found else 0, memory)


def state_of(row: Instance, found: ContainerState | None) -> str:
    if found is None:
        return "starting" if row.state == InstanceState.STARTING and not row.container_id else "missing"
    if found.running or found.exit_code is None:
        return str(row.state)
    return "out of memory" if found.oom_killed else f"exited {found.exit_code}"


def report(rt: Runtime, app: App) -> dict[str, object]:
    live, lines = rt.store.live_release(app.id), listed(rt, app)
    up = [one for one in lines if one.state == InstanceState.HEALTHY]
    down = [one for one in lines if one not in up and one.state != InstanceState.WARM]
    return {
        "app": app.name, "release": f"v{live.version}" if live else "", "deployed": live is not None,
        "stopped": app.stopped, "asleep": app.asleep, "sleeps_after": sleep.after(app),
        "wanted": [f"{kind}={number}" for kind, number in formation(rt, app).items()],
        "running": len(up), "not_running": [f"{one.name} ({one.state})" for one in down],
        "memory": sum(one.memory for one in lines), "waiting": waiting(rt, app),
    }


# --- scale -------------------------------------------------------------------------------------------------------


def parse_scale(words: Sequence[str]) -> dict[str, int]:
    """``web=2 worker=1`` → process type → quantity. BadInput."""
    made: dict[str, int] = {}
    for word in words:
        kind, equals, number = word.partition("=")
        if not equals or not number.isascii() or not number.isdigit() or len(number) > 6:
            raise BadInput(f"'{names.printable(word)}' is not TYPE=QUANTITY", "Example: paas ps:scale hello web=2")
        names.process_type(kind)
        most = WEB_MOST if kind == "web" else OTHERS_MOST
        if int(number) > most:
            raise BadInput(f"{kind} can be scaled to at most {most}", "Give an instance more memory or cores instead.")
        if kind in made:
            raise BadInput(f"the process type {kind} is there twice", "Give each once.")
        made[kind] = int(number)
    return made


def formation(rt: Runtime, app: App) -> dict[str, int]:
    """Process type → wanted quantity: what the live release has; for what is stored and not live yet, that."""
    live = rt.store.live_release(app.id)
    released = {process.type: process.quantity for process in live.formation} if live else {}
    stored = rt.store.scale(app.id)
    return {kind: stored.get(kind, released.get(kind, 0)) for kind in {**released, **({} if live else stored)}}


def scale(rt: Runtime, app: App, actor: Actor, wanted: Mapping[str, int], say: Say, *, deploy: bool = True) -> str:
    """Change quantities by a new release, without a build; return "unchanged", "stored" or "live".

    They become the app's desired ones only together with the release. An app that has none, or is stopped, gets them
    stored; so does every app without *deploy*.
    """
    refuse_unknown(rt.store.live_release(app.id), wanted)
    if settled(rt, app, wanted, deploy):
        return "unchanged"

    def steps(work: Work) -> str:
        live = work.rt.store.live_release(work.app.id)
        refuse_unknown(live, wanted)
        if not live or work.app.stopped or not deploy:
            work.rt.store.set_scale(work.app.id, wanted)
            return "stored"
        plan = as_it_was(live, work.rt.images.inspect(live.image), reason)
        stored = {**work.rt.store.scale(work.app.id), **wanted}
        processes = tuple(replace(one, quantity=stored[one.type], scaled=True) if one.type in stored else one
                          for one in plan.formation)
        bring_up(work, replace(plan, formation=processes), untouched(work, live, processes))
        return "live"

    reason = "ps:scale " + " ".join(f"{kind}={number}" for kind, number in wanted.items())
    done = deploys.run(rt, app, actor, names.printable(reason, 200), steps, say, wake=deploy)
    return "stored" if done == "stored" else "live"


def untouched(work: Work, live: Release, processes: Sequence[Process]) -> list[Instance]:
    """The instances of *live* that run and that the quantities of *processes* still have a place for."""
    places = {(one.type, ordinal) for one in processes for ordinal in range(1, one.quantity + 1)}
    serving = [row for row in work.rt.store.instances(work.app.id, release_id=live.id)
               if row.state == InstanceState.HEALTHY]
    return [row for row in serving if (row.process_type, row.ordinal) in places and running(work.rt, row)]


def settled(rt: Runtime, app: App, wanted: Mapping[str, int], deploy: bool) -> bool:
    """Nothing to do: stored and, where it would be deployed, live are what is wanted."""
    live = rt.store.live_release(app.id)
    now = {process.type: process.quantity for process in (live.formation if live else ())}
    stored = {**now, **rt.store.scale(app.id)}
    places = [stored] + ([now] if live and deploy and not app.stopped else [])
    return all(place.get(kind) == number for place in places for kind, number in wanted.items())


def refuse_unknown(live: Release | None, wanted: Mapping[str, int]) -> None:
    for kind in wanted:
        if live and not live.process(kind):
            known = ", ".join(process.type for process in live.formation)
            raise BadInput(f"v{live.version} has no process type '{kind}'", f"It has: {known}.")


# --- restart, rebuild --------------------------------------------------------------------------------------------


def restart(rt: Runtime, app: App, actor: Actor, process_type: str, say: Say) -> None:
    """Replace the instances of the live release, or of one *process_type* of it, without a gap and without a new
    release: the new ones prove themselves before the old ones go."""

    def steps(work: Work) -> object:
        live = running_release(work)
        return replace_type(work, live, process_type) if process_type else replace_instances(work, live).release

    deploys.run(rt, app, actor, f"ps:restart {process_type}".strip(), steps, say)


def running_release(work: Work) -> Release:
    """BadInput where there is none, or the app is stopped."""
    live = require_live(work.rt, work.app)
    if work.app.stopped:
        raise BadInput(f"{work.app.name} is stopped", f"Start it: paas ps:start {work.app.name}")
    return live


def require_live(rt: Runtime, app: App) -> Release:
    live = rt.store.live_release(app.id)
    if not live:
        raise BadInput(f"{app.name} has no release yet", "Push it first: git push.")
    return live


def replace_type(work: Work, live: Release, kind: str) -> Release:
    """As ``replace_instances``, for one process type. Cut anywhere, reconcile goes back or forward."""
    refuse_unknown(live, {kind: 1})
    part = replace(live, formation=(live.process(kind),))
    if not live.process(kind).quantity:
        raise BadInput(f"{kind} is scaled to 0", f"Scale it up: paas ps:scale {work.app.name} {kind}=1")
    try:
        candidate = check(work, part)
        old = [row for row in work.rt.store.instances(work.app.id)
               if row.process_type == kind and row.state == InstanceState.HEALTHY]
        turn(work, candidate, kind)
    except BaseException as error:
        abandon(work, live, error)
        raise
    work.out.heading(f"Restarted: {', '.join(row.name for row in candidate.instances)}")
    drain(work, old)
    remove(work, old)
    return live


def turn(work: Work, candidate: Candidate, kind: str) -> None:
    """The point of no return of a restart: for web the proxy first, then the database."""
    rt = work.rt
    if kind != "web":
        rt.store.turn_instances(candidate.release.id, kind)
        return
    before, targets = rt.router.pointed(work.app.id), wanted_targets(work, candidate)
    try:
        rt.router.point(work.app.id, targets)
        verify(work, candidate, targets)
        work.job.past_cancel = True
        rt.store.turn_instances(candidate.release.id, kind)
    except BaseException:
        rt.router.point(work.app.id, before if before is not None else Page.NO_RELEASE)
        raise


def rebuild(rt: Runtime, app: App, actor: Actor, say: Say, *, tasks: bool = False) -> Release:
    """A new release of the live image with config, scale, limits and check settings as they are stored now."""

    def steps(work: Work) -> Release:
        return renew(work, require_live(work.rt, work.app), "ps:rebuild", tasks)

    return deploys.run(rt, app, actor, "ps:rebuild", steps, say)


def renew(work: Work, live: Release, reason: str, tasks: bool = False) -> Release:
    plan = from_release(work, live, work.rt.images.inspect(live.image), reason)
    return bring_up(work, replace(plan, run_tasks=tasks)).release


def waiting(rt: Runtime, app: App) -> list[str]:
    """How the next release will differ from the live one, by what is stored now."""
    live = rt.store.live_release(app.id)
    if not live:
        return []
    return releases.differences(live, preview(Work(rt, app, PLATFORM, Job(app.id, "preview")), live))


def preview(work: Work, live: Release) -> Release:
    return replace(live, config=work.rt.store.config(work.app.id),
                   formation=tuple(with_settings(work, process) for process in live.formation))


# --- stop, start -------------------------------------------------------------------------------------------------


def stop(rt: Runtime, app: App, actor: Actor, say: Say) -> int | None:
    """Visitors get the platform's own page, then the instances finish their requests and go. How many went.

    None: it was stopped already, with nothing left to stop.
    """
    if app.stopped and not rt.store.instances(app.id):
        return None

    def steps(work: Work) -> int:
        routes.ensure_known(work.rt, work.app)
        maintained = work.rt.store.app_by_id(work.app.id).maintenance
        work.rt.router.point(work.app.id, Page.MAINTENANCE if maintained else Page.STOPPED)
        work.rt.store.update_app(work.app.id, stopped=True, asleep=False)
        warm.cut_short(work)
        rows = [row for row in work.rt.store.instances(work.app.id) if row.state != InstanceState.WARM]
        work.out.stage(f"Stopping {', '.join(row.name for row in rows) or 'nothing'}")
        drain(work, rows)
        remove(work, rows)
        return len(rows)

    return deploys.run(rt, app, actor, "ps:stop", steps, say, wake=False)


def start(rt: Runtime, app: App, actor: Actor, say: Say) -> bool:
    """Bring the live release up again; what was stored meanwhile (config, scale) comes as a new release. False: it
    was not stopped."""
    if not app.stopped:
        return False

    def steps(work: Work) -> object:
        live = work.rt.store.live_release(work.app.id)
        if not live:
            work.rt.store.update_app(work.app.id, stopped=False)
            work.rt.router.point(work.app.id, routes.wanted(work.rt, work.rt.store.app_by_id(work.app.id)))
            return None
        if releases.differences(live, preview(work, live)):
            return renew(work, live, "ps:start")
        return replace_instances(work, live).release

    deploys.run(rt, app, actor, "ps:start", steps, say)
    return True
