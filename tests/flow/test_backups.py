"""Ways to a worthless backup that looks good: each is refused, recorded, and leaves the good ones alone.

The last part shows what a plain pipeline makes of the same faults.
"""

import io
import subprocess
from dataclasses import replace
from datetime import timedelta

import pytest

from paas.backups import catalog, drill, keyring, leftovers, pipeline
from paas.errors import BadInput, Conflict, Forged, NotFound, PaasError, ServiceError, StoreError
from paas.model.backup import BackupState, Trigger
from paas.model.backup_layout import Layout
from paas.model.backup_manifest import read_manifest, write_manifest
from paas.model.retention import Policy
from paas.ops import backup_due, backups
from paas.secret import Secret
from tests.flow.backup_world import PADDING, dumped, make_backups
from tests.flow.over_fakes import ALICE

QUIET = {"progress": lambda stage, size: None, "say": lambda line: None}


@pytest.fixture
def made(tmp_path):
    """One good backup; the data have changed since."""
    found = make_backups(tmp_path)
    found.backup()
    found.tables["notes"].append([3, "c"])
    found.pass_time(10, tick=False)
    return found


def prove(made, row=None):
    return drill.run(made.rt, row or backups.newest_good(made.rt, made.service), ALICE, **QUIET)


def refused(made, kind, words, **given):
    """Neither a row that says good nor anything in the target; the backup before is whole. The row's reason."""
    before = [row.id for row in made.rows() if row.good]
    with pytest.raises(kind, match=words):
        made.backup(**given)
    made.consistent()
    newest = made.rows()[0]
    assert (newest.state, newest.good) == (BackupState.FAILED, False)
    assert words in newest.reason
    assert [row.id for row in made.rows() if row.good] == before
    assert made.content_of(backups.newest_good(made.rt, made.service))["notes"] == [[1, "a"], [2, "b"]]
    assert [one for one in made.rt.store.events(limit=5) if one.result == "failed"]
    codes = [one.code for one in backup_due.findings(made.rt, made.service)]
    assert codes[0] == "failed"
    return newest.reason


# --- the dump ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 20, 4096, 500_000, 1_100_000])
def test_a_dump_that_is_cut(made, size):
    made.memory.cut = size
    refused(made, ServiceError, "exit code 137")


def test_a_dump_without_a_byte(made, monkeypatch):
    monkeypatch.setattr("tests.flow.backup_world.Frozen.dump", lambda self: Nothing())
    refused(made, ServiceError, "the dump is empty")


class Nothing:
    def read(self, size=-1):
        return b""


def test_a_datastore_that_does_not_run(made):
    made.flow.containers.crash(made.service.container_id, 1)
    refused(made, ServiceError, "does not run")


def test_data_that_vanished(made):
    made.tables.clear()
    refused(made, ServiceError, "it is empty, though the backup")
    row = made.backup(allow_empty=True)
    assert row.good
    assert made.content_of(row) == {}


