"""A restore and a drill on one machine: beside each other, or the drill gives way."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from paas.backups import room
from paas.backups.room import GaveWay, Room
from paas.backups.streams import silent
from paas.errors import NoSpace, ServiceError

MARKS = {"paas.drill": "1"}
MADE = SimpleNamespace(data_size=1000)   # needs 1300


class Machine:
    """What is left on it, and the one container of a drill; it is whole until somebody takes it away."""

    def __init__(self):
        self.free, self.left, self.room = 10**12, 10**12, Room()
        self.images = SimpleNamespace(free_bytes=lambda: self.free)
        self.host = SimpleNamespace(memory=lambda: self.left)
        self.containers, self.removed, self.done = self, threading.Event(), threading.Event()
        self.told = []

    def list(self, marks):
        return [SimpleNamespace(id="c1")] if marks == MARKS and not self.removed.is_set() else []

    def remove(self, container_id):
        self.removed.set()

    def drill(self):
        with room.for_drill(self, MADE, MARKS, silent):
            while not self.done.wait(0.01):
                if self.removed.is_set():
                    raise ServiceError("pg_restore was cut")

    def restore(self):
        with room.for_restore(self, MADE, lambda stage, size: self.told.append(stage)):
            return len(self.room.drills())


@pytest.fixture
def machine():
    return Machine()


@contextmanager
def at_work(machine):
    """A drill, which is under way."""
    with ThreadPoolExecutor(1) as pool:
        drilled = pool.submit(machine.drill)
        try:
            while not machine.room.drills():
                assert not drilled.done(), drilled.exception()
            yield drilled
        finally:
            machine.done.set()


def test_where_there_is_room_for_both_they_work_beside_each_other(machine):
    machine.free = 2 * 1300
    with at_work(machine) as drilled:
        assert machine.restore() == 1
        assert not drilled.done()
    assert drilled.result(5) is None
    assert (machine.told, machine.removed.is_set()) == ([], False)


@pytest.mark.parametrize("short", [{"free": 2 * 1300 - 1}, {"left": room.MEMORY - 1}])
def test_else_the_drill_has_ended_before_the_restore_begins(machine, short):
    with at_work(machine) as drilled:
        vars(machine).update(short)
        assert machine.restore() == 0
        assert isinstance(drilled.exception(5), GaveWay)
    assert machine.told == ["stopping a drill: there is no room for both"]


def test_a_drill_that_does_not_end_is_not_waited_for_for_ever_and_goes_no_further(machine, monkeypatch):
    monkeypatch.setattr(room, "STOP_SECONDS", 0.05)
    machine.left = 0
    with room.for_drill(machine, MADE, {}, silent) as told:
        told("reading", 1)
        assert machine.restore() == 1
        with pytest.raises(GaveWay):
            told("reading", 2)


def test_what_a_drill_finds_by_itself_is_told(machine):
    with pytest.raises(ServiceError), room.for_drill(machine, MADE, MARKS, silent):
        raise ServiceError("pg_restore failed")


def test_a_drill_does_not_begin_where_a_restore_needs_the_room(machine):
    machine.free = 2 * 1300 - 1
    with room.for_restore(machine, MADE, silent):
        with pytest.raises(GaveWay):
            machine.drill()
        assert machine.room.drills() == []
        machine.done.set()
        machine.free += 1
        machine.drill()
    machine.free = 1300
    machine.drill()                      # nothing is restored any more


@pytest.mark.parametrize("work", ["drill", "restore"])
def test_too_little_room_for_one_alone(machine, work):
    machine.free = 1299
    with pytest.raises(NoSpace, match="MB are free"):
        getattr(machine, work)()
    assert machine.room.drills() == machine.room.restores() == []
