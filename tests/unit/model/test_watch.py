"""When does a new release count as doing badly? Deaths, and answers against the release before."""

import pytest

from paas.model.traffic import BOUNDS, Traffic
from paas.model.watch import Death, Limits, answering, dying, limits

LIMITS = Limits(errors=20, latency=4, requests=20)


def traffic(good=0, bad=0, seconds=0.03):
    """All of them took about *seconds*."""
    durations = [0] * (len(BOUNDS) + 1)
    durations[next(at for at, bound in enumerate((*BOUNDS, 1e9)) if seconds <= bound)] = good + bad
    return Traffic((0, good, 0, 0, bad), tuple(durations))


def died(deaths=1, exit_code=1, given_up=False, out_of_memory=False, memory=0):
    return Death("web.1", deaths, exit_code, given_up, out_of_memory, memory)


@pytest.mark.parametrize(("deaths", "words"), [
    ([], ""),
    ([died(0, None)], ""),
    ([died(1)], ""),
    ([died(0, None), died(2, 3)], "web.1 died 2 times (exit code 3)"),
    ([died(1, 0, given_up=True)], "web.1 ended (exit code 0) and is not started again"),
    ([died(1, 137, out_of_memory=True)], "web.1 ran out of memory and was killed"),
    ([died(1, 137, out_of_memory=True, memory=64 * 1024**2)],
     "web.1 ran out of memory and was killed with a memory limit of 64 MB"),
])
def test_deaths(deaths, words):
    assert dying(deaths) == words


@pytest.mark.parametrize(("now", "before", "words"), [
    (traffic(100), traffic(100), ""),
    (traffic(0, 1), traffic(100), ""),                        # 1 of 1 is nothing to go by
    (traffic(0, 19), traffic(100), ""),
    (traffic(0, 20), traffic(100), "20 of 20 requests were answered with 5xx (100 %, 0 % before)"),
    (traffic(80, 20), traffic(100), ""),                      # exactly the limit
    (traffic(79, 21), traffic(100), "21 of 100 requests were answered with 5xx (21 %, 0 % before)"),
    (traffic(60, 40), traffic(70, 30), ""),                   # it was no better before
    (traffic(40, 60), traffic(70, 30), "60 of 100 requests were answered with 5xx (60 %, 30 % before)"),
    (traffic(0, 100), traffic(0, 100), ""),
    (traffic(70, 30), traffic(0, 1), "30 of 100 requests were answered with 5xx (30 %)"),
])
def test_answers_with_5xx_count_against_the_release_before(now, before, words):
    assert answering(now, before, LIMITS) == words


@pytest.mark.parametrize(("now", "before", "slow"), [
    (traffic(100, seconds=0.1), traffic(100, seconds=0.1), False),
    (traffic(100, seconds=2), traffic(100, seconds=0.1), True),
    (traffic(100, seconds=0.1), traffic(100, seconds=0.004), False),     # 20 times slower, and nobody would notice
    (traffic(19, seconds=9), traffic(100, seconds=0.1), False),
    (traffic(100, seconds=9), traffic(19, seconds=0.1), False),
    (traffic(100, seconds=9), Traffic(), False),
])
def test_latency_counts_against_the_release_before(now, before, slow):
    assert bool(answering(now, before, LIMITS)) == slow
    assert not answering(now, before, Limits(20, 0, 20))


def test_a_limit_of_0_turns_a_rule_off():
    assert not answering(traffic(0, 100), traffic(100), Limits(0, 0, 1))


def test_limits_are_settings():
    assert limits({}) == Limits(20, 4, 20)
    assert limits({"watch.errors": "5", "watch.latency": "1.5", "watch.min-requests": "7"}) == Limits(5, 1.5, 7)
