"""The audit trail as a chain, and what was begun."""

import pytest

from paas.model.access import Actor

ROOT = Actor("root")


@pytest.fixture
def trail(store):
    for number in range(5):
        store.add_event(ROOT, "config:set", "blog", "ok", {"words": f"blog A={number} ä"})
    return store


def tamper(store, sql):
    """As somebody who can write the file: the triggers are no hindrance to him."""
    with store._db.write() as connection:
        for name in ("events_unaltered", "events_kept"):
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql(sql)


def test_a_whole_trail_fits(trail):
    assert trail.broken_chain() is None


@pytest.mark.parametrize(("sql", "at"), [
    ("UPDATE events SET actor = 'mallory' WHERE id = 3", 3),
    ("UPDATE events SET detail = '{}' WHERE id = 4", 4),
    ("DELETE FROM events WHERE id = 3", 4),
    ("UPDATE events SET hash = '' WHERE id = 3", 3),
    ("INSERT INTO events (at, actor, verb, app, result, detail) VALUES ('2026-01-01T00:00:00.000000Z', 'a', 'b', 'c',"
     " 'ok', '{}')", 6),
])
def test_a_line_that_was_changed_taken_out_or_put_in_is_found(trail, sql, at):
    tamper(trail, sql)
    assert trail.broken_chain() == at


def test_what_goes_by_its_age_breaks_nothing(trail):
    trail.trim_events(trail.events()[1].at)
    assert trail.broken_chain() is None
    trail.add_event(ROOT, "x", "", "ok", {})
    assert trail.broken_chain() is None


def test_an_intent_goes_with_its_result(store):
    number = store.begin_intent(ROOT, "apps:create", "", {"words": "blog"})
    store.begin_intent(ROOT, "apps:destroy", "blog", {})
    store.add_event(ROOT, "apps:create", "", "ok", {}, intent=number)
    assert [one.verb for one in store.intents()] == ["apps:destroy"]


def test_an_intent_tells_who_wants_it(store):
    store.begin_intent(Actor("ann laptop", 3, "192.0.2.7", "ann"), "apps:destroy", "blog", {"words": "blog"})
    [intent] = store.intents()
    assert intent.detail == {"words": "blog", "address": "192.0.2.7", "user": "ann"}


def test_the_store_tells_what_it_has_recorded(store):
    heard = []
    store.heard = lambda event: heard.append((event, store.events(limit=1)[0]))
    actor = Actor("ann laptop", 3, "192.0.2.7", "ann", "SHA256:abc")
    made = store.add_event(actor, "deploy", "blog", "ok", {"release": "3"})
    assert heard == [(made, made)]
    assert (made.user, made.key, made.address) == ("ann", "SHA256:abc", "192.0.2.7")
    assert made.detail["release"] == "3"
    assert store.broken_chain() is None


def test_a_listener_that_fails_fails_nothing(store):
    def broken(event):
        raise RuntimeError("log")

    store.heard = broken
    store.add_event(Actor("root"), "deploy", "blog", "ok", {})
    assert len(store.events()) == 1
