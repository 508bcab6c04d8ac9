"""What is said of a history, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from paas.model.pitr_health import Watched, health
from paas.model.pitr_row import Pitr, PitrBase

NOW = datetime(2026, 11, 20, 16, tzinfo=UTC)
ROW = Pitr("uid", True, "e1", "turned on", NOW - timedelta(days=2), "file:///x", "7", "v", 2**24, "7d",
           NOW - timedelta(days=2), "root")
BASE = PitrBase("b1", "uid", "e1", "file:///x", "good", NOW - timedelta(days=2), NOW - timedelta(days=2), 5, "", "{}")
FINE = Watched(ROW, (BASE,), synced=NOW - timedelta(seconds=5), since=NOW - timedelta(days=1), slot="reserved",
               spooled=2**25, bound=2**30)


def codes(watched: Watched, now: datetime = NOW) -> list[tuple[str, str]]:
    return [(str(one.level), one.code) for one in health(watched, now)]


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def test_nothing_is_said_while_all_is_well():
    assert codes(FINE) == []


@pytest.mark.parametrize(("changes", "wanted"), [
    ({"error": "down", "failing_since": ago(seconds=59)}, []),
    ({"error": "down", "failing_since": ago(seconds=61)}, [("failure", "pitr-target")]),
    ({"problem": "it does not run"}, [("failure", "pitr-receiver")]),
    ({"problem": "the service is stopped", "running": False}, []),
    ({"idle_since": ago(seconds=61)}, [("failure", "pitr-receiver")]),
    ({"idle_since": ago(seconds=59)}, []),
    ({"synced": ago(minutes=6)}, [("failure", "pitr-behind")]),
    ({"synced": ago(minutes=6), "running": False}, []),
    ({"synced": None}, [("failure", "pitr-behind")]),
    ({"synced": None, "since": ago(minutes=1)}, []),
    ({"replaced": True, "problem": "other data"}, [("failure", "pitr-replaced")]),
    ({"spooled": 2**29 + 1}, [("warning", "pitr-spool")]),
    ({"slot": "extended"}, [("warning", "pitr-slot")]),
    ({"slot": "unreserved"}, [("warning", "pitr-slot")]),
    ({"row": replace(ROW, reason="the slot was lost: the log in between is lost")}, [("warning", "pitr-gap")]),
    ({"row": replace(ROW, reason="the slot was lost", window="1d")}, []),
    ({"bases": ()}, [("failure", "pitr-base")]),
    ({"bases": (), "row": replace(ROW, began_at=ago(minutes=59))}, []),
    ({"bases": (replace(BASE, state="failed", reason="no room"),)}, [("failure", "pitr-base")]),
    ({"bases": (replace(BASE, epoch="e0"),)}, [("failure", "pitr-base")]),
    ({"bases": (replace(BASE, started_at=ago(days=10.4)),)}, []),
    ({"bases": (replace(BASE, started_at=ago(days=10.6)),)}, [("failure", "pitr-base")]),
    ({"row": replace(ROW, drilled_at=ago(days=1), drill_passed=False, drill_reason="x")}, [("failure", "pitr-drill")]),
    ({"row": replace(ROW, drilled_at=ago(days=44), drill_passed=True)}, []),
    ({"row": replace(ROW, drilled_at=ago(days=46), drill_passed=True)}, [("failure", "pitr-drill")]),
    ({"row": replace(ROW, drilled_at=ago(days=46), drill_passed=True), "can_drill": False}, []),
])
def test_each_fault_has_its_finding(changes, wanted):
    assert codes(replace(FINE, **changes)) == wanted


def test_failures_come_first():
    both = replace(FINE, slot="extended", problem="away")
    assert [level for level, _ in codes(both)] == ["failure", "warning"]
