"""Stage 6: the asker is told; the old instances finish their requests and go. `abandon` is the way back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paas.deploy import receipt, warm, watch
from paas.deploy.drain import drain, remove
from paas.deploy.strategy import take_back
from paas.deploy.switch import Switched
from paas.deploy.work import Work, reason_of
from paas.errors import CheckFailed, PaasError
from paas.failpoints import step
from paas.model.release import Instance, InstanceState, Release, ReleaseState
from paas.model.watch import Outcome
from paas.ops import cleanup, crashes, routes

if TYPE_CHECKING:
    from paas.runtime import Runtime

SETTLE_SECONDS = 10.0

log = logging.getLogger("paas.deploy")


@dataclass(frozen=True)
class Retired:
    release: Release
    drained: int
    cut: int                             # instances that still had requests when the limit passed


def retire(work: Work, switched: Switched) -> Retired:
    """Say that the release is live, give the turn to the next deploy, then drain, stop, remove and prune.

    Failures from here on are repaired by reconcile, which finds the instances in state draining.
    """
    cut, leaving = 0, switched.draining
    with work.rt.jobs.retiring(row.id for row in switched.draining):
        with going_forward(work):
            receipt.settle(work, switched.probes, switched.draining)
        with going_forward(work):
            leaving = begin_watch(work, switched)
            if switched.before:
                crashes.another_release(work.rt, work.app)
        tell(work, switched)
        with going_forward(work):
            work.rt.store.record_timings(switched.release.id, work.timings)      # the switch itself is in them now
        with going_forward(work):
            cut = drain(work, switched.draining)
            remove(work, leaving)
    with going_forward(work):
        await_verdict(work, switched)
    with going_forward(work):
        cleanup.prune_images(work.rt, work.app)
    return Retired(switched.release, len(switched.draining), cut)


def begin_watch(work: Work, switched: Switched) -> Sequence[Instance]:
    """Open the window, where there is one; those of the old instances that do not stay warm in it."""
    work.window = watch.begin(work, switched)
    if not work.window:
        return switched.draining
    seconds = watch.length(work.rt.store, work.app)
    work.out.stage(f"Watching v{switched.release.version} for {seconds:g} s; v{switched.before.version} comes back if "
                   f"it does badly (paas watch {work.app.name})")
    stay = {row.id for row in warm.instances(work)}
    return [row for row in switched.draining if row.id not in stay]


def tell(work: Work, switched: Switched) -> None:
    """The verdict, and the turn to the next deploy. A push that waits for the window gets it at the window's end."""
    if waits(work):
        work.rt.jobs.awaited[switched.release.id] = work.job
    else:
        with going_forward(work):
            announce(work, switched.release)
    with going_forward(work):
        note_accepted(work, switched.release)
    if work.then:
        work.then(switched.release)
    if not waits(work):
        work.job.decide(result=switched.release)
    with going_forward(work), step("U1"):
        work.rt.jobs.leave(work.job)


def waits(work: Work) -> bool:
    return bool(work.window and work.branch) and work.setting("watch.wait") == "true"


def await_verdict(work: Work, switched: Switched) -> None:
    """A rollback gives it itself; without one the release has proved itself."""
    if not waits(work):
        return
    try:
        outcome = watch.await_end(work, work.window)
    finally:
        work.rt.jobs.awaited.pop(switched.release.id, None)
    if outcome == Outcome.ROLLED_BACK:
        work.job.decide(error=CheckFailed(f"v{switched.release.version} was rolled back",
                                          f"See: paas watch {work.app.name}"))
    if not work.job.decided:
        announce(work, switched.release)
        work.rt.spawn(lambda: settle_ref(work.rt, work.app.id, work.branch, switched.release.commit))
        work.job.decide(result=switched.release)


