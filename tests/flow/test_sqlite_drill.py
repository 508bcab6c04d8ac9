"""Drills of a streamed SQLite file: over fakes, but for Litestream, which makes the history and restores it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from paas.backups import keyring, sqlite_program
from paas.backups.room import ROOM
from paas.backups.spool import Spool
from paas.backups.sqlite_restore import layout
from paas.backups.sqlite_ship import Shipper
from paas.errors import BadInput, Conflict, Forged, NoSpace, ServiceError, StoreError
from paas.model.app import Mount
from paas.model.backup import Target
from paas.model.backup_layout import new_id
from paas.model.incident import Kind
from paas.model.sqlite import ProtectedFile
from paas.ops import backup_keys, doctor, night_watch, sqlite, sqlite_drill, sqlite_restore, sqlite_streams
from paas.ops.sqlite_restore import Scratch, work_labels
from paas.ops.sqlite_streams import Stream, Streams
from paas.ports import ContainerSpec
from paas.runtime import Runtime
from paas.testing.fake_objects import FakeObjects, FakeTargets
from tests.flow.over_fakes import ALICE, Flow, make_flow

LITESTREAM = str(Path(sys.executable).parent / "litestream")
HOUR, DAY = 3600.0, 86400.0


@pytest.fixture(scope="module")
def replica(tmp_path_factory) -> Path:
    """What Litestream wrote of a file that was written to in between."""
    root = tmp_path_factory.mktemp("replica")
    with sqlite3.connect(root / "app.db", isolation_level=None) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (junk BLOB)")
        words = json.loads(sqlite_program.config(str(root / "app.db")))
        words["dbs"][0]["meta-path"] = str(root / "meta")
        words["dbs"][0]["replica"]["path"] = str(root / "replica")
        (root / "litestream.yml").write_text(json.dumps(words))
        with (root / "log").open("wb") as log:
            argv = [LITESTREAM, "replicate", "-config", str(root / "litestream.yml"), "-no-expand-env"]
            process = subprocess.Popen(argv, env={}, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            for number in (1, 2):        # each is a transaction of its own
                db.execute("INSERT INTO t VALUES (randomblob(20000))")
                while len(list((root / "replica/ltx/0").glob("*.ltx"))) < number:
                    assert time.monotonic() < deadline, (root / "log").read_text()
                    time.sleep(0.05)
        finally:
            process.terminate()
            process.wait()
    return root / "replica"


@dataclass
class Files:
    """An app whose file is in the target."""

    flow: Flow
    uid: str

    @property
    def rt(self) -> Runtime:
        return self.flow.rt

    @property
    def file(self) -> ProtectedFile:
        return next(one for one in self.rt.store.protected_files() if one.uid == self.uid)

    @property
    def objects(self) -> FakeObjects:
        return self.rt.targets.open(Target("s3://bucket/paas"))

    def stored(self) -> list[str]:
        """What makes the newest state, in order."""
        state = sqlite_restore.wanted(self.rt, self.file, None, None)
        return [layout("server1", self.uid).pitr(state.epoch.id) + one.key for one in state.chain]

    def drill(self, **given) -> sqlite_drill.Drilled:
        return sqlite_drill.drill(self.rt, ALICE, self.flow.app(), "app", **given)

    def pass_time(self, seconds: float) -> None:
        self.flow.clock.passed += seconds
        sqlite_drill.hourly(self.rt)

    def left(self) -> list[str]:
        """Of drills: containers and directories."""
        return [*self.flow.containers.running(), *(one.id for one in self.flow.containers.list({})),
                *map(str, (self.rt.settings.state_dir / "sqlite").glob("*/*"))]

    def findings(self) -> list[str]:
        return [one.found for one in doctor.sqlite_files(self.rt) if one.id == "sqlite-drill"]


def ship(rt: Runtime, file: ProtectedFile, replica: Path) -> Shipper:
    target = sqlite_streams.target_of(rt, file)
    sqlite_streams.tell_target(rt, file, file.epoch, rt.clock.now(), "protected")
    keys = backup_keys.seal_keys(rt)
    place = layout(sqlite_streams.server_of(rt), file.uid).pitr(file.epoch)
    shipper = Shipper(Spool(replica), rt.targets.open(target), rt.sealing, keys, place)
    while shipper.tick() or shipper.tick(large=True):
        pass
    rt.streams._streams[file.id] = Stream(file, target, keys, shipper)
    return shipper


@pytest.fixture
def files(tmp_path, monkeypatch, replica) -> Files:
    flow = make_flow(tmp_path)
    rt = replace(flow.rt, targets=FakeTargets(flow.faults, flow.clock.now), streams=Streams())
    flow = replace(flow, rt=rt)
    rt.store.set_setting("server-id", "server1")
    rt.store.set_backup_target("", Target("s3://bucket/paas"))
    file = rt.store.add_protected_file(flow.app().id, "ab" * 8, "app", "/data/app.db",
                                       f"{os.getuid()}:{os.getgid()}", ALICE)
    file = rt.store.update_protected_file(file.id, epoch=new_id(rt.clock.now(), 1))
    ship(rt, file, replica)
    monkeypatch.setattr(sqlite_program, "ensure_image", lambda *words: "sha256:" + "1" * 64)
    monkeypatch.setattr(sqlite_program, "run", run_here)
    flow.faults.clear()
    return Files(flow, file.uid)


RUN = sqlite_program.run


def run_here(containers, spec: ContainerSpec, *words) -> None:
    """The program itself, where a container would see its mounts."""
    made = containers.create(spec)
    containers.start(made)
    argv = " ".join(spec.command[1:])
    for mount in spec.mounts:
        argv = argv.replace(mount.target, mount.source)
    done = subprocess.run([LITESTREAM, *argv.split()], env={}, capture_output=True, check=False)
    containers.remove(made)
    if done.returncode:
        raise ServiceError(f"litestream ended with {done.returncode}")


def test_the_newest_state_is_restored_checked_and_thrown_away(files):
    done = files.drill()
    assert (done.transactions, done.size % 4096) == (files.rt.streams.of(files.file).shipper.reach, 0)
    assert done.size > 40_000
    assert done.counted == (1, 2)       # not Litestream's own
    assert files.left() == []
    assert (files.file.drill_passed, files.file.drill_to) == (True, done.state_at)
    assert "passed in" in sqlite.info(files.rt, files.flow.app(), "app")["drill"]
    assert files.findings() == []
    assert files.rt.streams.of(files.file).same(files.file, Target("s3://bucket/paas"), backup_keys.seal_keys(files.rt))


def test_by_itself_after_an_hour_then_every_week(files):
    files.pass_time(HOUR - 60)
    assert files.file.drilled_at is None
    files.pass_time(60)
    first = files.file.drilled_at
    assert files.file.drill_passed
    files.pass_time(6.9 * DAY)
    assert files.file.drilled_at == first
    files.pass_time(0.1 * DAY)
    assert files.file.drilled_at > first
    assert [event.actor for event in files.rt.store.events() if event.verb == "sqlite:drill"] == ["paas", "paas"]


def test_not_of_what_is_not_streamed(files):
    files.rt.store.update_protected_file(files.file.id, enabled=False)
    files.pass_time(HOUR)
    assert files.file.drilled_at is None
    assert files.drill().size


def test_one_that_failed_is_tried_again_after_a_day_and_is_an_incident_until_it_passes(files):
    key = files.stored()[-1]
    files.objects.flip(key, 300)
    files.pass_time(HOUR)
    assert files.file.drill_passed is False
    assert files.findings() == [f"the newest drill of its history failed: {files.file.drill_reason}"]
    assert [row[1] for row in sqlite.protection(files.rt)] == ["failing"]
    night_watch.backups(files.rt)
    (incident,) = [one for one in files.rt.store.incidents() if one.kind is Kind.DRILL]
    assert (incident.object, incident.closed_at) == ("hello app", None)
    files.objects.flip(key, 300)
    failed = files.file.drilled_at
    files.pass_time(DAY - 60)
    assert files.file.drilled_at == failed
    files.pass_time(60)
    assert files.file.drill_passed
    night_watch.backups(files.rt)
    assert [one.closed_at is None for one in files.rt.store.incidents() if one.kind is Kind.DRILL] == [False]
    assert files.findings() == []


def test_one_that_is_old_proves_nothing(files):
    files.drill()
    files.flow.clock.passed += 46 * DAY
    assert files.findings() == ["no drill of its history for 46 days"]


def test_a_changed_object_is_found(files):
    files.objects.flip(files.stored()[0], 300)
    with pytest.raises(Forged):
        files.drill()
    assert files.file.drill_passed is False
    assert files.left() == []


def test_an_object_that_was_taken_away_is_found_though_what_is_left_is_a_whole_state(files):
    reach = f"-{files.rt.streams.of(files.file).shipper.reach:016x}-"
    files.objects.delete([key for key in files.objects.keys() if reach in key])
    with pytest.raises(Forged, match="lacks files"):
        files.drill()
    assert (files.file.drill_passed, files.findings()[0].count("lacks files")) == (False, 1)


@pytest.mark.parametrize("error", [ServiceError("litestream ended with 1: integrity check failed"), OSError("no")])
def test_damage_that_sqlite_finds_and_what_nobody_foresaw_are_noted(files, monkeypatch, error):
    def run(containers, spec, *words):
        raise error

    monkeypatch.setattr(sqlite_program, "run", run)
    with pytest.raises(type(error)):
        files.drill()
    assert files.file.drill_passed is False
    assert ("integrity" in files.file.drill_reason) == isinstance(error, ServiceError)
    assert files.left() == []


def test_a_check_that_does_not_end_is_ended(files, monkeypatch):
    monkeypatch.setattr(sqlite_program, "run", RUN)      # the fake's container runs until somebody stops it
    with pytest.raises(ServiceError, match="was not done after 30 minutes"):
        files.drill()
    assert "30 minutes" in files.file.drill_reason
    assert files.left() == []


def test_a_target_that_does_not_answer(files):
    files.flow.faults.fail_on("objects.read", 1, StoreError("the store does not answer"))
    files.pass_time(HOUR)
    assert (files.file.drill_passed, files.file.drill_reason) == (False, "the store does not answer")


class Small:
    """A machine with so much free disk."""

    def __init__(self, *free: float) -> None:
        self.free = list(free)

    def disk(self, path: Path) -> tuple[int, int]:
        return int(self.free.pop(0)), 10**12


@pytest.mark.parametrize("database", [False, True])
def test_room_is_looked_at_for_what_is_fetched_and_for_the_database(files, database):
    size = files.drill().size
    free = (10**12, size * ROOM - 1) if database else (1000,)
    object.__setattr__(files.rt, "host", Small(*free))
    with pytest.raises(NoSpace):
        files.drill()
    assert "MB are free" in files.file.drill_reason
    assert files.left() == []


def test_what_a_cut_one_left_goes_with_the_next_start(files):
    file = files.file
    scratch = Scratch(files.rt, file).__enter__()
    (scratch / "ltx").mkdir()
    files.flow.containers.create(ContainerSpec(name="paas-sqlite-restore-1", image="x", command=("x",),
                                               labels=work_labels(files.rt, file)))
    assert files.left()
    object.__setattr__(files.rt, "streams", Streams())
    try:
        files.rt.streams.supervise(files.rt)
        assert not list(scratch.parent.parent.glob("restore-*"))
        assert files.flow.containers.list({"paas.kind": "sqlite-work"}) == []
    finally:
        files.rt.streams.end()
    files.pass_time(HOUR)                # nothing was noted of it: it is due again
    assert files.file.drill_passed


def test_a_server_without_its_identity_makes_none_and_says_so(files):
    identity = keyring.keyring(files.rt).require_identity()
    keyring.forget_identity(files.rt, keyring.keyring(files.rt).word)
    files.pass_time(HOUR)
    assert files.file.drilled_at is None
    assert "write-only" in sqlite.info(files.rt, files.flow.app(), "app")["drill"]
    with pytest.raises(BadInput, match="write-only"):
        files.drill()
    assert files.file.drilled_at is None
    files.drill(key=identity)
    files.flow.clock.passed += 46 * DAY
    assert (files.file.drill_passed, files.findings()) == (True, [])


def test_meanwhile_nothing_deletes_in_its_history(files, monkeypatch):
    seen = []

    def run(containers, spec, *words):
        with pytest.raises(Conflict):
            sqlite.unprotect(files.rt, files.flow.app(), "app", purge=True)
        monkeypatch.setattr(sqlite, "clean_file", lambda rt, file: seen.append(file) or 0)
        sqlite.clean(files.rt)
        with pytest.raises(Conflict):
            files.drill()
        run_here(containers, spec)

    monkeypatch.setattr(sqlite_program, "run", run)
    files.drill()
    assert seen == []
    sqlite.clean(files.rt)
    assert len(seen) == 1


@pytest.fixture
def data(files, tmp_path, monkeypatch) -> Path:
    """The app's mount, in which nothing is yet."""
    place = tmp_path / "data"
    place.mkdir()
    mount = Mount(0, files.flow.app().id, str(place), "/data")
    look = SimpleNamespace(at=lambda path: None, link=lambda directory, given: None)
    monkeypatch.setattr(sqlite_restore, "mount_of", lambda *words: mount)
    monkeypatch.setattr(sqlite_restore, "Look", lambda *words: nullcontext(look))
    return place