def test_an_error_that_nobody_foresaw_is_recorded_too(made):
    made.faults.fail_on("data.read", 1, ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        made.backup()
    made.consistent()
    assert made.rows()[0].reason == "internal error: ValueError"


# --- the store -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["flip", "cut", "other"])
def test_a_store_that_says_yes_and_has_something_else(made, monkeypatch, damage):
    """Its sizes are right (but for the cut), its answers are 200."""
    objects = made.objects
    store = objects._store

    def lying(key, data, new=False):
        store(key, data, new)
        if "/data/" in key:
            {"flip": lambda: objects.flip(key, len(data) // 2), "cut": lambda: objects.cut(key, len(data) - 1),
             "other": lambda: store(key, bytes(len(data)))}[damage]()

    monkeypatch.setattr(objects, "_store", lying)
    refused(made, StoreError, "something else than it was given")


def test_a_store_that_is_gone_is_cleaned_up_when_it_is_back(made, monkeypatch):
    """It cannot be asked to forget what it has: so that is done after the next good backup."""
    gone = StoreError("it cannot be reached")
    for name, nth in (("objects.chunk", 1), ("objects.delete", 1)):
        made.faults.fail_on(name, nth, gone)
    with pytest.raises(StoreError):
        made.backup()
    assert made.rows()[0].reason == "it cannot be reached" + leftovers.LEFT
    made.pass_time(10, tick=False)
    made.backup()
    made.consistent()
    assert [row.reason for row in made.rows()] == ["", "it cannot be reached", ""]


def test_a_manifest_whose_answer_was_lost_is_a_backup(made):
    """The put fails twice over: it was done, its answer is lost, and then nothing answers for a while."""
    made.faults.clear()
    made.backup()
    calls = made.faults.calls
    gets = calls[:calls.index("objects.put")].count("objects.get")
    made.pass_time(10, tick=False)
    made.faults.clear()
    made.faults.fail_on("objects.put", 1, StoreError("no answer"), after=True)
    made.faults.fail_on("objects.get", gets + 1, StoreError("no answer"))
    made.faults.fail_on("objects.delete", 1, StoreError("no answer"))
    with pytest.raises(StoreError):
        made.backup()
    lost = made.rows()[0]
    made.faults.clear()
    assert lost.reason == "no answer" + leftovers.LEFT
    made.pass_time(10, tick=False)
    made.backup()
    made.consistent()
    found = made.rt.store.backup(lost.id)
    assert (found.state, found.reason) == (BackupState.READ_BACK, "")
    assert made.content_of(found) == made.tables


# --- two at once ---------------------------------------------------------------------------------------------------


def test_the_second_of_two_is_refused_and_the_first_is_whole(made):
    refusals = []

    def meanwhile():
        made.memory.during = lambda: None
        with pytest.raises(Conflict, match="already under way: a backup of mem db") as caught:
            made.backup()
        refusals.append(caught.value.exit_code)

    made.memory.during = meanwhile
    row = made.backup()
    assert refusals == [4]
    assert made.content_of(row) == made.tables
    made.consistent()


# --- what lies in the bucket ---------------------------------------------------------------------------------------


def key_of(made, end):
    return next(key for key in reversed(made.objects.keys()) if key.endswith(end))


@pytest.mark.parametrize("where", [0, 10, 30, 100, 180, 220, 0.1, 0.3, 0.5, 0.7, 0.9, -16, -1])
def test_a_bit_of_the_data_that_flipped(made, where):
    row, key = made.rows()[0], key_of(made, "dump.000.zst.age")
    offset = int(where * row.size) if isinstance(where, float) else where % row.size
    made.objects.flip(key, offset, offset % 8)
    with pytest.raises(Forged):
        prove(made)
    assert made.rt.store.backup(row.id).state is BackupState.FAILED
    assert backup_due.findings(made.rt, made.service)[0].code in ("failed", "drill-failed")
    with pytest.raises(NotFound, match="no good backup"):
        prove(made)


@pytest.mark.parametrize("keep", [0.0, 0.25, 0.5, 0.99])
def test_data_that_were_cut(made, keep):
    row, key = made.rows()[0], key_of(made, "dump.000.zst.age")
    made.objects.cut(key, int(row.size * keep))
    with pytest.raises(Forged):
        prove(made)
    assert made.rt.containers.list({"paas.kind": "drill"}) == []
    assert not [name for name in made.rt.containers.volumes() if "drill" in name]


def test_a_bit_of_a_manifest_at_any_place(made):
    key = key_of(made, "manifest.json")
    whole = made.objects.get(key)
    for offset in range(0, len(whole), 7):
        made.objects.put(key, whole)
        made.objects.flip(key, offset, offset % 7)
        [stored] = made.listing().backups
        assert stored.verdict in (catalog.Verdict.FORGED, catalog.Verdict.UNPROVEN), offset
        with pytest.raises(Forged):
            backups.from_target(made.rt, ALICE, stored.id, "copy", identity=None, **QUIET)
    assert [one.name for one in made.rt.store.services()] == ["db"]


def test_data_of_another_backup_in_its_place(made):
    """Both are ours, both open with our key."""
    second = made.backup()
    keys = [key for key in made.objects.keys() if key.endswith(".age")]
    made.objects.put(keys[1], made.objects.get(keys[0]))
    with pytest.raises(Forged, match="not what the manifest says"):
        prove(made, second)


def test_a_manifest_put_back_under_another_id_or_service(made):
    row = made.rows()[0]
    text = made.objects.get(key_of(made, "manifest.json"))
    other_id = "20260101T003000Z-00000000"
    other_service = Layout("server1", "mem", "ffffffffffff")
    made.objects.put(made.layout.manifest(other_id), text)
    made.objects.put(other_service.manifest(row.id), text)
    found = {(one.layout.uid, one.id): one.verdict for one in made.listing().backups}
    assert found.pop((made.uid, row.id)) is catalog.Verdict.GOOD
    assert set(found.values()) == {catalog.Verdict.FORGED}
    with pytest.raises(Forged, match="nothing proves"):
        backups.from_target(made.rt, ALICE, other_id, "copy", identity=None, **QUIET)


@pytest.mark.parametrize("mac", ["none", "other key", "our key's name"])
def test_a_backup_that_somebody_planted(made, mac):
    """Sealed for our own key, which everybody may know."""
    row, manifest = made.rows()[0], read_manifest(made.rows()[0].manifest.encode(), ()).manifest
    planted = replace(manifest, id="20260101T004000Z-00000000")
    ours, (identity, recipient) = keyring.keyring(made.rt).mac, made.rt.sealing.new_identity()
    theirs = keyring.identity_key(identity, recipient)
    if mac == "our key's name":
        theirs = replace(theirs, name=ours.name)
    text = write_manifest(planted, theirs)
    if mac == "none":
        text = text.replace(b'"mac":', b'"cam":')
    made.objects.put(made.layout.manifest(planted.id), text)
    with pytest.raises(Forged, match="nothing proves"):
        backups.from_target(made.rt, ALICE, planted.id, "copy", identity=None, **QUIET)
    done = backups.pruned(made.rt, made.service)
    assert "in doubt" in done.stopped
    assert row.id in {one.id for one in made.rows() if one.good}


def test_the_wrong_identity_says_nothing_of_the_backup(made):
    row = made.rows()[0]
    identity, _ = made.rt.sealing.new_identity()
    with pytest.raises(BadInput, match="not sealed for that identity"):
        drill.run(made.rt, row, ALICE, identity=identity, **QUIET)
    assert made.rt.store.backup(row.id).good


def test_data_sealed_anew_for_somebody_else(made):
    key = key_of(made, "dump.000.zst.age")
    _, recipient = made.rt.sealing.new_identity()
    upload = made.objects.upload(key)
    made.rt.sealing.seal(made.objects.read(key), upload, [recipient])
    upload.commit()
    with pytest.raises(Forged):
        prove(made)


# --- drills --------------------------------------------------------------------------------------------------------


def test_a_drill_that_finds_other_content_takes_the_backup_out_of_the_good_ones(made):
    first = made.rows()[0]
    second = made.backup()
    made.memory.lie = True
    with pytest.raises(Forged, match="notes has 2 rows instead of 3|notes"):
        prove(made, second)
    made.memory.lie = False
    assert made.rt.store.backup(second.id).state is BackupState.FAILED
    assert backups.newest_good(made.rt, made.service).id == first.id
    assert {one.code for one in backup_due.findings(made.rt, made.service)} >= {"failed", "drill-failed"}
    [drilled] = made.rt.store.drills(made.uid)
    assert drilled.passed is False
    [stored] = [one for one in made.listing().backups if one.id == second.id]
    assert stored.state is BackupState.FAILED            # for every other machine, too


def test_a_dump_that_ended_well_and_cannot_be_loaded(made, monkeypatch):
    """Twenty bytes and exit code 0: only a restore finds that."""
    monkeypatch.setattr("tests.flow.backup_world.Frozen.dump",
                        lambda self: io.BytesIO(made.rt.sealing.compress(io.BytesIO(b"not a dump at all...")).read()))
    second = made.backup()
    monkeypatch.setattr(made.memory, "load", unreadable)
    with pytest.raises(Forged, match="cannot be restored: pg_restore failed"):
        prove(made, second)
    assert made.rt.store.backup(second.id).state is BackupState.FAILED
    assert backups.newest_good(made.rt, made.service).id != second.id


def unreadable(shell, service, write):
    write(io.BytesIO())
    raise ServiceError("pg_restore failed with exit code 1: input file is too short")


def test_a_drill_whose_container_dies_says_nothing_of_the_backup(made, monkeypatch):
    def out_of_memory(shell, service, write):
        made.flow.containers.crash(service.container_id, 137)
        raise ServiceError("pg_restore was cut")

    monkeypatch.setattr(made.memory, "load", out_of_memory)
    with pytest.raises(ServiceError):
        prove(made)
    assert made.rows()[0].good


def test_a_drill_that_could_not_be_made_says_nothing_of_the_backup(made):
    row = made.rows()[0]
    made.flow.images.free = 10
    with pytest.raises(PaasError, match="MB are free"):
        prove(made)
    assert made.rt.store.backup(row.id).good
    assert made.rt.store.drills(made.uid)[0].passed is False


def test_a_restore_that_fails_leaves_nothing(made):
    made.memory.lie = True
    with pytest.raises(Forged):
        backups.restored(made.rt, ALICE, made.rows()[0], "copy", identity=None, **QUIET)
    assert [one.name for one in made.rt.store.services()] == ["db"]
    assert len(made.rt.containers.volumes()) == 1


def test_a_proof_is_noted_where_other_machines_see_it(made):
    prove(made)
    [stored] = made.listing().backups
    assert stored.state is BackupState.DRILLED
    assert made.rows()[0].state is BackupState.DRILLED


# --- clocks and retention ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400), timedelta(minutes=6)])
def test_a_clock_that_jumped_deletes_nothing(made, jump):
    """The machine's clock moves, the store's does not."""
    backups.set_retention(made.rt, made.service, Policy(keep_last=1))
    made.flow.clock.passed += jump.total_seconds()
    made.objects.skew = -jump
    row = made.backup()
    assert row.good
    assert [one.good for one in made.rows()] == [True, True]
    assert backups.pruned(made.rt, made.service, force=True).stopped


def test_retention_deletes_when_the_clocks_agree(made):
    backups.set_retention(made.rt, made.service, Policy(keep_last=1))
    made.backup()
    made.backup()
    assert [row.state for row in made.rows()][2] is BackupState.DELETED
    made.consistent()


# --- keys ----------------------------------------------------------------------------------------------------------


def test_a_server_without_the_identity_backs_up_and_a_new_one_with_it_restores(made):
    keys = keyring.keyring(made.rt)
    identity = Secret(keys.identity.reveal())
    keyring.forget_identity(made.rt, keys.word)
    row = made.backup()
    with pytest.raises(BadInput, match="keeps no identity"):
        prove(made)
    drill.run(made.rt, row, ALICE, identity=identity, **QUIET)
    assert made.rt.store.backup(row.id).state is BackupState.DRILLED


# --- the plain pipeline, for comparison ----------------------------------------------------------------------------


def test_the_plain_pipeline_calls_all_of_these_good(tmp_path):
    """``dump | zstd > file`` in dash: exit code 0 and a whole zstd frame, whatever became of the dump."""
    whole = tmp_path / "dump"
    whole.write_bytes(dumped({"notes": [[1, "a"]]}, PADDING))
    for name, dump in (("cut", f"head -c 500000 {whole}; exit 137"), ("nothing", "exit 1"), ("killed", "kill -9 $$")):
        script = f"sh -c '{dump}' | zstd -q > {tmp_path}/{name}.zst"
        assert subprocess.run(["dash", "-c", script]).returncode == 0, name
        assert subprocess.run(["zstd", "-t", "-q", str(tmp_path / f"{name}.zst")]).returncode == 0, name


def test_stages_are_those_of_the_states(made, monkeypatch):
    seen = []
    move = made.rt.store.store.move_backup
    monkeypatch.setattr(made.rt.store.store, "move_backup",
                        lambda backup_id, state, **given: (seen.append(str(state)), move(backup_id, state, **given))[1])
    pipeline.make(made.rt, made.service, Trigger.MANUAL)
    assert seen == ["dumped", "sealed", "uploaded", "read-back"]
