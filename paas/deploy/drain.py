"""Instances on their way out: they finish their requests, then stop, then are forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from paas.deploy.work import Work
from paas.errors import PaasError
from paas.failpoints import step
from paas.model.ports import requests_at
from paas.model.release import Instance

DRAIN_POLL = 0.05
STOPS_AT_ONCE = 16


@step("D1")
def drain(work: Work, old: Iterable[Instance]) -> int:
    """Wait until the proxy counts no request for any of *old*, or the limit; return how many still had some."""
    return still_busy(work, old, float(work.setting("proxy.drain-timeout")))


def still_busy(work: Work, old: Iterable[Instance], seconds: float) -> int:
    """How many of *old* have requests, when at most *seconds* have passed."""
    targets = {row.target for row in old if row.process_type == "web" and row.port}
    deadline = work.rt.clock.monotonic() + seconds
    while targets:
        targets = {target for target in targets if busy(work, target)}
        if not targets or work.rt.clock.monotonic() > deadline:
            break
        work.rt.clock.sleep(DRAIN_POLL)
    return len(targets)


def busy(work: Work, target: str) -> bool:
    try:
        return requests_at(work.rt.router.in_flight(), target) > 0
    except PaasError:
        return False                     # no proxy, no requests


@step("D2")
def stop(work: Work, rows: Sequence[Instance]) -> None:
    """SIGTERM to all at once, then SIGKILL to each after its process type's stop timeout."""
    with_container = [row for row in rows if row.container_id]
    with ThreadPoolExecutor(min(len(with_container), STOPS_AT_ONCE) or 1, thread_name_prefix="stop") as pool:
        for _ in pool.map(lambda row: work.rt.containers.stop(row.container_id, stop_timeout(work, row)),
                          with_container):
            pass


def remove(work: Work, rows: Iterable[Instance]) -> None:
    """Stop, remove, forget."""
    rows = list(rows)
    stop(work, rows)
    with step("D3"):
        for row in rows:
            if row.container_id:
                work.rt.containers.remove(row.container_id)
            work.rt.store.delete_instance(row.id)


def stop_timeout(work: Work, row: Instance) -> int:
    process = work.rt.store.release_by_id(row.release_id).process(row.process_type)
    return process.stop_timeout if process else 10
