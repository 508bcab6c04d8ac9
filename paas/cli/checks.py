"""``checks:…``: what a new instance must prove before requests go to it."""

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.cli.settings import put_rows_and_report, set_and_tell
from paas.model.app import App
from paas.ops import checks

EFFECT = "From the next release on."


@command("checks")
@command("checks:report")
@app_argument
@format_option
def report(call: Call, app: App, format: str) -> None:
    """Show the checks of each process type, and the settings.

    The checks are those of the live release; what checks:set has set goes over app.json. Times in seconds.

    Under --format json: `processes` and `settings`.

    Example: paas checks hello
    """
    put_rows_and_report(call, app, "checks", "processes", checks.COLUMNS, checks.effective(call.rt, app), format)


@command("checks:set", mutates=True)
@app_argument
@click.argument("key")
@click.argument("value", default="")
def set_(call: Call, app: App, key: str, value: str) -> None:
    """Set how new instances are checked. Without VALUE: back to the default.

    KEY is path, status, host, timeout, attempt-timeout, uptime or enabled.

    Example: paas checks:set hello path /healthz
    """
    set_and_tell(call, app, "checks", key, value, EFFECT)


@command("checks:unset", mutates=True)
@app_argument
@click.argument("key")
def unset(call: Call, app: App, key: str) -> None:
    """Go back to the default of one setting.

    Example: paas checks:unset hello path
    """
    set_and_tell(call, app, "checks", key, "", EFFECT)


@command("checks:enable", mutates=True)
@app_argument
def enable(call: Call, app: App) -> None:
    """Check new instances (the default).

    Example: paas checks:enable hello
    """
    set_and_tell(call, app, "checks", "enabled", "true", EFFECT)


@command("checks:disable", mutates=True)
@app_argument
def disable(call: Call, app: App) -> None:
    """Send requests to new instances as soon as they listen.

    Whatever they answer. An instance that exits fails the deploy all the same.

    Example: paas checks:disable hello
    """
    set_and_tell(call, app, "checks", "enabled", "false", EFFECT)
