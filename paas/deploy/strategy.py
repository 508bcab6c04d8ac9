"""How the old instances of a process type give way to the new ones (``ps:strategy``).

start-first: both run until the switch. rolling: one new instance starts, then one old one goes, and so on: no more
memory than one instance above today's. stop-first: old and new never run at once, for what must not be there twice.

Old instances that had to go stay in the database as they are, stopped: until the switch `take_back` starts them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from paas.deploy.drain import drain, stop
from paas.deploy.start import prove, start
from paas.deploy.work import Work
from paas.errors import NotFound, PaasError
from paas.model.limits import megabytes
from paas.model.release import Instance, InstanceState, Process, Release, Strategy
from paas.ops import routes
from paas.ports import Page

SPARE_MEMORY = 64 * 1024**2              # bytes that starting instances leave to the server


@dataclass(frozen=True)
class Replacement:
    """The instances of one process type that start, and the old ones that are to go."""

    process: Process
    ordinals: tuple[int, ...]
    old: tuple[Instance, ...]
    strategy: Strategy
    each: int                            # bytes that one instance will probably use; 0: not known

    @property
    def needs(self) -> int:
        """Bytes above what runs now, until the last old instance is gone."""
        return self.each * {Strategy.START_FIRST: len(self.ordinals), Strategy.ROLLING: 1, Strategy.STOP_FIRST: 0}[
            self.strategy]


def replacements(work: Work, release: Release, kept: Sequence[Instance]) -> list[Replacement]:
    """By process type, each with its strategy: the one set for it, else start-first where memory allows."""
    there = {(row.process_type, row.ordinal) for row in kept}
    ids = {row.id for row in kept}
    serving = [row for row in work.rt.store.instances(work.app.id)
               if row.state == InstanceState.HEALTHY and row.id not in ids]
    found = []
    for process in release.formation:
        ordinals = tuple(number for number in range(1, process.quantity + 1) if (process.type, number) not in there)
        old = tuple(row for row in serving if row.process_type == process.type)
        found.append(Replacement(process, ordinals, old, process.strategy or Strategy.START_FIRST,
                                 expected_memory(work, process, old)))
    return within_memory(work, [one for one in found if one.ordinals])


def expected_memory(work: Work, process: Process, old: Sequence[Instance]) -> int:
    """What is reserved for an instance (``resource:reserve``), else the most that an old one uses now."""
    if process.reserve:
        return process.reserve
    used = 0
    for row in old:
        try:
            used = max(used, work.rt.containers.memory(row.container_id))
        except NotFound:
            continue
    return min(used, process.memory) if process.memory else used


def within_memory(work: Work, wanted: list[Replacement]) -> list[Replacement]:
    """Where not everything fits beside what runs, let types without a strategy of their own give way earlier."""
    free = work.rt.host.memory() - SPARE_MEMORY
    needed = sum(one.needs for one in wanted)
    if needed <= free:
        return wanted
    work.out.warn(f"{megabytes(max(free, 0))} of memory are free; the new instances will need about "
                  f"{megabytes(needed)} beside the old ones")
    for index, one in sorted(enumerate(wanted), key=lambda pair: -pair[1].needs):
        changed = replace(one, strategy=thrifty(one))
        if sum(each.needs for each in wanted) > free and changed.needs < one.needs:
            wanted[index] = changed
            how = "one at a time" if changed.strategy == Strategy.ROLLING else "stopped before it starts anew"
            work.out.detail(f"{one.process.type}: {how} (to choose: paas ps:strategy {work.app.name})")
    return wanted


def thrifty(one: Replacement) -> Strategy:
    """A web process that is alone starts first all the same: stopping it would stop the app."""
    if one.process.strategy or not one.old:
        return one.strategy
    if len(one.ordinals) > 1:
        return Strategy.ROLLING
    return one.strategy if one.process.type == "web" else Strategy.STOP_FIRST


def roll(work: Work, release: Release, one: Replacement) -> list[Instance]:
    """One at a time: when a new instance is ready, an old one goes."""
    with work.timed("roll"):
        ready: list[Instance] = []
        old = list(one.old)
        for ordinal in one.ordinals:
            ready += prove(work, release, [start(work, release, one.process, ordinal)])
            leaving, old = old[:1], old[1:]
            step_down(work, leaving, [*ready, *old])
        return ready


def stop_first(work: Work, release: Release, one: Replacement) -> list[Instance]:
    """The old ones go, then the new ones start. Requests for web are held meanwhile."""
    with work.timed("replace"):
        step_down(work, one.old, [])
        ready = prove(work, release, [start(work, release, one.process, ordinal) for ordinal in one.ordinals])
        if one.old:
            route(work, ready)
        return ready


def step_down(work: Work, leaving: Sequence[Instance], serving: Sequence[Instance]) -> None:
    """Out of the proxy, which turns to those *serving*; they finish their requests and stop."""
    if not leaving:
        return
    work.stop_if_cancelled()
    work.stepped_down += leaving
    if leaving[0].process_type == "web":
        route(work, serving)
    work.out.detail(f"Stopping the old {', '.join(row.name for row in leaving)}")
    drain(work, leaving)
    stop(work, leaving)


def route(work: Work, serving: Sequence[Instance]) -> None:
    """Point the app to the web instances among *serving*; none: its requests are held."""
    targets = tuple(row.target for row in serving if row.process_type == "web" and row.port)
    if serving and not targets:
        return                           # of another process type
    if not work.rt.store.app_by_id(work.app.id).maintenance:
        routes.ensure_known(work.rt, work.app)
        work.rt.router.point(work.app.id, targets or Page.PARK)


def take_back(work: Work, failed: Release) -> None:
    """The deploy failed: what stepped down for it starts again and serves; the new ones finish their requests."""
    if not work.stepped_down:
        return
    back, work.stepped_down = work.stepped_down, []
    work.out.stage(f"Starting the old {', '.join(row.name for row in back)} again")
    for row in back:
        try:
            work.rt.containers.start(row.container_id)
            prove(work, work.rt.store.release_by_id(row.release_id), [row])
        except PaasError as error:
            work.out.warn(f"{row.name}: {error.what}; reconcile will go on with it")
    work.rt.router.point(work.app.id, routes.wanted(work.rt, work.rt.store.app_by_id(work.app.id)))
    drain(work, [row for row in work.rt.store.instances(work.app.id, release_id=failed.id)
                 if row.state == InstanceState.STARTING])
