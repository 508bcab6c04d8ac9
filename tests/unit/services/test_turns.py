"""One thing at a time with one service: who waits, and who is refused."""

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest

from paas.errors import Conflict
from paas.services.turns import Turns


@pytest.fixture
def turns():
    made = Turns()
    made.patience = 600.0                # what is to be refused at once would hang
    return made


def restored(turns: Turns) -> str:
    with turns.hold("db", "a restore"):
        return turns.held("db")


def test_housekeeping_is_waited_for(turns):
    with ThreadPoolExecutor(1) as pool:
        with turns.hold("db", "the retention", housekeeping=True):
            waiting = pool.submit(restored, turns)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
            assert turns.held("db") == "the retention"
        assert waiting.result(5) == "a restore"
    assert turns.held("db") == ""


def test_nothing_else_is(turns):
    with turns.hold("db", "a drill"):
        with pytest.raises(Conflict, match="already under way: a drill"):
            restored(turns)
        with turns.hold("other", "a drill"):
            assert (turns.held("db"), turns.held("other")) == ("a drill", "a drill")
    assert restored(turns) == "a restore"


@pytest.mark.parametrize("own", [True, False])
def test_housekeeping_waits_for_nobody(turns, own):
    with turns.hold("db", "what came first", housekeeping=own), \
            pytest.raises(Conflict, match="already under way: what came first"), \
            turns.hold("db", "the retention", housekeeping=True):
        pytest.fail("both have it")


def test_housekeeping_that_takes_too_long_is_told(turns):
    turns.patience = 0.05
    with turns.hold("db", "the retention", housekeeping=True):
        with pytest.raises(Conflict, match="already under way: the retention"):
            restored(turns)
        assert turns.held("db") == "the retention"
    assert restored(turns) == "a restore"


def test_of_two_that_waited_the_second_is_refused(turns):
    over = threading.Event()

    def long() -> None:
        with turns.hold("db", "a restore"):
            over.wait(5)

    with ThreadPoolExecutor(2) as pool:
        with turns.hold("db", "the retention", housekeeping=True):
            asked = [pool.submit(long) for _ in range(2)]
        [refused] = wait(asked, 5, FIRST_COMPLETED).done
        with pytest.raises(Conflict, match="already under way: a restore"):
            refused.result()
        over.set()
    asked.remove(refused)
    assert asked[0].result() is None


def test_nobody_waits_when_the_daemon_stops(turns):
    with ThreadPoolExecutor(1) as pool, turns.hold("db", "the retention", housekeeping=True):
        waiting = pool.submit(restored, turns)
        with pytest.raises(TimeoutError):
            waiting.result(0.2)
        turns.end_patience()
        assert isinstance(waiting.exception(5), Conflict)


def test_what_is_shared_is_had_by_several_and_by_nobody_for_himself(turns):
    with turns.share("db", "a drill"):
        with turns.share("db", "a restore"), turns.share("db", "a restore"):
            assert turns.held("db") == "a drill"
            with pytest.raises(Conflict, match="already under way: a drill"), turns.hold("db", "the end"):
                pytest.fail("it has it for itself")
        with pytest.raises(Conflict, match="a drill"), turns.hold("db", "the retention", housekeeping=True):
            pytest.fail("it has it for itself")
    assert restored(turns) == "a restore"


def test_sharing_is_refused_by_who_has_it_for_himself_and_waits_for_housekeeping(turns):
    def shared() -> str:
        with turns.share("db", "a drill"):
            return turns.held("db")

    with turns.hold("db", "the end"), pytest.raises(Conflict, match="already under way: the end"):
        shared()
    with ThreadPoolExecutor(1) as pool:
        with turns.hold("db", "the retention", housekeeping=True):
            waiting = pool.submit(shared)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
        assert waiting.result(5) == "a drill"
