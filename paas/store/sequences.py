"""The highest ids that were ever given, which AUTOINCREMENT keeps (sqlite.org/autoinc.html)."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import text

from paas.store.base import Base


class Sequences(Base):
    def highest_ids(self) -> dict[str, int]:
        with self._db.read() as connection:
            return {row.name: row.seq for row in connection.execute(text("SELECT name, seq FROM sqlite_sequence"))}

    def raise_ids(self, highest: Mapping[str, int]) -> None:
        known = self.highest_ids()
        with self._db.write() as connection:
            for table, number in highest.items():
                if number > known.get(table, 0):
                    connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table})
                    connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"),
                                       {"name": table, "seq": number})
