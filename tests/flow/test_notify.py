"""Messages about incidents: one at the beginning, one at the end, none lost, none too many."""

from dataclasses import replace

import pytest

from paas.errors import BadInput, PaasError, StateError
from paas.model.incident import Address, ChannelType, DeliveryState, Kind
from paas.ops import notify
from paas.ops.incidents import close_incident, open_incident
from paas.ops.notify import Outbox
from paas.secret import Secret
from paas.testing.fake_messengers import FakeMessengers
from tests.flow.over_fakes import ALICE

OPS, DEV = "https://hooks.example.com/ops", "https://hooks.example.com/dev"
WAITING, SENT, GIVEN_UP = DeliveryState


@pytest.fixture
def world(flow):
    flow.rt = replace(flow.rt, messengers=FakeMessengers())
    add(flow)
    return flow


def add(flow, name="ops", url=OPS, kinds=(), apps=()):
    return notify.add(flow.rt, ALICE, name, ChannelType.WEBHOOK, Address(Secret(url)), kinds, apps)


def later(flow, seconds=1.0):
    flow.clock.passed += seconds
    notify.tick(flow.rt)


def sent(flow, url=OPS):
    return flow.rt.messengers.sent.get(url, [])


def titles(flow, url=OPS):
    return [one.title.partition("] ")[2] for one in sent(flow, url)]


def down(flow, app="hello", kind=Kind.APP_DOWN):
    open_incident(flow.rt, kind, app, f"{app} is down", f"paas logs {app}")


def up(flow, app="hello", kind=Kind.APP_DOWN):
    close_incident(flow.rt, kind, app, "it answers again")


def test_one_message_when_it_begins_and_one_when_it_is_over(world):
    for _ in range(5):
        down(world)
        later(world, 10)
    assert titles(world) == ["hello: app-down"]
    for _ in range(3):
        up(world)
        later(world, 10)
    assert titles(world) == ["hello: app-down", "Over: hello: app-down"]


def test_a_message_says_what_which_app_since_when_what_to_do_and_where(world):
    world.rt = replace(world.rt, settings=replace(world.rt.settings, host="paas.example.com"))
    down(world)
    later(world, 90)
    up(world)
    later(world)
    first, last = sent(world)
    assert first.text.splitlines() == ["hello is down", "What to do: paas logs hello", "App: hello",
                                       "Since: 2026-01-01 00:00:00 UTC", "Server: paas.example.com"]
    assert last.text.splitlines()[:2] == ["Over after 90 s: it answers again", "It was: hello is down"]
    assert (last.words["event"], last.words["closed_at"]) == ("closed", "2026-01-01T00:01:30Z")
    assert len({one.id for one in (first, last)}) == 2


def test_a_channel_that_fails_is_tried_again_ever_more_seldom_and_told_to_the_others(world):
    add(world, "dev", DEV)
    world.rt.messengers.down.add(OPS)
    down(world)
    for _ in range(100):
        later(world, 1)
    assert titles(world, DEV) == ["hello: app-down", "ops: channel"]
    tries = world.rt.messengers.tries - 2
    assert tries == 4                                      # after 0, 10, 30 and 70 seconds
    assert notify.standings(world.rt)[1].error.startswith("hooks.example.com cannot be reached")
    world.rt.messengers.down.clear()
    for _ in range(90):
        later(world, 1)
    assert titles(world) == ["hello: app-down"]
    assert titles(world, DEV) == ["hello: app-down", "ops: channel", "Over: ops: channel"]


def test_no_channel_of_a_failed_one_makes_the_failure_louder(world):
    world.rt.messengers.down.add(OPS)
    down(world)
    for _ in range(200):
        later(world, 10)
    assert len(world.rt.store.deliveries()) == 1


def test_the_end_never_overtakes_the_beginning(world):
    world.rt.messengers.down.add(OPS)
    down(world)
    later(world, 1)
    up(world)
    world.rt.messengers.down.clear()
    later(world, 1)
    assert titles(world) == []                             # the beginning waits for its next attempt
    later(world, 10)
    assert titles(world) == ["hello: app-down", "Over: hello: app-down"]


