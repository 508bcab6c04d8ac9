"""Windows after deploys in which a release is watched. Whoever ends one has its warm instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from paas.model.release import InstanceState
from paas.model.traffic import Traffic
from paas.model.watch import Outcome, Watch
from paas.store.base import Base
from paas.store.tables import instances, watches


class Watches(Base):
    def begin_watch(self, release_id: int, app_id: int, before_id: int, ends_at: datetime, *, before: Traffic,
                    counted: Traffic, warm: Iterable[int]) -> Watch:
        values = {"release_id": release_id, "app_id": app_id, "before_id": before_id, "began_at": self._now(),
                  "ends_at": ends_at, "before": vars(before), "counted": vars(counted), "reason": "",
                  "outcome": Outcome.OPEN, "ended_at": None}
        with self._db.write() as connection:
            connection.execute(watches.insert().values(values))
            connection.execute(update(instances).where(
                instances.c.id.in_(tuple(warm)), instances.c.state == InstanceState.DRAINING).values(
                    state=InstanceState.WARM))
            return watch_of(connection.execute(select(watches).where(watches.c.release_id == release_id)).one())

    def note_breach(self, release_id: int, reason: str) -> bool:
        with self._db.write() as connection:
            return bool(connection.execute(update(watches).where(
                watches.c.release_id == release_id, watches.c.ended_at.is_(None), watches.c.reason == "").values(
                    reason=reason)).rowcount)

    def end_watch(self, release_id: int, outcome: Outcome) -> bool:
        with self._db.write() as connection:
            return bool(connection.execute(update(watches).where(
                watches.c.release_id == release_id, watches.c.ended_at.is_(None)).values(
                    outcome=outcome, ended_at=self._now())).rowcount)

    def watches(self, app_id: int | None = None, *, open_only: bool = False, limit: int = 100) -> list[Watch]:
        query = select(watches).order_by(watches.c.release_id.desc()).limit(limit)
        if app_id is not None:
            query = query.where(watches.c.app_id == app_id)
        if open_only:
            query = query.where(watches.c.ended_at.is_(None))
        with self._db.read() as connection:
            return [watch_of(row) for row in connection.execute(query)]


def watch_of(row: Row) -> Watch:
    return Watch(**{**row._mapping, "before": traffic_of(row.before), "counted": traffic_of(row.counted)})


def traffic_of(stored: Mapping[str, Any]) -> Traffic:
    return Traffic(**{key: tuple(value) for key, value in stored.items()})
