"""A service made of another one, and data from a file in the place of a service's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from paas.errors import BadInput, Conflict
from paas.model.access import Actor
from paas.model.backup import Contents
from paas.model.service import Service
from paas.ports_backup import Reader, Shell
from paas.services import container, engine, exchange, transfer

if TYPE_CHECKING:
    from paas.runtime import Runtime

Say = Callable[[str], None]


def clone(rt: Runtime, actor: Actor, service: Service, name: str, say: Say = lambda line: None) -> Service:
    """A new service *name* with the data of this moment, the same version, limits and settings; links stay where they
    are, and no port is opened. The source goes on working."""
    store, shell = container.datastore_of(rt, service), container.shell(rt, service)
    settings = {key: value for key, value in service.settings.items() if key in {*engine.SETTINGS, *store.settings}}
    with rt.turns.hold(service.uid, f"{service.datastore}:clone {service.name} {name}"):
        transfer.require_room(rt, service, shell)

        def fill(made: Service) -> None:
            transfer.copy(rt, service, shell, made, container.shell(rt, made), "paas-clone")

        return engine.create(rt, actor, store, name, version=service.version, settings=settings, say=say, fill=fill)


def import_(rt: Runtime, service: Service, source: Reader, *, force: bool = False,
            say: Say = lambda line: None) -> Contents:
    """All of *source* in the place of what the service holds; that is kept in its volume.

    Conflict: it holds something, and *force* is not given. Until the new data are whole the old ones go on serving.
    """
    with rt.turns.hold(service.uid, f"{service.datastore}:import {service.name}"):
        service = rt.store.service_by_id(service.id)
        was_empty = transfer.empty(rt, service, container.shell(rt, service))
        if not was_empty and not force:
            raise Conflict(f"{service.title} is not empty: nothing was changed",
                           "Import into a new service, or add --force: what is there is then kept in its volume.")
        found: list[Contents] = []

        def fill(new: Service, shell: Shell) -> None:
            found.append(transfer.load(rt, source, new, shell))
            if not found[0].tables:
                raise BadInput("there are no data in what came on standard input", "Look at where it was made.")

        exchange.exchange(rt, service, fill)
        tell(rt, service, was_empty, say)
        return found[0]


def tell(rt: Runtime, before: Service, was_empty: bool, say: Say) -> None:
    if was_empty:
        rt.containers.remove_volume(before.volume)
    else:
        say(f"What it held is kept in the volume {before.volume}, until: "
            f"paas {before.datastore}:drop-old {before.name}")
