"""Point in time of a service, as this machine's database knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Pitr:
    service_uid: str
    enabled: bool
    epoch: str                           # one unbroken history; "" while none was begun
    reason: str                          # why it began: "turned on", "the slot was lost"
    began_at: datetime                   # when
    target: str                          # url
    system: str                          # names the data, see paas.api.LogState
    volume: str                          # that they are in
    segment_size: int                    # bytes
    window: str                          # how far back: "7d"
    created_at: datetime
    created_by: str
    drilled_at: datetime | None = None   # the last drill, whatever came of it
    drill_to: datetime | None = None     # the time that it restored to
    drill_passed: bool | None = None
    drill_seconds: float = 0.0
    drill_reason: str = ""


@dataclass(frozen=True)
class PitrBase:
    """One attempt at a base."""

    id: str
    service_uid: str
    epoch: str
    target: str                          # url
    state: str                           # "under way", "good", "failed", "deleted"
    started_at: datetime
    finished_at: datetime | None
    size: int                            # bytes as stored
    reason: str                          # why it failed
    manifest: str                        # JSON as stored; empty before it is committed
