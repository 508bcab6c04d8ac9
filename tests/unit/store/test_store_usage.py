"""Minutes add up to quarters of an hour; each is kept for its span."""

from datetime import UTC, datetime, timedelta

from paas.model.traffic import BOUNDS, Traffic
from paas.model.usage import MINUTE, QUARTER, Usage

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTES = timedelta(minutes=1)


def used(ok: int, errors: int = 0, *, cpu: float = 0.0, memory: int = 0, restarts: int = 0) -> Usage:
    durations = (ok, *(0 for _ in BOUNDS[1:]), errors)
    return Usage(Traffic((0, ok, 0, 0, errors), durations), cpu, memory, restarts)


def test_minutes_come_back_as_they_were(store, anna):
    app = store.create_app("one", "10.0.0.0/25", anna)
    store.add_usage({(app.id, NOON): used(5, 2, cpu=1.5, memory=100, restarts=1),
                     (app.id, NOON + 2 * MINUTES): used(0)})
    first, second = store.usage(app.id, MINUTE, NOON)
    assert (first.at, first.usage) == (NOON, used(5, 2, cpu=1.5, memory=100, restarts=1))
    assert (second.at, second.usage) == (NOON + 2 * MINUTES, Usage())
    assert [one.at for one in store.usage(app.id, MINUTE, NOON + timedelta(seconds=125))] == [NOON + 2 * MINUTES]
    assert store.usage(app.id, MINUTE, NOON + 3 * MINUTES) == []


def test_what_comes_later_in_a_minute_is_added(store, anna):
    app = store.create_app("one", "10.0.0.0/25", anna)
    store.add_usage({(app.id, NOON): used(5, memory=100, cpu=1)})
    store.add_usage({(app.id, NOON + timedelta(seconds=30)): used(2, 1, memory=80, cpu=2)})
    [found] = store.usage(app.id, MINUTE, NOON)
    assert found.usage == used(7, 1, memory=100, cpu=3)


def test_a_quarter_is_the_sum_of_its_minutes(store, anna):
    one, two = store.create_app("one", "10.0.0.0/25", anna), store.create_app("two", "10.0.0.128/25", anna)
    for minute in range(20):
        store.add_usage({(app.id, NOON + minute * MINUTES): used(1, memory=minute) for app in (one, two)})
    first, second = store.usage(two.id, QUARTER, NOON)
    assert (first.at, first.usage.traffic.requests, first.usage.memory) == (NOON, 15, 14)
    assert (second.at, second.usage.traffic.requests, second.usage.memory) == (NOON + 15 * MINUTES, 5, 19)


def test_trimming_leaves_the_other_size(store, anna):
    app = store.create_app("one", "10.0.0.0/25", anna)
    for minute in (0, 10, 30):
        store.add_usage({(app.id, NOON + minute * MINUTES): used(1)})
    assert store.trim_usage(MINUTE, NOON + 10 * MINUTES) == 1
    assert [slot.at for slot in store.usage(app.id, MINUTE, NOON)] == [NOON + 10 * MINUTES, NOON + 30 * MINUTES]
    assert len(store.usage(app.id, QUARTER, NOON)) == 2
    assert store.trim_usage(QUARTER, NOON + 30 * MINUTES) == 1


def test_an_app_that_is_gone_has_none(store, anna):
    app, other = store.create_app("one", "10.0.0.0/25", anna), store.create_app("two", "10.0.0.128/25", anna)
    store.add_usage({(app.id, NOON): used(1)})
    store.delete_app(app.id)
    store.add_usage({(app.id, NOON): used(1), (other.id, NOON): used(1)})
    assert store.usage(app.id, MINUTE, NOON) == []
    assert len(store.usage(other.id, MINUTE, NOON)) == 1
