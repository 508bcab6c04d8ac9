"""A fake of :class:`paas.ports_watch.Loads`: what runs is told to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from paas.ports_watch import Load
from paas.testing.faults import Faults, faulty


class FakeLoads:
    """``of``: container id → its load."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.of: dict[str, Load] = {}

    @faulty("loads.read")
    def read(self, container_ids: Iterable[str]) -> Mapping[str, Load]:
        return {one: self.of[one] for one in container_ids if one in self.of}
