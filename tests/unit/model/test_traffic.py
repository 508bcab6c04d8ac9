"""Counts of requests: sums, differences, quantiles of a histogram."""

import pytest

from paas.model.traffic import BOUNDS, Traffic
from paas.model.usage import Usage

ZEROS = (0,) * (len(BOUNDS) + 1)


def durations(**counts: int) -> tuple[int, ...]:
    """By the class's place: ``_0=3``."""
    return tuple(counts.get(f"_{place}", 0) for place in range(len(ZEROS)))


def test_sums_and_differences():
    early, late = Traffic((0, 5, 0, 1, 0), durations(_0=6)), Traffic((0, 9, 2, 1, 1), durations(_0=9, _3=4))
    assert late.since(early) == Traffic((0, 4, 2, 0, 1), durations(_0=3, _3=4))
    assert early + late.since(early) == late
    assert (late.requests, late.failures) == (13, 1)
    assert late.since(late) == Traffic()


def test_counters_that_began_anew_count_whole():
    assert Traffic((0, 2, 0, 0, 0)).since(Traffic((0, 5, 0, 0, 0))) == Traffic((0, 2, 0, 0, 0))
    assert Traffic((0, 9, 0, 0, 0), durations(_0=1)).since(Traffic((0, 5, 0, 0, 0), durations(_0=2))).requests == 9


@pytest.mark.parametrize(("counts", "share", "seconds"), [
    ({"_0": 10}, 0.5, 0.0025), ({"_0": 10}, 1.0, 0.005), ({"_0": 50, "_1": 50}, 0.5, 0.005),
    ({"_0": 50, "_1": 50}, 0.75, 0.0075), ({"_4": 100}, 0.95, 0.05 + 0.05 * 0.95), ({"_0": 99, "_7": 1}, 0.99, 0.005),
    ({"_0": 98, "_7": 2}, 0.99, 0.75), ({"_11": 4}, 0.5, 10.0), ({"_0": 1, "_11": 9}, 0.5, 10.0)])
def test_quantiles_are_linear_inside_a_class(counts, share, seconds):
    assert Traffic(durations=durations(**counts)).quantile(share) == pytest.approx(seconds)


def test_without_requests_there_is_no_quantile():
    assert Traffic().quantile(0.95) is None


def test_spans_add_up_and_memory_is_the_highest():
    assert Usage(Traffic((0, 1, 0, 0, 0)), 1.5, 70, 1) + Usage(Traffic((0, 2, 0, 0, 0)), 0.5, 90, 0) == Usage(
        Traffic((0, 3, 0, 0, 0)), 2.0, 90, 1)
