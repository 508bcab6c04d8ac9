"""Requests counted: how many, how they were answered, how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Upper ends in seconds of the classes of durations; one more class for what took longer. Prometheus's own defaults.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CLASSES = 5                              # 1xx to 5xx


@dataclass(frozen=True)
class Traffic:
    """Counts of a span of time, or since a start."""

    statuses: tuple[int, ...] = (0,) * CLASSES                # requests answered with 1xx, 2xx, … 5xx
    durations: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)     # requests by time to the answer's end, per class

    @property
    def requests(self) -> int:
        return sum(self.statuses)

    @property
    def failures(self) -> int:
        """Answers of 5xx."""
        return self.statuses[-1]

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(added(self.statuses, other.statuses), added(self.durations, other.durations))

    def since(self, earlier: Traffic) -> Traffic:
        """What came after *earlier*; all of it where the counters began anew in between."""
        pairs = list(zip((*self.statuses, *self.durations), (*earlier.statuses, *earlier.durations), strict=True))
        if any(now < before for now, before in pairs):
            return self
        return Traffic(tuple(now - before for now, before in pairs[:CLASSES]),
                       tuple(now - before for now, before in pairs[CLASSES:]))

    def quantile(self, share: float) -> float | None:
        """Seconds within which *share* (0 to 1) of the requests ended, linear inside a class as Prometheus's
        histogram_quantile; the last bound for what took longer; None without requests."""
        total = sum(self.durations)
        if not total:
            return None
        rank, below = share * total, 0
        for bound, start, count in zip(BOUNDS, (0.0, *BOUNDS), self.durations, strict=False):
            if count and below + count >= rank:
                return start + (bound - start) * max(0.0, rank - below) / count
            below += count
        return BOUNDS[-1]


def added(left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    return tuple(one + other for one, other in zip(left, right, strict=True))
