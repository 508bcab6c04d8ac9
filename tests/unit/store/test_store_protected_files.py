"""Rows of protected SQLite files."""

import pytest

from paas.errors import Conflict, NotFound
from paas.model.access import Actor

ROOT = Actor("root")


@pytest.fixture
def app(store):
    return store.create_app("hello", "10.89.0.0/25", ROOT)


def test_one_is_added_changed_and_deleted(store, app):
    made = store.add_protected_file(app.id, "ab" * 8, "main", "/data/app.db", "1000:1000", ROOT)
    assert (made.enabled, made.epoch, made.path, made.created_by) == (True, "", "/data/app.db", "root")
    assert store.update_protected_file(made.id, epoch="e1").epoch == "e1"
    changed = store.update_protected_file(made.id, enabled=False, owner="0:0")
    assert (changed.epoch, changed.enabled, changed.owner) == ("e1", False, "0:0")
    assert store.protected_files() == store.protected_files(app.id) == [changed]
    assert store.protected_file(app.id, "main") == changed
    store.delete_protected_file(made.id)
    with pytest.raises(NotFound):
        store.protected_file(app.id, "main")


def test_names_and_paths_are_unique_in_an_app(store, app):
    store.add_protected_file(app.id, "aa" * 8, "main", "/data/app.db", "0:0", ROOT)
    with pytest.raises(Conflict, match="named main"):
        store.add_protected_file(app.id, "bb" * 8, "main", "/data/other.db", "0:0", ROOT)
    with pytest.raises(Conflict, match="app.db is protected"):
        store.add_protected_file(app.id, "cc" * 8, "other", "/data/app.db", "0:0", ROOT)
    other = store.create_app("other", "10.89.0.128/25", ROOT)
    assert store.add_protected_file(other.id, "dd" * 8, "main", "/data/app.db", "0:0", ROOT).app_id == other.id


def test_they_go_with_their_app(store, app):
    store.add_protected_file(app.id, "aa" * 8, "main", "/data/app.db", "0:0", ROOT)
    store.delete_app(app.id)
    assert store.protected_files() == []


def test_the_last_drill_is_noted(store, app):
    made = store.add_protected_file(app.id, "ab" * 8, "main", "/data/app.db", "1000:1000", ROOT)
    assert (made.drilled_at, made.drill_to, made.drill_passed) == (None, None, None)
    store.note_file_drill(made.id, to=made.created_at, passed=True, seconds=1.5)
    passed = store.protected_file(app.id, "main")
    assert (passed.drill_to, passed.drill_passed, passed.drill_seconds) == (made.created_at, True, 1.5)
    assert passed.drilled_at >= made.created_at
    store.note_file_drill(made.id, to=None, passed=False, seconds=0.5, reason="no room")
    failed = store.protected_file(app.id, "main")
    assert (failed.drill_to, failed.drill_passed, failed.drill_reason) == (None, False, "no room")
    store.note_file_drill(4711, to=None, passed=True, seconds=1.0)     # it has gone meanwhile
