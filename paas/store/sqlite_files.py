"""SQLite files of apps that are streamed to the target."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from paas.model.access import Actor
from paas.model.sqlite import ProtectedFile
from paas.store.base import Base, one
from paas.store.tables import protected_files as files


class ProtectedFiles(Base):
    def add_protected_file(self, app_id: int, uid: str, name: str, path: str, owner: str,
                           actor: Actor) -> ProtectedFile:
        values = {"app_id": app_id, "uid": uid, "name": name, "path": path, "owner": owner, "epoch": "",
                  "enabled": True, "created_at": self._now(), "created_by": actor.name, "drill_seconds": 0.0,
                  "drill_reason": ""}
        hint = "See: paas sqlite:list"
        with (self._unique("protected_files.name", f"the app has a protected file named {name} already", hint),
              self._unique("protected_files.path", f"{path} is protected already", hint),
              self._db.write() as connection):
            made = connection.execute(insert(files).values(values)).inserted_primary_key[0]
        return self.protected_file_by_id(made)

    def protected_file(self, app_id: int, name: str) -> ProtectedFile:
        query = select(files).where(files.c.app_id == app_id, files.c.name == name)
        with self._db.read() as connection:
            return file_of(one(connection, query, f"the app has no protected file named {name}",
                               "See: paas sqlite:list"))

    def protected_file_by_id(self, file_id: int) -> ProtectedFile:
        with self._db.read() as connection:
            return file_of(one(connection, select(files).where(files.c.id == file_id), "no such protected file"))

    def protected_files(self, app_id: int | None = None) -> list[ProtectedFile]:
        query = select(files).order_by(files.c.app_id, files.c.name)
        if app_id is not None:
            query = query.where(files.c.app_id == app_id)
        with self._db.read() as connection:
            return [file_of(row) for row in connection.execute(query)]

    def update_protected_file(self, file_id: int, *, epoch: str | None = None, enabled: bool | None = None,
                              owner: str | None = None) -> ProtectedFile:
        given: dict[str, Any] = {"epoch": epoch, "enabled": enabled, "owner": owner}
        values = {key: value for key, value in given.items() if value is not None}
        with self._db.write() as connection:
            connection.execute(update(files).where(files.c.id == file_id).values(values))
        return self.protected_file_by_id(file_id)

    def note_file_drill(self, file_id: int, *, to: datetime | None, passed: bool, seconds: float,
                        reason: str = "") -> None:
        values = {"drilled_at": self._now(), "drill_to": to, "drill_passed": passed, "drill_seconds": seconds,
                  "drill_reason": reason}
        with self._db.write() as connection:
            connection.execute(update(files).where(files.c.id == file_id).values(values))

    def delete_protected_file(self, file_id: int) -> None:
        with self._db.write() as connection:
            connection.execute(delete(files).where(files.c.id == file_id))


def file_of(row: Row) -> ProtectedFile:
    return ProtectedFile(**row._mapping)
