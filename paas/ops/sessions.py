"""Open connections of keys, so that one whose access ends is cut off at once."""

from __future__ import annotations

import threading
from typing import Protocol


class Cut(Protocol):
    def drop(self) -> None: ...


class Sessions:
    """Of this process; all methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Cut, tuple[int | None, str]] = {}

    def begin(self, session: Cut, key_id: int | None, user: str) -> None:
        with self._lock:
            self._open[session] = (key_id, user)

    def end(self, session: Cut) -> None:
        with self._lock:
            self._open.pop(session, None)

    def of_key(self, key_id: int) -> int:
        """How many that key has."""
        with self._lock:
            return sum(one == key_id for one, _ in self._open.values())

    def end_key(self, key_id: int) -> int:
        return self._cut(lambda key, user: key == key_id)

    def end_user(self, user: str) -> int:
        return self._cut(lambda key, name: key is not None and name == user)

    def _cut(self, fits) -> int:
        with self._lock:
            found = [session for session, whose in self._open.items() if fits(*whose)]
        for session in found:
            session.drop()
        return len(found)
