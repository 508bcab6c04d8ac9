"""The flow of a deploy, one file a stage, in this order::

    receive → build → release → check → switch → retire
    Push      Source  Built     Release  Candidate Switched  Retired

Each stage accepts only the frozen result of the one before. Until the database commit inside ``switch`` every failure
undoes its own work and the old release keeps serving; after it every recovery goes forward (``ops/reconcile.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

from paas.deploy.build import build
from paas.deploy.check import Candidate, check
from paas.deploy.plan import Plan
from paas.deploy.receive import Push, receive
from paas.deploy.release import plan_push, release
from paas.deploy.retire import Retired, abandon, retire
from paas.deploy.switch import switch
from paas.deploy.tasks import run_tasks
from paas.deploy.work import Work
from paas.model.release import Instance, Release

__all__ = ["Candidate", "Plan", "Push", "Retired", "Work", "bring_up", "deploy", "replace_instances"]


def deploy(work: Work, push: Push) -> Retired:
    """A git push, from the received commit to the retired old containers."""
    source = receive(work, push)
    built = build(work, source)
    return bring_up(work, plan_push(work, built))


def bring_up(work: Work, plan: Plan, kept: Sequence[Instance] | None = None) -> Retired:
    """Record *plan* as the next release and make it live. Rollback and config changes enter here: no build.

    *kept* makes it a scaling: these instances serve the next release as they are.
    """
    return replace_instances(work, release(work, plan), tasks=plan.run_tasks, kept=kept)


def replace_instances(work: Work, new: Release, *, tasks: bool = False,
                      kept: Sequence[Instance] | None = None) -> Retired:
    """Start *new* beside what runs, prove it, switch to it, retire the rest. A restart enters here."""
    try:
        if tasks:
            run_tasks(work, new, after_checks=False)
        candidate = check(work, new, kept)
        if tasks:
            run_tasks(work, new, after_checks=True)
        switched = switch(work, candidate)
    except BaseException as error:
        abandon(work, new, error)
        raise
    return retire(work, switched)
