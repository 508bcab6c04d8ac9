"""What a release runs once before it serves: `release:` of the Procfile, scripts of app.json.

Each in a one-off container of the new image with the new config. The first that fails, or is not done in its time, ends
the deploy: its output is in the push, the old release keeps serving.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from paas.deploy.oneoff import OneOff, ensure_network, give_empty_mounts, oneoff_spec
from paas.deploy.work import Work
from paas.errors import PaasError, TaskFailed
from paas.failpoints import step
from paas.model.release import Release, Task
from paas.threads import started

STOP_SECONDS = 10                        # from SIGTERM to SIGKILL, for a task over its time or cancelled
POLL = 0.1
RETRY = 5.0                              # seconds between two attempts to stop one


def run_tasks(work: Work, release: Release, *, after_checks: bool) -> None:
    """Those due before the new instances start, or (*after_checks*) when they have passed. Raises TaskFailed."""
    due = [task for task in release.tasks if task.after_checks == after_checks]
    if not due:
        return
    with work.timed("tasks"):
        ensure_network(work)
        for task in due:
            work.stop_if_cancelled()
            run_task(work, release, task)


@step("T1")
def run_task(work: Work, release: Release, task: Task) -> None:
    tell(work, release, task)
    row = work.rt.store.begin_task(work.app.id, release.id, task.name)
    one = OneOff("task", row.id, release, task.command, limits_of="release", labels={"paas.task-name": task.name})
    container = work.rt.containers.create(oneoff_spec(work, one))
    try:
        give_empty_mounts(work, container)
        work.rt.containers.start(container)
        code, overdue = followed(work, container)
    finally:
        work.rt.containers.remove(container)
    work.rt.store.end_task(row.id, code)
    work.stop_if_cancelled()
    if overdue:
        raise TaskFailed(f"the task '{task.name}' took longer than {limit(work):g} s and was stopped",
                         f"Raise the limit: paas ps:set {work.app.name} task-timeout SECONDS")
    if code:
        raise TaskFailed(f"the task '{task.name}' failed with exit code {code}",
                         "Its output is above. Nothing was switched: the old release keeps serving.")


def tell(work: Work, release: Release, task: Task) -> None:
    """Name it, and what became of it before: a task that runs again for a commit does not do so silently."""
    work.out.stage(f"Running the task '{task.name}'")
    for version, row in work.rt.store.task_runs(work.app.id, release.commit):
        if row.task == task.name and release.commit and row.release_id != release.id:
            end = "did not finish" if row.exit_code is None else f"ended with {row.exit_code}"
            work.out.detail(f"It ran for this commit before (v{version}: {end})")


def followed(work: Work, container: str) -> tuple[int, bool]:
    """Copy its output to the push until it ends; (exit code, was it stopped because its time was over)."""
    with watched(work, container) as overdue:
        for line in work.rt.containers.logs(container, follow=True):
            work.out.detail(line.text.decode("utf-8", "replace"))
        return work.rt.containers.wait(container), overdue.is_set()


@contextmanager
def watched(work: Work, container: str) -> Iterator[threading.Event]:
    """Stop the container when its time is over (the event says so) or the deploy is cancelled."""
    ended, overdue = threading.Event(), threading.Event()
    deadline = work.rt.clock.monotonic() + limit(work)

    def watch() -> None:
        pause = POLL
        while not ended.wait(pause):
            if work.rt.clock.monotonic() > deadline:
                overdue.set()
            if overdue.is_set() or work.job.cancelled:
                end(work, container)
                pause = RETRY            # it may have failed

    watcher = started(watch, name="task-watch")
    try:
        yield overdue
    finally:
        ended.set()
        watcher.join()


def end(work: Work, container: str) -> None:
    try:
        work.rt.containers.stop(container, STOP_SECONDS)
    except PaasError as error:
        work.out.warn(f"it could not be stopped: {error.what}")


def limit(work: Work) -> float:
    return float(work.setting("ps.task-timeout"))
