"""Data services and their links to apps."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.exc import IntegrityError

from paas.errors import Conflict
from paas.model.access import Actor
from paas.model.names import printable
from paas.model.service import Link, Service, ServiceState
from paas.secret import Secret
from paas.store.base import Base, insert, one
from paas.store.secrets import open_config, seal_config
from paas.store.tables import links, services


class Services(Base):
    def create_service(self, datastore: str, name: str, *, uid: str, version: str, image: str, subnet: str,
                       volume: str, settings: Mapping[str, str], secrets: Mapping[str, Secret],
                       actor: Actor) -> Service:
        values = {"datastore": datastore, "name": name, "uid": uid, "version": version, "image": image,
                  "state": ServiceState.CREATING, "subnet": subnet, "created_at": self._now(),
                  "created_by": actor.name, "volume": volume, "container_id": "", "settings": dict(settings),
                  "secrets": seal_config(self._sealer, secrets, context(uid))}
        with self._db.write() as connection, unique_service(datastore, name):
            return self._service(connection, insert(connection, services, values))

    def service(self, datastore: str, name: str) -> Service:
        query = select(services).where(services.c.datastore == datastore, services.c.name == name)
        with self._db.read() as connection:
            return self._of(one(connection, query, f"there is no {datastore} service '{printable(name)}'",
                                f"See: paas {datastore}:list"))

    def service_by_id(self, service_id: int) -> Service:
        with self._db.read() as connection:
            return self._service(connection, service_id)

    def find_service(self, datastore: str, name: str) -> Service | None:
        query = select(services).where(services.c.datastore == datastore, services.c.name == name)
        with self._db.read() as connection:
            row = connection.execute(query).first()
            return self._of(row) if row else None

    def services(self, datastore: str = "") -> list[Service]:
        query = select(services).order_by(services.c.datastore, services.c.name)
        if datastore:
            query = query.where(services.c.datastore == datastore)
        with self._db.read() as connection:
            return [self._of(row) for row in connection.execute(query)]

    def update_service(self, service_id: int, *, state: ServiceState | None = None, container_id: str | None = None,
                       version: str | None = None, image: str | None = None, volume: str | None = None,
                       name: str | None = None) -> Service:
        given = {"state": state, "container_id": container_id, "version": version, "image": image,
                 "volume": volume, "name": name}
        changes = {key: value for key, value in given.items() if value is not None}
        with self._db.write() as connection, unique_service("", name or ""):
            if changes:
                connection.execute(update(services).where(services.c.id == service_id).values(changes))
            return self._service(connection, service_id)

    def set_service_setting(self, service_id: int, key: str, value: str | None) -> Service:
        with self._db.write() as connection:
            own = dict(self._service(connection, service_id).settings)
            own.pop(key, None)
            if value is not None:
                own[key] = value
            connection.execute(update(services).where(services.c.id == service_id).values(settings=own))
            return self._service(connection, service_id)

    def set_service_secrets(self, service_id: int, secrets: Mapping[str, Secret]) -> Service:
        with self._db.write() as connection:
            uid = self._service(connection, service_id).uid
            connection.execute(update(services).where(services.c.id == service_id).values(
                secrets=seal_config(self._sealer, secrets, context(uid))))
            return self._service(connection, service_id)

    def delete_service(self, service_id: int) -> None:
        with self._db.write() as connection:
            connection.execute(delete(services).where(services.c.id == service_id))

    # links ---------------------------------------------------------------------------------------------------------
    def links(self, *, service_id: int | None = None, app_id: int | None = None) -> list[Link]:
        query = select(links).order_by(links.c.service_id, links.c.app_id)
        for wanted, column in ((service_id, links.c.service_id), (app_id, links.c.app_id)):
            query = query.where(column == wanted) if wanted is not None else query
        with self._db.read() as connection:
            return [Link(**row._mapping) for row in connection.execute(query)]

    def put_link(self, service_id: int, app_id: int, alias: str) -> Link:
        with self._db.write() as connection:
            connection.execute(delete(links).where(links.c.service_id == service_id, links.c.app_id == app_id))
            connection.execute(links.insert().values(service_id=service_id, app_id=app_id, alias=alias))
        return Link(service_id, app_id, alias)

    def delete_link(self, service_id: int, app_id: int) -> None:
        with self._db.write() as connection:
            connection.execute(delete(links).where(links.c.service_id == service_id, links.c.app_id == app_id))

    # rows ----------------------------------------------------------------------------------------------------------
    def _service(self, connection: Connection, service_id: int) -> Service:
        return self._of(one(connection, select(services).where(services.c.id == service_id),
                            "that service does not exist any more"))

    def _of(self, row: Row) -> Service:
        values = dict(row._mapping)
        values["secrets"] = open_config(self._sealer, values["secrets"], context(row.uid))
        return Service(**values)


@contextmanager
def unique_service(datastore: str, name: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if not isinstance(error.orig, sqlite3.IntegrityError) or "UNIQUE" not in str(error.orig):
            raise
        if "subnet" in str(error.orig):
            raise Conflict("that network belongs to another service", "Try again.") from None
        raise Conflict(f"the {datastore or 'service'} '{printable(name)}' exists already",
                       "Choose another name.") from None


def context(uid: str) -> str:
    return f"service:{uid}"
