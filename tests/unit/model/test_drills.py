"""When a drill of a history is due, and what is said of the last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from paas.model import drills

NOW = datetime(2026, 11, 20, 16, tzinfo=UTC)
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Row:
    drilled_at: datetime | None = None
    drill_passed: bool | None = None
    drill_to: datetime | None = None
    drill_seconds: float = 0.0
    drill_reason: str = ""


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


@pytest.mark.parametrize(("row", "began", "wanted"), [
    (Row(), ago(minutes=59), False),
    (Row(), ago(minutes=60), True),
    (Row(ago(days=6.9), True), ago(days=30), False),
    (Row(ago(days=7), True), ago(days=30), True),
    (Row(ago(days=8), True), ago(minutes=59), False),
    (Row(ago(hours=23), False), ago(days=30), False),
    (Row(ago(hours=24), False), ago(days=30), True),
])
def test_when_one_is_due(row, began, wanted):
    assert drills.is_due(row, began, WEEK, NOW) == wanted


@pytest.mark.parametrize(("row", "can_drill", "wanted"), [
    (Row(), True, []),
    (Row(ago(days=1), True), True, []),
    (Row(ago(days=45), True), True, []),
    (Row(ago(days=46), True), True, ["no drill of its history for 46 days"]),
    (Row(ago(days=46), True), False, []),
    (Row(ago(days=1), False, drill_reason="no room"), False, ["the newest drill of its history failed: no room"]),
])
def test_what_is_wrong(row, can_drill, wanted):
    found = list(drills.finding(row, "x-drill", NOW, "Mend it.", "x drill", can_drill))
    assert [one.text for one in found] == wanted
    assert {one.code for one in found} <= {"x-drill"}


@pytest.mark.parametrize(("row", "wanted"), [
    (Row(), "none yet"),
    (Row(NOW, True, NOW, 1.25), "to 2026-11-20T16:00:00Z passed in 1.2 s"),
    (Row(NOW, False, NOW, 1.0, "damaged"), "to 2026-11-20T16:00:00Z failed: damaged"),
    (Row(NOW, False, None, 1.0, "no room"), "failed: no room"),
])
def test_what_is_said_of_the_last(row, wanted):
    assert drills.words(row) == wanted
