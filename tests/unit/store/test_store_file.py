"""The database as a file: opening, schema versions, damage, a full disk, other processes, sudden death."""

import ast
import inspect
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy import inspect as schema_of

from paas import ports_store
from paas.adapters.sealing import Sealer
from paas.errors import NoSpace, NotFound, StateError
from paas.model.access import Actor
from paas.model.release import Process
from paas.secret import Secret
from paas.store import Store, has_sealed_rows, open_store
from paas.store.migrations import known_steps, migrate, statements
from paas.store.tables import metadata

ROOT = Path(__file__).parents[3]
ROOT_ACTOR = Actor("root")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "paas.db"


def raw(file):
    return closing(sqlite3.connect(file, isolation_level=None))


# the port


def test_the_store_has_every_method_of_the_port_with_its_parameters():
    tree = ast.parse(inspect.getsource(ports_store))
    port = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    for method in (node for node in port.body if isinstance(node, ast.FunctionDef)):
        wanted = inspect.signature(getattr(ports_store.Store, method.name))
        found = inspect.signature(getattr(Store, method.name))
        assert str(found) == str(wanted), method.name


def test_the_migrations_make_the_tables_that_queries_name(store):
    with store._db.read() as connection:
        made = schema_of(connection)
        found = {name: [column["name"] for column in made.get_columns(name)] for name in made.get_table_names()}
    found.pop("sqlite_sequence", None)
    assert found == {name: [column.name for column in table.columns] for name, table in metadata.tables.items()}


# opening


def test_a_store_is_what_it_was_when_opened_again(file, sealer):
    store = open_store(file, sealer)
    app = store.create_app("blog", "10.89.0.0/25", ROOT_ACTOR)
    store.replace_config(app.id, {"A": Secret("1")})
    store.close()
    store = open_store(file, sealer)
    assert store.apps() == [app]
    assert store.config(app.id) == {"A": Secret("1")}
    assert store.integrity() == []
    store.close()
    assert [one.name for one in file.parent.iterdir()] == ["paas.db"]


def test_the_connection_is_durable_and_strict(file, sealer):
    store = open_store(file, sealer)
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "busy_timeout": 5000}
    with store._db.read() as connection:
        assert {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted} == wanted
    store.close()


def test_nobody_else_may_read_the_files(file, sealer):
    file.touch(0o644)
    store = open_store(file, sealer)
    store.create_app("blog", "10.89.0.0/25", ROOT_ACTOR)
    modes = {one.name: one.stat().st_mode & 0o777 for one in file.parent.iterdir()}
    assert modes == {"paas.db": 0o600, "paas.db-wal": 0o600, "paas.db-shm": 0o600}
    store.close()


def test_a_directory_that_is_not_there(tmp_path, sealer):
    with pytest.raises(StateError, match="cannot be opened: No such file"):
        open_store(tmp_path / "none" / "paas.db", sealer)


@pytest.mark.parametrize("content", [b"rubbish" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_refused_and_left_as_it_is(file, sealer, content):
    file.write_bytes(content)
    with pytest.raises(StateError):
        open_store(file, sealer)
    assert file.read_bytes() == content


def test_a_database_of_another_program_is_refused(file, sealer):
    with raw(file) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StateError, match="some other program"):
        open_store(file, sealer)


def test_integrity_names_what_refers_to_nothing(file, sealer):
    open_store(file, sealer).close()
    with raw(file) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("INSERT INTO domains (app_id, name) VALUES (7, 'a.example')")
    store = open_store(file, sealer)
    assert store.integrity() == ["row 1 of domains refers to a missing row of apps"]
    store.close()


# the key


def test_another_master_key_is_noticed_at_once(file, sealer):
    open_store(file, sealer).close()
    with pytest.raises(StateError, match="not the one that sealed"):
        open_store(file, Sealer(b"x" * 32))
    open_store(file, sealer).close()


def test_whether_a_new_key_would_do(file, sealer):
    assert not has_sealed_rows(file)
    file.touch()
    assert not has_sealed_rows(file)
    store = open_store(file, sealer)
    assert store.has_sealed_rows()
    assert has_sealed_rows(file)
    store.close()
    assert has_sealed_rows(file)
    file.write_bytes(b"rubbish" * 1000)
    assert has_sealed_rows(file)


# schema versions


def test_a_newer_database_is_refused_and_left_as_it_is(file, sealer):
    open_store(file, sealer).close()
    with raw(file) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StateError, match="made by a newer paas") as caught:
        open_store(file, sealer)
    assert "Upgrade the program" in caught.value.hint
    with raw(file) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)


