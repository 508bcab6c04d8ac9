"""What the next release will be: a pure value, made from a build or from an earlier release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from paas.deploy.manifest import Manifest
from paas.deploy.work import Work
from paas.errors import PushRefused
from paas.model import app_settings, healthchecks, procfile
from paas.model.build import Image
from paas.model.limits import cpus, memory_bytes
from paas.model.release import Check, CheckKind, CronJob, Process, Release, Task
from paas.secret import Secret


@dataclass(frozen=True)
class Plan:
    image: Image
    build_id: int | None
    commit: str
    tree: str
    subject: str
    config: Mapping[str, Secret]
    formation: tuple[Process, ...]
    reason: str
    tasks: tuple[Task, ...] = ()
    cron: tuple[CronJob, ...] = ()
    run_tasks: bool = False              # a push runs them; a rollback or a config change only when asked


def from_release(work: Work, old: Release, image: Image, reason: str, *,
                 config: Mapping[str, Secret] | None = None) -> Plan:
    """The same code again, with today's settings and limits over it."""
    return Plan(image, old.build_id, old.commit, old.tree, old.subject,
                work.rt.store.config(work.app.id) if config is None else config,
                tuple(with_settings(work, process) for process in old.formation), reason, old.tasks, old.cron)


def as_it_was(old: Release, image: Image, reason: str) -> Plan:
    """A rollback: image, config and formation exactly as that release had them."""
    return Plan(image, old.build_id, old.commit, old.tree, old.subject, old.config, old.formation, reason,
                old.tasks, old.cron)


def formation_of_source(work: Work, image: Image, manifest: Manifest) -> tuple[Process, ...]:
    """Procfile (or the image's own command as `web`), app.json, scale and limits → the formation.

    Raises PushRefused where there is nothing to run.
    """
    lines, described = manifest.processes, manifest.described
    if not lines and not image.command:
        raise PushRefused("the image has nothing to run: no CMD, no ENTRYPOINT, and the source has no Procfile",
                          "Add a CMD to the Dockerfile or a Procfile with a line like 'web: command'.")
    commands = {kind: procfile.shell_command(line) for kind, line in lines.items()} or {"web": ()}
    for kind in sorted({*described.quantities, *described.checks} - commands.keys()):
        work.out.warn(f"app.json names the process type '{kind}', which the Procfile does not have")
    return tuple(
        with_settings(work, Process(
            type=kind, command=command, declared=described.checks.get(kind),
            quantity=described.quantities.get(kind, 1 if kind == "web" else 0)))
        for kind, command in commands.items())


def tasks_of_source(work: Work, manifest: Manifest) -> tuple[Task, ...]:
    """Those of the Procfile and app.json, without what is for the first release only where one served before."""
    served = work.rt.store.live_release(work.app.id) is not None
    return tuple(task for task in manifest.tasks if not (task.first_only and served))


def with_settings(work: Work, process: Process) -> Process:
    """*process* with the app's scale, limits and check settings as they are now."""
    limits = work.rt.store.limits(work.app.id)
    own = {**limits.get("", {}), **limits.get(process.type, {})}
    scale = work.rt.store.scale(work.app.id)
    return replace(
        process,
        quantity=scale.get(process.type, process.quantity), scaled=process.type in scale,
        memory=memory_bytes(own["memory"]) if "memory" in own else 0,
        cpus=cpus(own["cpu"]) if "cpu" in own else 0.0,
        pids=int(own.get("pids", 512)),
        reserve=memory_bytes(own["reserve"]) if "reserve" in own else 0,
        strategy=work.app.settings.get(app_settings.STRATEGY + process.type, ""),
        restart=work.setting("ps.restart-policy"),
        stop_timeout=int(work.setting("ps.stop-timeout")),
        check=effective_check(work, process),
    )


def effective_check(work: Work, process: Process) -> Check:
    """app.json's checks, with what `checks:set` says over them."""
    web = process.type == "web"
    base = process.declared or Check(kind=CheckKind.LISTEN if web else CheckKind.UPTIME)
    own = {key.removeprefix("checks."): value for key, value in work.app.settings.items() if key.startswith("checks.")}
    check = healthchecks.with_settings(base, own, web=web)
    if app_settings.value_of(app_settings.APP, work.app.settings, "checks.enabled") == "false":
        return Check(kind=CheckKind.UPTIME, uptime=0.0, timeout=max(one.timeout for one in check.all))
    return check
