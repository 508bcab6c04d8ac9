"""Log lines of an app's instances, merged: stored ones in order of time, followed ones as they come."""

from __future__ import annotations

import contextlib
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from paas.errors import BadInput, EngineError, NotFound, PaasError
from paas.model import names
from paas.model.app import App
from paas.ports import LogLine
from paas.threads import started

if TYPE_CHECKING:
    from paas.runtime import Runtime

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LOOK_SECONDS = 1.0                       # between two looks for new instances
QUIET_SECONDS = 0.25                     # the stored lines are there when nothing came for so long,
FIRST_SECONDS = 1.0                      # or, where a program never pauses, after so long
BACKLOG = 1000                           # lines held for a slow reader; then the containers' streams wait
NO_TIME = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    at: datetime | None
    instance: str                        # "web.1"
    stream: str                          # "stdout" or "stderr"
    text: bytes                          # as the program wrote it, without the line end


@dataclass(frozen=True)
class Wanted:
    """What part of the logs: the last *tail* lines of each instance, not before *since*."""

    tail: int = 100
    since: datetime | None = None
    process: str = ""                    # "web", "web.1"; empty: all


Source = tuple[str, str]                 # instance name, container id


def parse_since(text: str, now: datetime) -> datetime:
    """``90s``, ``10m``, ``2h``, ``1d``, ``1w`` before *now*, or an ISO 8601 time (without zone: UTC). BadInput."""
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if match:
        return now - timedelta(seconds=int(match[1]) * UNITS[match[2]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"'{names.printable(text)}' is not a time",
                       "Give a span like 10m, 2h or 1d, or a time like 2026-01-31T12:00:00Z.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def sources(rt: Runtime, app: App, process: str) -> list[Source]:
    """The containers that there are, running or not. BadInput for a process that does not exist."""
    found = [(row.name, row.container_id) for row in rt.store.instances(app.id)
             if row.container_id and process in ("", row.process_type, row.name)]
    if not found and process:
        live = rt.store.live_release(app.id)
        known = [one.type for one in live.formation] if live else []
        if process.partition(".")[0] not in known:
            raise BadInput(f"{app.name} has no process '{names.printable(process)}'",
                           f"It has: {', '.join(known) or 'none yet'}.")
    return found


def stored(rt: Runtime, app: App, wanted: Wanted) -> list[Line]:
    """In order of time."""
    return by_time(line for source in sources(rt, app, wanted.process) for line in read(rt, source, wanted))


def read(rt: Runtime, source: Source, wanted: Wanted) -> list[Line]:
    try:
        return [made(source, one) for one in rt.containers.logs(source[1], tail=wanted.tail, since=wanted.since)]
    except NotFound:
        return []                        # removed since


def made(source: Source, one: LogLine) -> Line:
    return Line(one.at, source[0], one.stream, one.text)


def by_time(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line.at or NO_TIME)


def follow(rt: Runtime, app: App, wanted: Wanted, watching: Callable[[], bool]) -> Iterator[Line]:
    """First the stored lines in order of time, then every line as it comes, also of instances that come later (a
    deploy), until nobody is *watching*."""
    found = sources(rt, app, wanted.process)
    return Following(rt, lambda: sources_now(rt, app, wanted.process), wanted, watching).lines(found)


def follow_container(rt: Runtime, source: Source, wanted: Wanted, watching: Callable[[], bool]) -> Iterator[Line]:
    """One container, until it has ended for good or nobody is *watching*."""
    return Following(rt, None, wanted, watching).lines([source])


def sources_now(rt: Runtime, app: App, process: str) -> list[Source]:
    """A release without that process, an engine that is restarting, an app destroyed: nothing new for now."""
    try:
        return sources(rt, app, process)
    except PaasError:
        return []


class Following:
    """A thread per container reads its stream; whoever iterates :meth:`lines` gets them all.

    :param look: the containers that there are now; None: there will be no others, and the end of all is the end.
    """

    def __init__(self, rt: Runtime, look: Callable[[], list[Source]] | None, wanted: Wanted,
                 watching: Callable[[], bool]) -> None:
        self.rt, self.look, self.wanted, self.watching = rt, look, wanted, watching
        self.ready: queue.Queue[Line] = queue.Queue(BACKLOG)
        self.known: dict[str, datetime] = {}             # container → time of its newest line that was read, or before
        self.streams: dict[str, Iterator[LogLine]] = {}
        self.stop = threading.Event()
        self.reading: dict[str, threading.Thread] = {}

    def lines(self, found: list[Source]) -> Iterator[Line]:
        try:
            for source in found:
                self.open(source, self.wanted.tail)
            yield from by_time(self.first())
            yield from self.later()
        finally:
            self.close()

    def first(self) -> Iterator[Line]:
        ends = time.monotonic() + FIRST_SECONDS
        with contextlib.suppress(queue.Empty):
            for _ in range(BACKLOG):
                yield self.ready.get(timeout=max(0, min(QUIET_SECONDS, ends - time.monotonic())))

    def later(self) -> Iterator[Line]:
        looked = time.monotonic()
        while self.watching():
            with contextlib.suppress(queue.Empty):
                yield self.ready.get(timeout=QUIET_SECONDS)
                if time.monotonic() - looked < LOOK_SECONDS:
                    continue
            if self.look is None:
                if self.ended():
                    return
            elif time.monotonic() - looked >= LOOK_SECONDS:
                looked = time.monotonic()
                self.open_new()

    def ended(self) -> bool:
        return self.ready.empty() and not any(one.is_alive() for one in self.reading.values()) and self.ready.empty()

    def open_new(self) -> None:
        """A container that was not there before is read from its first line on; one that was read to its end, and runs
        again (the app was stopped, or slept; the engine was restarted), from there on."""
        for source in self.look():
            reader = self.reading.get(source[1])
            with contextlib.suppress(EngineError):               # it is restarting: looked at again
                if source[1] not in self.known or (reader and not reader.is_alive() and self.runs(source[1])):
                    self.open(source, None)

    def runs(self, container: str) -> bool:
        try:
            return self.rt.containers.state(container).running
        except NotFound:
            return False

    def open(self, source: Source, tail: int | None) -> None:
        _, container = source
        since = self.known.get(container, self.wanted.since)
        try:
            stream = self.rt.containers.logs(container, tail=tail, follow=True, since=since)
        except NotFound:
            self.known[container] = self.rt.clock.now()
            return                       # removed since
        seen = container in self.known
        self.known.setdefault(container, self.rt.clock.now())
        self.streams[container] = stream
        self.reading[container] = started(self.copy, source, stream, since if seen else None, name="logs")

    def copy(self, source: Source, stream: Iterator[LogLine], seen: datetime | None) -> None:
        """:param seen: until then all lines were read, as far as the engine's `since` is exact."""
        with contextlib.suppress(PaasError):                     # the engine went away: the others' lines go on
            for one in stream:
                if seen and one.at and one.at <= seen:
                    continue
                if not self.put(made(source, one)):
                    return
                self.known[source[1]] = one.at or self.known[source[1]]
        self.streams.pop(source[1], None)

    def put(self, line: Line) -> bool:
        while not self.stop.is_set():
            with contextlib.suppress(queue.Full):
                self.ready.put(line, timeout=QUIET_SECONDS)
                return True
        return False

    def close(self) -> None:
        self.stop.set()
        for stream in list(self.streams.values()):
            close_stream(stream)


def close_stream(stream: Iterator[LogLine]) -> None:
    """End it for whoever reads it in another thread; what a fake gives may have no end of its own."""
    end = getattr(stream, "close", None)
    if end:
        end()