def next_step(connection):
    connection.execute("ALTER TABLE apps ADD COLUMN extra TEXT")


def cut_step(connection):
    connection.execute("UPDATE apps SET name = 'changed'")
    connection.execute("CREATE TABLE half (x)")
    raise OSError("power cut")


def loose_step(connection):
    connection.execute("INSERT INTO domains (app_id, name) VALUES (99, 'a.example')")


@pytest.fixture
def old(file, sealer):
    """A database of today's schema with an app in it, as a later program finds it."""
    store = open_store(file, sealer)
    store.create_app("blog", "10.89.0.0/25", ROOT_ACTOR)
    store.close()
    with raw(file) as connection:
        yield connection


def test_an_upgrade_keeps_a_copy_of_what_was(file, old, sealer):
    newest = len(known_steps()) + 1
    migrate(old, file, [*known_steps(), next_step])
    assert old.execute("SELECT name, extra FROM apps").fetchall() == [("blog", None)]
    assert old.execute("PRAGMA user_version").fetchone() == (newest,)
    copy = file.with_name(f"paas.db.before-v{newest}")
    assert copy.stat().st_mode & 0o777 == 0o600
    kept = open_store(copy, sealer)
    assert [app.name for app in kept.apps()] == ["blog"]
    kept.close()


@pytest.mark.parametrize("broken", [cut_step, loose_step])
def test_a_step_that_breaks_off_leaves_the_old_version_whole(file, old, sealer, broken):
    version = len(known_steps())
    with pytest.raises(StateError, match="is as it was"):
        migrate(old, file, [*known_steps(), broken])
    assert old.execute("PRAGMA user_version").fetchone() == (version,)
    assert old.execute("PRAGMA foreign_keys").fetchone() == (1,)
    store = open_store(file, sealer)
    assert [app.name for app in store.apps()] == ["blog"]
    assert store.domains() == store.integrity() == []
    store.close()


def test_the_steps_before_a_broken_one_stay_and_it_is_tried_again(file, old):
    version = len(known_steps())
    with pytest.raises(StateError):
        migrate(old, file, [*known_steps(), next_step, cut_step])
    assert old.execute("PRAGMA user_version").fetchone() == (version + 1,)
    migrate(old, file, [*known_steps(), next_step, lambda connection: None])
    assert old.execute("PRAGMA user_version").fetchone() == (version + 2,)


def test_no_upgrade_without_its_copy(file, old):
    file.with_name(f"paas.db.before-v{len(known_steps()) + 1}").mkdir()
    with pytest.raises(StateError, match="could not be copied"):
        migrate(old, file, [*known_steps(), next_step])
    assert old.execute("PRAGMA user_version").fetchone() == (len(known_steps()),)
    assert not list(file.parent.glob(".*"))


def test_a_new_database_needs_no_copy(file, sealer):
    open_store(file, sealer).close()
    open_store(file, sealer).close()
    assert not list(file.parent.glob("*before*"))


def test_a_first_step_that_breaks_off_leaves_an_empty_database(file, sealer):
    with raw(file) as connection:
        with pytest.raises(StateError):
            migrate(connection, file, [cut_step])
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    open_store(file, sealer).close()


def test_statements_end_where_sqlite_says():
    script = "CREATE TABLE a (x); -- why;\nCREATE TRIGGER t BEFORE DELETE ON a\nBEGIN\n  SELECT 1;\nEND;\n\n"
    assert len(list(statements(script))) == 2
    with pytest.raises(AssertionError, match="unfinished"):
        list(statements("CREATE TABLE a (x)"))


# trouble while it runs


def test_a_full_disk_changes_nothing_and_is_said(store, app):
    with store._db.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    with store._db.read() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(NoSpace):
        store.replace_config(app.id, {"A": Secret("x" * 65536)})
    assert store.config(app.id) == {}
    with store._db.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    store.replace_config(app.id, {"A": Secret("x" * 65536)})
    assert store.integrity() == []


def test_another_writer_is_said_and_readers_go_on(file, sealer):
    store = open_store(file, sealer)
    with store._db.read() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    with raw(file) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="locked by another program"):
            store.create_app("blog", "10.89.0.0/25", ROOT_ACTOR)
        assert store.apps() == []
        other.execute("ROLLBACK")
    assert store.create_app("blog", "10.89.0.0/25", ROOT_ACTOR).id == 1
    store.close()


