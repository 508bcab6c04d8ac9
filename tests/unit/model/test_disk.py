"""When a disk will be full."""

from datetime import UTC, datetime, timedelta

import pytest

from paas.model.disk import Sample, forecast

NOW = datetime(2026, 3, 8, tzinfo=UTC)
GB = 10**9


def hourly(*used, total=100 * GB, until=NOW):
    first = until - timedelta(hours=len(used) - 1)
    return [Sample(first + timedelta(hours=number), total - one, total) for number, one in enumerate(used)]


def test_a_steady_growth():
    found = forecast(hourly(*(50 * GB + hour * GB // 12 for hour in range(168))), NOW)
    assert found.growth == pytest.approx(2 * GB, rel=0.01)
    assert found.days == pytest.approx((50 - 167 / 12) / 2, rel=0.01)
    assert found.words == "full in 18 days"


def test_days_and_nights_are_no_growth():
    assert forecast(hourly(*((50 + hour % 24 // 12) * GB for hour in range(168))), NOW).words == "not growing"
    assert forecast(hourly(*(80 * GB - hour * GB // 10 for hour in range(168))), NOW).words == "not growing"
    assert forecast(hourly(*[50 * GB] * 168), NOW).words == "not growing"


def test_it_says_when_it_does_not_know():
    assert forecast([], NOW).words == "not known yet (0 of 6 hourly samples)"
    assert forecast(hourly(1, 2, 3), NOW).words == "not known yet (3 of 6 hourly samples)"
    old = hourly(*range(100), until=NOW - timedelta(days=8))
    assert forecast([*old, *hourly(1, 2)], NOW).growth is None


def test_hours_and_years():
    assert forecast(hourly(*((90 + hour) * GB for hour in range(10))), NOW).words == "full in 1 hours"
    assert forecast(hourly(*(GB + hour * GB // 200 for hour in range(168))), NOW).words == "not full within a year" \
        or forecast(hourly(*(GB + hour * GB // 200 for hour in range(168))), NOW).words == "not growing"


def test_a_disk_that_was_made_larger_begins_anew():
    small = hourly(*((90 + hour / 100) * GB for hour in range(100)), until=NOW - timedelta(hours=8))
    large = hourly(*[92 * GB] * 8, total=200 * GB)
    assert forecast([*small, *large], NOW).words == "not growing"


def test_all_samples_at_one_time():
    assert forecast([Sample(NOW, 1, 2)] * 10, NOW).words == "not growing"
