"""Commands: parsed by click in the daemon, one file per namespace, all behind :func:`dispatch`."""

import difflib
import importlib
import importlib.util
import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from paas.cli import help, printer
from paas.cli.base import COMMANDS, Call, Command, HelpWanted, Local, held_lock, take_app
from paas.errors import Forbidden, Locked, PaasError, PushRefused, UsageError
from paas.model import names
from paas.model.access import Actor
from paas.model.app import App
from paas.model.service import Service
from paas.ops.access import Hidden, authorise, is_admin
from paas.ops.disk import ease
from paas.ops.visible import Visible

log = logging.getLogger("paas.cli")

# Every module of commands. One that is not there is skipped; one that cannot be imported stops the daemon.
MODULES = ("access", "apps", "ci", "compose", "config", "cron", "domains", "certs", "ps", "checks", "resource",
           "logs", "drains", "disk", "run", "storage", "ports", "proxy", "network", "maintenance", "ssh_keys", "events",
           "git", "builds", "releases", "builder", "buildpacks", "services", "service_data", "backups", "backup_keys",
           "pitr", "sqlite", "server", "server_backups", "platform", "status", "notify", "incidents",
           "heartbeat", "uptime", "metrics", "otel", "completion", "watch")

# Changes that are made though the database is older than what runs: the ways out.
IN_SPITE = frozenset({"reconcile", "server:restore"})
REFUSALS = (Forbidden, Hidden, Locked, PushRefused)
PATIENCE = 600.0                         # seconds that a command without a lock waits for its reader (a pager)


def load_commands() -> dict[str, Command]:
    """Import every module of MODULES that is there; idempotent."""
    for module in MODULES:
        name = f"paas.cli.{module}"
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)
    return COMMANDS


def dispatch(rt: Any, session: Any, actor: Actor, argv: Sequence[str], local: Local | None = None) -> int:
    """Run the words of one call; everything it has to say goes to *session*. Return the exit code."""
    load_commands()
    call = Call(rt, actor, session, local)
    try:
        return _run(call, _global_options(call, list(argv)))
    except click.UsageError as error:
        return _fail(call, UsageError(error.format_message(), _see_help(error)))
    except PaasError as error:
        return _fail(call, error)
    except Exception:
        number = secrets.token_hex(4)
        log.exception("internal error %s", number)
        return _fail(call, internal_error(number))


def internal_error(number: str) -> PaasError:
    """What a user sees of an exception that nobody foresaw; its traceback is in the log under the same *number*."""
    return PaasError(f"internal error {number}", "Its cause stands under this number in the log of paasd "
                     "(journalctl -u paasd; without systemd /var/log/paas/paasd.log).")


def _fail(call: Call, error: PaasError) -> int:
    call.session.err(printer.error_text(error))
    return error.exit_code


def _see_help(error: click.UsageError) -> str:
    return f"See: paas help {error.ctx.info_name}" if error.ctx else "See: paas help"


def _global_options(call: Call, words: list[str]) -> list[str]:
    """``--quiet``, ``--app NAME``, ``--default-app NAME``, ``--help`` and ``--version`` before the command."""
    while words and words[0].startswith("-"):
        if words[0] == "--app" or words[0].startswith("--app="):
            size = 2 if words[0] == "--app" else 1
            call.app_given, _ = take_app(words[:size])
            del words[:size]
        elif words[0] == "--default-app" and len(words) > 1:
            call.app_default = words[1]
            del words[:2]
        elif words[0] == "--quiet":
            call.quiet = True
            del words[0]
        elif words[0] in ("--help", "-h"):
            return ["help", *words[1:]]
        elif words[0] in ("--version", "-V"):
            return ["version"]
        else:
            raise UsageError(f"'{names.printable(words[0])}' is not an option", "See: paas help")
    return words


def _run(call: Call, words: list[str]) -> int:
    if not words:
        call.put(f"You are {call.actor.name}.")
        call.put("List the commands with: help")
        return 0
    name, args = words[0], words[1:]
    command = COMMANDS.get(name)
    if command is None:
        if not help.namespace(name):
            raise unknown(name)
        call.session.out(help.of_namespace(name))
        return 0
    try:
        return run_command(call, command, args)
    except HelpWanted:
        call.session.out(help.of_command(command, call))
        return 0


