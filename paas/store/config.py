"""What is wanted of an app: config vars, scale, limits, mounts."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from sqlalchemy import Connection, delete, select
from sqlalchemy.exc import IntegrityError

from paas.errors import Conflict, NotFound
from paas.model.app import Mount
from paas.model.names import printable
from paas.secret import Secret
from paas.store.apps import get_app
from paas.store.base import Base, insert
from paas.store.engine import Sealer
from paas.store.secrets import open_text, seal_text
from paas.store.tables import config as config_vars
from paas.store.tables import limits, mounts, scale


class Config(Base):
    def config(self, app_id: int) -> dict[str, Secret]:
        with self._db.read() as connection:
            rows = connection.execute(select(config_vars).where(config_vars.c.app_id == app_id)
                                      .order_by(config_vars.c.key)).all()
        return {row.key: open_text(self._sealer, row.value, context(app_id, row.key)) for row in rows}

    def replace_config(self, app_id: int, config: Mapping[str, Secret]) -> None:
        with self._db.write() as connection:
            get_app(connection, app_id)
            write_config(connection, self._sealer, app_id, config)

    def scale(self, app_id: int) -> dict[str, int]:
        query = select(scale.c.process_type, scale.c.quantity).where(scale.c.app_id == app_id)
        with self._db.read() as connection:
            return dict(connection.execute(query.order_by(scale.c.process_type)).all())

    def set_scale(self, app_id: int, quantities: Mapping[str, int]) -> None:
        with self._db.write() as connection:
            get_app(connection, app_id)
            replace_scale(connection, app_id, quantities)

    def limits(self, app_id: int) -> dict[str, dict[str, str]]:
        query = select(limits).where(limits.c.app_id == app_id).order_by(limits.c.process_type, limits.c.name)
        found: dict[str, dict[str, str]] = {}
        with self._db.read() as connection:
            for row in connection.execute(query):
                found.setdefault(row.process_type, {})[row.name] = row.value
        return found

    def set_limit(self, app_id: int, process_type: str, name: str, value: str | None) -> None:
        with self._db.write() as connection:
            get_app(connection, app_id)
            connection.execute(delete(limits).where(
                limits.c.app_id == app_id, limits.c.process_type == process_type, limits.c.name == name))
            if value is not None:
                connection.execute(limits.insert().values(
                    app_id=app_id, process_type=process_type, name=name, value=value))

    def mounts(self, app_id: int) -> list[Mount]:
        query = select(mounts).where(mounts.c.app_id == app_id).order_by(mounts.c.target)
        with self._db.read() as connection:
            return [Mount(**row._mapping) for row in connection.execute(query)]

    def add_mount(self, app_id: int, source: str, target: str, read_only: bool) -> Mount:
        values = {"app_id": app_id, "source": source, "target": target, "read_only": read_only}
        with self._db.write() as connection:
            try:
                return Mount(id=insert(connection, mounts, values), **values)
            except IntegrityError as error:
                if not isinstance(error.orig, sqlite3.IntegrityError) or "UNIQUE" not in str(error.orig):
                    raise
                raise Conflict(f"something is mounted at {printable(target)} already",
                               "Unmount it first: paas storage:unmount.") from None

    def remove_mount(self, mount_id: int) -> None:
        with self._db.write() as connection:
            if not connection.execute(delete(mounts).where(mounts.c.id == mount_id)).rowcount:
                raise NotFound("that mount is not there any more", "See: paas storage:list")


def write_config(connection: Connection, sealer: Sealer, app_id: int, config: Mapping[str, Secret]) -> None:
    connection.execute(delete(config_vars).where(config_vars.c.app_id == app_id))
    rows = [{"app_id": app_id, "key": key, "value": seal_text(sealer, value, context(app_id, key))}
            for key, value in config.items()]
    if rows:
        connection.execute(config_vars.insert(), rows)


def replace_scale(connection: Connection, app_id: int, quantities: Mapping[str, int | None]) -> None:
    """None: that process type is not scaled by hand any more."""
    connection.execute(delete(scale).where(scale.c.app_id == app_id, scale.c.process_type.in_(list(quantities))))
    for process_type, quantity in quantities.items():
        if quantity is not None:
            connection.execute(scale.insert().values(app_id=app_id, process_type=process_type, quantity=quantity))


def context(app_id: int, key: str) -> str:
    return f"config:{app_id}:{key}"
