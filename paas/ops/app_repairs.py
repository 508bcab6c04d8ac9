"""What reconcile looks at for one app, in an order in which each repair can rely on those before it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from paas.deploy import Work
from paas.deploy.drain import busy, remove, stop
from paas.deploy.oneoff import ensure_network, give_empty_mounts, network_name
from paas.deploy.start import container_spec
from paas.errors import EngineError, NotFound
from paas.jobs import Job
from paas.model import app_settings
from paas.model.access import PLATFORM
from paas.model.app import App
from paas.model.build import BuildState
from paas.model.release import Instance, InstanceState, Release, ReleaseState
from paas.ops import cron_run, routes
from paas.ops import runs as one_off
from paas.ops.repair import Repair
from paas.ports import ContainerState

if TYPE_CHECKING:
    from paas.runtime import Runtime

CUT = "interrupted: paasd stopped while this was running"


def find(rt: Runtime, app: App) -> Iterator[Repair]:
    """Every difference of *app*. The caller holds the app's turn and acts between two steps."""
    yield from unfinished_builds(rt, app)
    yield from unfinished_releases(rt, app)
    yield from route(rt, app)
    yield from leftovers(rt, app)
    yield from network(rt, app)
    yield from instances(rt, app)
    yield from orphans(rt, app)
    yield from runs(rt, app)
    yield from ref(rt, app)


def unfinished_builds(rt: Runtime, app: App) -> Iterator[Repair]:
    for build in rt.store.builds(app.id, states=(BuildState.QUEUED, BuildState.BUILDING)):
        yield Repair("build-cut", f"{app.name} build {build.number}", f"still {build.state}", "mark it failed",
                     lambda b=build: rt.store.move_build(b.id, BuildState.FAILED, reason=CUT))


def unfinished_releases(rt: Runtime, app: App) -> Iterator[Repair]:
    """Before the point of no return: undo. At it, with the proxy turned and the new containers up: finish."""
    for release in rt.store.unfinished_releases():
        if release.app_id != app.id:
            continue
        if release.state == ReleaseState.SWITCHING and turned(rt, app, release):
            yield Repair("release-cut", f"{app.name} v{release.version}", "the proxy serves it already", "make it live",
                         lambda r=release: rt.store.commit_live(r.id, r.timings))
        else:
            yield Repair("release-cut", f"{app.name} v{release.version}", f"still {release.state}", "mark it failed",
                         lambda r=release: rt.store.move_release(r.id, ReleaseState.FAILED, failure=CUT))


def turned(rt: Runtime, app: App, release: Release) -> bool:
    """The proxy points to exactly this release's web instances, and all its instances run."""
    rows = rt.store.instances(app.id, release_id=release.id)
    targets = tuple(row.target for row in rows if row.process_type == "web")
    return bool(targets) and rt.router.pointed(app.id) == targets and all(running(rt, row) for row in rows)


def running(rt: Runtime, row: Instance) -> bool:
    found = container_of(rt, row)
    return found is not None and found.running


def container_of(rt: Runtime, row: Instance) -> ContainerState | None:
    try:
        return rt.containers.state(row.container_id) if row.container_id else None
    except NotFound:
        return None


def route(rt: Runtime, app: App) -> Iterator[Repair]:
    wanted, now = routes.wanted(rt, app), rt.router.pointed(app.id)
    same = sorted(wanted) == sorted(now) if isinstance(wanted, tuple) and isinstance(now, tuple) else wanted == now
    if not same:
        yield Repair("route-wrong", app.name, f"the proxy points to {shown(now)}", f"point it to {shown(wanted)}",
                     lambda: rt.router.point(app.id, wanted))


def shown(target: object) -> str:
    return "nothing" if target is None else ", ".join(target) if isinstance(target, tuple) else f"page '{target}'"


def leftovers(rt: Runtime, app: App) -> Iterator[Repair]:
    """Instances of a deploy that was cut, old ones that were not retired to the end, all of a stopped app."""
    work = work_of(rt, app)
    for row in rt.store.instances(app.id):
        if row.state == InstanceState.STARTING:
            found = "left over from a deploy that was cut"
        elif row.state == InstanceState.WARM and not kept_warm(rt, app, row):
            found = "still warm although nobody watches the release after its own any more"
        elif row.state == InstanceState.DRAINING and forgotten(rt, work, row):
            found = "still there after its release was retired"
        elif app.stopped and row.state == InstanceState.HEALTHY:
            found = "there although the app is stopped"
        else:
            continue
        yield Repair("instance-left", f"{app.name} {row.name}", found, "stop and remove it",
                     lambda r=row: remove(work, [r]))


def kept_warm(rt: Runtime, app: App, row: Instance) -> bool:
    """A window is open, or somebody here lets it go; and it is there at all."""
    waiting = row.id in rt.jobs.being_retired or rt.store.watches(app.id, open_only=True)
    return bool(waiting) and not app.stopped and container_of(rt, row) is not None


def forgotten(rt: Runtime, work: Work, row: Instance) -> bool:
    """Nobody here drains it, and it has no requests left or has had its time."""
    if row.id in rt.jobs.being_retired:
        return False
    live = rt.store.live_release(work.app.id)
    if not live or not live.live_at or not busy(work, row.target):
        return True
    limit = timedelta(seconds=float(work.setting("proxy.drain-timeout")))
    return rt.clock.now() - live.live_at > limit


