"""Which base and which pieces of the log make a state; which may go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paas.errors import BadInput, Forged
from paas.model import pitr
from paas.model.backup_mac import identity_key
from paas.model.moments import read_moment, write_moment
from paas.model.pitr import Base, Epoch, Span, Wal
from paas.secret import Secret

SIZE = 16 * 2**20
START = datetime(2026, 11, 1, tzinfo=UTC)
EPOCH = "20261101T000000Z-1a2b3c4d"
KEY = identity_key(Secret("0123456789abcdef"), "age1one")
OTHER = identity_key(Secret("fedcba9876543210"), "age1other")


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def segment(number: int, timeline: int = 1) -> str:
    return pitr.name_of(timeline, number, SIZE)


def whole(number: int, minutes: float) -> Wal:
    return Wal(segment(number), 0, SIZE, at(minutes), "m")


def piece(number: int, start: int, end: int, minutes: float) -> Wal:
    return Wal(segment(number), start, end, at(minutes), f"{start}")


def base(first: int, minutes: float, epoch: str = EPOCH, stop: int = 100) -> Base:
    """Begun in segment *first*, ended a minute after *minutes*."""
    began = at(minutes)
    return Base(f"{began:%Y%m%dT%H%M%SZ}-00000000", epoch, began, began + timedelta(minutes=1), first * SIZE,
                first * SIZE + stop, 1, SIZE, "7", "turned on")


def epoch(bases: list[Base], files: list[Wal], name: str = EPOCH) -> Epoch:
    return Epoch(name, tuple(bases), tuple(files))


# --- names ---------------------------------------------------------------------------------------------------------


def test_the_mac_binds_place_name_and_content():
    digest = "0" * 64
    one = pitr.signed(Wal(segment(10), 16, 65536, at(3)), KEY, "place/", digest)
    assert one.mac == "25bd7ef466e7618c2666e7bcbff0e3f2"        # what is stored today is proved by later versions
    pitr.check(one, [OTHER, KEY], "place/", digest)
    forged = [(one, [KEY], "other/", digest), (one, [KEY], "place/", "1" * 64), (one, [OTHER], "place/", digest),
              (one, [], "place/", digest)]
    forged += [(replace(one, **changed), [KEY], "place/", digest)
               for changed in ({"segment": segment(11)}, {"start": 17}, {"end": 65537}, {"at": at(4)})]
    for words in forged:
        with pytest.raises(Forged):
            pitr.check(*words)


@given(number=st.integers(0, 2**40 // SIZE), timeline=st.integers(1, 9), start=st.integers(0, SIZE - 1),
       length=st.integers(1, SIZE))
def test_names_are_read_as_they_were_written(number, timeline, start, length):
    one = Wal(segment(number, timeline), start, start + length, at(1), "0" * 32)
    assert pitr.stored(one.key) == one
    assert pitr.number_of(one.segment, SIZE) == number
    assert len(one.segment) == 24


@pytest.mark.parametrize("key", ["wal/x", "wal/" + "0" * 24, "base/x/manifest.json",
                                 f"wal/{'0' * 24}.00000005-00000005-0000000000001-{'0' * 32}.zst.age",
                                 f"wal/{'g' * 24}.00000000-00000005-0000000000001-{'0' * 32}.zst.age"])
def test_other_keys_are_no_pieces(key):
    assert pitr.stored(key) is None


def test_segments_are_named_as_postgres_names_them():
    assert pitr.name_of(1, pitr.read_lsn("0/3000060") // SIZE, SIZE) == "000000010000000000000003"
    assert pitr.name_of(3, pitr.read_lsn("1A/FF000000") // SIZE, SIZE) == "000000030000001A000000FF"
    assert pitr.write_lsn(pitr.read_lsn("1A/FF000000")) == "1A/FF000000"


# --- chains --------------------------------------------------------------------------------------------------------


def test_pieces_are_put_together_as_few_as_can_be():
    pieces = [piece(3, 0, 10, 1), piece(3, 10, 20, 2), piece(3, 0, 20, 3), piece(3, 20, 25, 4), piece(3, 30, 40, 5)]
    assert [(one.start, one.end) for one in pitr.assemble(pieces)] == [(0, 20), (20, 25)]
    assert pitr.assemble([piece(3, 1, 10, 1)]) == ()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), max_size=12))
def test_put_together_reaches_as_far_as_anything_can(ranges):
    pieces = [piece(3, start, start + length, 1) for start, length in ranges]
    chosen, reach = pitr.assemble(pieces), 0
    while longer := [one.end for one in pieces if one.start <= reach < one.end]:
        reach = max(longer)
    assert (chosen[-1].end if chosen else 0) == reach
    assert all(one.start <= before for one, before in zip(chosen, [0, *(one.end for one in chosen)], strict=False))


def test_a_chain_ends_at_a_hole_and_names_it():
    files = [whole(3, 1), whole(4, 2), whole(6, 3)]
    made = pitr.chain(base(3, 0), pitr.by_segment(files))
    assert [one.name for one in made.segments] == [segment(3), segment(4)]
    assert made.reach == 5 * SIZE
    assert pitr.hole(made, pitr.by_segment(files)) == segment(5)
    assert pitr.hole(pitr.chain(base(3, 0), pitr.by_segment(files[:2])), pitr.by_segment(files[:2])) == ""


def test_a_hole_inside_a_segment_ends_the_chain_too():
    files = [whole(3, 1), piece(4, 0, 10, 2), piece(4, 20, 30, 3), whole(5, 4)]
    made = pitr.chain(base(3, 0), pitr.by_segment(files))
    assert made.reach == 4 * SIZE + 10
    assert pitr.hole(made, pitr.by_segment(files)) == segment(4)


def test_a_base_whose_own_log_is_not_whole_is_none():
    assert not pitr.chain(base(3, 0, stop=200), pitr.by_segment([piece(3, 0, 199, 1)])).whole
    assert pitr.chain(base(3, 0, stop=200), pitr.by_segment([piece(3, 0, 200, 1)])).whole
    assert not pitr.chain(base(3, 0), {}).whole
    assert pitr.choose([epoch([base(3, 0, stop=200)], [piece(3, 0, 199, 1)])], None) is None


def test_the_newest_base_before_the_time_is_taken_and_the_log_a_little_further():
    files = [whole(number, number * 10) for number in range(3, 9)]
    both = [base(3, 25), base(6, 55)]
    found = pitr.choose([epoch(both, files)], at(45))
    assert found[1].base == both[0]
    assert [one.name for one in pitr.until(found[1], at(45))] == [segment(number) for number in (3, 4, 5, 6)]
    assert pitr.choose([epoch(both, files)], at(70))[1].base == both[1]
    assert pitr.choose([epoch(both, files)], at(25)) is None          # before the first base was whole
    assert pitr.choose([epoch(both, files)], at(81)) is None          # later than what is known to be there
    assert pitr.choose([epoch(both, files)], at(81), EPOCH, at(82))[1].base == both[1]
    assert pitr.choose([epoch(both, files)], at(83), EPOCH, at(82)) is None


def test_histories_with_a_gap_are_two_spans():
    later = "20261102T000000Z-1a2b3c4d"
    first = epoch([base(3, 0)], [whole(3, 5), whole(4, 9)])
    second = epoch([base(7, 60, later)], [whole(7, 65)], later)
    assert pitr.spans([second, first]) == [Span(at(1), at(9)), Span(at(61), at(65))]
    assert pitr.spans([first, second], later, at(90))[-1].end == at(90)
    assert pitr.choose([first, second], at(30)) is None
    assert pitr.choose([first, second], None)[0].id == later
    assert pitr.choose([first, second], at(5))[0].id == EPOCH


# --- what may go ---------------------------------------------------------------------------------------------------


def test_what_lies_before_the_base_that_the_window_needs_goes():
    files = [whole(number, number * 10) for number in range(3, 30)]
    bases = [base(3, 25), base(6, 55), base(20, 195)]
    gone = pitr.needless([epoch(bases, files)], EPOCH, at(300), timedelta(minutes=120))
    assert gone.bases == (bases[0],)                 # the second is needed for times from the window's edge on
    assert [one.segment for _, one in gone.files] == [segment(number) for number in (3, 4, 5)]
    assert gone.epochs == ()


def test_an_old_history_goes_when_all_of_it_is_older_than_the_window():
    later = "20261102T000000Z-1a2b3c4d"
    first = epoch([base(3, 0)], [whole(3, 5), whole(4, 9)])
    second = epoch([base(7, 60, later)], [whole(7, 65)], later)
    assert pitr.needless([first, second], later, at(69), timedelta(hours=1)).epochs == ()
    assert pitr.needless([first, second], later, at(70), timedelta(hours=1)).epochs == (EPOCH,)
    assert pitr.needless([first], "", at(1000), timedelta(hours=1)).epochs == ()      # the newest that can be used


def test_a_clock_that_is_behind_deletes_nothing():
    files = [whole(number, number * 10) for number in range(3, 30)]
    bases = [base(3, 25), base(20, 195)]
    assert pitr.needless([epoch(bases, files)], EPOCH, at(289), timedelta(minutes=1)) == pitr.Needless()


def test_pieces_that_a_whole_segment_replaces_go():
    files = [piece(3, 0, 200, 1), piece(3, 200, 300, 2), whole(3, 5)]
    gone = pitr.needless([epoch([base(3, 0)], files)], EPOCH, at(6), timedelta(days=7))
    assert {one for _, one in gone.files} == {files[0], files[1]}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_goes_every_time_of_the_window_can_be_had_as_before(data):
    epochs, first, minute = [], 3, 0.0
    for number in range(data.draw(st.integers(1, 3))):
        name = f"2026110{number + 1}T000000Z-1a2b3c4d"
        bases, files = [], []
        for _ in range(data.draw(st.integers(1, 12))):
            minute += data.draw(st.integers(1, 30))
            if data.draw(st.booleans()):
                bases.append(base(first, minute, name))
                minute += 1
            files.append(whole(first, minute + 1) if data.draw(st.integers(0, 9)) else piece(first, 0, 50, minute + 1))
            first += 1
        first += 1
        epochs.append(epoch(bases, files, name))
    now, window = at(minute + data.draw(st.integers(2, 50))), timedelta(minutes=data.draw(st.integers(1, 200)))
    gone = pitr.needless(epochs, epochs[-1].id, now, window)
    left = [Epoch(one.id, tuple(each for each in one.bases if each not in gone.bases),
                  tuple(each for each in one.files if (one.id, each) not in gone.files))
            for one in epochs if one.id not in gone.epochs]
    for back in range(int(window.total_seconds() // 60) + 1):
        moment = now - timedelta(minutes=back)
        before, after = pitr.choose(epochs, moment), pitr.choose(left, moment)
        assert (before is None) == (after is None)
        assert before is None or before[1] == after[1]
    newest, still = pitr.choose(epochs, None), pitr.choose(left, None)
    assert newest is None or newest[1] == still[1]


# --- moments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "wanted"), [
    ("2026-10-31T23:00:00Z", at(-60)), ("2026-11-01 00:30:00+01:00", at(-30)), ("5m ago", at(-5)), ("2h", at(-120)),
    ("2026-10-31", at(-1440)), ("90s ago", at(-1.5)),
    ("2026-10-31T23:59:59.5Z", START - timedelta(seconds=0.5))])
def test_moments_are_read(text, wanted):
    assert read_moment(text, START) == wanted
    assert read_moment(write_moment(wanted), START) == wanted


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "5 parsecs ago", "2026-11-01T00:00:01Z", "99999999w"])
def test_what_is_no_moment_of_the_past_is_refused(text):
    with pytest.raises(BadInput):
        read_moment(text, START)
