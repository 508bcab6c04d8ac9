"""Point in time of services: the present epoch, and the attempts at bases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, select, update

from paas.model.access import Actor
from paas.model.pitr_row import Pitr, PitrBase
from paas.store.base import Base, one
from paas.store.tables import pitr, pitr_bases


class PointsInTime(Base):
    def put_pitr(self, service_uid: str, *, epoch: str, reason: str, target: str, system: str, volume: str,
                 segment_size: int, actor: Actor | None = None) -> Pitr:
        values: dict[str, Any] = {"enabled": True, "epoch": epoch, "reason": reason, "began_at": self._now(),
                                  "target": target, "system": system, "volume": volume, "segment_size": segment_size}
        with self._db.write() as connection:
            changed = connection.execute(update(pitr).where(pitr.c.service_uid == service_uid).values(values))
            if not changed.rowcount:
                connection.execute(insert(pitr).values(
                    service_uid=service_uid, **values, window="7d", created_at=self._now(),
                    created_by=actor.name if actor else "paas", drill_seconds=0.0, drill_reason=""))
        return self.pitr(service_uid)

    def pitr(self, service_uid: str) -> Pitr | None:
        with self._db.read() as connection:
            row = connection.execute(select(pitr).where(pitr.c.service_uid == service_uid)).first()
            return Pitr(**row._mapping) if row else None

    def pitrs(self) -> list[Pitr]:
        with self._db.read() as connection:
            return [Pitr(**row._mapping) for row in connection.execute(select(pitr).order_by(pitr.c.service_uid))]

    def update_pitr(self, service_uid: str, **changes: object) -> Pitr | None:
        with self._db.write() as connection:
            connection.execute(update(pitr).where(pitr.c.service_uid == service_uid).values(changes))
        return self.pitr(service_uid)

    def delete_pitr(self, service_uid: str) -> None:
        with self._db.write() as connection:
            connection.execute(delete(pitr_bases).where(pitr_bases.c.service_uid == service_uid))
            connection.execute(delete(pitr).where(pitr.c.service_uid == service_uid))

    # bases -----------------------------------------------------------------------------------------------------------
    def begin_pitr_base(self, base_id: str, row: Pitr) -> PitrBase:
        values = {"id": base_id, "service_uid": row.service_uid, "epoch": row.epoch, "target": row.target,
                  "state": "under way", "started_at": self._now(), "finished_at": None, "size": 0, "reason": "",
                  "manifest": ""}
        with self._db.write() as connection:
            connection.execute(insert(pitr_bases).values(values))
        return PitrBase(**values)

    def end_pitr_base(self, base_id: str, state: str, *, reason: str = "", manifest: str | None = None,
                      size: int | None = None) -> PitrBase:
        given = {"state": state, "reason": reason, "finished_at": None if state == "deleted" else self._now(),
                 "manifest": manifest, "size": size}
        changes = {key: value for key, value in given.items() if value is not None}
        query = select(pitr_bases).where(pitr_bases.c.id == base_id)
        with self._db.write() as connection:
            connection.execute(update(pitr_bases).where(pitr_bases.c.id == base_id).values(changes))
            return PitrBase(**one(connection, query, "there is no such base")._mapping)

    def pitr_bases(self, service_uid: str) -> list[PitrBase]:
        query = select(pitr_bases).where(pitr_bases.c.service_uid == service_uid).order_by(pitr_bases.c.id.desc())
        with self._db.read() as connection:
            return [PitrBase(**row._mapping) for row in connection.execute(query)]
