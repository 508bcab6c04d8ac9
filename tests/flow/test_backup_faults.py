"""A fault at every call of a backup: no manifest whose restore differs, rows and target of one opinion, nothing left.

The calls are read off one run without faults, so a new call is covered the day it is written.
"""

import contextlib

import pytest

from paas.backups import drill
from paas.errors import EngineError, PaasError, ServiceError, StoreError
from paas.model.backup import BackupState
from paas.ops import backup_due
from paas.testing.faults import Crash
from tests.flow.backup_world import make_backups
from tests.flow.over_fakes import ALICE

ERRORS = {"objects": StoreError("the store is gone"), "data": ServiceError("the datastore is gone"),
          "containers": EngineError("Docker is gone"), "store": PaasError("the database is locked"),
          "images": EngineError("Docker is gone")}
AFTER = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


def with_one(tmp_path):
    """There is a good backup, and the data have changed since."""
    made = make_backups(tmp_path)
    made.backup()
    made.tables["notes"].append([3, "c"])
    made.pass_time(10, tick=False)
    made.faults.clear()
    return made


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    made = with_one(tmp_path_factory.mktemp("calls"))
    made.backup()
    found = made.faults.points()
    names = {name for name, _ in found}
    assert {"data.facts", "data.dump", "data.read", "data.contents", "objects.upload", "objects.write",
            "objects.commit", "objects.chunk", "objects.put", "objects.get", "objects.delete", "objects.list",
            "store.add_backup", "store.move_backup", "containers.state"} - names <= {"objects.delete"}
    return list(thinned(found))


def thinned(points):
    """Of many equal calls the first two, one in the middle, and the last two."""
    last = dict(points)
    for name, nth in points:
        if nth <= 2 or nth == last[name] // 2 or nth >= last[name] - 1:
            yield name, nth


def check(made, point, before, now):
    """Also: what was good stays good and holds what it held; the next backup is good."""
    made.faults.clear()
    backup_due.tick(made.rt)
    backup_due.begin(made.rt)
    made.consistent(point)
    rows = [row for row in made.rows() if row.good]
    held = [made.content_of(row) for row in rows]
    assert held[-1] == before, point
    assert held[:-1] in ([], [now]), point
    made.pass_time(10, tick=False)
    made.backup()
    made.consistent(point)
    assert made.content_of(made.rows()[0]) == now, point


@AFTER
def test_an_error_at_any_call(points, tmp_path, after):
    for number, (name, nth) in enumerate(points):
        made = with_one(tmp_path / str(number))
        before = made.content_of(made.rows()[0])
        made.faults.fail_on(name, nth, ERRORS[name.partition(".")[0]], after=after)
        with contextlib.suppress(PaasError):
            made.backup()
        check(made, (name, nth), before, dict(made.tables))


@AFTER
def test_a_daemon_that_dies_at_any_call(points, tmp_path, after):
    for number, (name, nth) in enumerate(points):
        made = with_one(tmp_path / str(number))
        before = made.content_of(made.rows()[0])
        made.faults.clear()
        made.die_at(name, nth, after)
        with contextlib.suppress(Crash):
            made.backup()
        reborn = made.restarted()
        reborn.faults.clear()
        backup_due.begin(reborn.rt)
        check(reborn, (name, nth), before, dict(reborn.tables))


# --- drills --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drill_points(tmp_path_factory):
    made = with_one(tmp_path_factory.mktemp("calls"))
    prove(made)
    found = made.faults.points()
    assert {"store.begin_drill", "store.end_drill", "objects.read", "objects.chunk", "containers.create", "data.load",
            "objects.put", "containers.remove"} <= {name for name, _ in found}
    return list(thinned(found))


def prove(made):
    drill.run(made.rt, made.rows()[0], ALICE, progress=lambda stage, size: None)


def check_drill(made, point):
    """No error of a port takes a backup out of the good ones; nothing is left over; the next drill passes."""
    made.faults.clear()
    backup_due.begin(made.rt)
    if point[0] == "data.load" and not made.rows()[0].good:
        made.backup()                    # what its own program cannot load is none
    assert made.rows()[0].good, point
    assert all(one.passed is not None for one in made.rt.store.drills(made.uid)), point
    prove(made)
    assert made.rows()[0].state is BackupState.DRILLED, point
    assert made.rt.containers.list({"paas.kind": "drill"}) == [], point
    assert not [name for name in made.rt.containers.volumes() if "drill" in name], point
    if point[0] != "data.load":
        made.consistent(point)


@AFTER
def test_an_error_at_any_call_of_a_drill(drill_points, tmp_path, after):
    for number, (name, nth) in enumerate(drill_points):
        made = with_one(tmp_path / str(number))
        made.faults.fail_on(name, nth, ERRORS[name.partition(".")[0]], after=after)
        with contextlib.suppress(PaasError):
            prove(made)
        check_drill(made, (name, nth))


@AFTER
def test_a_daemon_that_dies_at_any_call_of_a_drill(drill_points, tmp_path, after):
    for number, (name, nth) in enumerate(drill_points):
        made = with_one(tmp_path / str(number))
        made.die_at(name, nth, after)
        with contextlib.suppress(Crash):
            prove(made)
        check_drill(made.restarted(), (name, nth))
