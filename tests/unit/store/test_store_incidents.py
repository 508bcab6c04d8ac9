"""Incidents, channels and messages, as stored."""

from dataclasses import replace
from datetime import timedelta

import pytest

from paas.errors import Conflict, NotFound
from paas.model.incident import Address, ChannelType, DeliveryState, Kind, Phase
from paas.secret import Secret

WAITING, SENT, GIVEN_UP = DeliveryState
HOOK = Address(Secret("https://hooks.example.com/T0/secret"), Secret("signing"))


@pytest.fixture
def add(store, anna):
    def make(name="ops", kinds=(), apps=()):
        return store.add_channel(name, ChannelType.WEBHOOK, HOOK, kinds, apps, anna)
    return make


def down(store, app="blog"):
    return store.open_incident(Kind.APP_DOWN, app, f"{app} is down", "paas logs")


def messages(store, **given):
    return [(one.phase, one.incident.object) for one in store.deliveries(**given)]


def test_one_is_open_per_kind_and_object(store, time):
    made = down(store)
    assert (made.opened_at, made.closed_at, made.app) == (time.now, None, "blog")
    assert down(store) is None
    assert down(store, "shop")
    assert store.open_incident(Kind.CRASH_LOOP, "blog", "it crashes", "")
    time.now += time.second
    ended = store.close_incident(Kind.APP_DOWN, "blog", "it is up")
    assert ended == replace(made, closed_at=time.now, ending="it is up")
    assert store.close_incident(Kind.APP_DOWN, "blog", "") is None
    assert [one.object for one in store.incidents(open_only=True)] == ["blog", "shop"]
    assert down(store).id > made.id


def test_each_channel_gets_its_beginning_and_its_end_once(store, add):
    add("ops"), add("dev")
    down(store), down(store)
    store.close_incident(Kind.APP_DOWN, "blog", "")
    assert messages(store) == [(Phase.OPENED, "blog")] * 2 + [(Phase.CLOSED, "blog")] * 2


def test_a_channel_that_came_meanwhile_is_not_told_of_an_end_that_it_knows_no_beginning_of(store, add):
    down(store)
    add()
    store.close_incident(Kind.APP_DOWN, "blog", "")
    assert messages(store) == []


def test_what_is_told_once_has_no_message_of_its_end(store, add):
    add()
    store.open_incident(Kind.DAEMON_RESTARTED, "server", "cut off", "")
    assert store.close_incident(Kind.DAEMON_RESTARTED, "server", "")
    assert messages(store) == [(Phase.OPENED, "server")]


def test_filters_and_no_channel_is_told_of_its_own_failure(store, add):
    certs, blogs = add("certs", kinds=("certificate",)), add("blogs", apps=("blog",))
    down(store), down(store, "shop")
    store.open_incident(Kind.CERTIFICATE, "certificate of a.example", "ends", "")
    store.open_incident(Kind.CHANNEL, "blogs", "does not answer", "")
    assert [one.incident.object for one in store.deliveries(certs.id)] == ["certificate of a.example"]
    assert [one.incident.object for one in store.deliveries(blogs.id)] == ["blog", "certificate of a.example"]
    store.filter_channel(certs.id, (), ())
    assert store.channel("certs").kinds == ()


def test_a_message_is_tried_again_until_it_ends(store, add, time):
    channel = add()
    down(store)
    message = store.deliveries(channel.id)[0]
    store.postpone_deliveries([message.id], "no answer", time.now + timedelta(seconds=10))
    again = store.deliveries(states=(WAITING,))[0]
    assert (again.tries, again.error, again.next_at) == (1, "no answer", time.now + timedelta(seconds=10))
    time.now += time.second
    store.end_deliveries([message.id], SENT)
    assert store.deliveries(states=(WAITING,)) == []
    assert store.deliveries(since=time.now - time.second)[0].state is SENT
    assert store.deliveries(since=time.now) == []


def test_addresses_are_sealed_and_come_back(store, add, path):
    made = add()
    assert store.channels() == [made]
    assert store.channel("ops").address == HOOK
    if path:
        assert b"hooks.example.com" not in path.read_bytes() + path.with_name(f"{path.name}-wal").read_bytes()
    with pytest.raises(Conflict):
        add()
    down(store)
    store.delete_channel(made.id)
    assert store.deliveries() == []
    with pytest.raises(NotFound):
        store.channel("ops")


def test_what_is_over_goes_with_its_messages(store, add, time):
    add()
    down(store), down(store, "shop")
    store.close_incident(Kind.APP_DOWN, "blog", "")
    assert store.trim_incidents(time.now) == 0
    assert store.trim_incidents(time.now + time.second) == 1
    assert messages(store) == [(Phase.OPENED, "shop")]
