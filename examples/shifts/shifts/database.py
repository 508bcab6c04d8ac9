"""Connections to Postgres."""

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from shifts import settings


def connect() -> psycopg.Connection:
    """One connection, for jobs and commands. Use it in a ``with``: commits at the end, rolls back on an error."""
    return psycopg.connect(settings.DATABASE_URL, connect_timeout=10)


def pool() -> AsyncConnectionPool:
    """The pool of one web process. Rows are dicts; each statement is its own transaction unless one is opened."""
    options = {"autocommit": True, "row_factory": dict_row, "connect_timeout": 10}
    return AsyncConnectionPool(settings.DATABASE_URL, min_size=2, max_size=8, timeout=10, kwargs=options, open=False)
