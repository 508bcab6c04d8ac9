"""Lines of apps on their way to drains: each drain has a thread that sends, and one for each container that it reads.

Nothing here is in the way of an app: the engine keeps its lines whether anybody reads them or not. A drain that does
not take them lets a bounded queue fill up; then the oldest go, and are counted.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from paas.errors import BadInput, NotFound, PaasError
from paas.model.drain import Drain, DrainLine, Kind
from paas.ops.logs import close_stream
from paas.ports import LogLine
from paas.threads import started

if TYPE_CHECKING:
    from paas.runtime import Runtime

QUEUE_BYTES = 8 * 1024 * 1024            # lines that wait for one drain
BATCH_LINES, BATCH_BYTES = 500, 512 * 1024
LINGER_SECONDS = 0.3                     # a batch is gathered for so long
PACE = 4 * 1024 * 1024                   # bytes a second that are read for one drain
SAVE_SECONDS = 5.0                       # between two notes of how far it is
MOST_PAUSE = 60.0                        # between two attempts
END_SECONDS = 5.0                        # that what is being sent at the end may take
PLATFORM = "paas"                        # the instance of lines of the platform's own

log = logging.getLogger("paas.drains")


@dataclass
class State:
    """Since the daemon started."""

    sent: int = 0
    dropped: int = 0
    waiting: int = 0
    error: str = ""
    failing_since: datetime | None = None


class Waiting:
    """Lines in order of arrival; beyond *most* bytes the oldest go. Taken by one thread, put by many."""

    def __init__(self, most: int = QUEUE_BYTES) -> None:
        self._lines: deque[DrainLine] = deque()
        self._most, self._bytes = most, 0
        self._changed = threading.Condition()
        self._lost: DrainLine | None = None              # the newest of those that went since the last `take`
        self._unsaid = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._lines)

    def put(self, line: DrainLine) -> None:
        with self._changed:
            self._lines.append(line)
            self._bytes += line.size
            while self._bytes > self._most and len(self._lines) > 1:
                self._lost = self._lines.popleft()
                self._bytes -= self._lost.size
                self._unsaid += 1
                self.dropped += 1
            self._changed.notify()

    def take(self, seconds: float) -> list[DrainLine]:
        """At most a batch; none after *seconds* without any. Where lines went, the first one says how many."""
        with self._changed:
            if not self._lines:
                self._changed.wait(seconds)
            taken: list[DrainLine] = self._said()
            size = 0
            while self._lines and len(taken) < BATCH_LINES and size < BATCH_BYTES:
                taken.append(self._lines.popleft())
                size += taken[-1].size
            self._bytes -= size
            return taken

    def _said(self) -> list[DrainLine]:
        if not self._unsaid or self._lost is None:
            return []
        text = f"paas: {self._unsaid} lines were dropped here: the drain did not take them in time"
        lost, self._unsaid, self._lost = self._lost, 0, None
        return [DrainLine(lost.at, lost.app, PLATFORM, "stderr", text.encode())]


@dataclass
class Reader:
    thread: threading.Thread | None = None
    stream: Iterator[LogLine] | None = None


class Forwarder:
    """One drain. ``look`` gives it the containers that there are; ``end`` stops it."""

    def __init__(self, rt: Runtime, drain: Drain) -> None:
        self.rt, self.drain, self.state = rt, drain, State()
        self.waiting, self.stop = Waiting(), threading.Event()
        self.sink = rt.sinks.open(drain, socket.gethostname().partition(".")[0])
        self.reached = rt.store.drain_positions(drain.id)        # of lines that were sent
        self._read: dict[str, LogLine] = {}                      # newest line of each container that was read
        self._readers: dict[str, Reader] = {}
        self._saved = dict(self.reached)
        self._save_at = time.monotonic() + SAVE_SECONDS
        self._paced, self._second = 0, 0.0
        self.thread = started(self.run, name=f"drain-{drain.id}")

    # reading -------------------------------------------------------------------------------------------------------
    def look(self, containers: dict[str, tuple[str, str]]) -> None:
        """:param containers: id → app and instance. One that was read to its end is read again when it runs again."""
        for gone in [one for one in self._readers if one not in containers and self._ended(one)]:
            del self._readers[gone]
            self._read.pop(gone, None)
        for gone in list(self.reached):          # its last lines may have been sent after its end
            if gone not in containers and gone not in self._readers:
                self.reached.pop(gone, None)
        for container, (app, instance) in containers.items():
            if container not in self._readers or (self._ended(container) and self._runs(container)):
                self._open(container, app, instance)

    def _ended(self, container: str) -> bool:
        return not self._readers[container].thread.is_alive()

    def _runs(self, container: str) -> bool:
        try:
            return self.rt.containers.state(container).running
        except PaasError:
            return False

    def _open(self, container: str, app: str, instance: str) -> None:
        reader = Reader()
        reader.thread = started(self._copy, reader, container, app, instance, name=f"drain-{self.drain.id}-reader")
        self._readers[container] = reader

    def _copy(self, reader: Reader, container: str, app: str, instance: str) -> None:
        last = self._read.get(container)
        since = last.at if last else self.reached.get(container, self.drain.created_at)
        with contextlib.suppress(NotFound, PaasError):   # removed, or the engine went away: looked at again
            stream = self.rt.containers.logs(container, follow=True, since=since)
            reader.stream = stream
            if self.stop.is_set():
                close_stream(stream)
            for line in stream:
                if last and line.at and last.at and (line.at < last.at or line == last):
                    continue             # had already: `since` is not exact
                self._read[container] = line
                at = line.at or self.rt.clock.now()
                self.waiting.put(DrainLine(at, app, instance, line.stream, line.text, container))
                if not self._in_time(len(line.text)):
                    return

    def _in_time(self, size: int) -> bool:
        """Not faster than PACE, all readers together. False: it was stopped."""
        now = time.monotonic()
        if now - self._second >= 1:
            self._paced, self._second = 0, now
        self._paced += size
        if self._paced > PACE:
            self.stop.wait(max(0.0, self._second + 1 - now))
        return not self.stop.is_set()

    # sending -------------------------------------------------------------------------------------------------------
    def run(self) -> None:
        batch: list[DrainLine] = []
        failures = 0
        while not self.stop.is_set():
            if not batch:
                batch = self.waiting.take(1.0)
                if 0 < len(batch) < BATCH_LINES and not self.stop.wait(LINGER_SECONDS):
                    batch += self.waiting.take(0.0)
            if batch:
                failures = 0 if self._sent(batch) else failures + 1
                batch = batch if failures else []
            self._save()
            if failures:
                self.stop.wait(min(MOST_PAUSE, 2.0 ** min(failures - 1, 10)))
        self._save(now=True)
        self.sink.close()

    def _sent(self, batch: list[DrainLine]) -> bool:
        """False: it has to be tried again."""
        try:
            self.sink.send(batch)
            self.state.sent += sum(bool(line.container) for line in batch)
            self.state.error, self.state.failing_since = "", None
        except BadInput as error:
            self.state.dropped += len(batch)
            self._failed(error.what)
        except PaasError as error:
            self._failed(error.what)
            return False
        except Exception:
            log.exception("drain %d", self.drain.id)
            self._failed("internal error, see the log of paasd")
            return False
        self.reached.update({line.container: line.at for line in batch if line.container})
        return True

    def _failed(self, what: str) -> None:
        if self.state.error != what:
            log.warning("drain %d (%s): %s", self.drain.id, self.drain.shown, what)
        self.state.error = what
        self.state.failing_since = self.state.failing_since or self.rt.clock.now()

    def _save(self, now: bool = False) -> None:
        if not now and time.monotonic() < self._save_at:
            return
        self._save_at = time.monotonic() + SAVE_SECONDS
        reached = dict(self.reached)
        if reached != self._saved:
            with contextlib.suppress(PaasError):
                self.rt.store.put_drain_positions(self.drain.id, reached)
                self._saved = reached

    def report(self) -> State:
        return State(self.state.sent, self.state.dropped + self.waiting.dropped, len(self.waiting), self.state.error,
                     self.state.failing_since)

    def end(self, seconds: float = END_SECONDS) -> None:
        self.stop.set()
        for reader in list(self._readers.values()):
            if reader.stream:
                close_stream(reader.stream)
        self.thread.join(seconds)


class Forwarders:
    """All of the daemon's."""

    def __init__(self) -> None:
        self._all: dict[int, Forwarder] = {}
        self._lock = threading.Lock()

    def supervise(self, rt: Runtime) -> None:
        """Begin and end what is not as the database wants it."""
        wanted = {drain.id: drain for drain in rt.store.drains() if drain.kind != Kind.CLOUDWATCH}
        with self._lock:
            for gone in self._all.keys() - wanted.keys():
                self._all.pop(gone).end()
            for drain_id in wanted.keys() - self._all.keys():
                self._all[drain_id] = Forwarder(rt, wanted[drain_id])
            if self._all:
                self._show_containers(rt)

    def _show_containers(self, rt: Runtime) -> None:
        names = {app.id: app.name for app in rt.store.apps()}
        rows = [row for row in rt.store.instances() if row.container_id and row.app_id in names]
        for one in self._all.values():
            one.look({row.container_id: (names[row.app_id], row.name) for row in rows
                      if one.drain.app_id in (None, row.app_id)})

    def report(self, drain_id: int) -> State | None:
        """None: it is not forwarded by this daemon (yet)."""
        found = self._all.get(drain_id)
        return found.report() if found else None

    def end(self) -> None:
        """All at once: each may be waiting for a receiver that does not answer."""
        ends = time.monotonic() + END_SECONDS
        with self._lock:
            for one in self._all.values():
                one.stop.set()
            while self._all:
                self._all.popitem()[1].end(max(0.0, ends - time.monotonic()))
