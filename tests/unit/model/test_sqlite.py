"""Which LTX files make a state, and which may go."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paas.errors import Forged
from paas.model import sqlite
from paas.model.backup_mac import identity_key
from paas.model.sqlite import SNAPSHOT, Ltx
from paas.secret import Secret

START = datetime(2026, 11, 1, tzinfo=UTC)
KEY = identity_key(Secret("0123456789abcdef"), "age1one")
OTHER = identity_key(Secret("fedcba9876543210"), "age1other")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def ltx(low: int, high: int, level: int = 0, seconds: float | None = None) -> Ltx:
    """Transaction n is seen in second n."""
    return Ltx(low, high, level, at(high if seconds is None else seconds))


def history(last: int) -> list[Ltx]:
    """As Litestream makes it, with small intervals: level 1 of 10, level 2 of 50, snapshots of 100 transactions."""
    files = [ltx(n, n) for n in range(1, last + 1)]
    for level, step in ((1, 10), (2, 50)):
        files += [ltx(high - step + 1, high, level) for high in range(step, last + 1, step)]
    return files + [ltx(1, high, SNAPSHOT) for high in range(100, last + 1, 100)]


def reach(files, moment=None) -> int:
    chain = sqlite.plan(files, moment)
    return chain[-1].max if chain else 0


# What a file says of itself


def header(seconds: float) -> bytes:
    stamp = round(at(seconds).timestamp() * 1000).to_bytes(8, "big")
    return b"LTX1" + bytes(28) + stamp + bytes(60)


def test_a_file_of_the_spool():
    found = sqlite.local(1, "0000000000000002-000000000000000a.ltx", header(7), 500)
    assert found == Ltx(2, 10, 1, at(7), size=500)
    assert found.local_name == "0000000000000002-000000000000000a.ltx"


@pytest.mark.parametrize(("name", "head"), [
    ("0000000000000002-000000000000000a.ltx.tmp", header(7)),
    ("0000000000000002-000000000000000a.ltx", header(7)[:99]),
    ("0000000000000002-000000000000000a.ltx", b"LTX2" + header(7)[4:]),
    ("000000000000000b-000000000000000a.ltx", header(7)),
    ("0000000000000000-000000000000000a.ltx", header(7)),
    ("0000000000000002-000000000000000a.ltx", b"LTX1" + bytes(96)),
    ("0000000000000002-000000000000000a.ltx", b"LTX1" + b"\xff" * 96),
    ("../0000000000000002-000000000000000a.ltx", header(7)),
])
def test_what_is_no_file_of_the_spool(name, head):
    assert sqlite.local(0, name, head, 500) is None


def test_a_key_says_all_that_a_listing_must_tell():
    one = sqlite.signed(ltx(4097, 4099, 1, 12.345), KEY, "place/", "ab")
    assert one.key.startswith("1/0000000000001/0000000000001001-0000000000001003-")
    assert sqlite.stored(one.key, 9) == Ltx(4097, 4099, 1, at(12.345), one.mac, 9)


@pytest.mark.parametrize("change", [
    lambda key: key.removesuffix(".age"), lambda key: "7/" + key, lambda key: "x" + key[1:],
    lambda key: key.replace("/0000000000001/", "/0000000000002/"), lambda key: "epoch.json",
])
def test_keys_that_are_none(change):
    assert sqlite.stored(change(sqlite.signed(ltx(4097, 4099, 1), KEY, "place/", "ab").key)) is None


def test_the_mac_binds_place_name_and_content():
    digest = hashlib.sha256(b"content").hexdigest()
    one = sqlite.signed(ltx(3, 5, 1), KEY, "place/", digest)
    sqlite.check(one, [OTHER, KEY], "place/", digest)
    forged = [(one, [KEY], "other/", digest), (one, [KEY], "place/", digest[::-1]), (one, [OTHER], "place/", digest),
              (one, [], "place/", digest)]
    forged += [(Ltx(*changed, one.mac), [KEY], "place/", digest)
               for changed in ((4, 5, 1, one.at), (3, 6, 1, one.at), (3, 5, 2, one.at), (3, 5, 1, at(99)))]
    for words in forged:
        with pytest.raises(Forged):
            sqlite.check(*words)


def test_what_is_stored_today_is_proved_by_later_versions():
    made = sqlite.signed(ltx(4097, 4099, 1, 12.345), KEY, "place/", "0" * 64)
    assert made.mac == "e98b47448597a969e0601b41d269fe24"


# A state


def test_the_newest_state_is_the_newest_snapshot_and_what_follows():
    chain = sqlite.plan(history(237))
    assert (chain[0].level, chain[0].max) == (SNAPSHOT, 200)
    assert [(one.level, one.min, one.max) for one in chain[1:4]] == [(1, 201, 210), (1, 211, 220), (1, 221, 230)]
    assert [one.max for one in chain[4:]] == list(range(231, 238))


def test_a_time_is_met_exactly_while_single_transactions_are_there():
    files = history(237)
    for moment in (1, 9, 10, 11, 99, 100, 101, 149, 237):
        assert reach(files, at(moment)) == moment
        assert reach(files, at(moment + 0.5)) == moment
    assert sqlite.plan(files, at(0.5)) == []


def test_holes_of_a_level_are_bridged_by_the_one_above():
    files = [one for one in history(130) if one.level or not 103 <= one.min <= 107]
    assert reach(files) == 130
    assert reach(files, at(106)) == 102
    assert not sqlite.gap(files)


def test_nothing_behind_a_hole_is_taken_for_a_state():
    files = [ltx(1, 5, SNAPSHOT), ltx(6, 6), ltx(8, 8)]
    assert reach(files) == 6
    assert sqlite.gap(files)
    assert reach([ltx(2, 2), ltx(3, 3)]) == 0
    assert sqlite.gap([ltx(2, 2)])
    assert not sqlite.gap([])


def test_a_chain_has_no_hole_whatever_is_missing():
    whole = history(120)
    for missing in itertools.combinations(range(0, len(whole), 17), 3):
        chain = sqlite.plan([one for number, one in enumerate(whole) if number not in missing])
        for before, after in itertools.pairwise(chain):
            assert after.min <= before.max + 1 <= after.max


# What may go

SPACING = 600.0                          # seconds between two transactions


def slow(last: int) -> list[Ltx]:
    return [Ltx(one.min, one.max, one.level, at(one.max * SPACING)) for one in history(last)]


def test_single_transactions_go_after_their_time_and_compacted_ones_stay():
    files = slow(200)
    gone = sqlite.superfluous(files, at(200 * SPACING), window=1e9)
    assert {one.level for one in gone} == {0}
    assert max(one.max for one in gone) < 200 - sqlite.FINE / SPACING
    kept = [one for one in files if one not in gone]
    assert reach(kept) == 200
    assert reach(kept, at(57 * SPACING)) == 50


def test_before_the_snapshot_that_the_window_needs_everything_goes():
    files = slow(350)
    gone = sqlite.superfluous(files, at(350 * SPACING), window=100 * SPACING)
    kept = [one for one in files if one not in gone]
    assert min(one.max for one in kept) == 200
    assert [one.max for one in kept if one.level == SNAPSHOT] == [200, 300]


def test_a_snapshot_is_no_reason_to_forget_the_steps_to_it():
    files = [ltx(number, number) for number in range(1, 31)] + [ltx(1, 30, SNAPSHOT)]
    assert sqlite.superfluous(files, at(1e6), window=1e9) == []


def test_nothing_goes_where_a_clock_jumped_or_a_hole_is():
    files = slow(350)
    assert sqlite.superfluous(files, at(349 * SPACING), window=1.0) == []
    holed = [one for one in files if one.max <= 300 or one.min > 310]
    assert sqlite.superfluous(holed, at(1e9), window=1.0) == []
    assert sqlite.superfluous([], at(1e9)) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.sets(st.integers(0, 900), max_size=60), st.floats(0, 3e5), st.floats(0, 3e6))
def test_retention_never_takes_the_newest_state_nor_what_the_window_promises(last, lost, window, later):
    """Whatever was lost, however old: after retention the newest state is the same, and each time in the window gives
    a state at most one file of level 2 older than before."""
    files = [one for number, one in enumerate(slow(last)) if number not in lost]
    now = at(last * SPACING + later)
    kept = [one for one in files if one not in set(sqlite.superfluous(files, now, window))]
    assert reach(kept) == reach(files)
    for back in (0.0, window / 3, window / 2, window * 0.99):
        moment = now - timedelta(seconds=back)
        before, after = reach(files, moment), reach(kept, moment)
        assert after <= before
        assert before - after <= 50


def test_retention_twice_is_retention_once():
    files, now = slow(350), at(350 * SPACING)
    kept = [one for one in files if one not in set(sqlite.superfluous(files, now, 1e5))]
    assert sqlite.superfluous(kept, now, 1e5) == []
