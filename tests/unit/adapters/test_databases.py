"""What is counted of a database, and that one that is strange or hostile is not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from paas.adapters import databases
from paas.adapters.databases import ChildDatabases


@pytest.fixture
def path(tmp_path) -> Path:
    """In WAL mode, as those that are streamed."""
    with sqlite3.connect(tmp_path / "app.db", isolation_level=None) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x)")
        db.execute('CREATE TABLE "odd ""name" (x)')
        db.execute("CREATE TABLE sqlitex (x)")
        db.execute("INSERT INTO t (x) VALUES (1), (2), (3)")
        db.execute('INSERT INTO "odd ""name" VALUES (1)')
        db.execute("CREATE VIEW v AS SELECT * FROM t")
    db.close()
    return tmp_path / "app.db"


def test_tables_and_rows(path):
    before = path.read_bytes()
    assert ChildDatabases().count(path) == (3, 4)
    assert path.read_bytes() == before


def test_a_database_without_anything(tmp_path):
    path = tmp_path / "app.db"
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute("CREATE TABLE t (x)")
    assert ChildDatabases().count(path) == (1, 0)


@pytest.mark.parametrize("data", [b"", b"no database, but long enough " * 200])
def test_what_is_no_database(tmp_path, data):
    path = tmp_path / "app.db"
    path.write_bytes(data)
    assert ChildDatabases().count(path) is None


def test_a_damaged_one(path):
    data = bytearray(path.read_bytes())
    data[100:] = bytes(255 for _ in data[100:])
    path.write_bytes(data)
    assert ChildDatabases().count(path) is None


def test_one_that_is_too_large(path, monkeypatch):
    monkeypatch.setattr(databases, "LARGEST", path.stat().st_size - 1)
    assert ChildDatabases().count(path) is None


def test_a_link_leads_nowhere(path):
    link = path.with_name("link.db")
    link.symlink_to(path)
    assert ChildDatabases().count(link) is None


@pytest.mark.parametrize("program", ["import time; time.sleep(3600)", "while True: print('x' * 100)"])
def test_a_program_that_does_not_end_is_ended(path, tmp_path, monkeypatch, program):
    (tmp_path / "child.py").write_text(program)
    monkeypatch.setattr(databases, "PROGRAM", tmp_path / "child.py")
    monkeypatch.setattr(databases, "SECONDS", 1.0)
    assert ChildDatabases().count(path) is None
