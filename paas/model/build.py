"""A build: source to image, with log and result."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BuildState(StrEnum):
    QUEUED = "queued"
    BUILDING = "building"
    BUILT = "built"
    FAILED = "failed"
    CANCELLED = "cancelled"


BUILD_MOVES: dict[BuildState, frozenset[BuildState]] = {
    BuildState.QUEUED: frozenset({BuildState.BUILDING, BuildState.FAILED, BuildState.CANCELLED}),
    BuildState.BUILDING: frozenset({BuildState.BUILT, BuildState.FAILED, BuildState.CANCELLED}),
    BuildState.BUILT: frozenset(),
    BuildState.FAILED: frozenset(),
    BuildState.CANCELLED: frozenset(),
}


@dataclass(frozen=True)
class Image:
    """What the engine says of an image. ``digest`` is its id (``sha256:…``), the only name a release keeps."""

    digest: str
    exposed: tuple[int, ...] = ()        # EXPOSEd TCP ports, ascending
    command: tuple[str, ...] = ()        # ENTRYPOINT + CMD; empty: the image has nothing to run
    healthcheck: bool = False            # has a HEALTHCHECK other than NONE
    size: int = 0                        # bytes
    labels: tuple[tuple[str, str], ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True)
class Build:
    """One row of ``builds``; ``number`` counts per app from 1."""

    id: int
    app_id: int
    number: int
    state: BuildState
    commit: str
    tree: str
    subject: str
    created_at: datetime
    created_by: str
    finished_at: datetime | None = None
    image: str = ""                      # digest, once built
    reason: str = ""                     # why it failed or was cancelled
