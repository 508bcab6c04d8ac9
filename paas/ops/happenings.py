"""What befell the containers of this server lately, as the engine told it. In memory: a new daemon knows nothing yet.

The thread in ``paas.daemon.engine_events`` fills it; whoever wants to know asks, or waits for a change.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime

from paas.ports_watch import Happening

KEPT = 50                                # happenings of one container that are remembered
CONTAINERS = 1000                        # containers of which something is remembered; the oldest go first


class Happenings:
    """Thread-safe. Of each container the last :data:`KEPT` happenings, oldest first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._of: dict[str, deque[Happening]] = {}

    def note(self, one: Happening) -> None:
        with self._changed:
            self._of.setdefault(one.container_id, deque(maxlen=KEPT)).append(one)
            while len(self._of) > CONTAINERS:
                del self._of[next(iter(self._of))]
            self._changed.notify_all()

    def of(self, container_id: str, kind: str = "", since: datetime | None = None) -> list[Happening]:
        """All that is remembered, or only those of one *kind*, or at *since* and later."""
        with self._changed:
            return [one for one in self._of.get(container_id, ())
                    if (not kind or one.kind == kind) and (since is None or one.at >= since)]

    def wait(self, true: Callable[[], object], seconds: float) -> bool:
        """Until *true*(), asked anew at each happening. False: *seconds* passed first."""
        with self._changed:
            return bool(self._changed.wait_for(true, seconds))
