"""Where and when services are backed up, and what became of each backup and drill."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Row, Select, delete, insert, select, update
from sqlalchemy.dialects import sqlite

from paas.model.access import Actor
from paas.model.backup import UNDER_WAY, Backup, BackupState, Drill, Schedule, Target, Trigger
from paas.model.names import printable
from paas.secret import Secret
from paas.store.base import Base, one
from paas.store.base import insert as insert_row
from paas.store.tables import backup_schedules, backup_targets, backups, drills


class Backups(Base):
    # targets -------------------------------------------------------------------------------------------------------
    def backup_target(self, service_uid: str) -> Target | None:
        query = select(backup_targets.c.target).where(backup_targets.c.service_uid == service_uid)
        with self._db.read() as connection:
            sealed = connection.scalar(query)
        if sealed is None:
            return None
        values = json.loads(self._sealer.open(sealed, context(service_uid)))
        return Target(**{**values, "secret_key": Secret(values["secret_key"])})

    def set_backup_target(self, service_uid: str, target: Target | None) -> None:
        with self._db.write() as connection:
            connection.execute(delete(backup_targets).where(backup_targets.c.service_uid == service_uid))
            if target:
                words = json.dumps({**vars(target), "secret_key": target.secret_key.reveal()}).encode()
                connection.execute(insert(backup_targets).values(
                    service_uid=service_uid, target=self._sealer.seal(words, context(service_uid))))

    # schedules -----------------------------------------------------------------------------------------------------
    def backup_schedules(self, service_uid: str | None = None) -> list[Schedule]:
        query = select(backup_schedules).order_by(backup_schedules.c.id)
        if service_uid is not None:
            query = query.where(backup_schedules.c.service_uid == service_uid)
        with self._db.read() as connection:
            return [Schedule(**row._mapping) for row in connection.execute(query)]

    def add_backup_schedule(self, service_uid: str, schedule: str, actor: Actor) -> bool:
        values = {"service_uid": service_uid, "schedule": schedule, "created_at": self._now(),
                  "created_by": actor.name}
        with self._db.write() as connection:
            return bool(connection.execute(
                sqlite.insert(backup_schedules).values(values).on_conflict_do_nothing()).rowcount)

    def remove_backup_schedules(self, service_uid: str, schedule: str = "") -> int:
        query = delete(backup_schedules).where(backup_schedules.c.service_uid == service_uid)
        if schedule:
            query = query.where(backup_schedules.c.schedule == schedule)
        with self._db.write() as connection:
            return connection.execute(query).rowcount

    # backups -------------------------------------------------------------------------------------------------------
    def add_backup(self, backup_id: str, service_uid: str, datastore: str, service: str, *, trigger: Trigger,
                   target: str, state: BackupState = BackupState.PLANNED, size: int = 0, manifest: str = "",
                   started_at: datetime | None = None, finished_at: datetime | None = None) -> Backup:
        values = {"id": backup_id, "service_uid": service_uid, "datastore": datastore, "service": service,
                  "state": state, "trigger": trigger, "target": target, "started_at": started_at or self._now(),
                  "finished_at": finished_at, "size": size, "reason": "", "held": False, "manifest": manifest}
        with self._db.write() as connection:
            connection.execute(insert(backups).values(values))
        return Backup(**values)

    def move_backup(self, backup_id: str, state: BackupState, *, reason: str | None = None, size: int | None = None,
                    manifest: str | None = None) -> Backup:
        given = {"reason": reason, "size": size, "manifest": manifest,
                 "finished_at": None if state in UNDER_WAY else self._now()}
        if state == BackupState.DRILLED:
            given["finished_at"] = None  # it ended when it was read back
        changes = {key: value for key, value in given.items() if value is not None}
        with self._db.write() as connection:
            connection.execute(update(backups).where(backups.c.id == backup_id).values(state=state, **changes))
        return self.backup(backup_id)

    def hold_backup(self, backup_id: str, held: bool) -> Backup:
        with self._db.write() as connection:
            connection.execute(update(backups).where(backups.c.id == backup_id).values(held=held))
        return self.backup(backup_id)

    def backup(self, backup_id: str) -> Backup:
        query = select(backups).where(backups.c.id == backup_id)
        with self._db.read() as connection:
            return backup_of(one(connection, query, f"there is no backup '{printable(backup_id)}'",
                                 "See: paas backups"))

    def backups(self, service_uid: str | None = None, *, states: Iterable[BackupState] = (),
                limit: int = 1000) -> list[Backup]:
        query: Select = select(backups).order_by(backups.c.id.desc()).limit(limit)
        if service_uid is not None:
            query = query.where(backups.c.service_uid == service_uid)
        if states:
            query = query.where(backups.c.state.in_(tuple(states)))
        with self._db.read() as connection:
            return [backup_of(row) for row in connection.execute(query)]

    # drills --------------------------------------------------------------------------------------------------------
    def begin_drill(self, backup: Backup) -> int:
        with self._db.write() as connection:
            return insert_row(connection, drills, {
                "backup_id": backup.id, "service_uid": backup.service_uid, "started_at": self._now(),
                "finished_at": None, "passed": None, "restore_seconds": 0.0, "data_age": 0.0, "reason": ""})

    def end_drill(self, drill_id: int, passed: bool, *, restore_seconds: float = 0.0, data_age: float = 0.0,
                  reason: str = "") -> None:
        with self._db.write() as connection:
            connection.execute(update(drills).where(drills.c.id == drill_id).values(
                finished_at=self._now(), passed=passed, restore_seconds=restore_seconds, data_age=data_age,
                reason=reason))

    def drop_drill(self, drill_id: int) -> None:
        with self._db.write() as connection:
            connection.execute(delete(drills).where(drills.c.id == drill_id))

    def drills(self, service_uid: str | None = None, *, limit: int = 100) -> list[Drill]:
        query = select(drills).order_by(drills.c.id.desc()).limit(limit)
        if service_uid is not None:
            query = query.where(drills.c.service_uid == service_uid)
        with self._db.read() as connection:
            return [Drill(**row._mapping) for row in connection.execute(query)]


def backup_of(row: Row) -> Backup:
    return Backup(**row._mapping)


def context(service_uid: str) -> str:
    return f"backup-target:{service_uid}"
