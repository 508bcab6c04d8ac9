"""The program that counts what is in a SQLite database that an app made (:mod:`paas.adapters.confined`).

Input: the file. Output: how many tables of the app's it has, and how many rows these have, with a blank between. Exit
code 1: SQLite cannot say.
"""

import sqlite3
import sys

TABLES = """SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0
            AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name NOT LIKE '!_litestream!_%' ESCAPE '!'"""


def main() -> int:
    data = bytearray(sys.stdin.buffer.read())
    data[18:20] = b"\x01\x01"            # one in memory has no write-ahead log (sqlite.org/fileformat2.html, 1.3.3)
    database = sqlite3.connect(":memory:")
    try:
        database.deserialize(data)
        database.execute("PRAGMA trusted_schema = OFF")
        names = [name.replace('"', '""') for (name,) in database.execute(TABLES)]
        rows = sum(database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names)
    except (sqlite3.Error, MemoryError):
        return 1
    print(len(names), rows)
    return 0
