"""Schema versions. Step N is ``NNNN_name.sql``, or ``NNNN_name.py`` with ``step(connection)``; ``PRAGMA user_version``
says which were done. A step that was released is never edited: a change is a new step."""

from __future__ import annotations

import importlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from paas.errors import StateError
from paas.store.engine import foreseen

Step = Callable[[sqlite3.Connection], None]
HERE = Path(__file__).parent


def known_steps() -> list[Step]:
    """Step 1 first; their numbers must have no gap."""
    files = sorted(file for file in HERE.iterdir() if file.name[:4].isdigit() and file.suffix in (".sql", ".py"))
    if [int(file.name[:4]) for file in files] != list(range(1, len(files) + 1)):
        raise AssertionError("the migrations are not numbered 1, 2, 3, …")
    return [_sql(file) if file.suffix == ".sql" else importlib.import_module(f"{__name__}.{file.stem}").step
            for file in files]


def _sql(file: Path) -> Step:
    def run(connection: sqlite3.Connection) -> None:
        for statement in statements(file.read_text(encoding="utf-8")):
            connection.execute(statement)
    return run


def statements(script: str) -> Iterator[str]:
    """Split at the ends of statements; `executescript` would commit our transaction first."""
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            yield part
            part = ""
    if part.strip():
        raise AssertionError(f"unfinished SQL: {part.strip()[:80]}")


def migrate(connection: sqlite3.Connection, path: Path | None, steps: Sequence[Step] | None = None) -> None:
    """Bring the schema to the newest version, each step in a transaction of its own.

    Before the first step on a database that has data, it is copied to ``<path>.before-v<newest>``.

    :raises StateError: newer than this program, not a database of paas, or a step failed (its work is undone).
    """
    steps = known_steps() if steps is None else steps
    version = version_of(connection)
    if version > len(steps):
        raise StateError(f"the state database was made by a newer paas (schema {version}, this one knows {len(steps)})",
                         "Upgrade the program, or restore the copy of the database made before the upgrade.")
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StateError("the state database is a database of some other program", "Check state_dir in the settings.")
    if 0 < version < len(steps) and path is not None:
        copy_database(connection, path.with_name(f"{path.name}.before-v{len(steps)}"))
    for number in range(version + 1, len(steps) + 1):
        run_step(connection, number, steps[number - 1])


def version_of(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def run_step(connection: sqlite3.Connection, number: int, step: Step) -> None:
    # Off, so that a step may rebuild a table that others refer to; a no-op inside a transaction, hence out here
    # (sqlite.org/lang_altertable.html, section 7).
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        connection.execute("BEGIN IMMEDIATE")
        step(connection)
        if connection.execute("PRAGMA foreign_key_check").fetchone():
            raise StateError(f"step {number} would leave rows that refer to nothing")
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except Exception as error:
        reason = foreseen(error) or error
        raise StateError(f"the state database could not be brought to schema {number}, and is as it was: {reason}",
                         "Start the version of paas that made it, or report this.") from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("PRAGMA foreign_keys = ON")


def copy_database(connection: sqlite3.Connection, target: Path) -> None:
    """Copy by SQLite's backup API (a plain copy misses what is in the WAL) to *target*, mode 0600, durably.

    :raises StateError: no space, or not writable; no file named *target* is left half made.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(part)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")       # whole in one file
        _sync(part)
        os.rename(part, target)
        _sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        raise StateError(f"the state database could not be copied before its upgrade: {foreseen(error) or error}",
                         "Free some space, then start again; the database is as it was.") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
