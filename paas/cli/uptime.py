"""``uptime…``: is each app reachable, and was it?"""

import click

from paas.cli.base import Call, app_argument, command, format_option, optional_app_argument
from paas.cli.settings import put_report, set_and_tell
from paas.model.app import App
from paas.ops import settings, uptime

SPANS = ("span", "checks", "failures", "availability", "p50_ms", "p95_ms")
APPS = ("app", "state", "day", "week", "month")


@command("uptime")
@optional_app_argument
@format_option
def show(call: Call, app: App | None, format: str) -> None:
    """Show an app's availability (percent) and latency of the last day, week and month; or each app's.

    Each app's URL is asked for through the proxy every 10 seconds (uptime:set). Two failures in a row are an incident.
    Latency is of the answers that were good, in milliseconds.

    Example: paas uptime hello
    """
    if app is None:
        found = uptime.overview(call.rt, call.rt.store.apps())
        rows = [(one.name, state, *map(percent, shares)) for one, state, shares in found]
        call.rows(APPS, rows, format)
        return
    call.rows(SPANS, [(one.span, one.checks, one.failures, percent(one.availability), milliseconds(one.p50),
                       milliseconds(one.p95)) for one in uptime.report(call.rt, app)], format)


def percent(share: float | None) -> float | None:
    """Never rounded up to 100."""
    return None if share is None else int(share * 1000) / 1000


def milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


@command("uptime:set", mutates=True)
@app_argument
@click.argument("key")
@click.argument("value", default="")
def set_(call: Call, app: App, key: str, value: str) -> None:
    """Set how an app's URL is checked: interval, path, status, timeout or enabled.

    interval and timeout: seconds; for all apps: server:set uptime-interval. path: empty is the one of its checks.
    status: one like 200, or a range; empty is anything below 500. Without VALUE: back to the default.

    Example: paas uptime:set hello interval 30
    """
    set_and_tell(call, app, "uptime", key, value, "From now on.")


@command("uptime:settings")
@app_argument
@format_option
def settings_(call: Call, app: App, format: str) -> None:
    """Show the settings that uptime:set sets.

    Example: paas uptime:settings hello
    """
    put_report(call, settings.report(call.rt, app, "uptime"), format)
