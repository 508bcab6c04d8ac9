"""When schedules are due."""

from datetime import UTC, datetime

import pytest

from paas.adapters.schedules import CronSchedules
from paas.errors import BadInput

BERLIN = "Europe/Berlin"


def dues(schedule, zone, start, end):
    """Every due time after *start* up to *end*; asked for one by one from the last, as the scheduler does."""
    found, at = [], datetime.fromisoformat(start).replace(tzinfo=UTC)
    while (at := CronSchedules().next(schedule, zone, at)) <= datetime.fromisoformat(end).replace(tzinfo=UTC):
        found.append(at.strftime("%d %H:%M"))
    return found


@pytest.mark.parametrize(("schedule", "due"), [
    ("* * * * *", "2026-01-01T00:01"), ("*/15 * * * *", "2026-01-01T00:15"), ("0 3 * * *", "2026-01-01T03:00"),
    ("0 0 * * MON", "2026-01-05T00:00"), ("0 0 * * 7", "2026-01-04T00:00"), ("5 4 1 FEB *", "2026-02-01T04:05"),
    ("0 12 L * *", "2026-01-31T12:00"), ("0 0 13 * FRI", "2026-01-02T00:00"), ("@hourly", "2026-01-01T01:00"),
    ("@daily", "2026-01-02T00:00"), ("@midnight", "2026-01-02T00:00"), ("@weekly", "2026-01-04T00:00"),
    ("@monthly", "2026-02-01T00:00"), ("@yearly", "2027-01-01T00:00"), ("@annually", "2027-01-01T00:00")])
def test_the_next_due_time(schedule, due):
    found = CronSchedules().next(schedule, "UTC", datetime(2026, 1, 1, tzinfo=UTC))
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("schedule", [
    "", "x", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
    "5-1 * * * *", "*/0 * * * *", "1,,2 * * * *", "0 0 31 2 *", "0 0 30 FEB *", "0 0 * * MON#6", "0 0 * * MON#1/2",
    "-1 * * * *", "0 0 * 99999999999 *", "@reboot", "@Daily", "0 0 31 2,4,6,9,11 *", "* * * * mon,tue#1/2"])
def test_what_is_no_schedule_is_refused_by_name(schedule):
    with pytest.raises(BadInput) as error:
        CronSchedules().check(schedule)
    assert error.value.hint


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../../etc/passwd", "/etc/passwd", "Europe", "x\0y"])
def test_an_unknown_zone_is_refused(zone):
    with pytest.raises(BadInput, match="time zone"):
        CronSchedules().next("@daily", zone, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_schedule_is_read_in_its_zone():
    assert dues("0 3 * * *", BERLIN, "2026-01-01", "2026-01-03T00:00") == ["01 02:00", "02 02:00"]
    assert dues("0 3 * * *", BERLIN, "2026-07-01", "2026-07-02T00:00") == ["01 01:00"]


# 2026-03-29 in Berlin: 02:00 CET is 03:00 CEST (01:00 UTC). 2026-10-25: 03:00 CEST is 02:00 CET (01:00 UTC).


def test_a_fixed_time_in_the_gap_is_due_once_when_it_ends():
    assert dues("30 2 * * *", BERLIN, "2026-03-28", "2026-03-31") == ["28 01:30", "29 01:00", "30 00:30"]


def test_a_fixed_time_that_comes_twice_is_due_once():
    assert dues("30 2 * * *", BERLIN, "2026-10-24", "2026-10-27") == ["24 00:30", "25 00:30", "26 01:30"]


def test_asked_within_the_repeated_hour_it_is_due_tomorrow():
    within = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)           # 02:10 for the second time
    assert CronSchedules().next("30 2 * * *", BERLIN, within) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_intervals_go_by_the_time_that_passes(day):
    found = dues("*/30 * * * *", BERLIN, f"{day}T00:00", f"{day}T03:00")
    assert found == [f"{day[-2:]} {hour:02}:{minute:02}" for hour, minute in
                     ((0, 30), (1, 0), (1, 30), (2, 0), (2, 30), (3, 0))]


@pytest.mark.parametrize(("midnight", "next_midnight"), [("2026-03-28T23:00", "2026-03-29T22:00"),
                                                         ("2026-10-24T22:00", "2026-10-25T23:00")])
@pytest.mark.parametrize("hour", range(24))
def test_on_the_days_of_the_change_each_daily_job_is_due_once(midnight, next_midnight, hour):
    assert len(dues(f"15 {hour} * * *", BERLIN, midnight, next_midnight)) == 1
