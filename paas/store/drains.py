"""Log drains, how far they are, and how full the disks were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Row, delete, select
from sqlalchemy.dialects import sqlite

from paas.errors import NotFound
from paas.model.access import Actor
from paas.model.disk import Sample
from paas.model.drain import Drain, Format
from paas.secret import Secret
from paas.store.apps import get_app
from paas.store.base import Base, insert, one
from paas.store.tables import disk_samples as samples
from paas.store.tables import drain_positions as positions
from paas.store.tables import drains

SEALED = "drain"                         # the context that a target is sealed for


class Drains(Base):
    def add_drain(self, app_id: int | None, url: Secret, format: Format, headers: Mapping[str, Secret],
                  actor: Actor) -> Drain:
        words = {"url": url.reveal(), "headers": {name: value.reveal() for name, value in headers.items()}}
        values = {"app_id": app_id, "target": self._sealer.seal(json.dumps(words).encode(), SEALED),
                  "format": format, "created_at": self._now(), "created_by": actor.name}
        with self._db.write() as connection:
            if app_id is not None:
                get_app(connection, app_id)
            made = insert(connection, drains, values)
        return self.drain(made)

    def drain(self, drain_id: int) -> Drain:
        with self._db.read() as connection:
            return self._drain(one(connection, select(drains).where(drains.c.id == drain_id),
                                   f"there is no drain {drain_id}", "See: paas logs:drains"))

    def drains(self, app_id: int | None = None) -> list[Drain]:
        query = select(drains).order_by(drains.c.id)
        if app_id is not None:
            query = query.where((drains.c.app_id == app_id) | drains.c.app_id.is_(None))
        with self._db.read() as connection:
            return [self._drain(row) for row in connection.execute(query)]

    def remove_drain(self, drain_id: int) -> None:
        with self._db.write() as connection:
            if not connection.execute(delete(drains).where(drains.c.id == drain_id)).rowcount:
                raise NotFound(f"there is no drain {drain_id}", "See: paas logs:drains")

    def drain_positions(self, drain_id: int) -> dict[str, datetime]:
        query = select(positions.c.container_id, positions.c.at).where(positions.c.drain_id == drain_id)
        with self._db.read() as connection:
            return {row.container_id: row.at for row in connection.execute(query)}

    def put_drain_positions(self, drain_id: int, reached: Mapping[str, datetime]) -> None:
        with self._db.write() as connection:
            if connection.scalar(select(drains.c.id).where(drains.c.id == drain_id)) is None:
                return                   # removed meanwhile
            connection.execute(delete(positions).where(positions.c.drain_id == drain_id))
            rows = [{"drain_id": drain_id, "container_id": name, "at": at} for name, at in reached.items()]
            if rows:
                connection.execute(positions.insert(), rows)

    def _drain(self, row: Row) -> Drain:
        words = json.loads(self._sealer.open(row.target, SEALED))
        return Drain(row.id, row.app_id, Secret(words["url"]), Format(row.format),
                     {name: Secret(value) for name, value in words["headers"].items()}, row.created_at, row.created_by)

    # how full the disks were ---------------------------------------------------------------------------------------
    def add_disk_sample(self, place: str, sample: Sample, keep_from: datetime) -> None:
        values = {"place": place, **vars(sample)}
        with self._db.write() as connection:
            connection.execute(sqlite.insert(samples).values(values).on_conflict_do_nothing())
            connection.execute(delete(samples).where(samples.c.place == place, samples.c.at < keep_from))

    def disk_samples(self, place: str) -> list[Sample]:
        query = select(samples.c.at, samples.c.free, samples.c.total).where(samples.c.place == place)
        with self._db.read() as connection:
            return [Sample(*row) for row in connection.execute(query.order_by(samples.c.at))]
