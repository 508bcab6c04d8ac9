"""One thing at a time with one service, but for what only reads: whoever comes second is told what runs, and waits for
housekeeping only."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from paas.errors import Conflict
from paas.jobs import HOUSEKEEPING_SECONDS


@dataclass(frozen=True)
class Held:
    what: str
    housekeeping: bool = False
    shared: bool = False


class Turns:
    """Held in memory: a turn dies with its process."""

    def __init__(self) -> None:
        self.patience = HOUSEKEEPING_SECONDS
        self._changed = threading.Condition()
        self._held: dict[str, list[Held]] = {}

    def hold(self, key: str, what: str, *, housekeeping: bool = False) -> AbstractContextManager[None]:
        """Have *key* for oneself.

        :param housekeeping: short work of the platform's own: others wait for its end, it waits for nobody.
        :raises Conflict: somebody else has it, or housekeeping takes too long.
        """
        return self._having(key, Held(what, housekeeping))

    def share(self, key: str, what: str) -> AbstractContextManager[None]:
        """Have *key* beside others who share it.

        :raises Conflict: somebody has it for himself, or housekeeping takes too long.
        """
        return self._having(key, Held(what, shared=True))

    def held(self, key: str) -> str:
        """What is under way; of several the first; empty: nothing."""
        with self._changed:
            return next((one.what for one in self._held.get(key, ())), "")

    def end_patience(self) -> None:
        """The daemon stops: nobody waits for housekeeping any more."""
        with self._changed:
            self.patience = 0.0
            self._changed.notify_all()

    @contextmanager
    def _having(self, key: str, mine: Held) -> Iterator[None]:
        with self._changed:
            self._take(key, mine)
        try:
            yield
        finally:
            with self._changed:
                self._held[key].remove(mine)
                if not self._held[key]:
                    del self._held[key]
                self._changed.notify_all()

    def _take(self, key: str, mine: Held) -> None:
        began = time.monotonic()
        while now := self._in_the_way(key, mine):
            left = began + self.patience - time.monotonic()
            if mine.housekeeping or not now.housekeeping or left <= 0:
                raise Conflict(f"already under way: {now.what}", "Wait until it is over, then try again.")
            self._changed.wait(left)
        self._held.setdefault(key, []).append(mine)

    def _in_the_way(self, key: str, mine: Held) -> Held | None:
        return next((one for one in self._held.get(key, ()) if not (one.shared and mine.shared)), None)


def history(uid: str) -> str:
    """The key of a history of a service or a file: what reads it shares it, what deletes in it has it for itself."""
    return f"history {uid}"


def trial(uid: str) -> str:
    """The key of the drills of a history: one at a time."""
    return f"drill of the history {uid}"
