"""The state database: SQLite through SQLAlchemy Core. The only home of SQLAlchemy.

A module per noun; :class:`Store` puts their methods together and implements :class:`paas.ports_store.Store`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from paas.errors import StateError
from paas.store.apps import Apps
from paas.store.backups import Backups
from paas.store.builds import Builds
from paas.store.config import Config
from paas.store.cron import Cron
from paas.store.domains import Domains
from paas.store.drains import Drains
from paas.store.engine import Database, Sealer, connect, foreseen, set_pragmas
from paas.store.events import Events
from paas.store.grants import Grants
from paas.store.incidents import Incidents
from paas.store.instances import Instances, Runs
from paas.store.keys import Keys
from paas.store.migrations import migrate
from paas.store.pitr import PointsInTime
from paas.store.releases import Releases
from paas.store.restored import Restored
from paas.store.sequences import Sequences
from paas.store.services import Services
from paas.store.settings import Settings, has_sealed_rows
from paas.store.sqlite_files import ProtectedFiles
from paas.store.tasks import Tasks
from paas.store.uptime import Uptimes
from paas.store.usages import Usages
from paas.store.watches import Watches

__all__ = ["Sealer", "Store", "has_sealed_rows", "open_store"]


class Store(Apps, Settings, Config, Builds, Releases, Instances, Domains, Keys, Runs, Tasks, Cron, Services, Backups,
            Grants, Events, ProtectedFiles, PointsInTime, Restored, Incidents, Drains, Sequences, Watches,
            Usages, Uptimes):
    """Usable from all threads of one process. Secrets are sealed before they reach SQLite."""

    def integrity(self) -> list[str]:
        """Blocks the other users of the store for as long as the check reads the file (milliseconds per MB)."""
        with self._db.read() as connection:
            pages = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            loose = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        return [line for line in pages if line != "ok"] + [
            f"row {row[1]} of {row[0]} refers to a missing row of {row[2]}" for row in loose]


def open_store(path: Path | None, sealer: Sealer, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Store:
    """Open, or make, the database at *path* and bring it to the newest schema; None: in memory, gone when closed.

    :raises StateError: not usable, made by a newer program, or sealed with another key than *sealer*'s.
    :raises NoSpace: the disk is full.
    """
    connection = connect(path)
    try:
        set_pragmas(connection)
        migrate(connection, path)
        store = Store(Database(connection), sealer, now)
        store.check_key()
        return store
    except sqlite3.Error as error:
        connection.close()
        raise foreseen(error) or StateError(f"the state database cannot be opened: {error}") from error
    except BaseException:
        connection.close()
        raise
