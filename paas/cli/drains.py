"""``logs:drain…``: where the lines of apps go besides ``logs``."""

from collections.abc import Callable
from typing import Any

import click

from paas.cli.base import Call, app_argument, command, format_option, optional_app_argument
from paas.model.app import App
from paas.model.drain import Drain, Kind
from paas.ops import drains

COLUMNS = ("id", "app", "to", "format", "state", "sent", "dropped", "waiting", "error")


def http_options(function: Callable[..., Any]) -> Callable[..., Any]:
    form = click.option("--format", type=click.Choice(["json", "loki"]), help="Of an HTTP drain's bodies; json if left "
                        "out: an object a line.")
    headers = click.option("--headers", is_flag=True, help="An HTTP drain's headers, as Authorization: …, come on "
                           "standard input, one a line.")
    return form(headers(function))


@command("logs:drain", mutates=True, secret=True)
@app_argument
@click.argument("url")
@http_options
def add(call: Call, app: App, url: str, format: str | None, headers: bool) -> None:
    """Send the lines of an app's instances somewhere else, too.

    URL: syslog+udp://HOST[:514], syslog+tcp://HOST[:514], syslog+tls://HOST[:6514], http(s)://HOST/PATH, or
    cloudwatch://REGION/GROUP. What the app prints from now on goes there; a drain that is down never holds the app up.

    Example: paas logs:drain hello syslog+tls://logs.example.com:6514
    """
    put(call, app, url, format, headers)


@command("logs:drain-global", mutates=True, secret=True)
@click.argument("url")
@http_options
def add_global(call: Call, url: str, format: str | None, headers: bool) -> None:
    """Send the lines of all apps, also of later ones, somewhere else, too. See logs:drain.

    Example: paas logs:drain-global https://loki.example.com/loki/api/v1/push --format loki
    """
    put(call, None, url, format, headers)


def put(call: Call, app: App | None, url: str, format: str | None, headers: bool) -> None:
    given = call.stdin().decode("utf-8", "replace") if headers else ""
    made = drains.add(call.rt, call.actor, app, url, format or "", given or ("\n" if headers else ""))
    call.note(to=made.shown)
    call.say(f"Drain {made.id}: the lines of {app.name if app else 'all apps'} go to {made.shown}.")
    tell_kind(call, app, made)


def tell_kind(call: Call, app: App | None, made: Drain) -> None:
    if made.kind == Kind.CLOUDWATCH:
        call.say("The engine sends them: instances that are made from now on have it, those that run by "
                 f"paas ps:restart {app.name if app else 'APP'}. Docker itself needs the credentials of AWS.")
    if made.kind == Kind.HTTP and made.headers:
        call.warn("http:// sends lines and headers in the clear; prefer https://")


@command("logs:drain-remove", mutates=True)
@click.argument("id", type=int)
def remove(call: Call, id: int) -> None:
    """Remove a drain.

    Example: paas logs:drain-remove 1
    """
    gone = drains.remove(call.rt, id)
    call.say(f"No lines go to {gone.shown} any more.")
    if gone.kind == Kind.CLOUDWATCH:
        call.say("Instances that run keep it until paas ps:restart APP, or the next deploy.")


@command("logs:drains")
@optional_app_argument
@format_option
def show(call: Call, app: App | None, format: str) -> None:
    """List drains, and how they are. Counts begin with the daemon's start.

    Example: paas logs:drains
    """
    found = drains.listed(call.rt, app)
    columns = (*COLUMNS, "failing_since") if format == "json" else COLUMNS
    call.rows(columns, [tuple(getattr(one, name) for name in columns) for one in found], format)
