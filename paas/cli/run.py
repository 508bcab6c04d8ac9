"""``run``, ``run:…``, ``enter``: one-off containers, and commands in a running instance."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any

import click

from paas.cli.base import Call, app_argument, command, format_option, optional_app_argument
from paas.cli.logs import put_lines
from paas.errors import UsageError
from paas.model.app import App
from paas.ops import logs, runs

PATIENCE = 24 * 3600.0                   # seconds that a stopped terminal (^S, ^Z) may hold up the program
TTL = click.IntRange(1, 30 * 24 * 3600)
OPTIONS = (
    click.Option(["-i", "--interactive"], is_flag=True, help="Accepted for Docker's sake: input is always joined."),
    click.Option(["-t", "--tty"], is_flag=True, help="Ask for a terminal; a caller that has one gets one anyway."),
    click.Option(["-T", "--no-tty"], is_flag=True, help="Pipes, also where the caller has a terminal."),
    click.Option(["-d", "--detach", "--detached"], is_flag=True, help="Leave it running; see run:logs."),
    click.Option(["-e", "--env"], multiple=True, metavar="KEY=VALUE", help="Over the app's config, for this run."),
    click.Option(["--ttl-seconds"], type=TTL, help="Ended after so long; a day by default."),
)


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    function.__click_params__ = [*reversed(OPTIONS), *getattr(function, "__click_params__", [])]
    return function


def options_after(call: Call, words: Sequence[str], given: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The same options may stand behind the app, before the command: (command, all options)."""
    parser = click.Command("run", params=[*OPTIONS, click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
                           add_help_option=False, context_settings={"allow_interspersed_args": False})
    found = parser.make_context("run", list(words), obj=call).params
    rest = found.pop("words")
    return tuple(rest), {name: (*value, *found[name]) if isinstance(value, tuple) else found[name] or value
                         for name, value in given.items()}


@command("run", mutates=True, secret=True, passthrough=True)
@run_options
@app_argument
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND...")
def run(call: Call, app: App, words: tuple[str, ...], **given: Any) -> int:
    """Run a command in a new container of the live release.

    With its config; the exit code is the command's. The words are passed on exactly, through no shell; the image's
    ENTRYPOINT is left out. The container goes at the end, and when the caller vanishes. Options may also stand between
    APP and COMMAND.

    Example: paas run hello ls -l /app
    """
    command, options = options_after(call, words, given)
    return start(call, app, command, options)


@command("run:detached", mutates=True, secret=True, passthrough=True)
@run_options
@app_argument
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND...")
def run_detached(call: Call, app: App, words: tuple[str, ...], **given: Any) -> int:
    """The same as run --detach.

    Example: paas run:detached hello ./nightly
    """
    command, options = options_after(call, words, given)
    return start(call, app, command, {**options, "detach": True})


def start(call: Call, app: App, command: tuple[str, ...], options: dict[str, Any]) -> int:
    if not command:
        raise UsageError("no command to run", f"Example: paas run {app.name} ls")
    call.note(command=shlex.join(command)[:500])
    order = runs.Order(command, runs.parse_environment(options["env"]), use_terminal(call, options),
                       options["detach"], options["ttl_seconds"] or runs.DEFAULT_TTL)
    if order.detached:
        made = runs.detach(call.rt, app, call.actor, order)
        call.put(f"run.{made.id}")
        call.say(f"Its log: paas run:logs {app.name} run.{made.id}")
        return 0
    call.session.busy, call.session.patience = False, PATIENCE
    return runs.run(call.rt, app, call.actor, order, call.session)


def use_terminal(call: Call, options: dict[str, Any]) -> bool:
    if options["detach"] or options["no_tty"]:
        return False
    if options["tty"] and not call.session.tty:
        call.warn("there is no terminal at your end (over SSH: ssh -t): pipes are used")
    return call.session.tty is not None


@command("enter", mutates=True, secret=True, passthrough=True)
@app_argument
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[TYPE|INSTANCE] [COMMAND]...")
def enter(call: Call, app: App, words: tuple[str, ...]) -> int:
    """Run a command in a running instance.

    In one of `web`, or of the process type or instance (web.2) that is named first. Without COMMAND: /bin/sh.

    Example: paas enter hello web.1 ps
    """
    row, command = runs.choose(call.rt, app, words)
    call.note(instance=row.name, command=shlex.join(command)[:500])
    call.session.busy, call.session.patience = False, PATIENCE
    return runs.enter(call.rt, row, command, call.session, call.session.tty is not None)


@command("run:list")
@optional_app_argument
@format_option
def list_(call: Call, app: App | None, format: str) -> None:
    """List the one-off containers of an app, or of all.

    Example: paas run:list hello
    """
    columns = ("app", "run", "state", "exit_code", "mode", "command", "release", "created_at", "created_by")
    rows = [(one.app, f"run.{one.run.id}", one.state, one.exit_code, one.mode, shlex.join(one.run.command), one.release,
             one.run.created_at, one.run.created_by) for one in runs.listed(call.rt, app)]
    call.rows(columns, rows, format)


@command("run:logs")
@app_argument
@click.argument("run")
@click.option("-t", "--tail", "-f", "--follow", "follow", is_flag=True, help="Go on until it ends, or ^C.")
@click.option("-n", "--num", "number", type=click.IntRange(0, 100_000), default=100, show_default=True,
              help="Last lines.")
@click.option("--raw", is_flag=True, help="Bytes as they were printed.")
def show_log(call: Call, app: App, run: str, follow: bool, number: int, raw: bool) -> None:
    """Show what a one-off container prints.

    The log of a detached one is kept for its time to live.

    Example: paas run:logs hello run.1 -t
    """
    row = runs.find(call.rt, app, run)
    source, wanted = (f"run.{row.id}", row.container_id), logs.Wanted(number)
    lines = logs.follow_container(call.rt, source, wanted, lambda: call.session.alive) if follow \
        else logs.read(call.rt, source, wanted)
    put_lines(call, lines, raw=raw)


@command("run:stop", mutates=True)
@app_argument
@click.argument("run", required=False)
@click.option("--all", "everything", is_flag=True, help="All of the app's.")
def stop(call: Call, app: App, run: str | None, everything: bool) -> None:
    """End a one-off container.

    SIGTERM, then SIGKILL after the app's stop timeout.

    Example: paas run:stop hello run.1
    """
    if (run is None) != everything:
        raise UsageError("name one run, or give --all", f"See: paas run:list {app.name}")
    rows = [runs.find(call.rt, app, run)] if run else call.rt.store.runs(app.id)
    runs.stop(call.rt, app, rows)
    for row in rows:
        call.say(f"run.{row.id} is stopped.")
