"""``apps:import-compose``: from a docker-compose file to apps."""

import itertools
from collections.abc import Iterator
from typing import Any

import click

from paas.cli.base import COMMANDS, Call, command, format_option
from paas.errors import PaasError, UsageError
from paas.model.compose import AppPlan, Datastore, Plan
from paas.ops import apps
from paas.ops import compose as imports

LIMIT = 256 * 1024                       # bytes of a compose file
DUMPS = {"postgres": "pg_dump -Fc -Z0 -U USER DATABASE", "redis": "redis-cli --rdb -", "valkey": "valkey-cli --rdb -"}


@command("apps:import-compose", mutates=True)
@click.argument("file", required=False)
@click.option("--app", "name", default="", metavar="NAME", help="Name of the main app; the project's by default.")
@click.option("--dry-run", is_flag=True, help="Show the plan only.")
@click.option("--yes", is_flag=True, help="Carry it out without asking.")
@format_option
def import_compose(call: Call, file: str | None, name: str, dry_run: bool, yes: bool, format: str) -> None:
    """Create apps from a docker-compose file.

    It comes on standard input; root on the server may name a file. Services of one source become one app with several
    process types, with config vars, port, scale, limits and volumes. The plan comes first, and names each thing that is
    not carried over. Nothing is deployed. docs/from-compose.md has the details.

    Example: paas apps:import-compose --app shop --dry-run < docker-compose.yml
    """
    data = call.stdin(LIMIT) if file in (None, "-") else call.local_file(file, LIMIT)
    plan = imports.plan(call.rt, data, name or call.app_given)
    if format == "json":
        call.record(as_json(plan), format)
        call.quiet = True
    else:
        call.put("\n".join(described(plan)))
    if dry_run:
        call.say("\nNothing was changed.")
        return
    ask(call, yes)
    made = imports.carry_out(call.rt, call.actor, plan, call.say)
    call.note(apps=" ".join(app.name for app in made))
    todo = [words for store in plan.datastores for words in undone(call, store)]
    call.say("\n" + "\n".join(next_steps(call, plan, todo)))


def ask(call: Call, yes: bool) -> None:
    """At a terminal a person says yes; elsewhere ``--yes`` does."""
    if not yes and call.session.tty:
        call.session.err(" !     Create this? Type yes to go on: ")
        yes = call.session.read_line().strip().lower() in ("y", "yes")
    if not yes:
        raise UsageError("not confirmed: nothing was changed", "Repeat it with --yes")


def undone(call: Call, store: Datastore) -> list[tuple[str, ...]]:
    """Make and link it; return the words of what could not be done, and of all that comes after that."""
    commands = list(store.commands)
    while commands and carried_out(call, commands[0]):
        commands.pop(0)
    return commands


def carried_out(call: Call, words: tuple[str, ...]) -> bool:
    """Run the command of a data service, where this version has it."""
    from paas.cli import run_command

    if words[0] not in COMMANDS:
        return False
    try:
        return not run_command(call, COMMANDS[words[0]], list(words[1:]))
    except PaasError as error:
        call.warn(f"{' '.join(words)}: {error.what}")
        return False


# The plan, for people ------------------------------------------------------------------------------------------------


def described(plan: Plan) -> Iterator[str]:
    for app in plan.apps:
        yield from of_app(app)
    for store in plan.datastores:
        yield f"=====> Service {store.name} ({store.kind}), from {store.service}"
        yield from (f"       paas {' '.join(words)}{missing(words)}" for words in store.commands)
        yield from (f"       sets {key} of {app}" for app, key in store.sets.items())
    for warning in plan.warnings:
        yield f" !     {warning}"
    if plan.left:
        yield "=====> Not carried over"
        yield from left_lines(plan)


def missing(words: tuple[str, ...]) -> str:
    return "" if words[0] in COMMANDS else "   (this version has no such command)"


def left_lines(plan: Plan) -> Iterator[str]:
    """What has the same reason stands together."""
    reasons: dict[str, list[str]] = {}
    for one in plan.left:
        reasons.setdefault(one.why, []).append(one.where)
    for why, places in reasons.items():
        yield f"       {', '.join(places)}:"
        yield f"           {why}"