def test_after_a_day_a_message_is_given_up(world):
    world.rt.messengers.down.add(OPS)
    down(world)
    for _ in range(3):
        later(world, 12.1 * 3600)
    assert [one.state for one in world.rt.store.deliveries()] == [GIVEN_UP]
    assert notify.standings(world.rt)[0].given_up == 1
    world.rt.messengers.down.clear()
    later(world, 3600)
    assert titles(world) == []


def test_what_is_above_twenty_an_hour_comes_in_summaries(world):
    for number in range(50):
        down(world, f"app{number}")
        later(world, 1)
    assert len(sent(world)) == notify.PER_HOUR + 1         # the 21st is a summary of what waited then
    later(world, 900)
    assert len(sent(world)) == notify.PER_HOUR + 2
    assert sent(world)[-1].title.endswith("29 more messages in one")
    assert "app49: app49 is down" not in sent(world)[-1].text
    assert "and 9 more" in sent(world)[-1].text
    later(world, 3600)
    down(world, "late")
    later(world)
    assert titles(world)[-1] == "late: app-down"
    assert not world.rt.store.deliveries(states=(WAITING,))


def test_messages_survive_the_daemon(world):
    world.rt.messengers.down.add(OPS)
    down(world)
    later(world)
    world.rt = replace(world.rt, outbox=Outbox(), messengers=FakeMessengers())
    later(world, 30)
    assert titles(world) == ["hello: app-down"]


def test_a_message_that_could_not_be_recorded_as_sent_is_not_sent_twice(world, monkeypatch):
    record = world.rt.store.end_deliveries
    full = StateError("the disk is full")

    def refuse(ids, state, summed=False):
        if ids:
            raise full
    monkeypatch.setattr(world.rt.store, "end_deliveries", refuse)
    down(world)
    for _ in range(5):
        later(world)
    assert titles(world) == ["hello: app-down"]
    monkeypatch.setattr(world.rt.store, "end_deliveries", record)
    later(world)
    assert (titles(world), world.rt.outbox.gone) == (["hello: app-down"], set())
    assert not world.rt.store.deliveries(states=(WAITING,))


def test_a_busy_channel_holds_up_nobody_else(world):
    add(world, "dev", DEV)
    held = []
    world.rt = replace(world.rt, spawn=held.append)
    down(world)
    later(world), later(world)
    assert len(held) == 2                                  # one thread a channel, however often it is looked at
    held[1]()
    assert len(sent(world)) + len(sent(world, DEV)) == 1
    held[0]()
    assert titles(world) == titles(world, DEV) == ["hello: app-down"]


def test_filters(world):
    world.app("shop")
    notify.set_filter(world.rt, "ops", ["app-down", "disk"], ["shop"])
    down(world), down(world, "shop"), down(world, "shop", Kind.CRASH_LOOP)
    open_incident(world.rt, Kind.DISK, "disk of the state", "it is full")
    later(world)
    assert titles(world) == ["shop: app-down", "disk of the state: disk"]
    notify.set_filter(world.rt, "ops", [], None)
    assert (world.rt.store.channel("ops").kinds, world.rt.store.channel("ops").apps) == ((), ("shop",))
    with pytest.raises(BadInput, match="no kind of incident"):
        notify.set_filter(world.rt, "ops", ["weather"], None)


def test_a_test_goes_past_the_queue_and_says_what_came_back(world):
    assert notify.test(world.rt, "ops") == "200 ok"
    world.rt.messengers.down.add(OPS)
    with pytest.raises(PaasError, match="cannot be reached"):
        notify.test(world.rt, "ops")
    assert not world.rt.store.deliveries()


def test_removing_a_channel_drops_what_waits_and_ends_its_incident(world):
    add(world, "dev", DEV)
    world.rt.messengers.down.add(OPS)
    down(world)
    for _ in range(40):
        later(world)
    notify.remove(world.rt, "ops")
    later(world)
    assert titles(world, DEV) == ["hello: app-down", "ops: channel", "Over: ops: channel"]
    assert not world.rt.store.deliveries(states=(WAITING,))


def test_what_cannot_be_recorded_changes_nothing_else(world, monkeypatch):
    def refuse(*given):
        raise StateError("the disk is full")
    monkeypatch.setattr(world.rt.store, "open_incident", refuse)
    monkeypatch.setattr(world.rt.store, "close_incident", refuse)
    down(world), up(world)
