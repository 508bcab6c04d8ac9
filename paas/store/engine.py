"""The one connection to the database, its transactions, and what their failures mean."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from paas.errors import NoSpace, NotFound, PaasError, StateError

BUSY_TIMEOUT = 5.0                       # seconds that a writer waits for another process
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",                # NORMAL may lose acknowledged commits in a power cut (sqlite.org/wal.html)
    "foreign_keys = ON",
    "secure_delete = ON",
    "trusted_schema = OFF",
)
BEGIN = "paas_begin"                     # execution option: how a transaction starts


class Sealer(Protocol):
    """Authenticated encryption bound to a context; ``open`` raises StateError for what does not belong there."""

    def seal(self, plain: bytes, context: str) -> bytes: ...
    def open(self, sealed: bytes, context: str) -> bytes: ...


class Database:
    """One SQLite connection for all threads of the process, a transaction at a time.

    One connection, because SQLite before 3.51.3 can corrupt a WAL database when two connections write or checkpoint
    at the same instant (the WAL-reset bug, sqlite.org/wal.html), and because it serves ``:memory:`` as well.
    Statements here take micro- to milliseconds, so readers lose nothing that is felt.

    SQLAlchemy starts the transactions, not the driver: the driver's implicit BEGIN is DEFERRED, which lets a reader
    that becomes a writer fail at once with "database is locked" in spite of the busy timeout.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._raw = connection
        self._lock = threading.RLock()
        self._reader = _engine(connection)
        self._writer = self._reader.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database. :raises StateError: damaged or not readable."""
        with self._transaction(self._reader) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is durable when the block ends, and has no effect when it raises.

        :raises NoSpace: the disk is full.
        :raises StateError: damaged, not writable, or locked by another process for longer than BUSY_TIMEOUT.
        :raises NotFound: the app or release that a new row belongs to has gone.
        """
        with self._transaction(self._writer) as connection:
            yield connection

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        with self._lock:
            try:
                with engine.begin() as connection:
                    yield connection
            except DBAPIError as error:
                raise (foreseen(error.orig) or error) from error.orig

    def close(self) -> None:
        with self._lock:
            self._reader.dispose()
            self._raw.close()


def _engine(connection: sqlite3.Connection) -> Engine:
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def begin(started: Connection) -> None:
        started.exec_driver_sql(started.get_execution_options().get(BEGIN, "BEGIN"))

    return engine


def connect(path: Path | None) -> sqlite3.Connection:
    """Open the file, made with mode 0600 if missing; None: in memory. No pragma is set and nothing is read yet.

    :raises StateError: the file cannot be made or opened.
    """
    name = ":memory:"
    if path is not None:
        _make_file(path)
        name = str(path)
    # isolation_level None: the driver starts no transactions of its own.
    return sqlite3.connect(name, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)


def _make_file(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)     # SQLite gives -wal and -shm the mode of the database
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StateError(f"the state database {path} cannot be opened: {error.strerror}",
                         "Its directory must exist and be writable for root.") from None


def set_pragmas(connection: sqlite3.Connection) -> None:
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def foreseen(error: BaseException | None) -> PaasError | None:
    """What a failure of SQLite's means for the user; None: a bug of ours, such as a broken constraint."""
    text = str(error)
    if isinstance(error, sqlite3.IntegrityError):
        if "FOREIGN KEY" in text:
            return NotFound("what this belongs to has been removed meanwhile", "See: paas apps:list")
        return None
    if not isinstance(error, sqlite3.DatabaseError):
        return None
    if "disk is full" in text:
        return NoSpace("the disk that holds the state database is full; nothing was changed",
                       "Free some space, then try again.")
    if "is locked" in text:
        return StateError("the state database is locked by another program; nothing was changed",
                          "Close whatever has it open, then try again.")
    if "readonly" in text:
        return StateError("the state database is read-only; nothing was changed",
                          "Check the file system and the file's permissions.")
    if any(words in text for words in ("malformed", "not a database", "disk I/O error", "unable to open")):
        return StateError(f"the state database cannot be used ({text})",
                          "Check the disk, then restore the database from a backup.")
    return None
