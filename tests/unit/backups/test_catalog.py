"""The catalog of a target: commit, list without a database, delete, garbage, owner."""

from dataclasses import replace
from datetime import timedelta

import pytest

from paas.adapters.objects_file import FileObjects
from paas.backups.catalog import (
    Verdict,
    collect,
    commit,
    delete,
    differences,
    garbage,
    hold,
    listed,
    whole,
)
from paas.backups.owner import check_owner, claim, owner
from paas.errors import Conflict, Forged, NotFound, PaasError, StoreError
from paas.model.backup import BackupState
from paas.model.backup_layout import Layout, instance_key
from paas.model.backup_manifest import write_manifest
from paas.testing.faults import Crash
from tests.unit.backups.shelf import OURS, Shelf, row
from tests.unit.model.backup_examples import IDENTITY, OTHER, PLACE, SERVER, START, at, manifest

REDIS = Layout("srv1", "redis", "uid9")
ELSEWHERE = Layout("srv2", "postgres", "uid5")


def only(shelf, *keys):
    listing = listed(shelf.store, keys or [IDENTITY], "srv1")
    assert len(listing.backups) == 1
    return listing.backups[0]


# Commit


def test_what_is_committed_is_listed(shelf):
    made = shelf.add(-1)
    found = only(shelf)
    assert (found.layout, found.id, found.verdict, found.manifest) == (PLACE, made.id, Verdict.GOOD, made)
    assert (found.state, found.problem, found.drills, found.held) == (BackupState.READ_BACK, "", (), False)
    assert found.as_backup("s3://b") == row(made, manifest=write_manifest(made, IDENTITY).decode())


def test_another_manifest_of_the_same_id_is_not_replaced(shelf):
    made = shelf.add(-1)
    with pytest.raises(Conflict):
        commit(shelf.store, PLACE, made.id, write_manifest(replace(made, version="18"), IDENTITY))
    assert only(shelf).manifest == made
    commit(shelf.store, PLACE, made.id, write_manifest(made, IDENTITY))


def test_a_commit_whose_answer_was_lost_is_one(shelf):
    data = write_manifest(manifest(), IDENTITY)
    shelf.store.faults.fail_on("objects.put", error=StoreError("reset"), after=True)
    commit(shelf.store, PLACE, manifest().id, data)
    assert only(shelf).verdict is Verdict.GOOD


def test_a_commit_that_did_not_happen_is_told(shelf):
    shelf.store.faults.fail_on("objects.put", error=StoreError("503"))
    with pytest.raises(StoreError, match="503"):
        commit(shelf.store, PLACE, manifest().id, write_manifest(manifest(), IDENTITY))
    assert not listed(shelf.store, [IDENTITY]).backups


def test_a_store_that_keeps_something_else_is_found_out(shelf):
    kept = shelf.store._store
    shelf.store._store = lambda key, data, new=False: kept(key, bytes(data).replace(b"17.6", b"17.7"), new)
    with pytest.raises(StoreError, match="something else"):
        commit(shelf.store, PLACE, manifest().id, write_manifest(manifest(), IDENTITY))


# Listing


def test_a_machine_without_database_finds_all_servers_and_services(shelf):
    made = [shelf.add(-3), shelf.add(-2), shelf.add(-1, REDIS), shelf.add(-1, ELSEWHERE)]
    listing = listed(shelf.store, [IDENTITY])
    assert [one.manifest for one in listing.backups] == made
    assert (listing.complete, listing.strange, listing.doubtful) == (True, (), ())
    assert [one.manifest for one in listed(shelf.store, [IDENTITY], "srv2").backups] == made[3:]
    assert [one.manifest for one in listed(shelf.store, [IDENTITY], layout=REDIS).backups] == made[2:3]
    assert not listed(shelf.store, [IDENTITY], "srv3").backups


