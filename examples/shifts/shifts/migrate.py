"""``python -m shifts.migrate``: bring the database to the newest schema. The release phase runs it.

``migrations/NNNN_name.sql`` run in order, each in a transaction of its own, once. An advisory lock keeps two runs
apart. The old release serves meanwhile: add first, remove in a later release.
"""

from pathlib import Path

import psycopg

from shifts import database

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
LOCK = 7_281_204_113                     # any number that nothing else in this database locks


def pending(db: psycopg.Connection) -> list[Path]:
    db.execute("CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, done_at timestamptz DEFAULT now())")
    done = {name for (name,) in db.execute("SELECT name FROM migrations")}
    return [path for path in sorted(MIGRATIONS.glob("*.sql")) if path.stem not in done]


def main() -> None:
    with database.connect() as db:
        db.autocommit = True
        db.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        found = pending(db)
        for path in found:
            with db.transaction():
                db.execute(path.read_text())
                db.execute("INSERT INTO migrations (name) VALUES (%s)", (path.stem,))
            print(f"migrated {path.stem}")
        print(f"{len(found)} migrations done; the schema is current")


if __name__ == "__main__":
    main()
