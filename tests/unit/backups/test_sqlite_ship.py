"""From a spool to a store of objects, and back."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime, timedelta

import pytest

from paas.adapters.age import AgeSealing
from paas.backups import sqlite_ship
from paas.backups.spool import Spool
from paas.backups.sqlite_restore import OpenKeys, choose, download, epochs, layout
from paas.backups.sqlite_ship import Epoch, SealKeys, Shipper, forget_superfluous, put_epoch, stored_files
from paas.errors import Forged, NotFound, StoreError
from paas.model import sqlite
from paas.model.backup_mac import identity_key
from paas.testing.fake_objects import FakeObjects

START = datetime(2026, 11, 1, tzinfo=UTC)
UID, EPOCH = "ab" * 8, "20261101T000000Z-1a2b3c4d"
PLACE = layout("srv", UID).pitr(EPOCH)
SEALING = AgeSealing()
IDENTITY, RECIPIENT = SEALING.new_identity()
KEYS = SealKeys((RECIPIENT,), identity_key(IDENTITY, RECIPIENT))
OPEN = OpenKeys(IDENTITY, (KEYS.mac,))


class Rig:
    def __init__(self, root) -> None:
        self.root, self.store = root / "replica", FakeObjects()
        self.shipper = self.new()

    def new(self) -> Shipper:
        return Shipper(Spool(self.root), self.store, SEALING, KEYS, PLACE)

    def make(self, low: int, high: int, level: int = 0, size: int = 50, *, seconds: float | None = None) -> bytes:
        """As Litestream makes one: under another name first."""
        stamp = START + timedelta(seconds=high if seconds is None else seconds)
        data = b"LTX1" + bytes(28) + round(stamp.timestamp() * 1000).to_bytes(8, "big") + bytes(60)
        data += secrets.token_bytes(size)
        directory = self.root / "ltx" / str(level)
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{low:016x}-{high:016x}.ltx"
        path.with_suffix(".ltx.tmp").write_bytes(data)
        path.with_suffix(".ltx.tmp").rename(path)
        return data

    def gone(self, low: int, high: int, level: int = 0) -> None:
        (self.root / "ltx" / str(level) / f"{low:016x}-{high:016x}.ltx").unlink()

    def ship(self, large: bool = False) -> list[tuple[int, int, int]]:
        """Everything that is here; (level, min, max) in the order of arrival."""
        before, order = set(self.store.keys()), []
        while self.shipper.tick(large):
            new = set(self.store.keys()) - before
            before |= new
            order += [sqlite.stored(key.removeprefix(PLACE)) for key in new]
        return [(one.level, one.min, one.max) for one in order]

    def begin(self, epoch: str = EPOCH, began: datetime = START) -> str:
        place = layout("srv", UID).pitr(epoch)
        put_epoch(self.store, place, Epoch(UID, epoch, "hello", "app", "/data/app.db", "1:1", began, "protected"), KEYS)
        return place


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def test_each_file_comes_back_as_it_was(rig, tmp_path):
    rig.begin()
    data = [rig.make(1, 1, size=200_000), rig.make(2, 2), rig.make(3, 3)]
    assert rig.ship() == [(0, 1, 1), (0, 2, 2), (0, 3, 3)]
    assert (rig.shipper.reach, rig.shipper.reach_at) == (3, START + timedelta(seconds=3))
    (tmp_path / "back").mkdir()
    state = choose(rig.store, "srv", epochs(rig.store, "srv", OPEN.macs), None)
    download(rig.store, SEALING, "srv", state, OPEN, tmp_path / "back")
    found = sorted((tmp_path / "back/ltx/0").iterdir())
    assert [path.read_bytes() for path in found] == data
    assert [path.stat().st_mtime for path in found] == [START.timestamp() + n for n in (1, 2, 3)]


def test_nothing_in_the_store_is_readable_without_the_key(rig):
    data = rig.make(1, 1, size=4000)
    rig.ship()
    (key,) = rig.store.keys()
    assert data[100:140] not in rig.store.get(key)


def test_what_takes_a_restore_furthest_goes_first_the_fine_steps_follow(rig):
    for low, high, level in ((1, 1, 0), (2, 2, 0), (3, 3, 0), (1, 3, 1), (4, 4, 0), (1, 2, 9)):
        rig.make(low, high, level)
    order = rig.ship()
    assert order[:2] == [(1, 1, 3), (0, 4, 4)]
    assert sorted(order[2:]) == [(0, 1, 1), (0, 2, 2), (0, 3, 3), (9, 1, 2)]


def test_what_is_small_never_waits_for_what_is_large(rig, monkeypatch):
    monkeypatch.setattr(sqlite_ship, "SMALL", 1000)
    rig.make(1, 1, size=5000)
    rig.make(2, 2)
    assert rig.ship() == [(0, 2, 2)]
    assert rig.shipper.reach == 0        # nothing to apply it to yet
    assert rig.ship(large=True) == [(0, 1, 1)]
    assert rig.shipper.reach == 2


def test_a_store_that_fails_loses_nothing(rig):
    rig.make(1, 1)
    rig.ship()
    rig.make(2, 2)
    rig.store.faults.fail_on("objects.put", error=StoreError("the store does not answer"))
    with pytest.raises(StoreError):
        rig.shipper.tick()
    assert rig.shipper.reach == 1
    assert [one.min for one in rig.shipper.pending()] == [2]
    assert rig.ship() == [(0, 2, 2)]


def test_a_new_process_goes_on_where_the_old_one_was(rig):
    for number in (1, 2, 3):
        rig.make(number, number)
    rig.ship()
    rig.make(4, 4)
    rig.shipper = rig.new()
    assert [one.min for one in rig.shipper.pending()] == [4]
    assert rig.shipper.reach == 3
    assert rig.ship() == [(0, 4, 4)]


def test_a_store_that_cannot_be_listed_gets_nothing_twice(rig):
    rig.make(1, 1)
    rig.ship()
    rig.shipper = rig.new()
    rig.store.faults.fail_on("objects.list", error=StoreError("the store does not answer"))
    with pytest.raises(StoreError):
        rig.shipper.tick()
    assert rig.ship() == []


def test_after_an_outage_the_compacted_file_bridges_what_went(rig):
    rig.make(1, 1)
    rig.ship()
    for number in (2, 3, 4):
        rig.make(number, number)
    rig.make(2, 4, 1)
    rig.gone(2, 2)
    rig.gone(3, 3)
    assert rig.ship() == [(1, 2, 4), (0, 4, 4)]
    assert rig.shipper.reach == 4
    assert not rig.shipper.broken


def test_a_hole_is_told_until_a_snapshot_closes_it(rig):
    rig.make(1, 1)
    rig.ship()
    rig.make(3, 3)
    assert rig.ship() == [(0, 3, 3)]
    assert (rig.shipper.reach, rig.shipper.broken) == (1, True)
    assert rig.new().pending() == []
    rig.make(1, 3, 9)
    rig.ship()
    assert (rig.shipper.reach, rig.shipper.broken) == (3, False)


def test_memory_of_what_was_sent_is_bounded_by_what_is_here(rig):
    for number in range(1, 30):
        rig.make(number, number)
        rig.ship()
        if number > 5:
            rig.gone(number - 5, number - 5)
    rig.shipper.pending()
    assert len(rig.shipper._done) == 5


def test_a_hostile_spool_leads_nowhere(rig, tmp_path):
    rig.make(1, 1)
    secret = tmp_path / "secret"
    secret.write_bytes(b"LTX1" + bytes(28) + (10**12).to_bytes(8, "big") + bytes(60) + b"secret")
    level = rig.root / "ltx/0"
    (level / f"{2:016x}-{2:016x}.ltx").symlink_to(secret)
    os.mkfifo(level / f"{3:016x}-{3:016x}.ltx")
    (level / f"{4:016x}-{4:016x}.ltx").mkdir()
    (rig.root / "ltx/1").symlink_to(level)
    assert rig.ship() == [(0, 1, 1)]


def test_a_spool_that_is_not_there_is_empty(tmp_path):
    assert Spool(tmp_path / "none").files() == []


def test_a_file_that_comes_within_the_same_step_of_the_clock_is_seen(rig):
    """Time stamps of directories have steps of some milliseconds."""
    rig.make(1, 1)
    level = rig.root / "ltx/0"
    spool, stamp = Spool(rig.root), level.stat().st_mtime_ns
    assert len(spool.files()) == 1
    rig.make(2, 2)
    os.utime(level, ns=(stamp, stamp))
    assert len(spool.files()) == 2


def test_a_level_that_did_not_change_is_not_read_again(rig, monkeypatch):
    rig.make(1, 1)
    os.utime(rig.root / "ltx/0", (1e9, 1e9))
    spool = Spool(rig.root)
    before = spool.files()
    monkeypatch.setattr(os, "listdir", None)
    assert spool.files() == before


# Back


@pytest.mark.parametrize("change", ["flip", "cut", "swap", "time"])
def test_what_somebody_changed_is_refused(rig, tmp_path, change):
    rig.begin()
    rig.make(1, 1)
    rig.make(2, 2)
    rig.ship()
    first, second = sorted(key for key in rig.store.keys() if key.endswith(".age"))
    if change == "flip":
        rig.store.flip(second, 300)
    elif change == "cut":
        rig.store.cut(second, 200)
    elif change == "swap":
        rig.store.put(second, rig.store.get(first))
    else:                                # the same bytes under a name that says another time
        found = sqlite.stored(second.removeprefix(PLACE))
        later = sqlite.Ltx(found.min, found.max, 0, found.at + timedelta(seconds=1), found.mac)
        rig.store.put(PLACE + later.key, rig.store.get(second))
        rig.store.delete([second])
    state = choose(rig.store, "srv", epochs(rig.store, "srv", OPEN.macs), None)
    (tmp_path / "back").mkdir()
    with pytest.raises(Forged):
        download(rig.store, SEALING, "srv", state, OPEN, tmp_path / "back")


def test_the_newest_history_that_reaches_back_to_the_time_is_taken(rig, tmp_path):
    rig.begin()
    rig.make(1, 1)
    rig.make(2, 2)
    rig.ship()
    second = "20261101T010000Z-1a2b3c4d"
    place = rig.begin(second, START + timedelta(hours=1))
    rig.root = tmp_path / "second"
    rig.make(1, 5, 9, seconds=3700)
    assert Shipper(Spool(rig.root), rig.store, SEALING, KEYS, place).tick()
    known = epochs(rig.store, "srv", OPEN.macs, UID)
    assert [one.id for one in known] == [EPOCH, second]
    assert choose(rig.store, "srv", known, None).epoch.id == second
    assert choose(rig.store, "srv", known, START + timedelta(seconds=1.5)).chain[-1].max == 1
    assert choose(rig.store, "srv", known, START + timedelta(seconds=3650)).epoch.id == EPOCH
    with pytest.raises(NotFound, match="or before"):
        choose(rig.store, "srv", known, START)


def test_a_description_that_is_not_ours_is_no_history(rig):
    rig.begin()
    rig.make(1, 1)
    rig.ship()
    stranger = SEALING.new_identity()
    theirs = identity_key(*stranger)
    assert [one.authentic for one in epochs(rig.store, "srv", [theirs])] == [False]
    with pytest.raises(NotFound):
        choose(rig.store, "srv", epochs(rig.store, "srv", [theirs]), None)
    rig.store.flip(PLACE + "epoch.json", 20)
    assert epochs(rig.store, "srv", OPEN.macs) == []


def test_retention_deletes_what_is_superfluous_and_nothing_else(rig):
    for number in range(1, 11):
        rig.make(number, number)
    rig.make(1, 8, 1)
    rig.ship()
    later = START + timedelta(seconds=sqlite.FINE + 9.5)
    assert forget_superfluous(rig.store, PLACE, later) == 8
    assert sorted((one.level, one.max) for one in stored_files(rig.store, PLACE)) == [(0, 9), (0, 10), (1, 8)]
    assert forget_superfluous(rig.store, PLACE, later) == 0
