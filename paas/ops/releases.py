"""Releases: history, differences, rollback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from paas.deploy import Work, bring_up, warm
from paas.deploy.plan import Plan, as_it_was
from paas.errors import BadInput, NotFound
from paas.model.access import Actor
from paas.model.app import App
from paas.model.build import Image
from paas.model.limits import megabytes
from paas.model.names import printable
from paas.model.release import Process, Release, ReleaseState
from paas.ops import deploys

if TYPE_CHECKING:
    from paas.runtime import Runtime


def parse_version(text: str) -> int:
    digits = text.removeprefix("v")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise BadInput(f"'{printable(text, 20)}' is not a release",
                       "Give it like v12. See: paas releases APP")
    return int(digits)


def differences(old: Release, new: Release) -> list[str]:
    """What changes from *old* to *new*, in the user's words; config by key, never by value."""
    lines = []
    if old.image != new.image:
        lines.append(f"image     {old.image[7:19]} ({old.commit[:8]}) → {new.image[7:19]} ({new.commit[:8]})")
    for key in sorted(old.config.keys() | new.config.keys()):
        if key not in new.config:
            lines.append(f"config    - {key}")
        elif key not in old.config:
            lines.append(f"config    + {key}")
        elif old.config[key] != new.config[key]:
            lines.append(f"config    ~ {key}")
    return (lines + added_and_removed("task", described_tasks(old), described_tasks(new))
            + added_and_removed("cron", described_cron(old), described_cron(new)) + formation_differences(old, new))


def described_tasks(release: Release) -> list[str]:
    return [f"{task.name}: {task.command[-1]}" for task in release.tasks]


def described_cron(release: Release) -> list[str]:
    return [f"{job.schedule} {job.command[-1]}" for job in release.cron]


def added_and_removed(what: str, before: list[str], after: list[str]) -> list[str]:
    return [f"{what:<9} - {one}" for one in before if one not in after] + [
        f"{what:<9} + {one}" for one in after if one not in before]


def formation_differences(old: Release, new: Release) -> list[str]:
    lines = []
    before, after = {p.type: p for p in old.formation}, {p.type: p for p in new.formation}
    for kind in sorted(before.keys() | after.keys()):
        one, other = before.get(kind), after.get(kind)
        if one != other:
            lines.append(f"process   {kind}: {describe(one)} → {describe(other)}")
    return lines


def describe(process: Process | None) -> str:
    if process is None:
        return "(none)"
    limits = [megabytes(process.memory) if process.memory else "",
              f"{megabytes(process.reserve)} reserved" if process.reserve else "",
              f"{process.cpus:g} cores" if process.cpus else "", process.strategy]
    command = process.command[-1] if process.command else "the image's command"
    return ", ".join(part for part in (f"{process.quantity} × {command}", *limits, process.check.kind) if part)


def rollback_target(rt: Runtime, app: App, version: int | None) -> tuple[Release, Release]:
    """(live, the release to go back to). Default: the newest one that served before and had another content."""
    live = rt.store.live_release(app.id)
    if not live:
        raise BadInput(f"{app.name} has no live release", "Push it first.")
    served = [one for one in rt.store.releases(app.id, limit=1000) if one.state == ReleaseState.RETIRED]
    if version is not None:
        target = rt.store.release(app.id, version)
        if target.state not in (ReleaseState.RETIRED, ReleaseState.LIVE):
            raise BadInput(f"v{version} never served ({target.state})", f"See: paas releases {app.name}")
        return live, target
    for one in served:
        if one.version < live.version and differences(one, live):
            return live, one
    raise NotFound(f"{app.name} has no earlier release to go back to", f"See: paas releases {app.name}")


def rollback(rt: Runtime, app: App, actor: Actor, version: int | None, say: Callable[[str], None],
             tell: Callable[[str], None], *, tasks: bool = False) -> Release | None:
    """Bring an earlier release back, image, config and formation, as the next release; no build.

    With *tasks* that release's tasks run again. *tell* gets the lines of what will differ, before anything happens.
    """
    live, target = rollback_target(rt, app, version)
    changes = differences(live, target)
    if not changes:
        raise BadInput(f"v{target.version} is what runs now (v{live.version})", "Nothing to do.")
    image = kept_image(rt, target)
    for line in changes:
        tell(line)

    def steps(work: Work) -> Release:
        plan = as_it_was(target, image, f"rollback to v{target.version}")
        return back(work, target, replace(plan, run_tasks=tasks))

    return deploys.run(rt, app, actor, f"rollback to v{target.version} by {actor.name}", steps, say)


def back(work: Work, target: Release, plan: Plan) -> Release:
    """Make *plan*, which is *target* again, live: with what stayed warm of it, if its successor is still watched.

    It is not watched itself: nothing goes back and forth.
    """
    work.watched = False
    return bring_up(work, plan, warm.claim(work, target)).release


def kept_image(rt: Runtime, target: Release) -> Image:
    try:
        return rt.images.inspect(target.image)
    except NotFound:
        raise NotFound(f"the image of v{target.version} is not kept any more",
                       "Push that commit again; the number kept: paas server:set keep-releases N.") from None


def info(rt: Runtime, app: App, version: int | None) -> dict[str, object]:
    """Every fact of one release (None: the live one); config by key, never by value."""
    one = rt.store.release(app.id, version) if version is not None else rt.store.live_release(app.id)
    if not one:
        raise NotFound(f"{app.name} has no live release", f"See: paas releases {app.name}")
    return {
        "app": app.name, "version": f"v{one.version}", "state": one.state, "failure": one.failure,
        "reason": one.reason, "created_at": one.created_at, "created_by": one.created_by, "live_at": one.live_at,
        "commit": one.commit, "subject": one.subject, "tree": one.tree, "image": one.image,
        "build": build_number(rt, app, one.build_id), "exposed": list(one.exposed),
        "processes": [f"{process.type}: {describe(process)}" for process in one.formation],
        "tasks": described_tasks(one), "cron": described_cron(one),
        "config_keys": sorted(one.config), "seconds": {stage: round(took, 3) for stage, took in one.timings.items()},
    }


def build_number(rt: Runtime, app: App, build_id: int | None) -> int | None:
    found = rt.store.builds(app.id, limit=10_000) if build_id else []
    return next((one.number for one in found if one.id == build_id), None)
