"""Somebody restores while the platform makes a drill: over fakes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from paas.backups import drill, in_place
from paas.backups.room import GaveWay
from paas.errors import ServiceError
from paas.model.backup import BackupState
from paas.ops import backup_due, backups
from tests.flow.backup_world import make_backups
from tests.flow.over_fakes import ALICE

QUIET = {"progress": lambda stage, size: None, "say": lambda line: None}


class Drilling:
    """The newest backup is being loaded by a drill, until ``over`` or its container is taken away."""

    def __init__(self, made, pool, monkeypatch):
        self.made, self.load = made, made.memory.load
        self.inside, self.over = threading.Event(), threading.Event()
        monkeypatch.setattr(made.memory, "load", self.loaded)
        self.done = pool.submit(drill.run, made.rt, backups.newest_good(made.rt, made.service), ALICE, **QUIET)
        assert self.inside.wait(30), self.done.exception()

    def loaded(self, shell, service, write):
        if service.settings.get("scratch"):
            self.inside.set()
            while not self.over.wait(0.01):
                if not self.made.rt.containers.list({"paas.kind": "drill"}):
                    raise ServiceError("pg_restore was cut")
        self.load(shell, service, write)


@pytest.fixture
def made(tmp_path):
    """One good backup, which has two notes of three."""
    found = make_backups(tmp_path, host=SimpleNamespace(memory=lambda: 10**12, machine=lambda: "m1"))
    found.memory.padding = 1000
    found.backup()
    found.tables["notes"].append([3, "c"])
    return found


@pytest.fixture
def drilling(made, monkeypatch):
    with ThreadPoolExecutor(1) as pool:
        found = Drilling(made, pool, monkeypatch)
        yield found
        found.over.set()


def restore(made):
    """Into a new service; its notes."""
    service = backups.restored(made.rt, ALICE, backups.newest_good(made.rt, made.service), "copy", identity=None,
                               **QUIET)
    return made.memory.tables(service)["notes"]


def test_a_backup_is_restored_while_it_is_drilled(made, drilling):
    assert restore(made) == [[1, "a"], [2, "b"]]
    assert not drilling.done.done()
    drilling.over.set()
    assert drilling.done.result(30).passed


def test_without_room_for_both_the_drill_is_not_made_now_but_later(made, drilling):
    made.flow.images.free = 2000         # each needs 1,300 bytes
    assert restore(made) == [[1, "a"], [2, "b"]]
    assert isinstance(drilling.done.exception(30), GaveWay)
    assert made.rt.store.drills() == []
    assert made.rows()[0].state is BackupState.READ_BACK
    assert not [one for one in made.rt.store.events() if one.verb == "backups:drill"]
    assert [name for name in made.rt.containers.volumes() if "drill" in name] == []
    drilling.over.set()
    made.pass_time(1)
    assert made.rows()[0].state is BackupState.DRILLED


def test_none_begins_by_itself_meanwhile(made, monkeypatch):
    seen, load = [], made.memory.load

    def loaded(shell, service, write):
        seen.append(backup_due.drill_due(made.rt, made.service))
        load(shell, service, write)

    assert backup_due.drill_due(made.rt, made.service)
    monkeypatch.setattr(made.memory, "load", loaded)
    restore(made)
    assert seen == [False]
    assert backup_due.drill_due(made.rt, made.service)


def test_a_restore_in_place_does_not_wait_for_it_with_its_safety_backup(made, drilling):
    stored = drill.stored_of(made.rt, made.rows()[0], None)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(in_place.put_back, made.rt, made.service, stored, **QUIET)
        try:
            before = asked.result(30)
        finally:
            drilling.over.set()
    assert made.content_of(before)["notes"] == [[1, "a"], [2, "b"], [3, "c"]]
    assert made.tables["notes"] == [[1, "a"], [2, "b"]]
