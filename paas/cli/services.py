"""``postgres:…``, ``redis:…``: data services. What is particular to backups is in `backups`."""

from __future__ import annotations

from typing import Any

import click

from paas.api import Datastore
from paas.cli.base import Call, app_argument, confirm_option, format_option
from paas.cli.families import service_argument, verb
from paas.cli.progress import Progress
from paas.errors import PaasError, UsageError
from paas.model.app import App
from paas.model.backup import Backup
from paas.model.service import Service
from paas.ops import backups, services
from paas.services import container, engine, links


def no_restart_option(function: Any) -> Any:
    return click.option("--no-restart", is_flag=True, help="Store only; the app's next release has it.")(function)


def version_option(function: Any) -> Any:
    return click.option("--version", metavar="VERSION", default="", help="Tag of the official image.")(function)


@verb("create", mutates=True)
@click.argument("service_name", metavar="SERVICE")
@version_option
@click.option("--memory", default="", metavar="SIZE", help="Limit, like 512m.")
@click.option("--cpu", default="", metavar="CORES", help="Limit, like 0.5.")
def create(call: Call, store: Datastore, service_name: str, version: str, memory: str, cpu: str) -> None:
    """Create a {title} service.

    From the official image, {version} unless asked otherwise, with a volume of its own and random passwords. Nobody can
    reach it until an app is linked to it.

    Example: paas {name}:create db
    """
    settings = {key: value for key, value in (("memory", memory), ("cpu", cpu)) if value}
    made = engine.create(call.rt, call.actor, store, service_name, version=version, settings=settings, say=call.say)
    call.note(service=made.name)
    call.say(f"{store.title} {made.version} runs as {made.name}.")
    call.say(f"Give it to an app: paas {store.name}:link {made.name} APP")


@verb("list")
@format_option
def list_(call: Call, store: Datastore, format: str) -> None:
    """List the {title} services.

    Example: paas {name}:list
    """
    call.rows(services.COLUMNS, services.listed(call.rt, store), format)


@verb("info")
@service_argument
@format_option
def info(call: Call, store: Datastore, service: Service, format: str) -> None:
    """Show one: state, version, size, connections, links, limits.

    Example: paas {name}:info db
    """
    call.record(services.info(call.rt, service), format)


@verb("exists")
@service_argument
def exists(call: Call, store: Datastore, service: Service) -> None:
    """Exit with 0 if there is such a service, with 20 if not.

    Example: paas {name}:exists db
    """


@verb("start", mutates=True)
@service_argument
def start(call: Call, store: Datastore, service: Service) -> None:
    """Start it, and wait until it answers.

    Example: paas {name}:start db
    """
    engine.start(call.rt, service)
    call.say(f"{service.name} runs.")


@verb("stop", mutates=True)
@service_argument
def stop(call: Call, store: Datastore, service: Service) -> None:
    """Stop it. Data and links stay; linked apps get no answer.

    Example: paas {name}:stop db
    """
    engine.stop(call.rt, service)
    call.say(f"{service.name} is stopped.")


@verb("restart", mutates=True)
@service_argument
def restart(call: Call, store: Datastore, service: Service) -> None:
    """Replace its container, and wait until it answers.

    Example: paas {name}:restart db
    """
    engine.restart(call.rt, service)
    call.say(f"{service.name} runs.")


@verb("set", mutates=True)
@service_argument
@click.argument("key")
@click.argument("value", required=False, default="")
def set_(call: Call, store: Datastore, service: Service, key: str, value: str) -> None:
    """Set memory or cpu, its limits, or what {title} has besides{settings}. Without VALUE: the default.

    In force at once, by a new container.

    Example: paas {name}:set db memory 512m
    """
    engine.set_(call.rt, service, key, value)
    default = next(iter(store.settings.get(key, ())), "not limited")
    call.say(f"{key} of {service.name} is {value or default}.")


@verb("expose", mutates=True)
@service_argument
@click.argument("where", metavar="[ADDRESS:]PORT")
def expose(call: Call, store: Datastore, service: Service, where: str) -> None:
    """Open a port of this server for it: on loopback, unless an address is given.

    By SSH from elsewhere: ssh -L 5432:127.0.0.1:PORT root@SERVER

    Example: paas {name}:expose db 127.0.0.1:15999
    """
    made = engine.expose(call.rt, service, where)
    call.say(f"{service.name} answers at {made.settings['expose']}.")


@verb("unexpose", mutates=True)
@service_argument
def unexpose(call: Call, store: Datastore, service: Service) -> None:
    """Close the port again.

    Example: paas {name}:unexpose db
    """
    engine.unexpose(call.rt, service)
    call.say(f"{service.name} has no port on this server.")


@verb("logs")
@service_argument
@click.option("-t", "--tail", "-f", "--follow", "follow", is_flag=True, help="Go on until ^C.")
@click.option("-n", "--num", "number", type=click.IntRange(0, 100_000), default=100, show_default=True,
              help="Last lines.")
