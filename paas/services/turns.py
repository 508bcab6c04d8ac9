"""One thing at a time with one service; whoever comes second is told what runs, and does not wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from paas.errors import Conflict


class Turns:
    """Held in memory: a turn dies with its process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}

    @contextmanager
    def hold(self, key: str, what: str) -> Iterator[None]:
        """:raises Conflict: somebody else has it."""
        with self._lock:
            if key in self._held:
                raise Conflict(f"already under way: {self._held[key]}", "Wait until it is over, then try again.")
            self._held[key] = what
        try:
            yield
        finally:
            with self._lock:
                del self._held[key]

    def held(self, key: str) -> str:
        """What is under way; empty: nothing."""
        with self._lock:
            return self._held.get(key, "")
