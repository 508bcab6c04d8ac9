"""One thing at a time with one service; whoever comes second is told what runs, and waits for housekeeping only."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from paas.errors import Conflict
from paas.jobs import HOUSEKEEPING_SECONDS


@dataclass(frozen=True)
class Held:
    what: str
    housekeeping: bool


class Turns:
    """Held in memory: a turn dies with its process."""

    def __init__(self) -> None:
        self.patience = HOUSEKEEPING_SECONDS
        self._changed = threading.Condition()
        self._held: dict[str, Held] = {}

    @contextmanager
    def hold(self, key: str, what: str, *, housekeeping: bool = False) -> Iterator[None]:
        """Have *key* for oneself.

        :param housekeeping: short work of the platform's own: others wait for its end, it waits for nobody.
        :raises Conflict: somebody else has it, or housekeeping takes too long.
        """
        with self._changed:
            self._take(key, Held(what, housekeeping))
        try:
            yield
        finally:
            with self._changed:
                del self._held[key]
                self._changed.notify_all()

    def held(self, key: str) -> str:
        """What is under way; empty: nothing."""
        with self._changed:
            return self._held[key].what if key in self._held else ""

    def end_patience(self) -> None:
        """The daemon stops: nobody waits for housekeeping any more."""
        with self._changed:
            self.patience = 0.0
            self._changed.notify_all()

    def _take(self, key: str, mine: Held) -> None:
        began = time.monotonic()
        while now := self._held.get(key):
            left = began + self.patience - time.monotonic()
            if mine.housekeeping or not now.housekeeping or left <= 0:
                raise Conflict(f"already under way: {now.what}", "Wait until it is over, then try again.")
            self._changed.wait(left)
        self._held[key] = mine
