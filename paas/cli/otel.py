"""``otel:…``: OpenTelemetry's variables in the environment of apps."""

from collections.abc import Callable
from typing import Any

import click

from paas.cli.base import Call, app_argument, command, format_option, optional_app_argument
from paas.cli.config import no_restart_option
from paas.model import otel as model
from paas.model.app import App
from paas.model.otel import PROTOCOLS, Collector
from paas.ops import otel

LATER = "Instances that are made from now on have it; those that run, after: paas ps:restart"


def collector_options(function: Callable[..., Any]) -> Callable[..., Any]:
    protocol = click.option("--protocol", type=click.Choice(PROTOCOLS), default=PROTOCOLS[0], show_default=True,
                            help="How the app sends.")
    headers = click.option("--headers-stdin", is_flag=True, help="Headers, as Authorization: …, come on standard "
                           "input, one a line.")
    return click.argument("endpoint")(protocol(headers(function)))


def given(call: Call, endpoint: str, protocol: str, headers_stdin: bool) -> Collector:
    headers = model.checked_headers(call.stdin().decode("utf-8", "replace")) if headers_stdin else None
    return Collector(model.checked_endpoint(endpoint), protocol, headers)


@command("otel:set", mutates=True)
@app_argument
@collector_options
@no_restart_option
def set_(call: Call, app: App, endpoint: str, protocol: str, headers_stdin: bool, no_restart: bool) -> None:
    """Tell an app where to send traces, metrics and logs by OpenTelemetry.

    Its containers get OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_HEADERS,
    OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES; a config var of the same name wins. Its instances are replaced
    without a gap. The app's own SDK does the sending.

    Example: paas otel:set hello http://collector.example.com:4318
    """
    change(call, app, given(call, endpoint, protocol, headers_stdin), no_restart)


@command("otel:unset", mutates=True)
@app_argument
@no_restart_option
def unset(call: Call, app: App, no_restart: bool) -> None:
    """Take an app's own collector away; the server's, if there is one, is told then.

    Example: paas otel:unset hello
    """
    change(call, app, None, no_restart)


def change(call: Call, app: App, collector: Collector | None, no_restart: bool) -> None:
    if not otel.set_app(call.rt, app, call.actor, collector, restart=not no_restart, say=call.say):
        call.say("Nothing changed.")
        return
    call.say(f"{app.name} sends to {collector.endpoint}." if collector else f"{app.name} has no collector of its own.")
    if no_restart:
        call.say(f"{LATER} {app.name}")


@command("otel:set-global", mutates=True)
@collector_options
def set_global(call: Call, endpoint: str, protocol: str, headers_stdin: bool) -> None:
    """Tell every app without a collector of its own where to send. See otel:set.

    Example: paas otel:set-global http://collector.example.com:4318
    """
    change_global(call, given(call, endpoint, protocol, headers_stdin))


@command("otel:unset-global", mutates=True)
def unset_global(call: Call) -> None:
    """Take the server's collector away.

    Example: paas otel:unset-global
    """
    change_global(call, None)


def change_global(call: Call, collector: Collector | None) -> None:
    changed = otel.set_server(call.rt, collector)
    call.say(f"{LATER} APP" if changed else "Nothing changed.")


@command("otel:report")
@optional_app_argument
@format_option
def report(call: Call, app: App | None, format: str) -> None:
    """Show which collector an app is told of, or each app.

    from: whether it is the app's own or the server's. Headers are never shown.

    Example: paas otel:report hello
    """
    call.rows(("app", "endpoint", "protocol", "from", "headers"), otel.report(call.rt, app), format)
