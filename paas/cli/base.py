"""What every command module builds on: the registry, :class:`Call`, the decorators.

A command parses, calls one function of ``paas.ops`` (or ``paas.deploy``), and prints::

    @command("apps:create", mutates=True)
    @click.argument("name")
    def create(call: Call, name: str) -> None:
        \"\"\"Create an app.\"\"\"
        app = apps.create(call.rt, call.actor, name)
        call.say(f"Created {app.name}.")

It runs in the connection's thread of the daemon: it never touches ``sys.stdout``, the working directory or the
environment. It returns None or an exit code, and raises :class:`paas.errors.PaasError` for what it foresees.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from paas.cli import printer
from paas.errors import BadInput, Forbidden, UsageError
from paas.model import names
from paas.model.access import Actor
from paas.ops.access import sees

GIVEN_APP = "paas.app"                   # click meta: the app came by --app or the caller's environment


class HelpWanted(Exception):
    """``--help`` stood among the words."""


@dataclass(frozen=True)
class Local:
    """What a caller on the server itself has besides its words."""

    cwd: str = ""
    app: str = ""                        # PAAS_APP


@dataclass
class Call:
    """One invocation: what a command gets as its first argument."""

    rt: Any                              # paas.runtime.Runtime
    actor: Actor
    session: Any                         # paas.daemon.session.Session
    local: Local | None = None           # None: came over SSH
    app_given: str = ""                  # `paas --app NAME …`
    app_default: str = ""                # `paas --default-app NAME …`: what a laptop found in its git remote
    quiet: bool = False
    noted: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> printer.SessionOutput:
        """A ports.Output for long work."""
        return printer.SessionOutput(self.session, self.quiet)

    def say(self, text: str) -> None:
        """A line (or several) for a person; left out under --quiet."""
        if not self.quiet:
            self.session.out("".join(f"{line}\n" for line in printer.lines(text)))

    def put(self, text: str) -> None:
        """A line of data: shown under --quiet too."""
        self.session.out("".join(f"{line}\n" for line in printer.lines(text)))

    def warn(self, text: str) -> None:
        self.session.err(printer.warning_text(text))

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], format: str = "table") -> None:
        """A table, or a JSON list of objects named by *columns* (``snake_case``). Cells: text, numbers, flags,
        times, lists, None. --quiet leaves the heading out."""
        if format == "json":
            self.session.out(printer.to_json([dict(zip(columns, row, strict=True)) for row in rows]))
        else:
            self.session.out(printer.table(columns, rows, heading=not self.quiet))

    def record(self, mapping: Mapping[str, Any], format: str = "table") -> None:
        """One thing: ``name: value`` lines, or a JSON object."""
        self.session.out(printer.to_json(mapping) if format == "json" else printer.record(mapping))

    def stdin(self, limit: int = 1024 * 1024) -> bytes:
        """The client's standard input, whole. :raises BadInput: longer than *limit* bytes."""
        return self.session.read_stdin(limit)

    def local_file(self, path: str, limit: int = 1024 * 1024) -> bytes:
        """A file that root names on the server itself; over SSH nobody reads files here, not even an admin.

        :raises Forbidden: the caller is not root on the server.
        :raises BadInput: no such file, or longer than *limit* bytes.
        """
        if self.local is None or self.actor.name != "root":
            raise Forbidden("a file on the server is read for root there only", "Give the content on standard input.")
        try:
            with open(Path(self.local.cwd or "/", path), "rb") as file:
                data = file.read(limit + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            raise BadInput(f"cannot read '{names.printable(path)}': {reason}", "Check the path.") from None
        if len(data) > limit:
            raise BadInput(f"'{names.printable(path)}' is longer than {limit:,} bytes")
        return data

    def confirm(self, expected: str, given: str | None, what: str = "This cannot be undone.") -> None:
        """Go on only if *given* (of ``--confirm``) is *expected*; at a terminal, ask for it.

        :raises UsageError: it is not.
        """
        if given is None and self.session.tty:
            self.session.err(f" !     {what}\n       Type {expected} to go on: ")
            given = self.session.read_line().strip()
        if given != expected:
            raise UsageError("not confirmed: nothing was changed", f"Repeat it with --confirm {expected}")

    def note(self, **detail: str) -> None:
        """Add to the event that a mutating command leaves behind (no secrets)."""
        self.noted |= detail


@dataclass(frozen=True)
class Traits:
    mutates: bool = False
    lock: str | None = None              # "app": the app's lock is held while it runs
    secret: bool = False                 # its words may hold secrets: they are not recorded
    hidden: bool = False
    datastore: str = ""                  # its argument `service` is one of that datastore


class Command(click.Command):
    """A click command under its colon name, with ``--help``, ``--quiet`` and, where it takes an app, ``--app``."""

    def __init__(self, *args: Any, traits: Traits, **kwargs: Any) -> None:
        super().__init__(*args, hidden=traits.hidden, **kwargs)
        self.traits = traits
        self.takes_app = any(param.name == "app" and isinstance(param, click.Argument) for param in self.params)
        self.params.append(click.Option(["--quiet"], is_flag=True, expose_value=False, callback=_be_quiet,
                                        help="Show data only."))

    def get_help_option(self, ctx: click.Context) -> click.Option:
        return click.Option(["--help"], is_flag=True, is_eager=True, expose_value=False, callback=_want_help,
                            help="Show this help.")

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        return [param for param in params if param.name != "app"] if GIVEN_APP in ctx.meta else params

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        if self.takes_app:
            formatter.write_text("APP may also be given as --app APP, or as PAAS_APP on the server.")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, but the app may come from ``--app``, from ``--default-app`` where the words do not name it,
        or, where they make no sense without it, from PAAS_APP."""
        call: Call = ctx.obj
        if not self.takes_app:
            return super().parse_args(ctx, args)
        given, args = take_app(args, ctx.allow_interspersed_args)
        given = given or call.app_given
        hint = call.local.app if call.local else ""
        if given:
            return self._parse_for(ctx, args, given)
        if call.app_default:
            return self._parse_by_default(ctx, args, call.app_default)
        try:
            rest = super().parse_args(ctx, list(args))
            if not hint or names.APP.fullmatch(ctx.params.get("app") or ""):
                return rest
        except click.UsageError:
            if not hint:
                raise
        ctx.params.clear()
        return self._parse_for(ctx, args, hint)

    def _parse_by_default(self, ctx: click.Context, args: list[str], app: str) -> list[str]:
        """Both readings are tried, with the first argument as the app, and about *app*: `logs`, `logs hello`,
        `logs other`, `run ls -l`. Where both make sense, and the first argument is an app that the caller sees, a
        guess could change the wrong one: UsageError."""
        call: Call = ctx.obj
        try:
            rest = super().parse_args(ctx, list(args))
            named = ctx.params.get("app") or ""
        except click.UsageError:
            named = ""
        if named == app:
            return rest
        ctx.params.clear()
        try:
            rest = self._parse_for(ctx, args, app)
        except click.UsageError:
            if not names.APP.fullmatch(named):
                raise
            del ctx.meta[GIVEN_APP]
            ctx.params.clear()
            return super().parse_args(ctx, list(args))
        if named and any(one.name == named and sees(call.actor, app_id=one.id) for one in call.rt.store.apps()):
            raise click.UsageError(f"'{named}' is an app, too: say --app {named} or --app {app}", ctx)
        return rest

    def _parse_for(self, ctx: click.Context, args: list[str], app: str) -> list[str]:
        ctx.meta[GIVEN_APP] = app
        rest = super().parse_args(ctx, list(args))
        ctx.params["app"] = app
        return rest


def _want_help(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        raise HelpWanted


def _be_quiet(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.obj.quiet = True


def take_app(args: Sequence[str], everywhere: bool = True) -> tuple[str, list[str]]:
    """Cut ``--app NAME`` out of *args*, before ``--`` (and, unless *everywhere*, before the first argument)."""
    given, rest, words = "", [], iter(args)
    for word in words:
        if word == "--" or (not everywhere and not word.startswith("-")):
            return given, [*rest, word, *words]
        if word == "--app":
            given = next(words, "")
            if not given:
                raise click.UsageError("Option '--app' requires an argument.")
        elif word.startswith("--app="):
            given = word.removeprefix("--app=")
        else:
            rest.append(word)
    return given, rest


COMMANDS: dict[str, Command] = {}


def command(name: str, *, mutates: bool = False, lock: str | None = None, secret: bool = False,
            hidden: bool = False, passthrough: bool = False,
            datastore: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as ``paas NAME``; its docstring is the help.

    :param mutates: exactly one event is recorded, whatever comes of it.
    :param lock: ``"app"``: what it changes belongs to the app it names, one such command at a time.
    :param secret: its words are not recorded with the event.
    :param datastore: its argument ``service`` is a service of that datastore; the function gets the Service.
    :param passthrough: words after the first argument are not options of ours (``run APP COMMAND --flag``).
    """
    if lock not in (None, "app"):
        raise ValueError(f"unknown lock {lock!r}")

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        if name in COMMANDS:
            raise ValueError(f"two commands are called {name}")
        params = list(reversed(getattr(function, "__click_params__", [])))
        settings = {"allow_interspersed_args": False} if passthrough else {}
        COMMANDS[name] = Command(name, callback=function, params=params, help=function.__doc__,
                                 traits=Traits(mutates, lock, secret, hidden, datastore), context_settings=settings,
                                 add_help_option=True)
        return function
    return register


def app_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """The first argument is an app; the function gets it as ``app``, a :class:`paas.model.app.App`."""
    return click.argument("app")(function)


def optional_app_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but it may be left out: ``app`` is None then, and the command is about the whole server."""
    return click.argument("app", required=False)(function)


def format_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--format table|json`` as ``format``."""
    return click.option("--format", type=click.Choice(["table", "json"]), default="table", show_default=True,
                        help="How to print it.")(function)


def confirm_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--confirm NAME`` as ``confirm``, for :meth:`Call.confirm`."""
    return click.option("--confirm", metavar="NAME", help="Go on without asking; repeat the name.")(function)


def held_lock(call: Call, traits: Traits, app: Any) -> contextlib.AbstractContextManager[None]:
    """The app's turn while the command runs: no deploy of it runs beside, none starts. Conflict where one runs."""
    if traits.lock != "app" or app is None:
        return contextlib.nullcontext()
    return call.rt.jobs.turn(app.id, f"a command of {call.actor.name}")
