"""Limits of memory, cores and processes, per process type or for all of an app's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from paas.errors import BadInput, NotFound
from paas.model import names
from paas.model.app import App
from paas.model.limits import LIMITS

if TYPE_CHECKING:
    from paas.runtime import Runtime

ALL = ""                                 # the process type that stands for all
RUN, CRON = "run", "cron"                # one-off containers, runs of scheduled jobs


def limit(rt: Runtime, app: App, process_type: str, given: Mapping[str, str]) -> bool:
    """Store limits (``memory``, ``cpu``, ``pids``) or ``reserve``, for the next release. False: they were so already.

    Raises BadInput. *process_type* empty: for every type that has none of its own; ``run``: for one-off containers;
    ``cron``: for scheduled jobs.
    """
    refuse_unknown(rt, app, process_type)
    for name, text in given.items():
        LIMITS[name](text)
    now = rt.store.limits(app.id).get(process_type, {})
    changed = {name: text for name, text in given.items() if now.get(name) != text}
    for name, text in changed.items():
        rt.store.set_limit(app.id, process_type, name, text)
    return bool(changed)


def clear(rt: Runtime, app: App, process_type: str | None) -> bool:
    """Remove the limits of one process type, or (None) all. False: there were none. NotFound for an unknown type."""
    stored = rt.store.limits(app.id)
    if process_type is not None and process_type not in stored:
        raise NotFound(f"{app.name} has no limits for {process_type or 'all process types'}",
                       f"See: paas resource:report {app.name}")
    for kind in stored if process_type is None else [process_type]:
        for name in stored[kind]:
            rt.store.set_limit(app.id, kind, name, None)
    return bool(stored)


def report(rt: Runtime, app: App) -> list[tuple[str, ...]]:
    """(process type, memory, reserve, cpu, pids, source): stored ones first, then what the live release runs with."""
    stored = rt.store.limits(app.id)
    rows = [(kind or "(all)", *(own.get(name, "") for name in ("memory", "reserve", "cpu", "pids")), "stored")
            for kind, own in sorted(stored.items())]
    live = rt.store.live_release(app.id)
    rows += [(one.type, *(f"{number}" if number else "" for number in (one.memory, one.reserve, one.cpus, one.pids)),
              f"v{live.version}") for one in (live.formation if live else ())]
    return rows


def refuse_unknown(rt: Runtime, app: App, process_type: str) -> None:
    if process_type in (ALL, RUN, CRON):
        return
    names.process_type(process_type)
    live = rt.store.live_release(app.id)
    if live and not live.process(process_type):
        known = ", ".join(process.type for process in live.formation)
        raise BadInput(f"v{live.version} has no process type '{process_type}'", f"It has: {known}; or: {RUN}, {CRON}.")
