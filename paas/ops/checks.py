"""Health checks: what an instance of each process type must prove before anything is switched to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paas.deploy.plan import effective_check
from paas.deploy.work import Work
from paas.jobs import Job
from paas.model.access import PLATFORM
from paas.model.app import App
from paas.model.healthchecks import label
from paas.model.release import Check, CheckKind, Process

if TYPE_CHECKING:
    from paas.runtime import Runtime

COLUMNS = ("process", "check", "kind", "path", "port", "status", "host", "timeout", "attempt_timeout", "uptime", "warn",
           "waiting")
ASKING = (CheckKind.HTTP, CheckKind.LISTEN)


def effective(rt: Runtime, app: App) -> list[tuple[object, ...]]:
    """A row of COLUMNS per check of each process type of the live release; none without one. Times in seconds.

    `check`: its name, or what it does. `port`: None is the one that the instance listens on. `waiting`: the settings
    have changed since, and the next release has other checks.
    """
    live = rt.store.live_release(app.id)
    work = Work(rt, app, PLATFORM, Job(app.id, "report"))
    return [row for process in (live.formation if live else ())
            for row in rows(process, effective_check(work, process))]


def rows(process: Process, coming: Check) -> list[tuple[object, ...]]:
    return [row(process.type, one, coming != process.check) for one in process.check.all]


def row(process_type: str, check: Check, waiting: bool) -> tuple[object, ...]:
    asks, stays = check.kind in ASKING, check.kind == CheckKind.UPTIME
    attempts = asks or check.kind == CheckKind.COMMAND
    return (process_type, label(check), check.kind, check.path if asks else "", check.port or None, accepted(check),
            check.host, check.timeout, check.attempt_timeout if attempts else None, check.uptime if stays else None,
            check.warn, waiting)


def accepted(check: Check) -> str:
    if check.kind not in ASKING:
        return ""
    return check.status or ("200-399" if check.kind == CheckKind.HTTP else "200-499")
