"""Settings of the server, and the check value that ties the database to its master key."""

from __future__ import annotations

import base64
import binascii
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, select, text

from paas.errors import StateError
from paas.secret import Secret
from paas.store.base import Base
from paas.store.engine import Sealer
from paas.store.tables import settings

KEY_CHECK = "key-check"                  # the setting, and the context that its value is sealed for
SEALED_SETTING = "sealed:"               # + name: a setting that is a secret, sealed for this key
# The key check counts: once it is there, the database belongs to one key.
SEALED = """SELECT EXISTS (SELECT 1 FROM settings WHERE key = 'key-check') OR EXISTS (SELECT 1 FROM config)
    OR EXISTS (SELECT 1 FROM releases) OR EXISTS (SELECT 1 FROM certificates)"""


class Settings(Base):
    def settings(self) -> dict[str, str]:
        with self._db.read() as connection:
            open_ones = (settings.c.key != KEY_CHECK) & settings.c.key.not_like(f"{SEALED_SETTING}%")
            return dict(connection.execute(select(settings).where(open_ones).order_by(settings.c.key)).all())

    def set_setting(self, key: str, value: str | None) -> None:
        if key == KEY_CHECK:
            raise AssertionError("the key check is no setting")
        with self._db.write() as connection:
            put_setting(connection, key, value)

    def sealed_setting(self, name: str) -> Secret | None:
        key = SEALED_SETTING + name
        with self._db.read() as connection:
            sealed = connection.scalar(select(settings.c.value).where(settings.c.key == key))
        return None if sealed is None else Secret(self._sealer.open(base64.b64decode(sealed), key).decode())

    def set_sealed_setting(self, name: str, value: Secret | None) -> None:
        key = SEALED_SETTING + name
        sealed = None if value is None else base64.b64encode(self._sealer.seal(value.reveal().encode(), key)).decode()
        with self._db.write() as connection:
            put_setting(connection, key, sealed)

    def has_sealed_rows(self) -> bool:
        """Whether anything here opens only with the present master key."""
        with self._db.read() as connection:
            return bool(connection.scalar(text(SEALED)))

    def check_key(self) -> None:
        """:raises StateError: the database was sealed with another master key."""
        with self._db.write() as connection:
            known = connection.scalar(select(settings.c.value).where(settings.c.key == KEY_CHECK))
            if known is None:
                sealed = self._sealer.seal(KEY_CHECK.encode(), KEY_CHECK)
                put_setting(connection, KEY_CHECK, base64.b64encode(sealed).decode())
            elif not opens(self._sealer, known):
                raise StateError("the master key is not the one that sealed the state database",
                                 "Put back the master key, or the database, that belong together.")


def put_setting(connection: Connection, key: str, value: str | None) -> None:
    connection.execute(settings.delete().where(settings.c.key == key))
    if value is not None:
        connection.execute(settings.insert().values(key=key, value=value))


def opens(sealer: Sealer, known: str) -> bool:
    try:
        return sealer.open(base64.b64decode(known), KEY_CHECK) == KEY_CHECK.encode()
    except (StateError, binascii.Error):
        return False


def has_sealed_rows(path: Path) -> bool:
    """The same of a database that is not open: whether a new master key would be of no use for it.

    True also for one that cannot be read: rather no new key than a useless one.
    """
    if not path.exists() or path.stat().st_size == 0:
        return False
    try:
        with closing(sqlite3.connect(path)) as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                return False
            return bool(connection.execute(SEALED).fetchone()[0])
    except sqlite3.Error:
        return True
