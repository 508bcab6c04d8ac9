"""Threads of work that goes on beside; all are daemon threads. The system may give no more of them (``TasksMax`` of the
service, the pids controller)."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from paas.errors import Unavailable

RETRY_SECONDS = 0.5

log = logging.getLogger("paas.threads")


def started(work: Callable[..., object], *args: object, name: str | None = None) -> threading.Thread:
    """Run *work*(*args*) in a thread of its own.

    :raises Unavailable: there is no thread for it; nothing runs.
    """
    thread = threading.Thread(target=work, args=args, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        raise Unavailable("this server has no thread left for that", "Try again in a moment.") from None
    return thread


class Spawner:
    """Runs work in threads, later where there is none for it now: who asks has noted already that it is under way."""

    def __init__(self) -> None:
        self._late: queue.Queue[Callable[[], object]] = queue.Queue()
        started(self._catch_up, name="late")

    def __call__(self, work: Callable[[], object]) -> None:
        if not begun(work):
            log.warning("no thread is left: some work begins later")
            self._late.put(work)

    def _catch_up(self) -> None:
        while True:
            work = self._late.get()
            while not begun(work):
                time.sleep(RETRY_SECONDS)


def begun(work: Callable[[], object]) -> bool:
    try:
        started(work)
    except Unavailable:
        return False
    return True