def network(rt: Runtime, app: App) -> Iterator[Repair]:
    work = work_of(rt, app)
    if rt.store.live_release(app.id) and not app.stopped and network_name(work) not in rt.containers.networks():
        yield Repair("network-missing", app.name, "its network does not exist", "create it",
                     lambda: ensure_network(work))


def instances(rt: Runtime, app: App) -> Iterator[Repair]:
    live = rt.store.live_release(app.id)
    if not live or app.stopped:
        return
    for row in rt.store.instances(app.id, release_id=live.id):
        if row.state != InstanceState.HEALTHY:
            continue
        found = container_of(rt, row)
        if app.asleep:
            yield from woken_by_another(rt, app, row, found)
        elif found is None or (found.running and found.address != row.address):
            what = "its container does not exist" if found is None else f"it has the address {found.address}"
            yield Repair("instance-missing", f"{app.name} {row.name}", what, "create it again at its own address",
                         lambda r=row: recreate(rt, app, live, r))
        elif not found.running and live.process(row.process_type).restart != "no":
            yield Repair("instance-stopped", f"{app.name} {row.name}", f"stopped with exit code {found.exit_code}",
                         "start it", lambda r=row: start(rt, app, live, r))


def woken_by_another(rt: Runtime, app: App, row: Instance, found: ContainerState | None) -> Iterator[Repair]:
    """A sleeping app's container runs: the engine was told to, by hand, or waking it or putting it to sleep was cut."""
    if found is not None and found.running:
        yield Repair("instance-awake", f"{app.name} {row.name}", "it runs although the app sleeps", "stop it",
                     lambda: take_down(work_of(rt, app), [row]))


def take_down(work: Work, rows: Sequence[Instance]) -> None:
    """Stop them, and keep the engine from starting them by itself: after a crash of its own, or of the machine.

    That is said first, so that nothing is half done; the engine does not listen while it starts a container again.
    """
    refused = []
    for row in rows:
        try:
            work.rt.containers.set_restart(row.container_id, "no")
        except NotFound:
            continue
        except EngineError:
            refused.append(row)
    stop(work, rows)
    for row in refused:
        work.rt.containers.set_restart(row.container_id, "no")


def start(rt: Runtime, app: App, live: Release, row: Instance) -> None:
    """A container whose network was removed, and made again, can never start: it knows the network by its id."""
    try:
        rt.containers.start(row.container_id)
    except (EngineError, NotFound):
        recreate(rt, app, live, row)


def recreate(rt: Runtime, app: App, live: Release, row: Instance) -> None:
    work = work_of(rt, app)
    if row.container_id:
        rt.containers.remove(row.container_id)
    ensure_network(work)
    made = rt.containers.create(container_spec(work, live, live.process(row.process_type), row))
    rt.store.update_instance(row.id, container_id=made)
    give_empty_mounts(work, made)
    rt.containers.start(made)


def orphans(rt: Runtime, app: App) -> Iterator[Repair]:
    """Containers that no row explains. Rows come before their containers, so none of these is on its way."""
    there = rt.containers.list({"paas.app": str(app.id)})        # before the question which of them are wanted
    rows = {str(row.id) for row in rt.store.instances(app.id)}
    known_runs = {str(run.id) for run in rt.store.runs(app.id)}
    jobs = {str(run.id) for run in [*cron_run.running(rt, app.id), *(one.run for one in rt.cron.all())]}
    for container in there:
        if container.labels.get("paas.kind") in ("sqlite", "sqlite-work"):
            continue                     # paas.ops.sqlite_streams sees to these
        instance, run, job = (container.labels.get(f"paas.{kind}") for kind in ("instance", "run", "cron"))
        if instance not in rows and run not in known_runs and job not in jobs:
            yield Repair("container-unknown", f"{app.name} {container.name}", "no row explains it", "remove it",
                         lambda c=container: rt.containers.remove(c.id))


def runs(rt: Runtime, app: App) -> Iterator[Repair]:
    """One-off containers that ended while nobody watched."""
    for run in rt.store.runs(app.id):
        state = None
        with contextlib.suppress(NotFound):
            state = rt.containers.state(run.container_id) if run.container_id else None
        young = rt.clock.now() - run.created_at < timedelta(seconds=60)
        if young or run.id in one_off.attended or (state and (state.running or state.exit_code is None)):
            continue
        if state and one_off.kept(rt, state):
            continue
        yield Repair("run-ended", f"{app.name} run.{run.id}", "it has ended", "remove it",
                     lambda r=run: (rt.containers.remove(r.container_id) if r.container_id else None,
                                    rt.store.delete_run(r.id)))


def ref(rt: Runtime, app: App) -> Iterator[Repair]:
    """The deploy branch is the commit that is live, unless git is just about to move it."""
    live = rt.store.live_release(app.id)
    branch = app_settings.value_of(app_settings.APP, app.settings, "git.deploy-branch")
    if not live or not live.commit or not branch or (app.id, branch) in rt.jobs.accepted:
        return
    now = rt.repos.ref(app.id, branch)
    if now != live.commit:
        yield Repair("ref-wrong", f"{app.name} {branch}", f"the branch is at {now[:8] if now else 'nothing'}",
                     f"set it to {live.commit[:8]}", lambda: rt.repos.set_ref(app.id, branch, live.commit))


def work_of(rt: Runtime, app: App, title: str = "reconcile") -> Work:
    """Of the platform's own, which nobody watches."""
    return Work(rt, app, PLATFORM, Job(app.id, title))
