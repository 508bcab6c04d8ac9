"""Stage 3: what was built, with config and formation → an immutable, numbered release in the database."""

from __future__ import annotations

from paas.deploy.build import Built
from paas.deploy.manifest import config_with_defaults
from paas.deploy.plan import Plan, formation_of_source, tasks_of_source
from paas.deploy.work import Work
from paas.failpoints import step
from paas.model.release import Release


def plan_push(work: Work, built: Built) -> Plan:
    """The plan of a pushed build: today's config, the source's formation.

    From here on the release keeps its source, whatever becomes of the push.
    """
    source, manifest = built.source, built.source.manifest
    with step("Y1"):
        work.rt.repos.adopt(work.app.id, source.push.quarantine, source.tree.commit)
    return Plan(
        image=built.image, build_id=built.build.id, commit=source.tree.commit, tree=built.build.tree,
        subject=source.tree.subject, config=config_with_defaults(work, manifest.described.env),
        formation=formation_of_source(work, built.image, manifest),
        reason="git push", tasks=tasks_of_source(work, manifest), cron=manifest.described.cron, run_tasks=True,
    )


def release(work: Work, plan: Plan) -> Release:
    """Record it. Nothing runs yet."""
    with work.timed("release"), step("K2"):
        work.stop_if_cancelled()
        made = work.rt.store.create_release(
            work.app.id, image=plan.image, build_id=plan.build_id, commit=plan.commit, tree=plan.tree,
            subject=plan.subject, config=plan.config, formation=plan.formation, actor=work.actor,
            reason=plan.reason, tasks=plan.tasks, cron=plan.cron)
    work.out.stage(f"Release v{made.version}: {formation_line(made)}")
    say_what_does_not_run(work, made)
    return made


def say_what_does_not_run(work: Work, made: Release) -> None:
    """A process type that is new and at 0: nobody wonders why the worker does nothing."""
    live = work.rt.store.live_release(work.app.id)
    for process in made.formation:
        if not process.quantity and not process.scaled and not (live and live.process(process.type)):
            work.out.detail(f"{process.type} does not run (0 instances). To start it: "
                            f"paas ps:scale {work.app.name} {process.type}=1")


def formation_line(made: Release) -> str:
    return " ".join(f"{process.type}={process.quantity}" for process in made.formation)