def test_strangers_objects_are_named_and_stop_nothing(shelf):
    made = shelf.add(-1)
    strange = ["v1/srv1/catalog/readme.txt", f"v1/srv1/catalog/postgres/uid1/{made.id}/a/b", "v1/x", "readme.txt",
               "v1/-x/catalog/y"]
    for key in strange:
        shelf.store.objects[key] = (b"x", START)
    listing = listed(shelf.store, [IDENTITY])
    assert ([one.id for one in listing.backups], sorted(listing.strange)) == ([made.id], sorted(strange[:2]))


def test_what_has_no_manifest_is_no_backup(shelf):
    made = shelf.add(-1)
    shelf.store.delete([PLACE.manifest(made.id)])
    shelf.store.put(PLACE.hold(made.id), b"{}\n")
    assert not listed(shelf.store, [IDENTITY]).backups


def test_forged_manifests_are_told_from_good_ones(shelf):
    good, bad = shelf.add(-3), shelf.add(-1)
    size = len(shelf.store.get(PLACE.manifest(bad.id)))
    for offset in range(0, size, 37):
        shelf.store.flip(PLACE.manifest(bad.id), offset)
        first, second = listed(shelf.store, [IDENTITY]).backups
        assert (first.id, first.verdict) == (good.id, Verdict.GOOD)
        assert (second.id, second.state) == (bad.id, BackupState.FAILED)
        assert second.verdict in (Verdict.FORGED, Verdict.UNPROVEN)
        assert second.problem
        shelf.store.flip(PLACE.manifest(bad.id), offset)
    shelf.store.cut(PLACE.manifest(bad.id), 20)
    listing = listed(shelf.store, [IDENTITY])
    assert (listing.backups[1].manifest, listing.doubtful, listing.complete) == (None, (bad.id,), True)


def test_a_manifest_put_at_the_place_of_another_backup_is_forged(shelf):
    old, new = shelf.add(-3), shelf.add(-1)
    shelf.store.put(PLACE.manifest(new.id), shelf.store.get(PLACE.manifest(old.id)))
    assert [one.verdict for one in listed(shelf.store, [IDENTITY]).backups] == [Verdict.GOOD, Verdict.FORGED]


def test_a_backup_planted_without_our_key(shelf):
    """Anybody can seal for our recipient. Without the MAC's key it is not ours, whatever name it gives to its own."""
    shelf.add(-1, key=replace(OTHER, name=IDENTITY.name))
    shelf.add(-2, key=OTHER)
    listing = listed(shelf.store, [IDENTITY])
    assert [one.verdict for one in listing.backups] == [Verdict.UNPROVEN, Verdict.FORGED]
    assert OTHER.name in listing.backups[0].problem
    assert listing.doubtful == tuple(one.id for one in listing.backups)


def test_any_of_several_keys_proves_a_backup(shelf):
    shelf.add(-1)
    shelf.add(-2, key=SERVER)
    assert {one.verdict for one in listed(shelf.store, [OTHER, IDENTITY, SERVER]).backups} == {Verdict.GOOD}


def test_one_that_the_store_does_not_give_makes_the_listing_incomplete(shelf):
    shelf.add(-2)
    shelf.add(-1)
    shelf.store.faults.fail_on("objects.get", error=StoreError("503"))
    listing = listed(shelf.store, [IDENTITY])
    assert [one.verdict for one in listing.backups] == [Verdict.UNREADABLE, Verdict.GOOD]
    assert (listing.complete, listing.doubtful) == (False, ())
    shelf.store.faults.fail_on("objects.list", error=StoreError("503"))
    with pytest.raises(StoreError):
        listed(shelf.store, [IDENTITY], "srv1")


def test_one_that_goes_away_while_we_list_is_left_out(shelf):
    shelf.add(-1)
    shelf.store.faults.fail_on("objects.get", error=NotFound("gone"))
    listing = listed(shelf.store, [IDENTITY])
    assert (listing.backups, listing.complete) == ((), True)


