"""What a source says of how it runs: its Procfile and app.json, read and checked before any build."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from paas.deploy.work import Work
from paas.errors import BadInput, PushRefused
from paas.model import appjson, names, procfile
from paas.model.appjson import AppJson, Variable
from paas.model.buildpack import Recipe
from paas.model.release import Task
from paas.secret import Secret


@dataclass(frozen=True)
class Manifest:
    processes: Mapping[str, str]         # process type → command line, `release` left out; empty: no Procfile
    tasks: tuple[Task, ...]
    described: AppJson


def read_manifest(work: Work, files: Mapping[str, bytes], recipe: Recipe | None = None) -> Manifest:
    """Raises PushRefused for what is malformed, or asks for config vars that are not set."""
    lines = procfile.parse(files["Procfile"]) if "Procfile" in files else {}
    described = appjson.parse(files["app.json"]) if "app.json" in files else AppJson()
    for key in described.ignored:
        work.out.warn(f"app.json: '{key}' is not read by this version of paas")
    check_schedules(work, described)
    release = lines.pop("release", None)
    own = (Task("release", procfile.shell_command(release)),) if release else ()
    manifest = Manifest(lines or processes_of(recipe), in_order(described.tasks, own), described)
    require_variables(work, described.env)
    return manifest


def check_schedules(work: Work, described: AppJson) -> None:
    for job in described.cron:
        try:
            work.rt.schedules.check(job.schedule)
        except BadInput as error:
            raise PushRefused(f"app.json: {error.what}", error.hint) from None


def processes_of(recipe: Recipe | None) -> Mapping[str, str]:
    """What a buildpack takes for the processes of a source without a Procfile."""
    if not recipe:
        return {}
    if not recipe.processes and b"\nCMD " not in recipe.dockerfile:
        raise PushRefused(f"how to start this {recipe.language} app is not certain",
                          "Add a file named Procfile with a line like 'web: command that listens on $PORT'.")
    return recipe.processes


def in_order(scripts: tuple[Task, ...], release: tuple[Task, ...]) -> tuple[Task, ...]:
    """predeploy, release, then what follows the checks: Dokku's order."""
    before = tuple(task for task in scripts if not task.after_checks)
    return before + release + tuple(task for task in scripts if task.after_checks)


def require_variables(work: Work, env: Mapping[str, Variable]) -> None:
    stored = work.rt.store.config(work.app.id)
    missing = {key: one for key, one in env.items()
               if key not in stored and one.required and one.value is None and not one.generated}
    if missing:
        told = ", ".join(f"{key} ({one.description})" if one.description else key for key, one in missing.items())
        raise PushRefused(f"app.json requires config vars that are not set: {names.printable(told, 500)}",
                          f"Set them, then push again: paas config:set --no-restart {work.app.name} "
                          + " ".join(f"{key}=…" for key in missing))


def config_with_defaults(work: Work, env: Mapping[str, Variable]) -> dict[str, Secret]:
    """The app's config vars and, for those not set, app.json's defaults and generated secrets.

    They become the app's own when the release goes live: a later push finds them set.
    """
    config = work.rt.store.config(work.app.id)
    for key, one in env.items():
        if key in config or (one.value is None and not one.generated):
            continue
        config[key] = Secret(secrets.token_hex(32) if one.generated else one.value)
        how = "a generated secret" if one.generated else "its default"
        work.out.detail(f"Config var {key}: {how} (app.json)")
    return config
