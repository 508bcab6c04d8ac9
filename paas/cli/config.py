"""``config:…``: environment of an app. Values are shown only by the commands made for that."""

import base64
import binascii
import json
import shlex
from collections.abc import Callable, Sequence

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.errors import BadInput, UsageError
from paas.model import envfile
from paas.model.app import App
from paas.ops import config

LIMIT = 4 * 1024 * 1024                  # bytes of an import


def run_tasks_option(function: Callable) -> Callable:
    return click.option("--run-tasks", is_flag=True, help="Run the release's tasks (migrations) too.")(function)


def no_restart_option(function: Callable) -> Callable:
    return click.option("--no-restart", is_flag=True, help="Store only; the next release has it.")(function)


@command("config")
@command("config:keys")
@app_argument
@format_option
def keys(call: Call, app: App, format: str) -> None:
    """List the names of an app's config vars, without values.

    Example: paas config hello
    """
    names = list(call.rt.store.config(app.id))
    if format == "json":
        call.rows(("key",), [(key,) for key in names], format)
    elif names:
        call.put("\n".join(names))


@command("config:show")
@app_argument
@format_option
def show(call: Call, app: App, format: str) -> None:
    """Show the config vars with their values. Control characters are escaped.

    Example: paas config:show hello
    """
    values = {key: value.reveal() for key, value in call.rt.store.config(app.id).items()}
    if format == "json":
        call.session.out(json.dumps(values, indent=2) + "\n")
        return
    width = max(map(len, values), default=0) + 1
    for key, value in values.items():
        call.put(f"{key + ':':<{width}}  ".rstrip(" " if not value else "") + value.replace("\n", "\\n"))


@command("config:get")
@app_argument
@click.argument("key")
@click.option("--quoted", is_flag=True, help="Quote it for a shell.")
def get(call: Call, app: App, key: str, quoted: bool) -> None:
    """Print the value of one config var. Exit with 20 if it is not set.

    Byte for byte, and a newline.

    Example: paas config:get hello GREETING
    """
    value = config.get(call.rt, app, key).reveal()
    call.session.out((shlex.quote(value) if quoted else value).encode() + b"\n")


@command("config:set", mutates=True, secret=True)
@app_argument
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE...")
@click.option("--encoded", is_flag=True, help="The values are base64.")
@click.option("--stdin", "from_stdin", is_flag=True, help="The value of the one KEY comes on standard input.")
@run_tasks_option
@no_restart_option
def set_(call: Call, app: App, pairs: tuple[str, ...], encoded: bool, from_stdin: bool, no_restart: bool,
         run_tasks: bool) -> None:
    """Set config vars and swap them in without downtime.

    It makes a new release, without a build. If that release fails, the old values and the old containers stay in force.
    To keep a secret off the command line, write KEY=- or KEY --stdin and give the value on standard input; one newline
    at its end is dropped.

    Example: paas config:set hello GREETING=hi
    """
    given = read_pairs(call, pairs, encoded, from_stdin)
    call.note(keys=" ".join(given)[:500])
    changed = config.set_vars(call.rt, app, call.actor, given, restart=not no_restart, say=call.say,
                              tasks=run_tasks)
    tell(call, app, changed, no_restart)


@command("config:unset", mutates=True)
@app_argument
@click.argument("keys", nargs=-1, required=True)
@no_restart_option
def unset(call: Call, app: App, keys: tuple[str, ...], no_restart: bool) -> None:
    """Remove config vars, as config:set sets them.

    Example: paas config:unset hello GREETING
    """
    tell(call, app, config.unset_vars(call.rt, app, call.actor, keys, restart=not no_restart, say=call.say), no_restart)


@command("config:clear", mutates=True)
@app_argument
@no_restart_option
def clear(call: Call, app: App, no_restart: bool) -> None:
    """Remove all config vars.

    Example: paas config:clear hello
    """
    changed = config.set_vars(call.rt, app, call.actor, {}, restart=not no_restart, say=call.say, replace=True)
    tell(call, app, changed, no_restart)


@command("config:export")
@app_argument
@click.option("--format", type=click.Choice(list(envfile.WRITERS)), default="exports", show_default=True,
              help="How to write it.")
def export(call: Call, app: App, format: str) -> None:
    """Print the config vars, quoted for another program.

    config:import, a shell or another program reads the very same values back.

    Example: paas config:export hello --format envfile > hello.env
    """
    values = {key: value.reveal() for key, value in call.rt.store.config(app.id).items()}
    call.session.out(envfile.WRITERS[format](values))


@command("config:import", mutates=True)
@app_argument
@click.argument("file", required=False)
@click.option("--format", type=click.Choice(list(envfile.READERS)), default="envfile", show_default=True,
              help="How it is written.")
@click.option("--replace", is_flag=True, help="Remove the config vars that it does not name.")
@no_restart_option
def import_(call: Call, app: App, file: str | None, format: str, replace: bool, no_restart: bool) -> None:
    """Set config vars from standard input.

    Root on the server may name a FILE instead.

    envfile: lines KEY=value or KEY="value", also with `export` before them. json: one object of strings.

    Example: paas config:import hello --replace < hello.env
    """
    data = call.stdin(LIMIT) if file in (None, "-") else call.local_file(file, LIMIT)
    given = envfile.READERS[format](as_text(data))
    call.note(keys=" ".join(given)[:500])
    changed = config.set_vars(call.rt, app, call.actor, given, restart=not no_restart, say=call.say, replace=replace)
    tell(call, app, changed, no_restart)


def read_pairs(call: Call, words: Sequence[str], encoded: bool, from_stdin: bool) -> dict[str, str]:
    """KEY=VALUE words → key → value. Messages name keys only: what is not KEY=VALUE may be half a secret."""
    if from_stdin:
        if len(words) != 1 or "=" in words[0]:
            raise UsageError("--stdin takes one KEY and no value", "Example: paas config:set hello KEY --stdin < file")
        words = [f"{words[0]}=-"]
    made: dict[str, str] = {}
    for place, word in enumerate(words, 1):
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"word {place} after the app is not KEY=VALUE", "Quote a value that has blanks: KEY='a b'")
        made[key] = value
    asking = [key for key, value in made.items() if value == "-"]
    if len(asking) > 1:
        raise UsageError(f"standard input can be the value of one key, not of {len(asking)}", "Use config:import.")
    if asking:
        made[asking[0]] = as_text(call.stdin(LIMIT)).removesuffix("\n")
    return {key: decoded(key, value) for key, value in made.items()} if encoded else made


def decoded(key: str, value: str) -> str:
    try:
        return as_text(base64.b64decode("".join(value.split()), validate=True))
    except binascii.Error:
        raise BadInput(f"the value of {key[:128]!a} is not base64") from None


def as_text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput("a config var holds UTF-8 text", "Keep other bytes as base64 text.") from None


def tell(call: Call, app: App, changed: bool, no_restart: bool) -> None:
    if not changed:
        call.say("Nothing changed.")
    elif no_restart:
        call.say("Stored; the next release has it.")
    elif app.stopped:
        call.say("Stored.")
    elif not call.rt.store.live_release(app.id):
        call.say("Stored; the first release has it.")     # else the deploy has told release and URL: the last line
