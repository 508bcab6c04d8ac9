"""What apps did and used, in slots of a minute and of a quarter of an hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import reduce

from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.dialects import sqlite

from paas.model.traffic import BOUNDS, CLASSES, Traffic
from paas.model.usage import MINUTE, QUARTER, Slot, Usage, beginning
from paas.store.base import Base
from paas.store.tables import apps, usage


class Usages(Base):
    def add_usage(self, used: Mapping[tuple[int, datetime], Usage]) -> None:
        with self._db.write() as connection:
            known = set(connection.scalars(select(apps.c.id)))
            slots = {(app_id, beginning(at, MINUTE)): one for (app_id, at), one in used.items() if app_id in known}
            for (app_id, at), one in slots.items():
                put(connection, app_id, MINUTE, at, sum_of(connection, app_id, at, at + MINUTE) + one)
            for app_id, at in {(app_id, at // QUARTER * QUARTER) for app_id, at in slots}:
                put(connection, app_id, QUARTER, at, sum_of(connection, app_id, at, at + QUARTER))

    def usage(self, app_id: int, seconds: int, since: datetime) -> list[Slot]:
        query = select(usage).where(usage.c.app_id == app_id, usage.c.seconds == seconds,
                                    usage.c.at >= beginning(since, seconds)).order_by(usage.c.at)
        with self._db.read() as connection:
            return [Slot(datetime.fromtimestamp(row.at, UTC), usage_of(row)) for row in connection.execute(query)]

    def trim_usage(self, seconds: int, before: datetime) -> int:
        with self._db.write() as connection:
            return connection.execute(delete(usage).where(
                usage.c.seconds == seconds, usage.c.at < int(before.timestamp()))).rowcount


def sum_of(connection: Connection, app_id: int, begin: int, end: int) -> Usage:
    """Of the minutes from *begin* to *end*."""
    rows = connection.execute(select(usage).where(
        usage.c.app_id == app_id, usage.c.seconds == MINUTE, usage.c.at >= begin, usage.c.at < end))
    return reduce(Usage.__add__, map(usage_of, rows), Usage())


def put(connection: Connection, app_id: int, seconds: int, at: int, one: Usage) -> None:
    values = {"statuses": packed(one.traffic.statuses), "durations": packed(one.traffic.durations), "cpu": one.cpu,
              "memory": one.memory, "restarts": one.restarts}
    new = sqlite.insert(usage).values(app_id=app_id, seconds=seconds, at=at, **values)
    connection.execute(new.on_conflict_do_update(index_elements=["app_id", "seconds", "at"], set_=values))


def usage_of(row: Row) -> Usage:
    traffic = Traffic(unpacked(row.statuses, CLASSES), unpacked(row.durations, len(BOUNDS) + 1))
    return Usage(traffic, row.cpu, row.memory, row.restarts)


def packed(counts: tuple[int, ...]) -> str:
    used = max((place for place, count in enumerate(counts, 1) if count), default=0)
    return " ".join(map(str, counts[:used]))


def unpacked(text: str, length: int) -> tuple[int, ...]:
    found = tuple(map(int, text.split()))
    return found + (0,) * (length - len(found))
