"""The log from a spool to a store of objects, and back to a server that asks for it."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paas.adapters.age import AgeSealing
from paas.backups.keyring import Keyring
from paas.backups.pitr_feed import AHEAD, FETCH, Feed, Source
from paas.backups.pitr_ship import MERGE, Local, Shipper, Spool, last_written
from paas.errors import Forged, NotFound, PaasError, ServiceError, StoreError
from paas.model import pitr
from paas.model.backup_mac import identity_key
from paas.model.pitr import Base, Wal
from paas.testing.fake_objects import FakeObjects

SIZE = 2**20
PLACE = "v1/srv/pitr/postgres/uid/20261101T000000Z-1a2b3c4d/"
SEALING = AgeSealing()
IDENTITY, RECIPIENT = SEALING.new_identity()
MAC = identity_key(IDENTITY, RECIPIENT)
KEYS = Keyring((RECIPIENT,), IDENTITY, MAC, (MAC,))
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def written(size: int) -> bytes:
    """Random, but for its end: zeros there are what has not been written yet."""
    return secrets.token_bytes(size)[:-1] + b"\1" if size else b""


class Rig:
    """A receiver's directory: what PostgreSQL's pg_receivewal does with it."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.written = root, FakeObjects(), {}
        self.shipper = self.new()

    def new(self) -> Shipper:
        return Shipper(Spool(self.root), self.store, SEALING, KEYS, PLACE, SIZE)

    def path(self, number: int, partial: bool = True) -> Path:
        return self.root / (pitr.name_of(1, number, SIZE) + (".partial" if partial else ""))

    def write(self, number: int, data: bytes) -> None:
        """Append: the file has its full size from the beginning."""
        path, before = self.path(number), self.written.get(number, b"")
        if not before and not path.exists():
            path.write_bytes(bytes(SIZE))
        with path.open("r+b") as file:
            file.seek(len(before))
            file.write(data)
        self.written[number] = before + data

    def fill(self, number: int) -> None:
        self.write(number, written(SIZE - len(self.written.get(number, b""))))
        self.path(number).rename(self.path(number, False))

    def names(self) -> list[str]:
        return [key.removeprefix(PLACE) for key in self.store.keys()]

    def stored(self) -> list[Wal]:
        return sorted(one for name in self.names() if (one := pitr.stored(name)))

    def chain(self, first: int = 3) -> pitr.Chain:
        base = Base("20261101T000000Z-00000000", "e", NOW, NOW, first * SIZE, first * SIZE, 1, SIZE, "7", "")
        return pitr.chain(base, pitr.by_segment(self.stored()))

    def source(self, keys=(MAC,)) -> Source:
        return Source(self.store, PLACE, SEALING, IDENTITY, keys)

    def back(self, number: int) -> bytes:
        [one] = [one for one in self.chain().segments if one.name == pitr.name_of(1, number, SIZE)]
        return self.source().segment(one, SIZE)


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def test_what_grows_is_sent_in_pieces_each_once(rig):
    sizes = []
    for _ in range(3):
        rig.write(3, written(5000))
        assert rig.shipper.tick()
        assert not rig.shipper.tick()
        sizes.append((rig.stored()[-1].start, rig.stored()[-1].end))
        assert rig.shipper.reach == 3 * SIZE + sizes[-1][1]
    assert sizes == [(0, 5000), (5000, 10000), (10000, 15000)]
    assert rig.back(3) == rig.written[3] + bytes(SIZE - 15000)


def test_a_full_segment_takes_the_place_of_its_pieces(rig):
    rig.write(3, b"a" * 100)
    rig.shipper.tick()
    rig.fill(3)
    rig.write(4, b"b" * 50)
    rig.shipper.tick()
    assert [(one.segment[-1], one.start, one.end) for one in rig.stored()] == [("3", 0, SIZE), ("4", 0, 50)]
    assert rig.back(3) == rig.written[3]
    assert rig.shipper.reach == 4 * SIZE + 50


def test_many_pieces_become_one(rig):
    for _ in range(MERGE + 3):
        rig.write(3, written(100))
        rig.shipper.tick()
    assert [(one.start, one.end) for one in rig.stored()] == [
        (0, 100 * (MERGE + 1)), *((100 * number, 100 * number + 100) for number in (MERGE + 1, MERGE + 2))]
    assert rig.back(3).rstrip(b"\0") == rig.written[3].rstrip(b"\0")


def test_zeros_within_are_sent_with_what_follows(rig):
    rig.write(3, b"x" + bytes(300_000))
    rig.shipper.tick()
    rig.write(3, b"y" + bytes(10))
    rig.shipper.tick()
    assert rig.back(3) == rig.written[3].ljust(SIZE, b"\0")


