"""Uptime of apps, in five-minute pieces."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Row, and_, delete, func, select
from sqlalchemy.dialects import sqlite

from paas.model.traffic import Traffic
from paas.model.uptime import Checks, pack, unpack
from paas.store.base import Base
from paas.store.tables import apps, uptime


class Uptimes(Base):
    def add_uptime(self, samples: Iterable[Checks]) -> None:
        with self._db.write() as connection:
            known = set(connection.scalars(select(apps.c.id)))
            for one in samples:
                if one.app_id not in known:
                    continue
                row = connection.execute(select(uptime).where(
                    and_(uptime.c.app_id == one.app_id, uptime.c.slot == one.slot))).first()
                values = values_of(sample_of(row) + one if row else one)
                connection.execute(sqlite.insert(uptime).values(values).on_conflict_do_update(
                    index_elements=["app_id", "slot"], set_=values))

    def uptime(self, since: int, app_id: int) -> list[Checks]:
        query = select(uptime).where(uptime.c.slot >= since, uptime.c.app_id == app_id).order_by(uptime.c.slot)
        with self._db.read() as connection:
            rows = connection.execute(query).all()
        return [sample_of(row) for row in rows]

    def uptime_totals(self, since: int) -> dict[int, tuple[int, int]]:
        query = select(uptime.c.app_id, func.sum(uptime.c.checks), func.sum(uptime.c.failures)).where(
            uptime.c.slot >= since).group_by(uptime.c.app_id)
        with self._db.read() as connection:
            return {app_id: (checks, failures) for app_id, checks, failures in connection.execute(query)}

    def trim_uptime(self, before: int) -> int:
        with self._db.write() as connection:
            return connection.execute(delete(uptime).where(uptime.c.slot < before)).rowcount


def values_of(one: Checks) -> dict[str, object]:
    return {"app_id": one.app_id, "slot": one.slot, "checks": one.checks, "failures": one.failures,
            "latency": one.latency, "histogram": pack(one.good.durations)}


def sample_of(row: Row) -> Checks:
    return Checks(row.app_id, row.slot, row.checks, row.failures, row.latency,
                  Traffic(durations=unpack(row.histogram)))
