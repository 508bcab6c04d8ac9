"""Old web instances that run on, without requests, while the release after theirs is being watched.

The window is a row of the database. Whoever ends it has the warm instances: the watcher in ``paas.ops.watch`` when the
time is over, a rollback, or the next thing that a person does with the app.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from paas.deploy.drain import drain, remove
from paas.deploy.work import Work
from paas.errors import NotFound
from paas.model.release import Instance, InstanceState, Release
from paas.model.watch import Outcome

SPARE_MEMORY = 256 * 1024**2             # bytes that stay free beside what the warm instances use


def staying(work: Work, old: Sequence[Instance]) -> list[Instance]:
    """Web instances that still run. Two workers of different releases never run longer than for the switch."""
    gone = {row.id for row in work.stepped_down}
    rows = [row for row in old if row.process_type == "web" and row.port and row.id not in gone]
    if not rows or work.setting("watch.keep-warm") != "true":
        return []
    used = sum(memory(work, row) for row in rows)
    return rows if work.rt.host.memory() >= used + SPARE_MEMORY else []


def memory(work: Work, row: Instance) -> int:
    try:
        return work.rt.containers.memory(row.container_id)
    except NotFound:
        return 0


def instances(work: Work) -> list[Instance]:
    return [row for row in work.rt.store.instances(work.app.id) if row.state == InstanceState.WARM]


def cut_short(work: Work, kept: Iterable[Instance] = ()) -> None:
    """Something else happens to the app: an open window ends, and the warm instances go, but for those *kept*.

    They go in the background: whoever comes does not wait for them.
    """
    for one in work.rt.store.watches(work.app.id, open_only=True):
        work.rt.store.end_watch(one.release_id, Outcome.CUT_SHORT)
    let_all_go(work, kept)


def let_all_go(work: Work, kept: Iterable[Instance] = ()) -> None:
    ids = {row.id for row in kept}
    leaving = [row for row in instances(work) if row.id not in ids]
    if leaving:
        work.rt.spawn(lambda: let_go(work, leaving))


def let_go(work: Work, rows: Sequence[Instance]) -> None:
    """They finish their requests, stop, and are forgotten. Cut anywhere, reconcile goes on."""
    with work.rt.jobs.retiring(row.id for row in rows):
        drain(work, rows)
        remove(work, rows)


def claim(work: Work, target: Release) -> list[Instance] | None:
    """For a rollback to *target* in the window: end it, and have the warm instances that run and have a place in it.

    None: there are none; all of *target* starts anew.
    """
    for one in work.rt.store.watches(work.app.id, open_only=True):
        if one.before_id == target.id and work.rt.store.end_watch(one.release_id, Outcome.ROLLED_BACK):
            return [row for row in instances(work) if has_a_place(target, row) and runs(work, row)] or None
    return None


def has_a_place(target: Release, row: Instance) -> bool:
    process = target.process(row.process_type)
    return process is not None and row.ordinal <= process.quantity


def runs(work: Work, row: Instance) -> bool:
    try:
        return work.rt.containers.state(row.container_id).running
    except NotFound:
        return False
