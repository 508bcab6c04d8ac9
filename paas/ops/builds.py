"""Builds: their list, their logs (stored or still being written), cancelling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from paas.errors import BadInput, NotFound, PaasError
from paas.jobs import Job
from paas.model import names
from paas.model.app import App
from paas.model.build import Build
from paas.ops import deploys

if TYPE_CHECKING:
    from paas.runtime import Runtime


def listed(rt: Runtime, app: App | None, limit: int) -> list[tuple[App, Build]]:
    """Newest first."""
    by_id = {one.id: one for one in ([app] if app else rt.store.apps())}
    return [(by_id[one.app_id], one) for one in rt.store.builds(app.id if app else None, limit=limit)
            if one.app_id in by_id]


def parse_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadInput(f"'{names.printable(text, 20)}' is not a build", "Give its number. See: paas builds APP")
    return int(text)


def log(rt: Runtime, app: App, number: int | None, watching: Callable[[], bool]) -> Iterator[str]:
    """The lines of one build's log, from the first on; live until the verdict while it runs.

    Without a *number*: the deploy that runs now (it may have no build), else the newest build.
    """
    for job in [one for one in rt.jobs.deploys(app.id) if not one.command][:1]:
        if number in (None, job.number):
            return follow(job, watching)
    return stored(rt, app, find(rt, app, number))


def find(rt: Runtime, app: App, number: int | None) -> Build:
    if number is not None:
        return rt.store.build(app.id, number)
    newest = rt.store.builds(app.id, limit=1)
    if not newest:
        raise NotFound(f"{app.name} has no builds", f"Push it: git push {app.name} main")
    return newest[0]


def follow(job: Job, watching: Callable[[], bool]) -> Iterator[str]:
    return job.log.follow(done=lambda: job.decided or not watching())


def stored(rt: Runtime, app: App, build: Build) -> Iterator[str]:
    try:
        file = rt.jobs.build_log(build.id).open(encoding="utf-8", errors="replace")
    except OSError:
        raise NotFound(f"the log of build {build.number} of {app.name} is not kept any more",
                       f"See: paas builds {app.name}") from None
    with file:
        return iter(file.read().splitlines())


def cancel(rt: Runtime, app: App, waiting: bool) -> Iterator[str]:
    """Stop the deploy that runs, with *waiting* also those in the queue; their titles. That the first cannot be stopped
    is raised after them."""
    queued = rt.jobs.deploys(app.id)[1:] if waiting else []
    stopped, refused = [job.title for job in queued if job.cancel()], None
    try:
        stopped.insert(0, deploys.cancel(rt, app))
    except PaasError as error:
        refused = error
    yield from stopped
    if refused:
        raise refused
