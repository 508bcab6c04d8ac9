"""When a disk will be full, from what it was like in the last days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

DAYS = 7                                 # that a forecast looks back
FEWEST = 6                               # samples, an hour apart, before there is a forecast
FAR_DAYS = 365                           # a forecast beyond this is none


@dataclass(frozen=True)
class Sample:
    at: datetime
    free: int                            # bytes that root's and users' programs can still write
    total: int


@dataclass(frozen=True)
class Forecast:
    """``growth``: bytes a day, by least squares; None: too few samples yet. ``days``: until full; None: not growing."""

    samples: int
    growth: float | None = None
    days: float | None = None

    @property
    def words(self) -> str:
        if self.growth is None:
            return f"not known yet ({self.samples} of {FEWEST} hourly samples)"
        if self.days is None:
            return "not growing"
        if self.days > FAR_DAYS:
            return "not full within a year"
        return f"full in {self.days:.0f} days" if self.days >= 2 else f"full in {max(self.days * 24, 0):.0f} hours"


def forecast(samples: Sequence[Sample], now: datetime) -> Forecast:
    """Of one disk, by a straight line through what was used in the last week.

    A disk that was made larger or smaller begins anew. Growth of less than a thousandth of the disk a day is none: that
    much comes and goes with every build.
    """
    known = [one for one in samples if one.at > now - timedelta(days=DAYS)]
    known = [one for one in known if one.total == known[-1].total]
    if len(known) < FEWEST:
        return Forecast(len(known))
    days = [(one.at - known[0].at).total_seconds() / 86400 for one in known]
    used = [float(one.total - one.free) for one in known]
    growth = slope(days, used)
    if growth < known[-1].total / 1000:
        return Forecast(len(known), growth)
    return Forecast(len(known), growth, known[-1].free / growth)


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Of the line of least squares; 0 where all is at one time."""
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    width = sum((x - middle_x) ** 2 for x in xs)
    return sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / width if width else 0.0
