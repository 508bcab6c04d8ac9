"""Until when the target has everything: said only when the receiver has it and a look at the spool began after that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from paas.api import LogState
from paas.model.pitr_row import Pitr
from paas.ops.pitr_streams import Stream, over
from tests.unit.model.test_pitr_health import ROW

NOW = datetime(2026, 11, 20, 16, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def state(position: int, received: int, **changes) -> LogState:
    return LogState(**{"position": position, "timeline": 1, "segment_size": 2**24, "system": "7", "slot": "reserved",
                       "held": 0, "streaming": True, "received": received, **changes})


def stream(row: Pitr = ROW) -> Stream:
    return Stream(row, None, None, None, NOW)


def test_what_is_not_received_is_not_said_to_be_there():
    one = stream()
    one.note(state(1000, 900), at(0), 0.0)
    one.sent(5.0)
    assert one.synced is None
    one.note(state(2000, 1500), at(10), 10.0)         # what was there at 0 has been received by now
    one.sent(9.0)                                     # this look began before that was known
    assert one.synced is None
    one.sent(10.0)
    assert one.synced == at(0)


def test_an_idle_service_is_known_to_be_stored_up_to_now():
    one = stream()
    for seconds in (0, 10, 20):
        one.note(state(1000, 1000), at(seconds), float(seconds))
        one.sent(seconds + 0.5)
        assert one.synced == at(seconds)


def test_it_never_goes_back():
    one = stream()
    one.note(state(1000, 1000), at(10), 10.0)
    one.sent(11.0)
    one.received = (12.0, at(5))
    one.sent(13.0)
    assert one.synced == at(10)


class Service:
    volume = "v"


class Target:
    url = "file:///x"


class Shipper:
    broken = ""


def test_why_a_history_ends():
    one = stream()
    one.target, one.shipper = Target(), Shipper()
    assert over(one, state(1, 1), Service()) == ""
    assert "lost" in over(one, state(1, 1, slot="lost"), Service())
    assert "missing" in over(one, state(1, 1, slot="missing"), Service())
    assert over(one, state(1, 1, system="8"), Service()) == "the service got other data"
    one.shipper.broken = "000000010000000000000004"
    assert "hole: 000000010000000000000004" in over(one, state(1, 1), Service())
    one.target.url = "file:///y"
    assert over(one, state(1, 1), Service()) == "another target was set"
