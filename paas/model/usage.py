"""What an app did and used in a span of time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from paas.model.traffic import Traffic

MINUTE = 60                              # seconds of a slot, kept for MINUTES_KEPT
QUARTER = 900                            # seconds of a slot, kept for QUARTERS_KEPT
MINUTES_KEPT = "48h"
QUARTERS_KEPT = "720h"


@dataclass(frozen=True)
class Usage:
    traffic: Traffic = field(default_factory=Traffic)
    cpu: float = 0.0                     # seconds of processor time, of all instances
    memory: int = 0                      # bytes, of all instances together: the highest
    restarts: int = 0                    # of containers, by the engine

    def __add__(self, other: Usage) -> Usage:
        """One span after the other."""
        return Usage(self.traffic + other.traffic, self.cpu + other.cpu, max(self.memory, other.memory),
                     self.restarts + other.restarts)


@dataclass(frozen=True)
class Slot:
    at: datetime                         # its beginning
    usage: Usage


def beginning(at: datetime, seconds: int) -> int:
    """Of the slot that *at* is in: seconds since 1970."""
    return int(at.timestamp()) // seconds * seconds
