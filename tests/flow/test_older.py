"""Yesterday's database in the place of today's (X27): seen, told, and nothing is removed or made until one decides."""

import sqlite3
from dataclasses import replace

import pytest

from paas.adapters.sealing import Sealer
from paas.daemon import background
from paas.errors import StateError
from paas.ops import doctor
from paas.ops.older import Older
from paas.ops.reconcile import reconcile
from paas.store import open_store
from tests.unit.cli.desk import Desk


@pytest.fixture
def yesterday(flow, tmp_path):
    """v1 is in the database, v2 runs."""
    flow.rt = replace(flow.rt, store=open_store(tmp_path / "paas.db", Sealer(b"k" * 32), flow.clock.now))
    flow.rt.store.set_setting("global-domain", "apps.example.com")
    flow.deploy("one")
    with sqlite3.connect(tmp_path / "old.db") as copy, sqlite3.connect(tmp_path / "paas.db") as now:
        now.backup(copy)
    flow.deploy("two")
    flow.deploy("three")
    flow.rt.store.close()
    store = open_store(tmp_path / "old.db", Sealer(b"k" * 32), flow.clock.now)
    flow.rt = replace(flow.rt, store=store, older=Older())
    flow.tips.clear()
    return flow


def test_nothing_is_removed(yesterday):
    running, images = yesterday.containers.running(), len(yesterday.images.list({}))
    assert "paas-instance-3" in running
    for _ in range(2):
        (found,) = reconcile(yesterday.rt)
        assert (found.kind, bool(found.error)) == ("database-older", True)
        assert "paas-instance-3" in found.found
    assert yesterday.containers.running() == running
    assert len(yesterday.images.list({})) == images
    assert reconcile(yesterday.rt, app=yesterday.app())[0].kind == "database-older"


def test_it_is_told_and_changes_are_refused(yesterday):
    desk, running = Desk(yesterday), yesterday.containers.running()
    assert desk.run("reconcile --dry-run").code == 1
    (found,) = [one for one in doctor.examine(yesterday.rt) if one.id == "database-older"]
    assert (found.severity, "--accept-older-database" in found.fix) == ("error", True)
    assert desk.run("config:set hello A=1").code == StateError.exit_code
    assert desk.run("apps:destroy hello --confirm hello").code == StateError.exit_code
    assert desk.run("cleanup").code == StateError.exit_code
    assert yesterday.push(yesterday.commit({"index.html": b"four"})) != 0
    assert "older than what runs" in yesterday.lines.text
    assert desk.ok("apps:list").text
    assert yesterday.containers.running() == running


def test_the_daemon_makes_and_removes_nothing_meanwhile(yesterday):
    assert background.clean_once in background.MAKING
    yesterday.rt.older.look(yesterday.rt)
    did = []
    stop = background.Background()

    def work(rt):
        did.append(rt)
        stop.set()

    allowed = {*background.MAKING, work}
    background.MAKING, before = frozenset(allowed), background.MAKING
    try:
        stop.wait = lambda seconds: stop.set()
        background.repeat(yesterday.rt, stop, work, 0)
    finally:
        background.MAKING = before
    assert did == []


def test_a_person_may_say_that_it_counts(yesterday):
    desk = Desk(yesterday)
    desk.ok("reconcile --accept-older-database")
    assert yesterday.containers.running() == ["paas-instance-1"]
    assert reconcile(yesterday.rt) == []
    assert yesterday.router.pointed(1)
    yesterday.tips[1, "main"] = yesterday.rt.store.live_release(1).commit
    yesterday.deploy("four")
    assert "paas-instance-4" in yesterday.containers.running()           # 2 and 3 were others


def test_the_right_database_and_all_is_well(yesterday, tmp_path):
    reconcile(yesterday.rt)
    yesterday.rt.store.close()
    yesterday.rt = replace(yesterday.rt, store=open_store(tmp_path / "paas.db", Sealer(b"k" * 32), yesterday.clock.now))
    assert [one for one in reconcile(yesterday.rt) if one.kind == "database-older"] == []
    Desk(yesterday).ok("config:set hello A=1")
    assert [name for name in yesterday.containers.running() if name > "paas-instance-3"]


def test_a_destroyed_app_is_no_newer_one(flow):
    flow.deploy("one")
    flow.deploy("other", app="other")
    Desk(flow).ok("apps:destroy other --confirm other")
    assert reconcile(flow.rt) == []


def test_images_of_no_app_go(flow):
    flow.deploy("one")
    flow.deploy("other", app="other")
    flow.rt.store.delete_app(flow.app("other").id)
    kinds = [one.kind for one in reconcile(flow.rt)]
    assert "image-unknown" in kinds
    assert [dict(one.labels)["paas.app"] for one in flow.images.list({})] == ["1"]
    assert reconcile(flow.rt) == []


def findings(flow):
    return {one.id: one for one in doctor.examine(flow.rt)}


def test_doctor_names_what_reconcile_cannot_make_anew(flow, tmp_path):
    """X26: an image, a mounted directory, a volume."""
    flow.deploy("one")
    home = tmp_path / "kept"
    home.mkdir()
    flow.rt.store.add_mount(1, str(home), "/data", False)
    assert {"image-missing", "data-missing", "volume-unknown"} & findings(flow).keys() == set()
    home.rmdir()
    flow.containers.ensure_volume("paas-data-x-1", {"paas.uid": "x"})
    live = flow.rt.store.live_release(1)
    for container in flow.containers.list({}):
        flow.containers.remove(container.id)
    flow.images.remove(live.image)
    found = findings(flow)
    assert found["data-missing"].expected == f"the directory {home}"
    assert found["image-missing"].fix == "paas ps:rebuild hello, or push again"
    assert found["volume-unknown"].object == "paas-data-x-1"
    assert "paas-data-x-1" in flow.containers.volumes()
