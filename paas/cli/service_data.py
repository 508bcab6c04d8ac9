"""``postgres:upgrade``, ``clone``, ``import``, ``drop-old``: data that move from one volume to another."""

from __future__ import annotations

import click

from paas.api import Datastore
from paas.cli.base import Call, confirm_option
from paas.cli.families import service_argument, verb
from paas.errors import UsageError
from paas.model.service import Service
from paas.ops import services
from paas.services import copies, exchange
from paas.services import upgrade as versions


@verb("upgrade", mutates=True)
@service_argument
@click.option("--version", metavar="VERSION", default="", help="Tag of the official image; without: the same, fetched "
              "anew.")
def upgrade(call: Call, store: Datastore, service: Service, version: str) -> None:
    """Move a service to another version of {title}.

    Within a major version its container is replaced. To another one all data are dumped, loaded into a new volume and
    compared; meanwhile the service answers nobody, so that nothing written is lost. URL and links stay, and the old
    volume is kept. Whatever fails brings the old container back.

    Example: paas {name}:upgrade db --version {version}
    """
    call.session.patience = 24 * 3600.0
    made = versions.upgrade(call.rt, service, version, say=call.say)
    call.note(version=made.version)
    call.say(f"{made.name} runs {store.title} {made.version}.")


@verb("clone", mutates=True)
@service_argument
@click.argument("new_name", metavar="NEW")
def clone(call: Call, store: Datastore, service: Service, new_name: str) -> None:
    """Make a new service with the data that this one holds now. The source goes on working.

    Example: paas {name}:clone db db2
    """
    call.session.patience = 24 * 3600.0
    made = copies.clone(call.rt, call.actor, service, new_name, say=call.say)
    call.note(new=made.name)
    call.say(f"{made.name} holds what {service.name} held. Give it to an app: paas {store.name}:link {made.name} APP")


@verb("import", mutates=True)
@service_argument
@click.option("--force", is_flag=True, help="Also where there are data; they are kept in their volume.")
def import_(call: Call, store: Datastore, service: Service, force: bool) -> None:
    """Fill a service from standard input: with what `export` wrote, or a dump in the datastore's own format.

    The data are loaded beside the service and take its place only when they are whole.

    Example: paas {name}:import db < db.zst
    """
    if call.session.tty:
        raise UsageError("this reads binary data", f"Give a file: paas {store.name}:import {service.name} < FILE")
    call.session.patience = 24 * 3600.0
    found = copies.import_(call.rt, service, services.Given(call.session), force=force, say=call.say)
    call.say(f"{service.name} holds {sum(table.rows for table in found.tables):,} {store.unit}.")


@verb("drop-old", mutates=True)
@service_argument
@confirm_option
def drop_old(call: Call, store: Datastore, service: Service, confirm: str | None) -> None:
    """Remove the volumes that an upgrade, an import or a restore kept.

    Example: paas {name}:drop-old db --confirm db
    """
    call.confirm(service.name, confirm, f"What {service.title} held before will be gone.")
    gone = exchange.drop_kept(call.rt, service)
    call.say("\n".join(f"Removed {name}." for name in gone) or f"{service.name} has no old volumes.")
