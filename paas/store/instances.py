"""Instances and their addresses, and one-off runs."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, update

from paas.errors import Conflict
from paas.model.access import Actor, Run
from paas.model.app import App
from paas.model.release import Instance, InstanceState
from paas.store.apps import get_app
from paas.store.base import Base, insert, one
from paas.store.tables import instances, runs


class Instances(Base):
    def reserve_instance(self, app_id: int, release_id: int, process_type: str, ordinal: int) -> Instance:
        """:raises Conflict: no address is free."""
        with self._db.write() as connection:
            address = free_address(connection, get_app(connection, app_id))
            return get_instance(connection, insert(connection, instances, {
                "app_id": app_id, "release_id": release_id, "process_type": process_type, "ordinal": ordinal,
                "address": address, "state": InstanceState.STARTING, "container_id": "", "port": 0}))

    def update_instance(self, instance_id: int, *, container_id: str | None = None, port: int | None = None,
                        state: InstanceState | None = None) -> Instance:
        given = {"container_id": container_id, "port": port, "state": state}
        changes = {key: value for key, value in given.items() if value is not None}
        with self._db.write() as connection:
            if changes:
                connection.execute(update(instances).where(instances.c.id == instance_id).values(changes))
            return get_instance(connection, instance_id)

    def instances(self, app_id: int | None = None, *, release_id: int | None = None) -> list[Instance]:
        """By release, process type, ordinal."""
        query = select(instances)
        if app_id is not None:
            query = query.where(instances.c.app_id == app_id)
        if release_id is not None:
            query = query.where(instances.c.release_id == release_id)
        order = (instances.c.release_id, instances.c.process_type, instances.c.ordinal, instances.c.id)
        with self._db.read() as connection:
            return [Instance(**row._mapping) for row in connection.execute(query.order_by(*order))]

    def delete_instance(self, instance_id: int) -> None:
        """One that is gone already is fine: retire and reconcile may meet."""
        with self._db.write() as connection:
            connection.execute(delete(instances).where(instances.c.id == instance_id))


class Runs(Base):
    def create_run(self, app_id: int, release_id: int, command: Sequence[str], actor: Actor) -> Run:
        with self._db.write() as connection:
            get_app(connection, app_id)
            return get_run(connection, insert(connection, runs, {
                "app_id": app_id, "release_id": release_id, "command": tuple(command), "container_id": "",
                "created_at": self._now(), "created_by": actor.name, "address": ""}))

    def update_run(self, run_id: int, container_id: str) -> Run:
        with self._db.write() as connection:
            connection.execute(update(runs).where(runs.c.id == run_id).values(container_id=container_id))
            return get_run(connection, run_id)

    def runs(self, app_id: int | None = None) -> list[Run]:
        """Oldest first."""
        query = select(runs).order_by(runs.c.id)
        if app_id is not None:
            query = query.where(runs.c.app_id == app_id)
        with self._db.read() as connection:
            return [Run(**row._mapping) for row in connection.execute(query)]

    def delete_run(self, run_id: int) -> None:
        """One that is gone already is fine."""
        with self._db.write() as connection:
            connection.execute(delete(runs).where(runs.c.id == run_id))


def free_address(connection: Connection, app: App) -> str:
    """The lowest one free; the network's first address is its name, the second the engine's gateway."""
    network = ipaddress.ip_network(app.subnet)
    usable = range(2, network.num_addresses // 2)
    taken = set(connection.scalars(select(instances.c.address).where(instances.c.app_id == app.id)))
    for offset in usable:
        if (address := str(network[offset])) not in taken:
            return address
    raise Conflict(f"{app.name} has too many instances: its network has room for {len(usable)}, and those of a deploy "
                   "run beside the old ones", f"Scale it down: paas ps:scale {app.name}")


def get_instance(connection: Connection, instance_id: int) -> Instance:
    query = select(instances).where(instances.c.id == instance_id)
    return Instance(**one(connection, query, "that instance does not exist any more", "See: paas ps")._mapping)


def get_run(connection: Connection, run_id: int) -> Run:
    query = select(runs).where(runs.c.id == run_id)
    return Run(**one(connection, query, "that run does not exist any more", "See: paas run:list")._mapping)
