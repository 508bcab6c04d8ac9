"""``python -m shifts.seed``: fill an empty database with 100 workplaces, 10,000 users and 1,000,000 shifts.

The server makes the rows; nothing but statements crosses the wire. Users are user1@example.com, user2@…, each with
the password ``shifts``.
"""

import argparse

from shifts import auth, database

WORKPLACES, STAFF, WEEKS = 100, 100, 100
FIRST_MONDAY = "2026-01-05 00:00+00"
STATEMENTS = (
    """INSERT INTO workplaces (name, city)
       SELECT 'Workplace ' || n, (ARRAY['Berlin', 'Lyon', 'Porto', 'Turin', 'Ghent'])[1 + n %% 5]
       FROM generate_series(1, %(workplaces)s) n""",
    """INSERT INTO users (workplace_id, name, email, password_hash, weekly_hours)
       SELECT 1 + (n - 1) %% %(workplaces)s, 'User Number ' || n, 'user' || n || '@example.com', %(password)s,
              (ARRAY[20, 30, 40])[1 + n %% 3]
       FROM generate_series(1, %(users)s) n""",
    """INSERT INTO shifts (workplace_id, user_id, starts_at, ends_at, role, note)
       SELECT u.workplace_id, u.id, at, at + interval '8 hours', (ARRAY['till', 'kitchen', 'desk'])[1 + u.id %% 3],
              'Bring the key of store ' || u.id %% 50
       FROM generate_series(0, %(weeks)s - 1) week
       CROSS JOIN users u
       CROSS JOIN LATERAL (SELECT %(monday)s::timestamptz + make_interval(days => week * 7 + (u.id / 100 + week) %% 7,
                                                                       hours => 6 + 8 * (u.id %% 2))) made (at)
       ORDER BY at""",
)
# Indexes are made after the rows: one sort instead of a million insertions.
INDEXES = {"shifts_of_a_workplace": "(workplace_id, starts_at)", "shifts_of_a_user": "(user_id, starts_at)"}


def seed(weeks: int) -> None:
    values = {"workplaces": WORKPLACES, "users": WORKPLACES * STAFF, "weeks": weeks, "monday": FIRST_MONDAY,
              "password": auth.hash_password("shifts")}
    with database.connect() as db:
        if db.execute("SELECT EXISTS (SELECT FROM users)").fetchone()[0]:
            print("there are users already; nothing was changed")
            return
        for name in INDEXES:
            db.execute(f"DROP INDEX {name}")
        for statement in STATEMENTS:
            db.execute(statement, values)
        for name, columns in INDEXES.items():
            db.execute(f"CREATE INDEX {name} ON shifts {columns}")
    report()


def report() -> None:
    with database.connect() as db:
        db.autocommit = True
        db.execute("VACUUM ANALYZE")
        rows = db.execute("SELECT count(*) FROM shifts").fetchone()[0]
        size = db.execute("SELECT pg_database_size(current_database())").fetchone()[0]
    print(f"{rows:,} shifts; the database has {size / 1e6:.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--weeks", type=int, default=WEEKS, help="10,000 shifts for each week (default %(default)s)")
    seed(parser.parse_args().weeks)
