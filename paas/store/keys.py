"""SSH keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select, update

from paas.errors import Conflict, NotFound
from paas.model.access import Key
from paas.model.names import printable
from paas.store.base import Base, insert, one
from paas.store.tables import keys

MISSING = ("there is no such SSH key", "See: paas ssh-keys:list")


class Keys(Base):
    def keys(self) -> list[Key]:
        """Oldest first."""
        with self._db.read() as connection:
            return [Key(**row._mapping) for row in connection.execute(select(keys).order_by(keys.c.id))]

    def key(self, key_id: int) -> Key:
        with self._db.read() as connection:
            return Key(**one(connection, select(keys).where(keys.c.id == key_id), *MISSING)._mapping)

    def add_key(self, name: str, type: str, blob: str, fingerprint: str, *, user: str = "",
                sources: Sequence[str] = (), expires_at: datetime | None = None) -> Key:
        values = {"name": name, "type": type, "blob": blob, "fingerprint": fingerprint, "created_at": self._now(),
                  "user": user or name, "sources": tuple(sources), "expires_at": expires_at}
        with self._db.write() as connection:
            same = connection.execute(select(keys).where(or_(keys.c.name == name,
                                                             keys.c.fingerprint == fingerprint))).first()
            if same:
                what = "this key is there already" if same.fingerprint == fingerprint else "this name is taken"
                raise Conflict(f"{what}: {printable(same.name)} ({same.fingerprint})", MISSING[1])
            return Key(id=insert(connection, keys, values), **values)

    def replace_key(self, key_id: int, type: str, blob: str, fingerprint: str) -> Key:
        with self._db.write() as connection:
            same = connection.execute(select(keys).where(keys.c.fingerprint == fingerprint)).first()
            if same:
                raise Conflict(f"this key is there already: {printable(same.name)} ({fingerprint})", MISSING[1])
            connection.execute(update(keys).where(keys.c.id == key_id).values(
                type=type, blob=blob, fingerprint=fingerprint, created_at=self._now()))
            return Key(**one(connection, select(keys).where(keys.c.id == key_id), *MISSING)._mapping)

    def remove_key(self, key_id: int) -> None:
        with self._db.write() as connection:
            if not connection.execute(delete(keys).where(keys.c.id == key_id)).rowcount:
                raise NotFound(*MISSING)