def test_only_the_newest_full_segment_stays_here(rig):
    for number in (3, 4, 5):
        rig.fill(number)
    rig.write(6, b"z")
    rig.shipper.tick()
    assert sorted(path.name[-8:] for path in rig.root.iterdir()) == sorted(
        [rig.path(5, False).name[-8:], rig.path(6).name[-8:]])
    assert [rig.back(number) == rig.written[number] for number in (3, 4, 5)] == [True] * 3


def test_while_the_target_is_down_everything_stays_and_goes_later_in_order(rig):
    rig.write(3, b"a" * 10)
    rig.shipper.tick()
    rig.fill(3)
    rig.fill(4)
    rig.write(5, b"c")
    for _ in range(3):
        rig.store.faults.fail_on("objects.put", error=StoreError("down"))
        with pytest.raises(StoreError):
            rig.shipper.tick()
    assert len(list(rig.root.iterdir())) == 3
    rig.shipper.tick()
    assert rig.shipper.reach == 5 * SIZE + 1
    assert [rig.back(number) == rig.written[number] for number in (3, 4)] == [True, True]


def test_another_process_goes_on_where_one_was_killed(rig):
    rig.fill(3)
    rig.write(4, b"a" * 100)
    rig.shipper.tick()
    before = rig.names()
    rig.shipper = rig.new()
    assert not rig.shipper.tick()
    assert rig.names() == before
    assert rig.shipper.reach == 4 * SIZE + 100
    rig.write(4, b"b" * 100)
    rig.shipper.tick()
    assert (rig.stored()[-1].start, rig.stored()[-1].end) == (100, 200)


@pytest.mark.parametrize("again", [False, True])
def test_a_hole_is_found_and_nothing_behind_it_is_sent(rig, again):
    rig.fill(3)
    rig.shipper.tick()
    rig.fill(4)
    rig.path(4, False).unlink()
    rig.fill(5)
    if again:
        rig.shipper = rig.new()
    with pytest.raises(ServiceError, match="hole"):
        rig.shipper.tick()
    assert rig.shipper.broken == pitr.name_of(1, 4, SIZE)
    assert {one.segment for one in rig.stored()} == {pitr.name_of(1, 3, SIZE)}


def test_a_segment_that_stayed_partial_before_the_next_is_a_hole(rig):
    rig.write(3, b"a" * 100)
    rig.shipper.tick()
    rig.path(3).unlink()
    rig.fill(4)
    with pytest.raises(ServiceError, match="hole"):
        rig.shipper.tick()
    assert rig.shipper.broken == pitr.name_of(1, 3, SIZE)


def test_links_and_strange_names_in_the_spool_are_left_alone(rig, tmp_path):
    outside = tmp_path.parent / "outside"
    outside.write_bytes(b"s" * SIZE)
    rig.path(3, False).symlink_to(outside)
    (rig.root / "passwd").write_bytes(b"p")
    os.mkfifo(rig.path(4))
    (rig.root / "archive_status").mkdir()
    assert not rig.shipper.tick()
    assert rig.stored() == []


def test_the_last_byte_is_found_over_block_borders(tmp_path):
    path = tmp_path / "file"
    for data in (b"", b"a", bytes(300_000) + b"b", b"c" * 262_144, b"d" * 262_145 + bytes(1)):
        path.write_bytes(data.ljust(SIZE, b"\0"))
        with path.open("rb") as file:
            assert last_written(file.fileno(), 0, SIZE) == len(data.rstrip(b"\0"))


def test_a_reader_beside_a_writer_never_takes_what_is_not_written(rig):
    """The file is written from the front while it is looked at: no piece may have zeros where data come later."""
    data = secrets.token_bytes(SIZE).replace(b"\0", b"\1")
    path = rig.path(3)
    path.write_bytes(bytes(SIZE))

    def work() -> None:
        with path.open("r+b", buffering=0) as file:
            for place in range(0, SIZE, 8192):
                file.write(data[place:place + 8192])

    for _ in range(20):
        path.write_bytes(bytes(SIZE))
        writer = threading.Thread(target=work)
        writer.start()
        spool, got = Spool(rig.root), b""
        one = Local(pitr.name_of(1, 3, SIZE), True, SIZE, 0)
        while len(got) < SIZE:
            got += spool.grown(one, len(got))
        writer.join()
        assert got == data


# --- back ----------------------------------------------------------------------------------------------------------


