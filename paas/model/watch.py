"""The time after a deploy in which a new release is watched, and what counts as doing badly in it.

As the analysis of a canary (Argo Rollouts, Flagger), but after the switch, on one server, with all of the traffic:
deaths of instances, and answers against those of the release before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from paas.model import app_settings
from paas.model.traffic import Traffic

DEATHS = 2                               # of one instance in the window: it died, was started again, and died again
LATENCY_FLOOR = 0.2                      # seconds: below, a p95 is never too slow, whatever it was before


class Outcome(StrEnum):
    OPEN = ""                            # it is still being watched
    GOOD = "good"                        # nothing was found until the end
    BAD = "bad"                          # something was, and nobody rolled back until the end
    ROLLED_BACK = "rolled-back"
    CUT_SHORT = "cut-short"              # another deploy, a restart, a stop came before the end


@dataclass(frozen=True)
class Watch:
    """A row of ``watches``."""

    release_id: int
    app_id: int
    before_id: int                       # the release that served before, and to which a rollback leads
    began_at: datetime
    ends_at: datetime
    before: Traffic                      # of the release before, at most BASELINE_SECONDS of it
    counted: Traffic                     # what the proxy had counted of the app at began_at
    reason: str = ""                     # what was found
    outcome: Outcome = Outcome.OPEN
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Limits:
    """From when on answers count as bad. 0 turns a rule off."""

    errors: float                        # percent points of 5xx above those of the release before
    latency: float                       # p95 as a multiple of the one before
    requests: int                        # fewer requests than these, now or before, are no basis


@dataclass(frozen=True)
class Death:
    """What became of one instance of the watched release so far."""

    name: str                            # "web.1"
    deaths: int
    exit_code: int | None                # of the last one
    given_up: bool                       # nobody starts it again
    out_of_memory: bool
    memory: int = 0                      # bytes of its limit; 0: none


def limits(settings: Mapping[str, str]) -> Limits:
    def value(key: str) -> float:
        return float(app_settings.value_of(app_settings.APP, settings, f"watch.{key}"))

    return Limits(value("errors"), value("latency"), int(value("min-requests")))


def dying(deaths: Sequence[Death]) -> str:
    """Why the instances do badly, in words; empty: they do not."""
    for one in deaths:
        if one.out_of_memory:
            limit = f" with a memory limit of {one.memory // 1024**2} MB" if one.memory else ""
            return f"{one.name} ran out of memory and was killed{limit}"
    for one in deaths:
        code = "" if one.exit_code is None else f" (exit code {one.exit_code})"
        if one.deaths >= DEATHS:
            return f"{one.name} died {one.deaths} times{code}"
        if one.given_up:
            return f"{one.name} ended{code} and is not started again"
    return ""


def answering(now: Traffic, before: Traffic, limit: Limits) -> str:
    """Why the answers are worse than those before, in words; empty: they are not, or there were too few."""
    if now.requests < limit.requests:
        return ""
    return failing(now, before, limit) or slow(now, before, limit)


def failing(now: Traffic, before: Traffic, limit: Limits) -> str:
    """A release before that was hardly asked is taken as one without errors."""
    share, known = percent(now), before.requests >= limit.requests
    usual = percent(before) if known else 0.0
    if not limit.errors or share <= usual + limit.errors:
        return ""
    told = f", {usual:.3g} % before" if known else ""
    return f"{now.failures} of {now.requests} requests were answered with 5xx ({share:.3g} %{told})"


def percent(traffic: Traffic) -> float:
    return 100 * traffic.failures / traffic.requests if traffic.requests else 0.0


def slow(now: Traffic, before: Traffic, limit: Limits) -> str:
    usual, p95 = before.quantile(0.95), now.quantile(0.95)
    if not limit.latency or before.requests < limit.requests or usual is None or p95 is None:
        return ""
    if p95 <= max(usual * limit.latency, LATENCY_FLOOR):
        return ""
    return f"95 % of the requests took up to {1000 * p95:.0f} ms, {1000 * usual:.0f} ms before"
