"""Uptime of apps, as stored, and what it says."""

import pytest

from paas.model.traffic import BOUNDS
from paas.model.uptime import Checks, pack, unpack, uptime


def checks(app, slot, *seconds):
    made = Checks(app.id, slot)
    for one in seconds:
        made = made.with_check(one)
    return made


def test_pieces_of_the_same_five_minutes_are_added_up(store, app, other):
    store.add_uptime([checks(app, 7, 0.004, None), checks(other, 7, 0.2)])
    store.add_uptime([checks(app, 7, 0.004, 99.0), checks(app, 8, None)])
    first, second = store.uptime(0, app.id)
    assert first == checks(app, 7, 0.004, None, 0.004, 99.0)
    assert (first.checks, first.failures, first.latency, second.failures) == (4, 1, 99008, 1)
    assert [one.slot for one in store.uptime(8, app.id)] == [8]
    assert store.uptime_totals(0) == {app.id: (5, 2), other.id: (1, 0)}
    assert store.uptime_totals(8) == {app.id: (1, 1)}


def test_of_an_app_that_is_gone_nothing_stays(store, app, other):
    store.add_uptime([checks(app, 7, 0.1), checks(other, 7, 0.1)])
    store.delete_app(app.id)
    store.add_uptime([checks(app, 8, 0.1)])
    assert store.uptime_totals(0) == {other.id: (1, 0)}


def test_what_is_old_goes(store, app):
    store.add_uptime([checks(app, slot, 0.1) for slot in range(5)])
    assert store.trim_uptime(3) == 3
    assert [one.slot for one in store.uptime(0, app.id)] == [3, 4]


def test_a_histogram_takes_three_bytes_for_each_class_that_has_any():
    counts = tuple(range(len(BOUNDS) + 1))
    assert unpack(pack(counts)) == counts
    assert len(pack((0, 5, *[0] * 10))) == 3


@pytest.mark.parametrize(("seconds", "share", "p50"), [
    ((), None, None), ((None,), 0.0, None), ((0.03, 0.03, 0.03, None), 75.0, 0.0375), ((20.0,), 100.0, 10.0)])
def test_what_a_span_says(app, seconds, share, p50):
    found = uptime("day", [checks(app, slot, one) for slot, one in enumerate(seconds)])
    assert (found.availability, found.p50) == (share, pytest.approx(p50))