def logs(call: Call, store: Datastore, service: Service, follow: bool, number: int) -> None:
    """Show what the service prints.

    Example: paas {name}:logs db -n 20
    """
    for line in services.logs(call.rt, service, number, follow):
        call.put(line.text.decode("utf-8", "replace"))
        if not call.session.alive:
            return


@verb("connect", mutates=True, secret=True)
@service_argument
def connect(call: Call, store: Datastore, service: Service) -> int:
    """Open the client of {title}, as the application's user. Commands may also come on standard input.

    Example: paas {name}:connect db
    """
    return talk(call, service, ())


@verb("enter", mutates=True, secret=True, passthrough=True)
@service_argument
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND]...")
def enter(call: Call, store: Datastore, service: Service, words: tuple[str, ...]) -> int:
    """Run a command in its container. Without COMMAND: /bin/sh.

    Example: paas {name}:enter db ls /
    """
    return talk(call, service, words or ("/bin/sh",))


def talk(call: Call, service: Service, words: tuple[str, ...]) -> int:
    call.session.busy, call.session.patience = False, 24 * 3600.0
    return services.console(call.rt, service, call.session, call.session.tty is not None, words)


@verb("link", mutates=True)
@service_argument
@app_argument
@click.option("--alias", default="", metavar="NAME", help="The config var is NAME_URL.")
@no_restart_option
def link(call: Call, store: Datastore, service: Service, app: App, alias: str, no_restart: bool) -> None:
    """Give a service to an app.

    The app gets a network path to it and the config var {variable}_URL, in a new release. Where that name is taken, the
    next one has a colour in it, as with Heroku and Dokku. If the release fails, nothing is changed.

    Example: paas {name}:link db hello
    """
    made = links.link(call.rt, service, app, call.actor, alias=alias, restart=not no_restart, say=call.say)
    call.say(f"{app.name} has {service.name} as {links.variable(made.alias)}.")


@verb("unlink", mutates=True)
@service_argument
@app_argument
@no_restart_option
def unlink(call: Call, store: Datastore, service: Service, app: App, no_restart: bool) -> None:
    """Take a service away from an app: the config var in a new release, then the network path.

    Example: paas {name}:unlink db hello
    """
    links.unlink(call.rt, service, app, call.actor, restart=not no_restart, say=call.say)
    call.say(f"{service.name} is not linked to {app.name} any more.")


@verb("links")
@service_argument
@format_option
def links_(call: Call, store: Datastore, service: Service, format: str) -> None:
    """List the apps that are linked, and the config vars.

    Example: paas {name}:links db
    """
    call.rows(("app", "variable"), links.linked_apps(call.rt, service), format)


@verb("promote", mutates=True)
@service_argument
@app_argument
def promote(call: Call, store: Datastore, service: Service, app: App) -> None:
    """Make a linked service the one that {variable}_URL names.

    The one that was keeps a config var with a colour.

    Example: paas {name}:promote db hello
    """
    links.promote(call.rt, service, app, call.actor, say=call.say)
    call.say(f"{store.variable}_URL of {app.name} is {service.name}.")


@verb("export")
@service_argument
def export(call: Call, store: Datastore, service: Service) -> None:
    """Write everything to standard output: the datastore's own format, compressed with zstd.

    Example: paas {name}:export db > db.zst
    """
    if call.session.tty:
        raise UsageError("this writes binary data", f"Redirect it: paas {store.name}:export {service.name} > FILE")
    services.dump(call.rt, service, call.session.out)


@verb("app-links")
@app_argument
@format_option
def app_links(call: Call, store: Datastore, app: App, format: str) -> None:
    """List the {title} services that an app is linked to.

    Example: paas {name}:app-links hello
    """
    known = {one.id: one for one in call.rt.store.services(store.name)}
    call.rows(("service", "variable"), [(known[one.service_id].name, links.variable(one.alias))
                                        for one in call.rt.store.links(app_id=app.id) if one.service_id in known],
              format)


@verb("destroy", mutates=True)
@service_argument
@confirm_option
@click.option("--no-final-backup", is_flag=True, help="Do not make a last backup.")
def destroy(call: Call, store: Datastore, service: Service, confirm: str | None, no_final_backup: bool) -> None:
    """Destroy a service with its data, after a last backup.

    Apps must be unlinked first. Its backups stay.

    Example: paas {name}:destroy db --confirm db
    """
    container.datastore_of(call.rt, service)
    call.confirm(service.name, confirm, f"All data of {service.title} will be destroyed.")
    if not no_final_backup:
        last = final_backup(call, service)
        call.say(f"Its last backup is {last.id}.")
    engine.destroy(call.rt, service)
    call.say(f"{service.name} is destroyed.")


def final_backup(call: Call, service: Service) -> Backup:
    try:
        with Progress(call) as progress:
            return backups.final(call.rt, service, progress)
    except PaasError as error:
        raise type(error)(f"no last backup could be made: {error.what}",
                          "Nothing was destroyed. Without one: --no-final-backup") from error
