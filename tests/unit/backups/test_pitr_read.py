"""What a target holds of a history, and what of it is not believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from paas.adapters.age import AgeSealing
from paas.backups.pitr_read import history, layouts
from paas.errors import StoreError
from paas.model import pitr
from paas.model.backup import Contents, Manifest, StoredPart, Trigger
from paas.model.backup_layout import Layout
from paas.model.backup_mac import identity_key
from paas.model.backup_manifest import write_manifest
from paas.model.pitr import Base, Wal
from paas.testing.fake_objects import FakeObjects

SIZE = 16 * 2**20
MAC = identity_key(*AgeSealing().new_identity())
STRANGER = identity_key(*AgeSealing().new_identity())
LAYOUT = Layout("srv", "postgres", "uid")
EPOCH, OTHER = "20261101T000000Z-1a2b3c4d", "20261102T000000Z-1a2b3c4d"
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def manifest(base_id: str, epoch: str = EPOCH, key: str = "", kind: str = pitr.KIND) -> Manifest:
    base = Base(base_id, epoch, NOW, NOW + timedelta(minutes=1), 3 * SIZE, 3 * SIZE + 10, 1, SIZE, "7", "turned on")
    key = key or f"{LAYOUT.pitr(epoch)}base/{base_id}/{pitr.DATA}"
    return Manifest(base_id, kind, "postgres", "db", "uid", Trigger.MANUAL, base.began, base.ended, "postgres:17", "d",
                    "17.6", (StoredPart(key, 5, "0" * 64, 4, "0" * 64),), Contents(), ("age1x",), details=base.details)


def put(store: FakeObjects, made: Manifest, mac=MAC, place: str = "", epoch: str = EPOCH) -> None:
    place = place or f"{LAYOUT.pitr(epoch)}base/{made.id}/"
    store.put(place + pitr.MANIFEST, write_manifest(made, mac))
    store.put(place + pitr.DATA, b"sealed")


def ids(number: int) -> str:
    return f"2026110{number}T000000Z-00000000"


@pytest.fixture
def store() -> FakeObjects:
    return FakeObjects()


def test_everything_is_found_from_names_and_manifests(store):
    put(store, manifest(ids(1)))
    put(store, manifest(ids(2), OTHER), epoch=OTHER)
    one = Wal(pitr.name_of(1, 3, SIZE), 0, 20, NOW, "0" * 32)
    store.put(LAYOUT.pitr(EPOCH) + one.key, b"x")
    store.put(LAYOUT.pitr(EPOCH) + "wal/strange", b"x")
    found = history(store, LAYOUT, [MAC])
    assert [(epoch.id, [base.id for base in epoch.bases]) for epoch in found.epochs] == [(EPOCH, [ids(1)]),
                                                                                       (OTHER, [ids(2)])]
    assert [(wal.segment, wal.end, wal.size) for wal in found.epochs[0].files] == [(one.segment, 20, 1)]
    assert found.doubtful == found.leftovers == ()
    assert pitr.choose(found.epochs, None)[1].base.id == ids(1)


def test_what_is_forged_or_put_at_another_place_is_no_base(store):
    put(store, manifest(ids(1)), STRANGER)
    put(store, manifest(ids(2), OTHER))                                   # its epoch is another one
    put(store, manifest(ids(3), key=f"{LAYOUT.pitr(EPOCH)}base/{ids(1)}/{pitr.DATA}"))    # it names another's data
    put(store, manifest(ids(4), kind="logical"))
    put(store, manifest(ids(5)), place=f"{LAYOUT.pitr(EPOCH)}base/{ids(6)}/")             # another one's, copied
    put(store, manifest(ids(7)))
    store.flip(f"{LAYOUT.pitr(EPOCH)}base/{ids(7)}/{pitr.MANIFEST}", 200)
    found = history(store, LAYOUT, [MAC])
    assert [base for epoch in found.epochs for base in epoch.bases] == []
    assert found.doubtful == tuple(ids(number) for number in (1, 2, 3, 4, 6, 7))
    unproven = history(store, LAYOUT, [MAC], unproven=True)
    assert [base.id for epoch in unproven.epochs for base in epoch.bases] == [ids(1)]


def test_a_base_without_its_manifest_is_a_leftover(store):
    store.put(f"{LAYOUT.pitr(EPOCH)}base/{ids(1)}/{pitr.DATA}", b"cut")
    assert history(store, LAYOUT, [MAC]).leftovers == (f"{LAYOUT.pitr(EPOCH)}base/{ids(1)}/{pitr.DATA}",)


def test_a_listing_that_fails_is_no_empty_one(store):
    put(store, manifest(ids(1)))
    for point in ("objects.list", "objects.get"):
        store.faults.fail_on(point, error=StoreError("down"))
        with pytest.raises(StoreError):
            history(store, LAYOUT, [MAC])


def test_services_of_all_servers_are_listed_but_for_files(store):
    put(store, manifest(ids(1)))
    store.put("v1/two/pitr/sqlite/x/e/epoch.json", b"x")
    store.put("v1/two/pitr/postgres/y/e/wal/z", b"x")
    store.put("v1/two/data/postgres/y/e/dump", b"x")
    assert layouts(store) == [LAYOUT, Layout("two", "postgres", "y")]
    assert layouts(store, "two") == [Layout("two", "postgres", "y")]