def rows(database: Path) -> int:
    with closing(sqlite3.connect(database)) as db:
        return db.execute("SELECT count(*) FROM t").fetchone()[0]


def test_a_restore_is_made_while_a_drill_works(files, data, monkeypatch):
    def run(containers, spec, *words):
        monkeypatch.setattr(sqlite_program, "run", run_here)
        sqlite_restore.restore(files.rt, files.flow.app(), "app", into="/data/old.db", say=files.flow.lines.append)
        run_here(containers, spec)

    monkeypatch.setattr(sqlite_program, "run", run)
    assert files.drill().counted == (1, 2)
    assert rows(data / "old.db") == 2


@pytest.mark.parametrize("in_place", [False, True])
def test_nothing_deletes_in_a_history_that_is_being_restored(files, data, monkeypatch, in_place):
    seen, app = [], files.flow.app()

    def run(containers, spec, *words):
        with pytest.raises(Conflict, match="a restore of hello app"):
            sqlite.unprotect(files.rt, app, "app", purge=True)
        sqlite.clean(files.rt)
        run_here(containers, spec)

    monkeypatch.setattr(sqlite, "clean_file", lambda rt, file: seen.append(file) or 0)
    monkeypatch.setattr(sqlite_program, "run", run)
    monkeypatch.setattr(sqlite_restore.ps, "stop", lambda *words: None)
    monkeypatch.setattr(sqlite_restore.ps, "start", lambda *words: None)
    monkeypatch.setattr(files.rt.streams, "restart", lambda *words: None)
    if in_place:
        sqlite_restore.restore_in_place(files.rt, app, "app", ALICE, say=files.flow.lines.append)
    else:
        sqlite_restore.restore(files.rt, app, "app", into="/data/app.db", say=files.flow.lines.append)
    assert (rows(data / "app.db"), seen) == (2, [])
    sqlite.clean(files.rt)
    assert len(seen) == 1


def test_an_app_that_is_destroyed_meanwhile_leaves_no_row(files, monkeypatch):
    def run(containers, spec, *words):
        files.rt.store.delete_app(files.flow.app().id)
        raise ServiceError("it was taken away")

    monkeypatch.setattr(sqlite_program, "run", run)
    with pytest.raises(ServiceError):
        files.drill()
    assert files.rt.store.protected_files() == []


def test_it_waits_for_a_retention_that_is_under_way(files, monkeypatch):
    begun = []

    def clean_file(rt, file):
        begun.append(pool.submit(files.drill))
        with pytest.raises(TimeoutError):
            begun[0].result(0.2)
        return 0

    monkeypatch.setattr(sqlite, "clean_file", clean_file)
    with ThreadPoolExecutor(1) as pool:
        sqlite.clean(files.rt)
    assert begun[0].result().counted == (1, 2)