def of_app(app: AppPlan) -> Iterator[str]:
    yield f"=====> App {app.name}, from {', '.join(app.services)}"
    facts = {
        "image": app.image, "config vars": ", ".join(app.config), "build arguments": ", ".join(app.arguments),
        "scale": " ".join(f"{kind}={number}" for kind, number in app.scale.items()),
        "settings": ", ".join(f"{key} {value}" for key, value in app.settings.items()),
        "limits": ", ".join(f"{kind}: {' '.join(f'{key} {text}' for key, text in limits.items())}"
                            for kind, limits in app.limits.items()),
        "storage": ", ".join(app.mounts),
    }
    yield from (f"       {name + ':':<17}{value}" for name, value in facts.items() if value)
    for one in app.to_set:
        yield f"       to set:          {one.key} ({one.why})"
    if app.procfile:
        yield "       Procfile, to be committed:"
        yield from (f"           {line}" for line in app.procfile.splitlines())


# What comes then -----------------------------------------------------------------------------------------------------


def next_steps(call: Call, plan: Plan, todo: list[tuple[str, ...]]) -> Iterator[str]:
    unknown = [words for words in todo if words[0] not in COMMANDS]
    failed = [words for words in todo if words[0] in COMMANDS]
    if unknown:
        yield "To do when there are these commands; until then run the servers yourself, and set their addresses:"
        yield from (f"    paas {' '.join(words)}" for words in unknown)
    if failed:
        yield "To do when what is in the way is gone:"
        yield from (f"    paas {' '.join(words)}" for words in failed)
    for store in plan.datastores:
        if f"{store.kind}:import" in COMMANDS and store.kind in DUMPS:
            yield f"To bring the data of {store.service} from where it runs now:"
            yield f"    docker compose exec -T {store.service} {DUMPS[store.kind]} >dump"
            yield f"    paas {store.kind}:import {store.name} <dump"
    for place, app in enumerate(plan.apps):
        yield f"Next, for {app.name}:"
        if app.to_set:
            yield f"    paas config:set {app.name} {' '.join(f'{one.key}=…' for one in app.to_set)}"
        yield from source_steps(call, app, "production" if not place else app.name)
        for domain in app.domains:
            yield f"    paas domains:add {app.name} {domain}     (when its DNS points here)"


def source_steps(call: Call, app: AppPlan, remote: str) -> Iterator[str]:
    """How the app gets its first release: a push, with a Procfile where it needs one; or its image."""
    if app.image and not app.procfile:
        yield f"    paas git:from-image {app.name} {app.image}"
        return
    if app.image:
        yield f"    put a Dockerfile with the line  FROM {app.image}  in a new repository"
    if app.procfile:
        unknown = any(not line for line in app.processes.values()) and "#" in app.procfile
        yield f"    commit its Procfile (above){'; first complete the lines that begin with #' if unknown else ''}"
        yield "    (a line of it replaces the image's ENTRYPOINT too: where there is one, put it in front)"
    yield f"    git remote add {remote} {apps.git_remote(call.rt, app.name)}"
    yield f"    git push {remote} main"


# The plan, for programs ----------------------------------------------------------------------------------------------


def as_json(plan: Plan) -> dict[str, Any]:
    """Names of config vars and build arguments, never their values."""
    return {"apps": [app_json(app) for app in plan.apps], "services": [store_json(one) for one in plan.datastores],
            "not_carried_over": [{"where": one.where, "why": one.why} for one in plan.left],
            "warnings": list(plan.warnings)}


def app_json(app: AppPlan) -> dict[str, Any]:
    return {"name": app.name, "services": list(app.services), "image": app.image, "processes": dict(app.processes),
            "release": app.release, "procfile": app.procfile, "scale": dict(app.scale), "config": list(app.config),
            "to_set": [{"key": one.key, "why": one.why} for one in app.to_set], "settings": dict(app.settings),
            "build_arguments": list(app.arguments), "limits": {kind: dict(one) for kind, one in app.limits.items()},
            "storage": list(app.mounts), "suggested_domains": list(app.domains)}


def store_json(store: Datastore) -> dict[str, Any]:
    return {"name": store.name, "kind": store.kind, "service": store.service, "image": store.image,
            "version": store.version, "sets": dict(store.sets), "apps": list(store.apps),
            "commands": [list(itertools.chain(["paas"], words)) for words in store.commands]}
