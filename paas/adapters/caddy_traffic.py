"""What clients asked, counted from a log that the proxy writes for nobody else.

One line a request with the host's canonical name, the status and the seconds, in a directory in memory: no path, no
address, no header. Caddy's own metrics cost as much (docs/metrics.md), and over TLS a client could fill the proxy's
memory with invented hosts. A file, because the proxy must never wait for whoever reads. Above so many lines a second
only a sample is written, so that neither side does more work then; it counts with its weight.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path

from paas.adapters.caddy_layout import Layout
from paas.adapters.files import write_atomic
from paas.errors import ProxyError
from paas.model.traffic import BOUNDS, CLASSES, Traffic
from paas.settings import Settings

LOGGER = "count"
FIELD = "h"
FIRST = 1000                             # lines a second that are all written; answers with 5xx by themselves
THEREAFTER = 100                         # beyond these, one in so many
FILE_MB = 8                              # then another begins; one that is over is kept beside it
CHUNK = 1 << 20
LINE = re.compile(rb'\{"ts":([\d.]+),"duration":([\d.e+-]+),"status":(\d+),"h":"([^"\\]*)"\}\n')
SWITCHING = 101                          # Switching Protocols: a websocket, which lasts as long as it is used


# The proxy's side


def logging(layout: Layout) -> dict:
    """The log, as Caddy's config has it. https://caddyserver.com/docs/json/logging/"""
    gone = ("request", "resp_headers", "user_id", "bytes_read", "size", "uuid")
    return {
        "include": [f"http.log.access.{LOGGER}"],
        "writer": {"output": "file", "filename": str(layout.requests), "roll_size_mb": FILE_MB, "roll_keep": 1,
                   "roll_compression": "none"},
        "encoder": {"format": "filter", "fields": {name: {"filter": "delete"} for name in gone},
                    "wrap": {"format": "json", "level_key": "", "message_key": "", "name_key": ""}},
        "sampling": {"interval": 1_000_000_000, "first": FIRST, "thereafter": THEREAFTER},
    }


def logged_host(variable: str) -> dict:
    """The handler that gives the line its host: the *variable* of the request, when the answer is done."""
    return {"handler": "log_append", "key": FIELD, "value": variable}


# Our side


class CaddyTraffic:
    """See :class:`paas.ports_watch.TrafficCounters`. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.layout = Layout(settings)
        self._lock = threading.Lock()
        self._log = Log(self.layout.requests, self.layout.read_so_far)
        self._hosts = Hosts(self.layout.config)
        self._samples = (Sampling(), Sampling())                 # Caddy samples answers with 5xx apart from the others
        self._counts: dict[str, Counts] = {}

    def read(self) -> Mapping[str, Traffic]:
        with self._lock:
            try:
                known = self._hosts.known()
                for text in self._log.new():
                    self._count(text, known)
            except (OSError, ValueError) as error:
                raise ProxyError("what the proxy counted cannot be read", "Look at: paas doctor.") from error
            for gone in self._counts.keys() - known:             # else a year of preview apps stays in memory
                del self._counts[gone]
            if not self._hosts.counting:
                raise ProxyError("the proxy does not count requests", "Turn it on: paas server:set metrics true")
            return {host: counts.traffic() for host, counts in self._counts.items()}

    def settle(self) -> None:
        with self._lock, contextlib.suppress(OSError):           # then the next daemon counts some requests twice
            self._log.keep()

    def _count(self, text: bytes, known: frozenset[str]) -> None:
        for at, seconds, status, name in LINE.findall(text):
            code = int(status) or 200                            # 0: nothing was written, which Go makes 200
            weight = self._samples[code >= 500].weight(float(at))
            host = name.decode("utf-8", "replace")
            if host in known:
                self._counts.setdefault(host, Counts()).add(code, float(seconds), weight)


class Counts:
    def __init__(self) -> None:
        self.statuses = [0] * CLASSES
        self.durations = [0] * (len(BOUNDS) + 1)

    def add(self, status: int, seconds: float, weight: int) -> None:
        self.statuses[min(max(status // 100, 1), CLASSES) - 1] += weight
        if status != SWITCHING:
            self.durations[bisect_left(BOUNDS, seconds)] += weight

    def traffic(self) -> Traffic:
        return Traffic(tuple(self.statuses), tuple(self.durations))


class Sampling:
    """How many requests a line stands for: zap's sampler, followed from the times of what it let through.

    Its second begins with the first request after the last one was over. https://pkg.go.dev/go.uber.org/zap/zapcore
    """

    def __init__(self) -> None:
        self.ends = 0.0
        self.seen = 0

    def weight(self, at: float) -> int:
        if at >= self.ends:
            self.ends, self.seen = at + 1.0, 0
        self.seen += 1
        return 1 if self.seen <= FIRST else THEREAFTER


class Hosts:
    """The names of the config in force: others are nobody's, and take no memory."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.counting = True
        self._stamp: tuple[int, int] | None = None
        self._known: frozenset[str] = frozenset()

    def known(self) -> frozenset[str]:
        try:
            found = self.config.stat()
        except FileNotFoundError:
            return self._known
        if (found.st_ino, found.st_mtime_ns) != self._stamp:
            web = json.loads(self.config.read_bytes())["apps"]["http"]["servers"]["web"]
            self.counting = "logs" in web
            self._known = frozenset(one["input"] for route in web["routes"] for handler in route["handle"]
                                    for one in handler.get("mappings", ()))
            self._stamp = (found.st_ino, found.st_mtime_ns)
        return self._known


class Log:
    """A file that is renamed aside when it is full (``requests-TIME-size.log``) and begun anew."""

    def __init__(self, path: Path, place: Path) -> None:
        self.path, self.place = path, place
        self._inode, self._offset = self._kept()

    def new(self) -> Iterator[bytes]:
        """Whole lines since the last time, in their order."""
        files = self._files()
        inodes = [inode for inode, _ in files]
        for inode, path in files[inodes.index(self._inode) if self._inode in inodes else 0:]:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_ino != inode:      # renamed since: the next time
                    return
                if inode != self._inode:
                    self._inode, self._offset = inode, 0
                yield from self._lines(file)

    def keep(self) -> None:
        """A reader that is made later begins here."""
        text = f"{self._inode} {self._offset}".encode()
        if not self.place.exists() or self.place.read_bytes() != text:
            write_atomic(self.place, text, 0o600)

    def _lines(self, file) -> Iterator[bytes]:
        file.seek(self._offset)
        while data := file.read(CHUNK):
            whole = data.rfind(b"\n") + 1
            if not whole:                                        # the rest of the line is not written yet
                return
            self._offset += whole
            file.seek(self._offset)
            yield data[:whole]

    def _files(self) -> list[tuple[int, Path]]:
        found = []
        for path in (*sorted(self.path.parent.glob(f"{self.path.stem}-*{self.path.suffix}")), self.path):
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat().st_ino, path))
        return found

    def _kept(self) -> tuple[int, int]:
        try:
            inode, offset = self.place.read_text().split()
            return int(inode), int(offset)
        except (OSError, ValueError):
            return 0, 0