def unknown(name: str) -> UsageError:
    """For a word that is no command: what it may have meant."""
    known = [known for known, command in COMMANDS.items() if not command.hidden]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    guess = f"Did you mean {' or '.join(close)}? " if close else ""
    return UsageError(f"'{names.printable(name)}' is not a command", f"{guess}List the commands with: help")


def run_command(call: Call, command: Command, args: list[str]) -> int:
    """Parse → resolve the app → authorise → run → record; an event is recorded for what was parsed only."""
    width = call.session.tty.columns if call.session.tty else 80
    context = command.make_context(command.name, args, obj=call, terminal_width=max(40, min(width, 110)))
    named = (context.params.get("app") or "") if command.takes_app else ""
    _prepare(call, command)
    intent = _intend(call, command, args, named)
    try:
        code = _authorised(call, command, context)
    except BaseException as error:
        _record(call, command, args, named, error, intent=intent)
        raise
    _record(call, command, args, named, None, code, intent=intent)
    return code


def _intend(call: Call, command: Command, args: Sequence[str], app: str) -> int | None:
    """Before a change begins: who wants what. :raises StateError: it cannot be written down, so it is not done."""
    if not command.traits.mutates:
        return None
    if ease(call.rt):
        call.warn("the disk is full: this command has the reserve, and there is none until space is freed (paas disk)")
    return call.rt.store.begin_intent(call.actor, command.name, names.printable(app), _words(command, args))


def _words(command: Command, args: Sequence[str]) -> dict[str, str]:
    return {"words": names.printable(" ".join(args), 500)} if args and not command.traits.secret else {}


def _authorised(call: Call, command: Command, context: click.Context) -> int:
    app, service = named_objects(call, command, context)
    traits = command.traits
    authorise(call.actor, command.name, app, service, mutates=traits.mutates,
              datastores=frozenset({traits.datastore}))
    if not traits.mutates and not is_admin(call.actor):
        call.rt = replace(call.rt, store=Visible(call.rt.store, call.actor))
    if traits.mutates and command.name not in IN_SPITE:
        call.rt.older.require_none()
    with context, held_lock(call, traits, app):
        return context.invoke(command.callback, call, **context.params) or 0


def named_objects(call: Call, command: Command, context: click.Context) -> tuple[App | None, Service | None]:
    """The app and the service that the words name; they take the place of the names."""
    params, app, service = context.params, None, None
    if command.takes_app and params["app"] is not None:
        app = params["app"] = call.rt.store.app(names.app_of(params["app"]))
    if command.traits.datastore and isinstance(params.get("service"), str):
        service = params["service"] = call.rt.store.service(command.traits.datastore, params["service"])
        call.note(service=service.name)
    return app, service


def _prepare(call: Call, command: Command) -> None:
    """A reader may hold up its own listing, never a change; ^C ends a listing and leaves a change running."""
    session = call.session
    if not command.traits.mutates:
        session.patience = PATIENCE
        return
    session.busy = True
    session.on_interrupt(lambda: session.err(
        "\n !     this goes on in the server; press ^C again to leave it alone\n"
        "       Follow it with: paas events   (a deploy: paas builds:log APP)\n"))


def _record(call: Call, command: Command, args: Sequence[str], app: str, error: BaseException | None,
            code: int = 0, *, intent: int | None = None) -> None:
    """One event per mutating command. No word of a `secret` command is kept, nor what its error says."""
    if not command.traits.mutates:
        return
    result = "refused" if isinstance(error, REFUSALS) else "failed" if error or code else "ok"
    detail = {**call.noted, **_words(command, args)}
    about = app or (f"{command.traits.datastore}/{detail['service']}" if "service" in detail else "")
    if error is not None:
        told = isinstance(error, PaasError) and not command.traits.secret
        detail["error"] = names.printable(error.what, 500) if told else type(error).__name__
    try:
        call.rt.store.add_event(call.actor, command.name, names.printable(about), result, detail, intent=intent)
    except Exception:
        log.exception("the event of %s could not be recorded", command.name)
        call.warn("this command could not be recorded in the events")


__all__ = ["Local", "dispatch", "internal_error", "load_commands", "run_command", "unknown"]
