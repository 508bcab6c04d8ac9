"""What a backup of the platform needs of the database, and what only a restore on another machine may change."""

from __future__ import annotations

import ipaddress
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sqlalchemy import select, text, update
from sqlalchemy.dialects import sqlite

from paas.errors import StateError
from paas.model.backup import Backup
from paas.store.base import Base
from paas.store.engine import foreseen
from paas.store.tables import apps, backups, instances, mounts, releases, services

GUARD = "releases_fixed"                 # the trigger that keeps a release as it was recorded


class Restored(Base):
    def copy_to(self, path: Path) -> None:
        """One consistent copy in one file (sqlite.org/backup.html); others wait for it, milliseconds per MB.

        :raises StateError: the disk is full, or not writable.
        """
        try:
            with self._db.read() as connection, closing(sqlite3.connect(path)) as copy:
                connection.connection.driver_connection.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")     # whole in one file
        except (OSError, sqlite3.Error) as error:
            raise foreseen(error) or StateError(f"the state database could not be copied: {error}",
                                                "Free some space, then try again.") from error

    def put_backup(self, row: Backup) -> None:
        """As it is, also where there is one of that id: the target knows better."""
        values = {name: getattr(row, name) for name in backups.c.keys()}
        with self._db.write() as connection:
            insert = sqlite.insert(backups).values(values)
            connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=values))

    def replace_images(self, rebuilt: Mapping[int, str]) -> None:
        """Release id → the image that was built anew from its very commit. All else of a release stays as recorded."""
        with self._db.write() as connection:
            guard = connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": GUARD})
            connection.execute(text(f"DROP TRIGGER {GUARD}"))
            for release_id, image in rebuilt.items():
                connection.execute(update(releases).where(releases.c.id == release_id).values(image=image))
            connection.execute(text(guard))

    def move_app_network(self, app_id: int, subnet: str) -> None:
        """Another range of the same size; its instances keep their places in it."""
        with self._db.write() as connection:
            old = ipaddress.ip_network(connection.scalar(select(apps.c.subnet).where(apps.c.id == app_id)))
            connection.execute(update(apps).where(apps.c.id == app_id).values(subnet=subnet))
            for row in connection.execute(select(instances).where(instances.c.app_id == app_id)).all():
                place = int(ipaddress.ip_address(row.address)) - int(old.network_address)
                address = str(ipaddress.ip_network(subnet).network_address + place)
                connection.execute(update(instances).where(instances.c.id == row.id).values(address=address))

    def move_service_network(self, service_id: int, subnet: str) -> None:
        with self._db.write() as connection:
            connection.execute(update(services).where(services.c.id == service_id).values(subnet=subnet))

    def move_mounts(self, old: str, new: str) -> None:
        """Sources that began with *old* begin with *new* now."""
        with self._db.write() as connection:
            for row in connection.execute(select(mounts)).all():
                if row.source.startswith(old):
                    source = new + row.source.removeprefix(old)
                    connection.execute(update(mounts).where(mounts.c.id == row.id).values(source=source))
