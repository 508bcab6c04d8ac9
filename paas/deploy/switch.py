"""Stage 5: turn the proxy to the new instances, see it happen, commit. THE POINT OF NO RETURN is in here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from paas.deploy import receipt
from paas.deploy.check import Candidate
from paas.deploy.receipt import Probes
from paas.deploy.work import Work
from paas.errors import PaasError, SwitchFailed
from paas.failpoints import step
from paas.model.release import Instance, InstanceState, Release, ReleaseState
from paas.ops import routes
from paas.ports import Page

VERIFY_SECONDS = 10.0

log = logging.getLogger("paas.deploy")


@dataclass(frozen=True)
class Switched:
    """The release is live; these instances of the one before wait to be retired."""

    release: Release
    draining: tuple[Instance, ...]
    before: Release | None               # another code or config than this one's, which served until now
    probes: Probes | None


def switch(work: Work, candidate: Candidate) -> Switched:
    """Raises SwitchFailed, with the old route back in force, when the proxy does not take or confirm the new one."""
    rt = work.rt
    with work.timed("switch"):
        work.stop_if_cancelled()
        if candidate.release.state == ReleaseState.CHECKING:
            with step("S1"):
                rt.store.move_release(candidate.release.id, ReleaseState.SWITCHING)
        routes.ensure_known(rt, work.app)
        before, served = rt.router.pointed(work.app.id), rt.store.live_release(work.app.id)
        targets = wanted_targets(work, candidate)
        new_ids = {row.id for row in candidate.instances}
        old = tuple(row for row in rt.store.instances(work.app.id)
                    if row.state == InstanceState.HEALTHY and row.id not in new_ids)
        probes = receipt.begin(work, before, targets, check_path(candidate))
        try:
            with step("S2"):
                rt.router.point(work.app.id, targets)
            verify(work, candidate, targets)
            work.job.past_cancel = True
            live = committed(work, candidate)                    # the point of no return
        except BaseException:
            rt.router.point(work.app.id, before if before is not None else Page.NO_RELEASE)
            if probes:
                probes.finish()
            raise
    if work.app.stopped or work.app.asleep:
        rt.store.update_app(work.app.id, stopped=False, asleep=False)
    another = served is not None and served.id != live.id and not candidate.scaling
    return Switched(live, old, served if another else None, probes)


def committed(work: Work, candidate: Candidate) -> Release:
    """An error that comes when the database has committed all the same changes nothing of it: forward."""
    try:
        return commit(work, candidate)
    except Exception:
        rows = work.rt.store.instances(work.app.id)
        if {row.id for row in rows if row.state == InstanceState.HEALTHY} != {row.id for row in candidate.instances}:
            raise
        log.exception("the commit of %s succeeded, its answer was lost", work.app.name)
        return work.rt.store.release_by_id(candidate.release.id)


@step("S4")
def commit(work: Work, candidate: Candidate) -> Release:
    kept = [row.id for row in candidate.kept or ()]
    return work.rt.store.commit_live(candidate.release.id, work.timings, kept=kept, with_config=not candidate.scaling)


def check_path(candidate: Candidate) -> str:
    web = candidate.release.process("web")
    return web.check.path if web else "/"


def wanted_targets(work: Work, candidate: Candidate) -> tuple[str, ...] | Page:
    if work.rt.store.app_by_id(work.app.id).maintenance:         # as it is now: it needs no turn
        return Page.MAINTENANCE
    return tuple(row.target for row in candidate.instances if row.process_type == "web") or Page.STOPPED


@step("S3")
def verify(work: Work, candidate: Candidate, targets: Sequence[str] | Page) -> None:
    """One request through the proxy, as a visitor's, must be answered by a new instance."""
    host = routes.visible_host(work.rt, work.app)
    if isinstance(targets, Page) or not host:
        if work.rt.router.pointed(work.app.id) != targets:
            raise SwitchFailed("the proxy's route was not written", "Look at: paas doctor.")
        return
    path = check_path(candidate)
    try:
        answer = work.rt.router.ask(host, path, VERIFY_SECONDS)
    except PaasError as error:
        raise SwitchFailed(f"the proxy did not confirm the new release: {error.what}", error.hint) from error
    if answer.upstream not in targets:
        refused = work.rt.router.refused(routes.sites(work.rt)).get(work.app.id)
        if refused:
            raise SwitchFailed(f"the proxy leaves this app out: {refused}", "Look at: paas doctor.")
        by = answer.upstream or f"the platform's own page ({answer.status})"
        raise SwitchFailed(f"the proxy answered for {host} from {by}, not from the new release",
                           "The old release keeps serving. Look at: paas doctor.")
