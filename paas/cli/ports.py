"""``ports:…``: the port in the container that an app's site is on, and further public ports beside 80 and 443."""

from collections.abc import Sequence

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.model.app import App
from paas.ops import ports


def show(call: Call, told: Sequence[str]) -> None:
    for line in told or ("Nothing changed.",):
        call.say(line)


@command("ports")
@command("ports:list")
@command("ports:report")
@app_argument
@format_option
def report(call: Call, app: App, format: str) -> None:
    """Show the port that was set, those EXPOSEd, that in use, and further public ones.

    Example: paas ports:report hello
    """
    call.record(ports.report(call.rt, app), format)


@command("ports:add", mutates=True)
@app_argument
@click.argument("mapping", nargs=-1, required=True, metavar="SCHEME:PUBLIC[:CONTAINER]...")
def add(call: Call, app: App, mapping: tuple[str, ...]) -> None:
    """Serve an app on further public ports beside 80 and 443, at once.

    http:8080:5000 leads from http://DOMAIN:8080, for each domain of the app, to port 5000 of its web instances; without
    the last number to the port that its site is on. https takes the certificates of the site.

    Example: paas ports:add hello http:8080:5000
    """
    show(call, ports.add(call.rt, app, mapping))


@command("ports:remove", mutates=True)
@app_argument
@click.argument("mapping", nargs=-1, required=True, metavar="PUBLIC...")
def remove(call: Call, app: App, mapping: tuple[str, ...]) -> None:
    """Take further public ports from an app: by their number, or as they are listed.

    Example: paas ports:remove hello 8080
    """
    show(call, ports.remove(call.rt, app, mapping))


@command("ports:set", mutates=True)
@app_argument
@click.argument("port", nargs=-1, required=True, metavar="PORT|MAPPING...")
def set_(call: Call, app: App, port: tuple[str, ...]) -> None:
    """Say which port in the container the site is on; with mappings of further ports, serve exactly those.

    A number, or http:80:5000 as Dokku writes it, is about the site; others are as in ports:add.

    Example: paas ports:set hello 8000
    """
    show(call, ports.set_all(call.rt, app, port))


@command("ports:clear", mutates=True)
@app_argument
def clear(call: Call, app: App) -> None:
    """Take all further public ports away, and find the site's port by itself again.

    From PORT, EXPOSE, or where the app listens.

    Example: paas ports:clear hello
    """
    show(call, ports.clear(call.rt, app))
