"""Uptime of an app: checks counted in five-minute pieces, and what a longer span says of them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from paas.model.traffic import BOUNDS, Traffic

SLOT_SECONDS = 300
KEEP = timedelta(days=31)
SPANS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}
CLASS = struct.Struct("<BH")             # of a histogram: which class, how many


@dataclass(frozen=True)
class Checks:
    """A row of ``uptime``, or the sum of several."""

    app_id: int
    slot: int                            # seconds since 1970, divided by SLOT_SECONDS
    checks: int = 0
    failures: int = 0
    latency: int = 0                     # milliseconds, of the good answers together
    good: Traffic = Traffic()            # their durations

    def with_check(self, seconds: float | None) -> Checks:
        """One check more; None: it failed."""
        if seconds is None:
            return replace(self, checks=self.checks + 1, failures=self.failures + 1)
        place = next((number for number, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        one = Traffic(durations=tuple(int(number == place) for number in range(len(BOUNDS) + 1)))
        return replace(self, checks=self.checks + 1, latency=self.latency + round(seconds * 1000),
                       good=self.good + one)

    def __add__(self, other: Checks) -> Checks:
        return replace(self, checks=self.checks + other.checks, failures=self.failures + other.failures,
                       latency=self.latency + other.latency, good=self.good + other.good)


@dataclass(frozen=True)
class Uptime:
    """Of a span."""

    span: str
    checks: int
    failures: int
    availability: float | None           # percent; None: not checked in it
    p50: float | None                    # seconds, of the good answers
    p95: float | None


def uptime(span: str, samples: Iterable[Checks]) -> Uptime:
    total = Checks(0, 0)
    for one in samples:
        total += one
    share = 100 * (total.checks - total.failures) / total.checks if total.checks else None
    return Uptime(span, total.checks, total.failures, share, total.good.quantile(0.5), total.good.quantile(0.95))


def pack(durations: Iterable[int]) -> bytes:
    """Only classes with a count: three bytes each."""
    return b"".join(CLASS.pack(place, min(count, 65535)) for place, count in enumerate(durations) if count)


def unpack(data: bytes) -> tuple[int, ...]:
    counts = dict(CLASS.iter_unpack(data))
    return tuple(counts.get(place, 0) for place in range(len(BOUNDS) + 1))