@contextmanager
def going_forward(work: Work) -> Iterator[None]:
    """Behind the point of no return no error changes the verdict: it is told, and reconcile finishes the rest."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, PaasError):
            log.exception("behind the switch of %s", work.app.name)
        work.out.warn(f"{reason_of(error)}; the release is live, and reconcile will finish the rest")


def announce(work: Work, live: Release) -> None:
    """The last line of a deploy has the release and its (last) URL, for machines: ``v3 https://hello.example.com``."""
    total = sum(work.timings.values())
    parts = " · ".join(f"{stage} {seconds:.2f}" for stage, seconds in work.timings.items())
    work.out.heading(f"Live: v{live.version} in {total:.2f} s ({parts})")
    for url in routes.urls(work.rt, work.app):
        work.out.detail(f"v{live.version} {url}")


def note_accepted(work: Work, live: Release) -> None:
    """The audit line; the branch's new tip until git has moved it; the first pushed branch is the deploy branch.

    After a rollback the branch is set to what is live, so that the next push is a plain fast-forward.
    """
    rt, branch = work.rt, work.branch or work.setting("git.deploy-branch")
    rt.store.add_event(work.actor, "deploy", work.app.name, "ok",
                       {"release": f"v{live.version}", "commit": live.commit, "reason": live.reason})
    if work.branch:
        accept_tip(work, branch, live.commit, settle=not waits(work))
        if not work.setting("git.deploy-branch"):
            rt.store.set_app_setting(work.app.id, "git.deploy-branch", branch)
    elif branch and live.commit:
        rt.jobs.accepted.pop((work.app.id, branch), None)        # of a push that waits and is not to be, too
        if rt.repos.ref(work.app.id, branch) != live.commit:
            rt.repos.set_ref(work.app.id, branch, live.commit)


def accept_tip(work: Work, branch: str, commit: str, *, settle: bool = True) -> None:
    """From now on *commit* is the branch's tip, although git moves the ref only after the hook has ended.

    :param settle: the hook ends now.
    """
    work.rt.jobs.accepted[work.app.id, branch] = commit
    if settle:
        work.rt.spawn(lambda: settle_ref(work.rt, work.app.id, branch, commit))


def settle_ref(rt: Runtime, app_id: int, branch: str, commit: str) -> None:
    """Should git not move the ref (the pusher's process died after the hook's yes), move it here. Where that fails,
    reconcile does it, which leaves a branch alone as long as a push is about to move it."""
    try:
        await_ref(rt, app_id, branch, commit)
    except Exception:
        log.exception("the branch of app %d could not be settled", app_id)
    finally:
        if rt.jobs.accepted.get((app_id, branch)) == commit:
            del rt.jobs.accepted[app_id, branch]


@step("G2")
def await_ref(rt: Runtime, app_id: int, branch: str, commit: str) -> None:
    deadline = rt.clock.monotonic() + SETTLE_SECONDS
    while rt.repos.ref(app_id, branch) != commit:
        if rt.jobs.accepted.get((app_id, branch)) != commit:
            return                       # a later push has taken over
        if rt.clock.monotonic() > deadline:
            return rt.repos.set_ref(app_id, branch, commit)
        rt.clock.sleep(0.1)


def abandon(work: Work, failed: Release, error: BaseException) -> None:
    """Undo a release that never went live: what gave way for it comes back, its containers and addresses go, its row
    says why.

    Each step is tried even if the one before failed; what could not be undone is left to reconcile.
    """
    try:
        take_back(work, failed)
    except PaasError as trouble:
        work.out.warn(f"not all old instances are back ({trouble.what}); reconcile will go on")
    starting = [row for row in work.rt.store.instances(work.app.id, release_id=failed.id)
                if row.state == InstanceState.STARTING]
    for row in starting:
        try:
            if row.container_id:
                work.rt.containers.remove(row.container_id)
            work.rt.store.delete_instance(row.id)
        except PaasError as trouble:
            work.out.warn(f"{row.name} could not be removed now ({trouble.what}); reconcile will do it")
    if not work.rt.store.watches(work.app.id, open_only=True):
        warm.let_all_go(work)
    if work.rt.store.release_by_id(failed.id).state != ReleaseState.LIVE:
        work.rt.store.move_release(failed.id, ReleaseState.FAILED, failure=reason_of(error))