def test_a_writer_holds_the_file_from_its_first_moment(file, sealer):
    store = open_store(file, sealer)
    with raw(file) as other:
        other.execute("PRAGMA busy_timeout = 0")
        with store._db.read():
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
        with store._db.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    store.close()


def test_pages_damaged_behind_our_back(file, sealer):
    store = open_store(file, sealer)
    for number in range(50):
        store.create_app(f"app{number}", f"10.89.{number}.0/25", ROOT_ACTOR)
    store.close()
    size = file.stat().st_size
    with open(file, "r+b") as disk:
        disk.seek(4096)
        disk.write(b"\xff" * (size - 4096))
    with pytest.raises(StateError) as caught:
        store = open_store(file, sealer)
    assert "restore" in caught.value.hint


def test_an_error_shows_no_value(store, app):
    with pytest.raises(Exception, match="CHECK") as caught, store._db.write() as connection:
        connection.execute(text("INSERT INTO scale VALUES (:app, :secret, -1)"), {"app": app.id, "secret": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_block_that_raises_has_no_effect(store):
    def work():
        with store._db.write() as connection:
            connection.execute(text("INSERT INTO settings VALUES ('a', 'b')"))
            raise NotFound("x")
    with pytest.raises(NotFound):
        work()
    assert store.settings() == {}


# costs


def statements_of(store, work):
    seen = []

    def note(connection, cursor, statement, parameters, context, executemany):
        if not statement.startswith("BEGIN"):
            seen.append((statement, parameters))
    event.listen(store._db._reader, "before_cursor_execute", note)
    work()
    event.remove(store._db._reader, "before_cursor_execute", note)
    return seen


def test_a_list_costs_the_same_number_of_queries_at_any_length(store):
    for number in range(200):
        app = store.create_app(f"app{number}", f"10.{number}.0.0/25", ROOT_ACTOR)
        store.set_app_setting(app.id, "checks.path", f"/{number}")
    assert len(statements_of(store, store.apps)) == 2
    assert {app.settings["checks.path"] for app in store.apps()} == {f"/{n}" for n in range(200)}
    for work in (store.domains, store.instances, store.keys, store.events, store.unfinished_releases, store.builds):
        assert len(statements_of(store, work)) == 1


def test_the_frequent_queries_use_an_index(store, app, new_release):
    new_release(app, formation=(Process("web"),))
    works = (lambda: store.live_release(app.id), lambda: store.find_app("blog"), lambda: store.releases(app.id),
             lambda: store.release(app.id, 1), lambda: store.instances(app.id), lambda: store.config(app.id),
             lambda: store.unfinished_releases(), lambda: store.find_build_of_tree(app.id, "t"),
             lambda: store.builds(app.id), lambda: store.domains(app.id), lambda: store.events(app="blog"))
    for work in works:
        for statement, parameters in statements_of(store, work):
            with store._db.read() as connection:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            assert not [row[3] for row in plan if row[3].startswith("SCAN")], (statement, plan)


def test_readers_and_writers_of_many_threads(file, sealer):
    store = open_store(file, sealer)
    failed = []

    def work(number):
        try:
            app = store.create_app(f"app{number}", f"10.89.{number}.0/25", ROOT_ACTOR)
            for turn in range(5):
                store.replace_config(app.id, {"N": Secret(str(turn))})
                assert store.config(app.id) == {"N": Secret(str(turn))}
                store.apps()
        except BaseException as error:
            failed.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert len(store.apps()) == 8
    store.close()


# sudden death

WRITER = """
import sys
from pathlib import Path
from paas.adapters.sealing import Sealer
from paas.model.access import Actor
from paas.store import open_store
store = open_store(Path(sys.argv[1]), Sealer(bytes(range(32))))
while True:
    print(store.add_event(Actor("root"), "deploy", "blog", "ok", {"text": "x" * 300}).id, flush=True)
"""


def test_a_killed_writer_loses_no_acknowledged_row(file, sealer):
    last = 0
    for acknowledged in (1, 20, 150):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE,
                                  env={**os.environ, "PYTHONPATH": str(ROOT)})
        seen = [int(writer.stdout.readline()) for _ in range(acknowledged)]
        writer.send_signal(signal.SIGKILL)
        seen += [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
        writer.wait(10)
        store = open_store(file, sealer)
        found = [one.id for one in store.events(limit=100_000)][::-1]
        assert seen == list(range(last + 1, last + 1 + len(seen)))
        assert found[:seen[-1]] == list(range(1, seen[-1] + 1))
        assert store.integrity() == []
        last = found[-1]
        store.close()
