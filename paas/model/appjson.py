"""app.json: health checks, formation, environment, scripts and cron, with the keys that Heroku and Dokku use.

Heroku: devcenter.heroku.com/articles/app-json-schema. Dokku: docs/appendices/file-formats/app-json.md.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from paas.errors import BadInput, PushRefused
from paas.model import names
from paas.model.cron import read_cron
from paas.model.healthchecks import encodable, read_checks
from paas.model.names import PROCESS_TYPE, printable
from paas.model.procfile import shell_command
from paas.model.release import Check, CronJob, Task

MAX_BYTES = 256 * 1024
DESCRIBED = frozenset({"name", "description", "keywords", "repository", "website", "logo", "$schema"})
READ = frozenset({"healthchecks", "formation", "env", "scripts", "cron"})
ENV_KEYS = frozenset({"description", "value", "required", "generator"})
MAX_COMMAND = 4096


@dataclass(frozen=True)
class Variable:
    """A config var that the app asks for."""

    value: str | None = None             # its default; None: none
    generated: bool = False              # a random secret is made where it is not set
    required: bool = True                # without a value from anywhere the push is refused
    description: str = ""


@dataclass(frozen=True)
class AppJson:
    checks: Mapping[str, Check] = field(default_factory=dict)          # process type → check, with those beside it
    quantities: Mapping[str, int] = field(default_factory=dict)        # process type → quantity
    env: Mapping[str, Variable] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()
    cron: tuple[CronJob, ...] = ()
    ignored: tuple[str, ...] = ()                                      # what is there and not read yet


def parse(content: bytes) -> AppJson:
    """Raises PushRefused for what is not JSON of the expected shape."""
    if len(content) > MAX_BYTES:
        raise PushRefused("app.json is larger than 256 KB")
    try:
        data = json.loads(content.decode("utf-8-sig"), object_pairs_hook=no_repeats)
    except (ValueError, RecursionError) as error:
        raise PushRefused(f"app.json is not valid JSON: {printable(str(error))}",
                          "Correct it and push again.") from None
    if not isinstance(data, dict):
        raise PushRefused("app.json must hold one JSON object")
    ignored: list[str] = []
    checks = read_checks(part(data, "healthchecks"), ignored)
    quantities = read_formation(part(data, "formation"), ignored)
    env, tasks = read_env(data.get("env", {}), ignored), read_scripts(data.get("scripts", {}), ignored)
    cron = read_cron(data.get("cron", []), ignored)
    ignored += sorted(printable(key) for key in data if key not in DESCRIBED | READ)
    return AppJson(checks, quantities, env, tasks, cron, tuple(ignored))


def no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is there twice")
    return made


def part(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise PushRefused(f"app.json: '{key}' must be an object")
    for process_type in value:
        if not PROCESS_TYPE.fullmatch(process_type):
            raise PushRefused(f"app.json: '{key}' names no process type: {printable(process_type)}")
    return value


def read_formation(data: Mapping[str, object], ignored: list[str]) -> dict[str, int]:
    found = {}
    for process_type, entry in data.items():
        quantity = entry.get("quantity", 1) if isinstance(entry, dict) else None
        if not isinstance(quantity, int) or isinstance(quantity, bool) or not 0 <= quantity <= 50:
            raise PushRefused(f"app.json: formation of '{process_type}' needs a quantity from 0 to 50")
        found[process_type] = quantity
        ignored += [f"formation.{process_type}.{printable(key)}" for key in entry if key != "quantity"]
    return found


def read_env(data: object, ignored: list[str]) -> dict[str, Variable]:
    """``"KEY": "default"``, or an object with description, value, required (true), generator ("secret")."""
    if not isinstance(data, dict):
        raise PushRefused("app.json: 'env' must be an object")
    found = {}
    for key, entry in data.items():
        try:
            found[names.config_key(key)] = read_variable(key, entry, ignored)
        except BadInput as error:
            raise PushRefused(f"app.json: env: {error.what}", error.hint) from None
    return found


def read_variable(key: str, entry: object, ignored: list[str]) -> Variable:
    if isinstance(entry, str):
        return Variable(value=names.config_value(entry))
    if not isinstance(entry, dict):
        raise BadInput(f"{key} must be a text or an object")
    ignored += [f"env.{key}.{printable(name)}" for name in entry if name not in ENV_KEYS]
    value, required, generator = entry.get("value"), entry.get("required", True), entry.get("generator")
    if value is not None and not isinstance(value, str):
        raise BadInput(f"the value of {key} must be text in quotes")
    if not isinstance(required, bool):
        raise BadInput(f"'required' of {key} must be true or false")
    if generator not in (None, "secret"):
        raise BadInput(f"'generator' of {key} can only be \"secret\"")
    return Variable(None if value is None else names.config_value(value), generator is not None, required,
                    printable(str(entry.get("description", "")), 200))


def read_scripts(data: object, ignored: list[str]) -> tuple[Task, ...]:
    """``predeploy`` before the new instances start, ``postdeploy`` when they have passed their checks.

    A plain ``postdeploy`` runs for the first release that serves only, as Heroku and Dokku have it; those under
    ``dokku`` run for each push.
    """
    if not isinstance(data, dict):
        raise PushRefused("app.json: 'scripts' must be an object")
    dokku = data.get("dokku", {})
    if not isinstance(dokku, dict):
        raise PushRefused("app.json: 'scripts.dokku' must be an object")
    known = ("predeploy", "postdeploy")
    ignored += [f"scripts.{printable(key)}" for key in data if key not in (*known, "dokku")]
    ignored += [f"scripts.dokku.{printable(key)}" for key in dokku if key not in known]
    entries = [(f"scripts.{where}{name}", name, part[name], not where and name == "postdeploy")
               for where, part in (("", data), ("dokku.", dokku)) for name in known if name in part]
    return tuple(Task(name, shell_command(script(name, text)), after_checks=kind == "postdeploy", first_only=first)
                 for name, kind, text, first in entries)


def script(name: str, text: object) -> str:
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_COMMAND \
            or "\0" in text or not encodable(text):
        raise PushRefused(f"app.json: '{name}' must be a command of at most {MAX_COMMAND} characters")
    return text.strip()