def test_what_is_changed_cut_or_sealed_by_somebody_else_is_refused(rig):
    rig.fill(3)
    rig.write(4, b"a" * 5000)
    rig.shipper.tick()
    first, second = rig.chain().segments
    for key in rig.store.keys():
        kept = rig.store.objects[key]
        for place in (0, len(kept[0]) // 2, len(kept[0]) - 1):
            rig.store.flip(key, place)
            with pytest.raises(Forged):
                rig.source().segment(first if first.name in key else second, SIZE)
            rig.store.objects[key] = kept
    foreign = identity_key(*SEALING.new_identity())
    with pytest.raises(Forged, match="not what was written"):
        rig.source((foreign,)).segment(first, SIZE)
    sealed = io.BytesIO()                # whoever knows the recipient can seal; what he lacks is the key of the MAC
    SEALING.seal(SEALING.compress(io.BytesIO(b"b" * 5000)), sealed, KEYS.recipients)
    rig.store.put(PLACE + second.pieces[0].key, sealed.getvalue())
    with pytest.raises(Forged, match="not what was written"):
        rig.source().segment(second, SIZE)


def test_a_piece_cannot_stand_for_another_or_for_that_of_another_history(rig):
    rig.fill(3)
    rig.fill(4)
    rig.shipper.tick()
    one, two = (segment.pieces[0] for segment in rig.chain().segments)
    rig.store.objects[PLACE + one.key] = rig.store.objects[PLACE + two.key]
    with pytest.raises(Forged):
        rig.source().piece(one, SIZE)
    digest = hashlib.sha256(rig.written[4]).hexdigest()
    pitr.check(two, [MAC], PLACE, digest)
    for other, place in ((two, "elsewhere/"), (replace(two, end=two.end - 1), PLACE), (replace(two, at=NOW), PLACE)):
        with pytest.raises(Forged):
            pitr.check(other, [MAC], place, digest)


def test_pieces_that_became_one_while_they_were_fetched_are_looked_for_again(rig):
    for _ in range(3):
        rig.write(3, b"a" * 1000)
        rig.shipper.tick()
    [before] = rig.chain().segments
    rig.fill(3)
    rig.shipper.tick()
    assert all(PLACE + one.key not in rig.store.keys() for one in before.pieces)
    assert rig.source().segment(before, SIZE) == rig.written[3]
    rig.store.delete(rig.store.keys())
    with pytest.raises(NotFound, match="is gone"):
        rig.source().segment(before, SIZE)


def fetch(root: Path, name: str, to: Path) -> int:
    """As the server runs it, with the paths of the host."""
    text = FETCH.replace("/paas/feed", str(root / "feed")).replace("/paas/ask", str(root / "ask"))
    return subprocess.run(["sh", "-c", text, "fetch", name, str(to)], timeout=60, check=False).returncode


def test_a_server_gets_each_segment_and_is_told_where_the_log_ends(rig, tmp_path):
    for number in range(3, 3 + 3 * AHEAD):
        rig.fill(number)
    rig.write(3 + 3 * AHEAD, b"end")
    rig.shipper.tick()
    made, root, to = rig.chain(), tmp_path / "restore-x", tmp_path / "got"
    with Feed(root, (os.getuid(), os.getgid()), rig.source(), made, made.segments) as feed:
        most = 0
        for one in made.segments:
            assert fetch(root, one.name, to) == 0
            assert to.read_bytes().rstrip(b"\0") == rig.written[pitr.number_of(one.name, SIZE)].rstrip(b"\0")
            most = max(most, len(list((root / "feed").glob("0000*"))))
        assert most < 2 * AHEAD
        assert fetch(root, pitr.name_of(1, 99, SIZE), to) == 1
        assert fetch(root, "00000002.history", to) == 1
        assert fetch(root, made.segments[-2].name, to) == 0          # a server asks for the last ones again
        assert fetch(root, made.segments[0].name, to) == 0           # and one that starts once more, for all
        assert feed.error is None
    assert not root.exists()


def test_an_error_that_nobody_foresaw_does_not_leave_the_server_waiting(rig, tmp_path, monkeypatch):
    def fails(source, one, size):
        raise MemoryError

    monkeypatch.setattr(Source, "segment", fails)
    rig.fill(3)
    rig.shipper.tick()
    made, root = rig.chain(), tmp_path / "restore-x"
    with Feed(root, (os.getuid(), os.getgid()), rig.source(), made, made.segments) as feed:
        assert fetch(root, made.segments[0].name, tmp_path / "got") == 200
        assert "an error of paas itself" in feed.error.what


def test_a_segment_that_cannot_be_had_ends_the_recovery_and_is_no_end_of_the_log(rig, tmp_path):
    for number in range(3, 6):
        rig.fill(number)
    rig.shipper.tick()
    made, root = rig.chain(), tmp_path / "restore-x"
    rig.store.flip(PLACE + made.segments[1].pieces[0].key, 500)
    with Feed(root, (os.getuid(), os.getgid()), rig.source(), made, made.segments) as feed:
        assert fetch(root, made.segments[0].name, tmp_path / "got") == 0
        assert fetch(root, made.segments[1].name, tmp_path / "got2") == 200
        assert isinstance(feed.error, PaasError)
