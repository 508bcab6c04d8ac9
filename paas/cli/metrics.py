"""``metrics``: what apps were asked, answered and used."""

from collections.abc import Mapping
from typing import Any

import click

from paas.cli.base import Call, command, format_option, optional_app_argument
from paas.cli.status import text as size
from paas.model.app import App
from paas.model.durations import read_span
from paas.ops import exposition, metrics

COLUMNS = ("app", "requests", "per_second", "2xx", "3xx", "4xx", "5xx", "p50_ms", "p95_ms", "p99_ms", "cpu_percent",
           "memory", "restarts")


@command("metrics")
@optional_app_argument
@click.option("--since", default="1h", show_default=True, metavar="SPAN", help="How far back: 30m, 12h, 30d.")
@format_option
def show(call: Call, app: App | None, since: str, format: str) -> None:
    """Show requests, answers, times, processor, memory and restarts of an app, or of each.

    Requests and answers are those of clients at the proxy; its own and health checks are not among them. Times are to
    an answer's end. cpu_percent is of one core. Figures are kept by the minute for two days, by the quarter of an hour
    for 30 days; the span begins with a full one. Under --format json memory is in bytes.

    Example: paas metrics hello --since 1h
    """
    span = read_span(since)
    if app:
        found = metrics.report(call.rt, app, span)
        call.record(found if format == "json" else {name: shown(name, value) for name, value in found.items()}, format)
        return
    rows = metrics.overview(call.rt, span)
    call.rows(tuple(rows[0]) if format == "json" and rows else COLUMNS,
              [tuple(row.values()) if format == "json" else cells(row) for row in rows], format)


def cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(shown(name, row[name]) for name in COLUMNS)


def shown(name: str, value: object) -> object:
    return size(f"{name}_memory", value) if name.startswith("memory") else value


@command("metrics:token", mutates=True)
@click.option("--off", is_flag=True, help="Forget the token: then only a loopback address answers, and to anybody.")
def token(call: Call, off: bool) -> None:
    """Make the bearer token that Prometheus must show, and print it once.

    One that was made before is of no use any more. Where to scrape is the server setting prometheus-listen; an address
    other than loopback answers to the token only.

    Example: paas metrics:token
    """
    if off:
        call.say("There is no token any more." if exposition.no_token(call.rt) else "There was no token.")
        return
    call.put(exposition.new_token(call.rt).reveal())
