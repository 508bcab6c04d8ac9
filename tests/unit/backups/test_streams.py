import hashlib
import io

import pytest

from paas.backups import streams
from paas.errors import ServiceError, StoreError
from paas.testing.fake_objects import FakeObjects
from paas.testing.faults import Crash

KEY, DATA = "v1/srv1/data/x", b"0123456789" * 1000


class Doubling:
    """Seals so that it shows: every byte twice."""

    def seal(self, source, sink, recipients):
        assert recipients == ("age1you",)
        while data := source.read(777):
            sink.write(data + data)


class Short(Doubling):
    def seal(self, source, sink, recipients):
        super().seal(source, sink, recipients)
        raise ServiceError("the dump ended with exit code 1")


@pytest.fixture
def objects():
    return FakeObjects()


def send(objects, data=DATA, sealing=None, **given):
    return streams.send(objects, sealing or Doubling(), ("age1you",), io.BytesIO(data), KEY, what="dump", **given)


def nothing_is_left(objects):
    return (objects.keys(), list(objects.uploads)) == ([], [])


def test_what_is_sent_is_described_as_it_is_stored(objects):
    part = send(objects)
    stored = objects.get(KEY)
    assert (part.key, part.size, part.plain_size) == (KEY, 2 * len(DATA), len(DATA))
    assert (part.sha256, part.plain_sha256) == tuple(hashlib.sha256(one).hexdigest() for one in (stored, DATA))
    streams.read_back(objects, part)


def test_all_is_sealed_before_the_object_is_there(objects):
    seen = []
    send(objects, sealed=lambda: seen.append((objects.keys(), len(objects.uploads))))
    assert seen == [([], 1)]


def test_a_source_without_a_byte_is_refused(objects):
    with pytest.raises(ServiceError, match="the dump is empty"):
        send(objects, b"")
    assert nothing_is_left(objects)


def crash():
    raise Crash


@pytest.mark.parametrize("given", [{"sealing": Short()}, {"sealed": crash}])
def test_whatever_fails_aborts_the_upload(objects, given):
    with pytest.raises((ServiceError, Crash)):
        send(objects, **given)
    assert nothing_is_left(objects)


@pytest.mark.parametrize("point", ["write", "commit"])
def test_an_upload_that_breaks_off_is_aborted(objects, point):
    objects.faults.fail_on(f"objects.{point}")
    with pytest.raises(Crash):
        send(objects)
    assert nothing_is_left(objects)


def test_a_store_that_has_less_than_it_was_given(objects, monkeypatch):
    monkeypatch.setattr("paas.testing.fake_objects.FakeUpload.commit", lambda self: 7)
    with pytest.raises(StoreError, match="the store has 7 bytes of 20,000"):
        send(objects)


@pytest.mark.parametrize("damage", [lambda objects: objects.flip(KEY, 5), lambda objects: objects.cut(KEY, 5)])
def test_another_object_than_was_sent_is_not_read_back(objects, damage):
    part = send(objects)
    damage(objects)
    with pytest.raises(StoreError, match="gives back something else"):
        streams.read_back(objects, part)


def test_progress_goes_on_over_several_streams(objects):
    told = []
    moved = streams.counted(lambda stage, size: told.append((stage, size)), "uploading")
    send(objects, moved=moved)
    send(objects, moved=moved)
    assert told[-1] == ("uploading", 4 * len(DATA))
    assert [size for _, size in told] == sorted(size for _, size in told)