# Drills


def test_drills_are_listed_with_their_backup(shelf):
    made = shelf.add(-9)
    first = shelf.drill(made)
    assert (only(shelf).drills, only(shelf).state) == ((first,), BackupState.DRILLED)
    second = shelf.drill(made, passed=False, after=2)
    assert (only(shelf).drills, only(shelf).state) == ((first, second), BackupState.FAILED)
    third = shelf.drill(made, after=3)
    assert (only(shelf).drills[-1], only(shelf).state) == (third, BackupState.DRILLED)


def test_a_drill_that_nobody_can_prove_proves_nothing(shelf):
    made, other = shelf.add(-9), shelf.add(-8)
    shelf.drill(made, key=OTHER)
    listing = listed(shelf.store, [IDENTITY])
    assert [one.state for one in listing.backups] == [BackupState.READ_BACK] * 2
    assert not listing.doubtful
    record = shelf.drill(other)
    stolen = shelf.store.get(next(key for key in shelf.store.keys() if other.id in key and "verify" in key))
    shelf.store.put(PLACE.drill(made.id, record.at, 99), stolen)
    listing = listed(shelf.store, [IDENTITY])
    assert [one.state for one in listing.backups] == [BackupState.READ_BACK, BackupState.DRILLED]
    assert listing.doubtful == (made.id,)
    shelf.store.flip(PLACE.drill(made.id, record.at, 99), 50)
    assert listed(shelf.store, [IDENTITY]).doubtful == (made.id,)


def test_a_drill_that_cannot_be_read_makes_the_listing_incomplete(shelf):
    shelf.drill(shelf.add(-9))
    shelf.store.faults.fail_on("objects.get", nth=2, error=StoreError("503"))
    assert not listed(shelf.store, [IDENTITY]).complete


# Holding, wholeness, differences


def test_a_hold_is_seen_by_every_machine(shelf):
    made = shelf.add(-1)
    hold(shelf.store, PLACE, made.id, True)
    assert only(shelf).held
    hold(shelf.store, PLACE, made.id, False)
    assert not only(shelf).held
    with pytest.raises(NotFound):
        hold(shelf.store, PLACE, manifest(-5).id, True)


def test_is_the_data_there(shelf):
    made = shelf.add(-1)
    assert whole(shelf.store, only(shelf)) == ""
    shelf.store.cut(made.parts[0].key, 3)
    assert "3 bytes instead of 6" in whole(shelf.store, only(shelf))
    shelf.store.delete([made.parts[0].key])
    assert "gone: dump.000.zst.age" in whole(shelf.store, only(shelf))
    shelf.store.cut(PLACE.manifest(made.id), 3)
    assert whole(shelf.store, only(shelf))


def test_our_rows_and_the_target_differ(shelf):
    one, two, lost = shelf.add(-3), shelf.add(-2), manifest(-1)
    listing = listed(shelf.store, [IDENTITY])
    assert differences(listing, [row(one), row(two)]) == ((), ())
    assert differences(listing, [row(two), row(lost)]) == ((lost.id,), (one.id,))
    assert differences(listing, [row(one), row(two), row(lost, BackupState.FAILED)]) == ((), ())


def test_all_of_one_backup_goes_and_nothing_else(shelf):
    kept, made = shelf.add(-3), shelf.add(-1)
    before = set(shelf.store.keys())
    third = shelf.add(-2)
    shelf.drill(third)
    hold(shelf.store, PLACE, third.id, True)
    assert delete(shelf.store, PLACE, third.id, third) == 6
    assert set(shelf.store.keys()) == before
    assert [one.id for one in listed(shelf.store, [IDENTITY]).backups] == [kept.id, made.id]
    assert delete(shelf.store, PLACE, third.id) == 0


