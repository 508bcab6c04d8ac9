"""Apps and their own settings."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Select, select
from sqlalchemy.exc import IntegrityError

from paas.errors import Conflict
from paas.model.access import Actor
from paas.model.app import App
from paas.model.names import printable
from paas.store.base import Base, insert, one
from paas.store.tables import app_settings, apps

LIST = "See: paas apps:list"


class Apps(Base):
    def create_app(self, name: str, subnet: str, actor: Actor) -> App:
        values = {"name": name, "created_at": self._now(), "created_by": actor.name, "subnet": subnet}
        with self._db.write() as connection, unique_app(name, subnet):
            return get_app(connection, insert(connection, apps, values | {
                "locked": "", "maintenance": False, "stopped": False, "asleep": False}))

    def app(self, name: str) -> App:
        with self._db.read() as connection:
            row = one(connection, select(apps).where(apps.c.name == name), f"there is no app '{printable(name)}'", LIST)
            return App(**row._mapping, settings=own_settings(connection, row.id))

    def app_by_id(self, app_id: int) -> App:
        with self._db.read() as connection:
            return get_app(connection, app_id)

    def find_app(self, name: str) -> App | None:
        with self._db.read() as connection:
            return next(iter(get_apps(connection, select(apps).where(apps.c.name == name))), None)

    def apps(self) -> list[App]:
        with self._db.read() as connection:
            return get_apps(connection, select(apps).order_by(apps.c.name))

    def rename_app(self, app_id: int, name: str) -> App:
        with self._db.write() as connection, unique_app(name, ""):
            connection.execute(apps.update().where(apps.c.id == app_id).values(name=name))
            return get_app(connection, app_id)

    def update_app(self, app_id: int, *, locked: str | None = None, maintenance: bool | None = None,
                   stopped: bool | None = None, asleep: bool | None = None) -> App:
        given = {"locked": locked, "maintenance": maintenance, "stopped": stopped, "asleep": asleep}
        changes = {key: value for key, value in given.items() if value is not None}
        with self._db.write() as connection:
            if changes:
                connection.execute(apps.update().where(apps.c.id == app_id).values(changes))
            return get_app(connection, app_id)

    def set_app_setting(self, app_id: int, key: str, value: str | None) -> None:
        with self._db.write() as connection:
            get_app(connection, app_id)
            connection.execute(app_settings.delete().where(app_settings.c.app_id == app_id, app_settings.c.key == key))
            if value is not None:
                connection.execute(app_settings.insert().values(app_id=app_id, key=key, value=value))

    def delete_app(self, app_id: int) -> None:
        with self._db.write() as connection:
            get_app(connection, app_id)
            connection.execute(apps.delete().where(apps.c.id == app_id))


@contextmanager
def unique_app(name: str, subnet: str) -> Iterator[None]:
    """:raises Conflict: the name or the network is taken."""
    try:
        yield
    except IntegrityError as error:
        if not isinstance(error.orig, sqlite3.IntegrityError) or "UNIQUE" not in str(error.orig):
            raise
        if "apps.subnet" in str(error.orig):
            raise Conflict(f"the network {subnet} belongs to another app", "Try again.") from None
        raise Conflict(f"the app {printable(name)} exists already", "Choose another name.") from None


def get_app(connection: Connection, app_id: int) -> App:
    row = one(connection, select(apps).where(apps.c.id == app_id), "that app does not exist any more", LIST)
    return App(**row._mapping, settings=own_settings(connection, app_id))


def own_settings(connection: Connection, app_id: int) -> dict[str, str]:
    query = select(app_settings.c.key, app_settings.c.value).where(app_settings.c.app_id == app_id)
    return dict(connection.execute(query).all())


def get_apps(connection: Connection, query: Select) -> list[App]:
    """All apps of *query* in two statements, however many they are."""
    rows = connection.execute(query).all()
    own: dict[int, dict[str, str]] = {row.id: {} for row in rows}
    wanted = select(app_settings)
    if len(rows) == 1:
        wanted = wanted.where(app_settings.c.app_id == rows[0].id)
    for setting in connection.execute(wanted) if rows else ():
        if setting.app_id in own:
            own[setting.app_id][setting.key] = setting.value
    return [App(**row._mapping, settings=own[row.id]) for row in rows]
