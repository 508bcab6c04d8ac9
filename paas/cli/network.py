"""``network:…``: the private network of an app."""

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.cli.settings import put_report, set_and_tell
from paas.model.app import App
from paas.ops import settings, traffic


@command("network")
@command("network:report")
@app_argument
@format_option
def report(call: Call, app: App, format: str) -> None:
    """Show an app's network and the addresses of its instances.

    Example: paas network:report hello
    """
    call.record(traffic.network_report(call.rt, app), format)


@command("network:set", mutates=True)
@app_argument
@click.argument("key")
@click.argument("value", default="")
def set_(call: Call, app: App, key: str, value: str) -> None:
    """Set extra-hosts of an app: names that its containers find in /etc/hosts.

    VALUE is NAME:ADDRESS pairs with commas between; host-gateway as ADDRESS is the server itself, of
    which containers reach the ports named in host-ports of paas.toml. Without VALUE: none.

    Example: paas network:set hello extra-hosts "db:10.0.0.5,api:192.0.2.7"
    """
    set_and_tell(call, app, "network", key, value, "From the next release on.")


@command("network:settings")
@app_argument
@format_option
def settings_(call: Call, app: App, format: str) -> None:
    """Show the settings that network:set sets.

    Example: paas network:settings hello
    """
    put_report(call, settings.report(call.rt, app, "network"), format)
