"""A fake of :class:`paas.ports_watch.EngineEvents` over :class:`paas.testing.fake_containers.FakeContainers`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from paas.errors import EngineError
from paas.ports_watch import Happening
from paas.testing.fake_containers import FakeContainers

LOOK = 0.05


class FakeEngineEvents:
    """``up = False`` makes the engine go away."""

    def __init__(self, containers: FakeContainers) -> None:
        self.containers, self.up = containers, True

    def follow(self, since: datetime | None, watching: Callable[[], bool]) -> Iterator[Happening]:
        seen = 0 if since else len(self.containers.happenings)
        while watching():
            if not self.up:
                raise EngineError("Docker ended its stream of events")
            with self.containers.changed:
                self.containers.changed.wait_for(lambda known=seen: len(self.containers.happenings) > known, LOOK)
                fresh = self.containers.happenings[seen:]
            seen += len(fresh)
            yield from (one for one in fresh if since is None or one.at > since)
