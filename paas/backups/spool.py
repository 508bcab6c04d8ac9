"""Reading a directory that another user's program writes: nothing in it is trusted, no symbolic link is followed."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from paas.model import sqlite
from paas.model.sqlite import Ltx

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
STEP_NS = 100_000_000                    # a directory that changed this lately may change without a new time stamp


class Spool:
    """Litestream's replica of kind ``file`` below *root*: ``ltx/<level>/<min>-<max>.ltx``.

    The caller's own parents of *root* are trusted. What has gone meanwhile is as if it had never been there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._stamps: dict[int, int | None] = {}
        self._known: dict[int, dict[str, Ltx]] = {}
        self._readings = 0
        self._lock = threading.Lock()

    def files(self) -> list[Ltx]:
        """All of all levels. A level is read again only after its directory changed."""
        self.generation()
        with self._lock:
            return [one for level in self._known.values() for one in level.values()]

    def generation(self) -> int:
        """Another number whenever something may have changed; the cheapest look."""
        with self._lock:
            for level in sqlite.LEVELS:
                with contextlib.suppress(OSError):
                    self._refresh(level)
            return self._readings

    def _refresh(self, level: int) -> None:
        if os.lstat(self.root / "ltx" / str(level)).st_mtime_ns == self._stamps.get(level):
            return
        with self._level(level) as directory:
            stamp = os.fstat(directory).st_mtime_ns      # before the reading: what comes during it changes it again
            self._known[level] = self._read(level, directory)
        self._readings += 1
        # A kernel's time stamps have steps of some milliseconds: what comes within the same step changes nothing.
        self._stamps[level] = stamp if time.time_ns() - stamp > STEP_NS else None

    def open(self, one: Ltx) -> BinaryIO | None:
        """None: it has gone, or is no regular file."""
        with contextlib.suppress(OSError), self._level(one.level) as directory:
            return opened(directory, one.local_name)
        return None

    def _read(self, level: int, directory: int) -> dict[str, Ltx]:
        before, found = self._known.get(level, {}), {}
        for name in os.listdir(directory):
            one = before.get(name) or self._look(level, directory, name)
            if one is not None:
                found[name] = one
        return found

    @staticmethod
    def _look(level: int, directory: int, name: str) -> Ltx | None:
        if not sqlite.LOCAL.fullmatch(name):
            return None
        file = opened(directory, name)
        if file is None:
            return None
        with file:
            return sqlite.local(level, name, file.read(sqlite.HEADER_BYTES), os.fstat(file.fileno()).st_size)

    @contextlib.contextmanager
    def _level(self, level: int) -> Iterator[int]:
        descriptor = os.open(self.root, DIRECTORY)
        try:
            for part in ("ltx", str(level)):
                deeper = os.open(part, DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = deeper
            yield descriptor
        finally:
            os.close(descriptor)


def opened(directory: int, name: str) -> BinaryIO | None:
    try:
        descriptor = os.open(name, FILE, dir_fd=directory)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")
