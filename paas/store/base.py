"""What every group of methods shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, func, select
from sqlalchemy.exc import IntegrityError

from paas.errors import Conflict, NotFound
from paas.model.access import Event
from paas.store.engine import Database, Sealer


class Base:
    def __init__(self, db: Database, sealer: Sealer, now: Callable[[], datetime]) -> None:
        self._db = db
        self._sealer = sealer
        self._now = now
        self.heard: Callable[[Event], None] = lambda event: None       # told of every event, once it is on the disk

    def close(self) -> None:
        self._db.close()

    @staticmethod
    @contextmanager
    def _unique(column: str, what: str, hint: str = "") -> Iterator[None]:
        """:raises Conflict: *what*, when the row breaks the uniqueness of *column* (``table.column``)."""
        try:
            yield
        except IntegrityError as error:
            if "UNIQUE" not in str(error.orig) or column not in str(error.orig):
                raise
            raise Conflict(what, hint) from None


def one(connection: Connection, query: Select, missing: str, hint: str = "") -> Row:
    """The row of *query*. :raises NotFound: there is none."""
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(missing, hint)
    return row


def insert(connection: Connection, table: Table, values: dict[str, Any]) -> int:
    """Insert one row; return its id."""
    return connection.execute(table.insert().values(values)).inserted_primary_key[0]


def next_number(connection: Connection, table: Table, column: str, app_id: int) -> int:
    """1 more than the app's highest; such rows go only with their app, so a number never comes again."""
    highest = connection.scalar(select(func.max(table.c[column])).where(table.c.app_id == app_id))
    return (highest or 0) + 1
