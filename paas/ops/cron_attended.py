"""The runs of scheduled jobs that this process sees to: each by one thread, from its start to its record."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from paas.errors import Conflict
from paas.model.cron import CronRun
from paas.ports import LogLine

BACKLOG = 10_000                         # lines held for a slow reader; further ones are only in the stored output
LISTEN_SECONDS = 0.2


class Listener:
    """Gets each line of a run as it comes; never holds it up."""

    def __init__(self) -> None:
        self.lines: queue.Queue[LogLine] = queue.Queue(BACKLOG)
        self.left_out = 0

    def tell(self, line: LogLine) -> None:
        try:
            self.lines.put_nowait(line)
        except queue.Full:
            self.left_out += 1


@dataclass
class Attended:
    run: CronRun
    fresh: bool                          # this process recorded it; else it was there when the process began
    container: str = ""
    has_slot: bool = False
    deadline: float | None = None        # of Clock.monotonic
    stop_reason: str = ""                # why it is to end, if anybody wants that
    stopping: bool = False               # somebody is at it
    told: int = 0                        # lines that the listener has
    listener: Listener | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def ask_to_stop(self, reason: str) -> None:
        """The first reason counts."""
        self.stop_reason = self.stop_reason or reason

    def lines(self, watching: Callable[[], bool]) -> Iterator[LogLine]:
        """What the listener hears, until the run is over or nobody is *watching*."""
        while self.listener and watching():
            over = self.done.is_set()    # before the look: nothing is said after the end
            try:
                yield self.listener.lines.get(timeout=0 if over else LISTEN_SECONDS)
            except queue.Empty:
                if over:
                    return


class AttendedRuns:
    """``lock`` is held where a run is recorded, so that no other thread takes it for one that nobody sees to."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._of: dict[int, Attended] = {}
        self._closed: set[int] = set()
        self._opening: Counter[int] = Counter()

    def begin(self, run: CronRun, *, fresh: bool, listener: Listener | None = None) -> Attended | None:
        """None: somebody sees to it already."""
        with self.lock:
            if run.id in self._of:
                return None
            made = self._of[run.id] = Attended(run, fresh, run.container_id, listener=listener)
            return made

    def end(self, entry: Attended) -> None:
        with self.lock:
            self._of.pop(entry.run.id, None)
        entry.done.set()

    def get(self, run_id: int) -> Attended | None:
        with self.lock:
            return self._of.get(run_id)

    def all(self) -> list[Attended]:
        with self.lock:
            return list(self._of.values())

    def take_slot(self, entry: Attended, most: int) -> bool:
        """May it have a container now? At most *most* have."""
        with self.lock:
            entry.has_slot = entry.has_slot or sum(one.has_slot for one in self._of.values()) < most
            return entry.has_slot

    @contextmanager
    def opening(self, app_id: int) -> Iterator[None]:
        """While a container is made. Conflict: the app is being destroyed."""
        with self.lock:
            if app_id in self._closed:
                raise Conflict("the app is being destroyed")
            self._opening[app_id] += 1
        try:
            yield
        finally:
            with self._changed:
                self._opening[app_id] -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self, app_id: int) -> Iterator[None]:
        """No run of the app gets a container from here on; those that have one are asked to stop."""
        with self._changed:
            self._closed.add(app_id)
            for entry in self._of.values():
                if entry.run.app_id == app_id:
                    entry.ask_to_stop("the app was destroyed")
            self._changed.wait_for(lambda: not self._opening[app_id], timeout=60)
        try:
            yield
        finally:
            with self.lock:
                self._closed.discard(app_id)
