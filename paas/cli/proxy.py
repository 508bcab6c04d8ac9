"""``proxy:…``: where requests of an app go."""

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.cli.settings import set_and_tell
from paas.model.app import App
from paas.ops import traffic


@command("proxy")
@command("proxy:report")
@app_argument
@format_option
def report(call: Call, app: App, format: str) -> None:
    """Show where an app's requests go, and how many are under way.

    To instances of the live release, or to a page of the platform's.

    Example: paas proxy:report hello
    """
    call.record(traffic.proxy_report(call.rt, app), format)


@command("proxy:set", mutates=True)
@app_argument
@click.argument("key")
@click.argument("value", default="")
def set_(call: Call, app: App, key: str, value: str) -> None:
    """Set drain-timeout (seconds) or port. Without VALUE: back to the default.

    Example: paas proxy:set hello drain-timeout 60
    """
    set_and_tell(call, app, "proxy", key, value, "From the next release on.")