def test_a_manifest_cannot_make_us_delete_what_is_not_its_service_s(shelf):
    victim, made = shelf.add(-3, REDIS), shelf.add(-1)
    delete(shelf.store, PLACE, made.id, replace(made, parts=victim.parts))
    assert shelf.store.get(victim.parts[0].key) == b"sealed"


def test_data_of_a_base_backup_outside_its_prefix_goes_too(shelf):
    key = PLACE.pitr("epoch1") + "base.tar.zst.age"
    shelf.store.put(key, b"base")
    made = shelf.add(-1)
    delete(shelf.store, PLACE, made.id, replace(made, parts=(replace(made.parts[0], key=key),)))
    assert shelf.store.keys() == [instance_key("srv1")]


def points_of_delete() -> list[tuple[str, int, bool]]:
    shelf = Shelf()
    made = shelf.add(-1)
    shelf.drill(made)
    shelf.store.faults.clear()
    delete(shelf.store, PLACE, made.id, made)
    return [(*point, after) for point in shelf.store.faults.points() for after in (False, True)
            if (point[0], after) != ("objects.size", True)]          # it says NotFound there: no answer to lose


@pytest.mark.parametrize("point", points_of_delete(), ids=str)
@pytest.mark.parametrize("error", [StoreError("503"), Crash("killed")], ids=["fault", "crash"])
def test_a_deletion_that_is_cut_leaves_a_whole_backup_or_none(shelf, point, error):
    made = shelf.add(-72)
    shelf.drill(made)
    shelf.store.faults.clear()
    name, nth, after = point
    shelf.store.faults.fail_on(name, nth, error, after=after)
    with pytest.raises((StoreError, Crash)):
        delete(shelf.store, PLACE, made.id, made)
    for stored in listed(shelf.store, [IDENTITY]).backups:
        assert whole(shelf.store, stored) == ""
    if not listed(shelf.store, [IDENTITY]).backups:
        shelf.now = at(72)
        collect(shelf.store, garbage(shelf.store, "srv1"))
        assert shelf.store.keys() == [instance_key("srv1")]


def test_append_only_credentials_delete_nothing(shelf):
    made = shelf.add(-1)
    shelf.store.delete = lambda keys: None                 # says yes and keeps it, as a locked version does
    with pytest.raises(StoreError, match="still has"):
        delete(shelf.store, PLACE, made.id, made)
    assert shelf.store.get(made.parts[0].key)


# Garbage


def test_data_without_a_manifest_is_garbage_after_two_days(shelf):
    shelf.add(-100)
    cut = manifest(-60, 77)
    shelf.now = at(-60)
    shelf.store.put(PLACE.object(cut.id, "dump.000.zst.age"), b"x")
    shelf.now = at(-12.1)
    assert garbage(shelf.store, "srv1") == []
    shelf.now = at(-11.9)
    assert [one.key for one in garbage(shelf.store, "srv1")] == [PLACE.object(cut.id, "dump.000.zst.age")]
    assert garbage(shelf.store, "srv1", [cut.id]) == []
    assert garbage(shelf.store, "srv2") == []
    shelf.store.put(PLACE.object(cut.id, "dump.001.zst.age"), b"y")         # it is still written to
    assert garbage(shelf.store, "srv1") == []


def test_age_is_told_by_the_store_s_clock(shelf):
    cut = manifest(-60, 77)
    shelf.store.put(PLACE.object(cut.id, "dump.000.zst.age"), b"x")
    shelf.now = at(1000)
    shelf.store.skew = -timedelta(hours=999)
    assert garbage(shelf.store, "srv1") == []


def test_garbage_is_collected_unless_a_manifest_came(shelf):
    made, cut = shelf.add(-100), manifest(-100, 77)
    shelf.now = at(-100)
    shelf.store.put(PLACE.object(cut.id, "dump.000.zst.age"), b"xyz")
    shelf.now = START
    rubbish = garbage(shelf.store, "srv1")
    late = [replace(rubbish[0], key=made.parts[0].key)]
    assert collect(shelf.store, [*rubbish, *late]) == 3
    assert whole(shelf.store, only(shelf)) == ""
    assert not garbage(shelf.store, "srv1")


