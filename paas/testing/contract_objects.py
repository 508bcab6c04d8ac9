"""What every `ObjectStore` must do. Subclass, and give a `store` fixture: an empty store."""

import random
from datetime import UTC, datetime

import pytest

from paas.errors import BadInput, Conflict, NotFound, StoreError
from paas.ports_backup import ObjectStore, Upload

LARGE = 20 * 1024 * 1024 + 11            # bytes: three parts of the smallest size that we use


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def send(upload: Upload, data: bytes, step: int = 300_000) -> int:
    try:
        for start in range(0, len(data), step):
            assert upload.write(data[start:start + step]) == len(data[start:start + step])
        return upload.commit()
    finally:
        upload.abort()


def drain(reader, step: int = 100_000) -> bytes:
    pieces = []
    while data := reader.read(step):
        assert len(data) <= step
        pieces.append(data)
    assert reader.read(step) == b""
    return b"".join(pieces)


class ObjectStoreContract:
    knows_when_uploads_began = True

    def test_what_is_put_is_got(self, store: ObjectStore) -> None:
        for data in (b"", b"one", noise(70_000)):
            store.put("a/b.json", data)
            assert store.get("a/b.json") == data
            assert store.size("a/b.json") == len(data)
            assert drain(store.read("a/b.json")) == data

    def test_an_unknown_key_is_not_found(self, store: ObjectStore) -> None:
        store.put("a/b", b"x")
        for key in ("a/c", "a", "z/y"):
            for ask in (store.get, store.read, store.size):
                with pytest.raises(NotFound, match=key):
                    ask(key)

    @pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/../b", "./a", ".a", "a/.b", "ä", "a b", "a\n", "a%2fb"])
    def test_other_keys_are_refused(self, store: ObjectStore, key: str) -> None:
        for ask in (lambda: store.put(key, b""), lambda: store.upload(key), lambda: store.get(key),
                    lambda: store.read(key), lambda: store.size(key), lambda: store.delete([key])):
            with pytest.raises(BadInput):
                ask()

    def test_new_does_not_replace(self, store: ObjectStore) -> None:
        store.put("a", b"one", new=True)
        with pytest.raises(Conflict):
            store.put("a", b"two", new=True)
        with pytest.raises(Conflict):
            store.put("a", b"one", new=True)
        assert store.get("a") == b"one"
        store.put("a", b"two")
        assert store.get("a") == b"two"

    def test_get_has_a_limit(self, store: ObjectStore) -> None:
        store.put("a", b"12345")
        assert store.get("a", 5) == b"12345"
        with pytest.raises(StoreError, match="longer"):
            store.get("a", 4)

    @pytest.mark.parametrize("size", [0, 1, 8 * 1024 * 1024, 8 * 1024 * 1024 + 1, LARGE])
    def test_an_upload_has_every_byte(self, store: ObjectStore, size: int) -> None:
        data = noise(size)
        assert send(store.upload("d/x.age", size), data) == size
        assert store.size("d/x.age") == size
        assert drain(store.read("d/x.age")) == data

    def test_nothing_is_there_before_the_commit(self, store: ObjectStore) -> None:
        upload = store.upload("d/x")
        upload.write(noise(LARGE))
        assert list(store.list()) == []
        with pytest.raises(NotFound):
            store.size("d/x")
        upload.commit()
        assert [(one.key, one.size) for one in store.list()] == [("d/x", LARGE)]

    @pytest.mark.parametrize("size", [10, LARGE])
    def test_an_abort_leaves_what_was_there(self, store: ObjectStore, size: int) -> None:
        store.put("d/x", b"before")
        upload = store.upload("d/x")
        upload.write(noise(size))
        upload.abort()
        upload.abort()
        for ask in (lambda: upload.write(b"x"), upload.commit):
            with pytest.raises(StoreError):
                ask()
        assert [one.key for one in store.list()] == ["d/x"]
        assert store.get("d/x") == b"before"

    def test_an_upload_replaces(self, store: ObjectStore) -> None:
        store.put("d/x", b"before")
        send(store.upload("d/x"), noise(LARGE, 2))
        assert drain(store.read("d/x")) == noise(LARGE, 2)
        upload = store.upload("d/x")
        upload.write(b"small")
        assert store.size("d/x") == LARGE
        upload.commit()
        upload.abort()                   # after a commit: nothing
        assert store.get("d/x") == b"small"

    def test_reading_from_the_middle(self, store: ObjectStore) -> None:
        data = noise(100_000)
        store.put("a", data)
        for start in (0, 1, 65_536, 99_999, 100_000):
            assert drain(store.read("a", start), 7_000) == data[start:]
        with pytest.raises(StoreError, match="shorter"):
            store.read("a", 100_001)
        reader = store.read("a", 10)
        assert reader.read(0) == b""
        first = reader.read(5)
        assert first + reader.read() == data[10:]
        assert reader.read() == b""

    def test_the_listing_is_by_key_and_below_a_prefix(self, store: ObjectStore) -> None:
        keys = ["a/b/c", "a/b-c", "a/b.c", "a/bc/d", "a/b/B", "b", "A/x", "a/b/d/e/f", "a/b/_"]
        before = datetime.now(UTC)
        for number, key in enumerate(keys):
            store.put(key, bytes(number))
        found = list(store.list())
        assert [one.key for one in found] == sorted(keys)
        assert {one.key: one.size for one in found} == {key: number for number, key in enumerate(keys)}
        assert all(abs((one.modified - before).total_seconds()) < 60 for one in found)
        assert [one.key for one in store.list("a/b")] == ["a/b/B", "a/b/_", "a/b/c", "a/b/d/e/f"]
        assert [one.key for one in store.list("a/b/")] == ["a/b/B", "a/b/_", "a/b/c", "a/b/d/e/f"]
        assert list(store.list("c")) == []

    def test_deleted_is_gone(self, store: ObjectStore) -> None:
        for key in ("a/1", "a/2", "a/3", "b/4"):
            store.put(key, b"x")
        store.delete(["a/1"])
        store.delete(["a/2", "a/3", "a/9", "z"])
        store.delete([])
        store.delete(["a/1"])
        assert [one.key for one in store.list()] == ["b/4"]
        store.put("a/1", b"again")
        assert store.get("a/1") == b"again"

    def test_old_uploads_are_aborted(self, store: ObjectStore) -> None:
        store.put("d/x", b"before")
        upload = store.upload("d/x")
        upload.write(noise(LARGE))
        if self.knows_when_uploads_began:
            assert store.abort_uploads(3600) == 0
        assert store.abort_uploads(-60, "e") == store.abort_uploads(-60, "d/x/y") == 0
        assert store.abort_uploads(-60, "d") == 1
        with pytest.raises(StoreError):
            upload.commit()
        upload.abort()
        assert store.abort_uploads(-60) == 0
        assert store.get("d/x") == b"before"
        assert [one.key for one in store.list()] == ["d/x"]

    def test_two_uploads_at_once(self, store: ObjectStore) -> None:
        first, second = store.upload("d/1"), store.upload("d/2")
        one, two = noise(LARGE, 1), noise(LARGE, 2)
        for start in range(0, LARGE, 2_000_000):
            first.write(one[start:start + 2_000_000])
            second.write(two[start:start + 2_000_000])
        second.commit()
        first.commit()
        assert drain(store.read("d/1")) == one
        assert drain(store.read("d/2")) == two

    def test_its_clock(self, store: ObjectStore) -> None:
        now = store.now()
        assert now.tzinfo is not None
        assert abs((now - datetime.now(UTC)).total_seconds()) < 60

    def test_the_probe_finds_it_usable_and_leaves_nothing(self, store: ObjectStore) -> None:
        store.put("mine", b"x")
        found = store.probe()
        assert found.problems == ()
        assert found.deletes
        assert abs(found.clock_skew) < 60
        assert [one.key for one in store.list()] == ["mine"]
        assert store.abort_uploads(-60) == 0
