"""``domains:…``: which host names an app answers to."""

from collections.abc import Sequence

import click

from paas.cli.base import Call, app_argument, command, format_option, optional_app_argument
from paas.errors import UsageError
from paas.model.app import App
from paas.ops import certs, domains


def show(call: Call, app: App, told: Sequence[str], done: str) -> None:
    """What a change came to: warnings, then the domains there are now."""
    for line in told:
        call.warn(line)
    held = call.rt.store.certificate(app.id)
    for line in certs.uncovered_lines(call.rt, app, held[0]) if held else ():
        call.warn(line)
    call.say(f"{done} {app.name} has: {', '.join(domains.current(call.rt, app)) or 'no domain'}")


@command("domains")
@command("domains:report")
@optional_app_argument
@format_option
@click.option("--global", "is_global", is_flag=True, help="The global domain only.")
def report(call: Call, app: App | None, format: str, is_global: bool) -> None:
    """Show the domains of an app, or of all.

    Example: paas domains hello
    """
    if is_global:
        call.record({"global_domain": domains.global_domain(call.rt)}, format)
        return
    lines = [(one.app, one.domain, one.generated, one.url, one.certificate, one.expires)
             for one in domains.report(call.rt, app)]
    call.rows(("app", "domain", "generated", "url", "certificate", "expires_at"), lines, format)


@command("domains:add", mutates=True)
@app_argument
@click.argument("domain", nargs=-1, required=True)
def add(call: Call, app: App, domain: tuple[str, ...]) -> None:
    """Let an app answer to these host names too.

    Public ones get a certificate by themselves. *.example.com is allowed.

    Example: paas domains:add hello www.example.com
    """
    show(call, app, domains.add(call.rt, app, domain), "Added.")


@command("domains:remove", mutates=True)
@app_argument
@click.argument("domain", nargs=-1, required=True)
def remove(call: Call, app: App, domain: tuple[str, ...]) -> None:
    """Take host names from an app.

    Example: paas domains:remove hello www.example.com
    """
    show(call, app, domains.remove(call.rt, app, domain), "Removed.")


@command("domains:set", mutates=True)
@app_argument
@click.argument("domain", nargs=-1, required=True)
def set_(call: Call, app: App, domain: tuple[str, ...]) -> None:
    """Let an app answer to exactly these host names.

    Example: paas domains:set hello example.com www.example.com
    """
    show(call, app, domains.set_all(call.rt, app, domain), "Set.")


@command("domains:clear", mutates=True)
@app_argument
def clear(call: Call, app: App) -> None:
    """Take all host names from an app. Nobody reaches it any more.

    Example: paas domains:clear hello
    """
    show(call, app, domains.clear(call.rt, app), "Cleared.")


@command("domains:reset", mutates=True)
@app_argument
def reset(call: Call, app: App) -> None:
    """Give an app its default name only: APP.GLOBAL-DOMAIN.

    Example: paas domains:reset hello
    """
    show(call, app, domains.reset(call.rt, app), "Reset.")


@command("domains:set-global", mutates=True)
@click.argument("domain", nargs=-1, required=True)
def set_global(call: Call, domain: tuple[str, ...]) -> None:
    """Name every app APP.DOMAIN by default.

    New apps get it; those that have the old default name change to it.

    Example: paas domains:set-global apps.example.com
    """
    if len(domain) != 1:
        raise UsageError("there is one global domain", "Add further names to the apps: paas domains:add APP NAME")
    for line in domains.set_global(call.rt, domain[0]):
        call.say(line)
    call.say(f"New apps get APP.{domains.global_domain(call.rt)}.")


@command("domains:clear-global", mutates=True)
def clear_global(call: Call) -> None:
    """Give new apps no default name any more. Those that have one keep it.

    Example: paas domains:clear-global
    """
    for line in domains.clear_global(call.rt):
        call.say(line)
    call.say("New apps get no domain by themselves.")