def test_a_manifest_that_cannot_be_read_is_one(shelf):
    made = shelf.add(-100)
    shelf.store.cut(PLACE.manifest(made.id), 3)
    assert garbage(shelf.store, "srv1") == []
    rubbish = [one for one in shelf.store.list() if "/data/" in one.key]
    shelf.store.faults.fail_on("objects.size", error=StoreError("503"))
    with pytest.raises(StoreError):
        collect(shelf.store, rubbish)
    assert shelf.store.get(made.parts[0].key)


# Owner


def test_one_machine_writes(shelf):
    check_owner(shelf.store, "srv1", "machine-1")
    with pytest.raises(Conflict, match="alpha") as error:
        check_owner(shelf.store, "srv1", "machine-2")
    assert "--adopt" in error.value.hint
    with pytest.raises(Conflict, match="no server"):
        check_owner(shelf.store, "srv2", "machine-1")


def test_a_second_writer_is_refused_unless_it_adopts(shelf):
    assert claim(shelf.store, replace(OURS, program="0.2.0")) == OURS
    second = replace(OURS, machine="machine-2", host="beta")
    with pytest.raises(Conflict, match="alpha"):
        claim(shelf.store, second)
    check_owner(shelf.store, "srv1", "machine-1")
    assert claim(shelf.store, second, adopt=True).adopted_from == "alpha"
    check_owner(shelf.store, "srv1", "machine-2")
    with pytest.raises(Conflict, match="beta"):
        check_owner(shelf.store, "srv1", "machine-1")


def test_two_that_claim_at_once(shelf):
    """A store that ignores conditions lets the last one win; the other one notices at the latest when it writes."""
    shelf.store.delete([instance_key("srv1")])
    second = replace(OURS, machine="machine-2", host="beta")
    put = shelf.store.put

    def slow(key, data, new=False):
        shelf.store.put = put
        put(key, data)
        claim(shelf.store, second, adopt=True)
    shelf.store.put = slow
    with pytest.raises(StoreError, match="same moment"):
        claim(shelf.store, OURS)
    check_owner(shelf.store, "srv1", "machine-2")


@pytest.mark.parametrize("note", [b"", b"{}\n", b"null\n", b'{"format":2}\n', b"x" * 100])
def test_a_damaged_note_is_nobody_s(shelf, note):
    shelf.store.put(instance_key("srv1"), note)
    for ask in (lambda: owner(shelf.store, "srv1"), lambda: check_owner(shelf.store, "srv1", "machine-1"),
                lambda: claim(shelf.store, OURS)):
        with pytest.raises(Forged):
            ask()
    claim(shelf.store, OURS, adopt=True)
    check_owner(shelf.store, "srv1", "machine-1")


def test_a_store_that_does_not_answer_has_no_owner(shelf):
    shelf.store.faults.fail_on("objects.get", error=StoreError("503"))
    with pytest.raises(PaasError, match="503"):
        check_owner(shelf.store, "srv1", "machine-1")


def test_the_same_in_a_directory(tmp_path, shelf):
    """The whole way over a real store."""
    shelf.store = FileObjects(tmp_path)
    claim(shelf.store, OURS)
    made, other = shelf.add(-2), shelf.add(-1, REDIS)
    shelf.drill(made)
    assert [(one.id, one.state) for one in listed(shelf.store, [IDENTITY]).backups] == [
        (made.id, BackupState.DRILLED), (other.id, BackupState.READ_BACK)]
    delete(shelf.store, PLACE, made.id, made)
    assert only(shelf).id == other.id
    assert [one.key for one in shelf.store.list()] == sorted(
        [instance_key("srv1"), REDIS.manifest(other.id), other.parts[0].key])
