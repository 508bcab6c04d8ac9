"""Drains are sealed, go with their app, and know how far they are; disk samples are kept for a while."""

from datetime import timedelta

import pytest

from paas.errors import NotFound
from paas.model.disk import Sample
from paas.model.drain import Format
from paas.secret import Secret

URL = Secret("https://logs.example/in?key=topsecret")
HEADERS = {"Authorization": Secret("Bearer topsecret")}


def test_a_drain_is_sealed_and_comes_back(store, anna, path):
    made = store.add_drain(None, URL, Format.LOKI, HEADERS, anna)
    assert store.drain(made.id) == made
    assert (made.url, made.headers, made.format, made.app_id) == (URL, HEADERS, Format.LOKI, None)
    if path:
        store.close()
        assert b"topsecret" not in b"".join(one.read_bytes() for one in path.parent.iterdir())


def test_an_apps_drains_are_its_own_and_those_of_all(store, anna):
    one, two = store.create_app("one", "10.0.0.0/25", anna), store.create_app("two", "10.0.0.128/25", anna)
    for app_id in (one.id, two.id, None):
        store.add_drain(app_id, URL, Format.JSON, {}, anna)
    assert [drain.app_id for drain in store.drains(one.id)] == [one.id, None]
    assert len(store.drains()) == 3
    store.delete_app(one.id)
    assert [drain.app_id for drain in store.drains()] == [two.id, None]
    with pytest.raises(NotFound):
        store.add_drain(99, URL, Format.JSON, {}, anna)


def test_positions_are_of_a_drain_that_is_there(store, anna, time):
    made = store.add_drain(None, URL, Format.JSON, {}, anna)
    store.put_drain_positions(made.id, {"a": time.now, "b": time.now})
    store.put_drain_positions(made.id, {"b": time.now + time.second})
    assert store.drain_positions(made.id) == {"b": time.now + time.second}
    store.remove_drain(made.id)
    store.put_drain_positions(made.id, {"b": time.now})
    assert store.drain_positions(made.id) == {}
    with pytest.raises(NotFound):
        store.remove_drain(made.id)


def test_samples_are_kept_for_a_while(store, time):
    for hours in range(10):
        at = time.now + timedelta(hours=hours)
        store.add_disk_sample("state", Sample(at, 100 - hours, 1000), at - timedelta(hours=3))
    assert [one.free for one in store.disk_samples("state")] == [94, 93, 92, 91]
    assert store.disk_samples("docker") == []
