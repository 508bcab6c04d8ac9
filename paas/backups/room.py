"""Disk and memory of restores and of drills on one machine: a drill gives way where there is no room for both.

A drill may take what is left, and is made again later; somebody waits for a restore.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paas.backups.streams import Progress
from paas.errors import Conflict, NoSpace, PaasError
from paas.model.backup import Manifest

if TYPE_CHECKING:
    from paas.runtime import Runtime

ROOM = 1.3                               # free disk wanted for each byte of data
MEMORY = 512 * 1024 * 1024               # bytes that are to be left while a drill and a restore work beside each other
STOP_SECONDS = 30.0                      # that a restore waits for the end of a drill that it stopped
LOOK_SECONDS = 0.5


class GaveWay(Conflict):
    """A drill was not made, or not to its end, because of a restore: it proves nothing, and is no failure."""

    def __init__(self) -> None:
        super().__init__("the drill gave way to a restore: there is no room for both",
                         "It is made later; by hand, start it again when the restore is over.")


@dataclass(eq=False)
class Work:
    needs: int                           # bytes of disk at the most
    end: Callable[[], None] | None       # takes away what a drill works in; None: a restore
    stopped: bool = False


class Room:
    """What is under way. Held in memory: it dies with its process."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._under_way: list[Work] = []

    def drills(self) -> list[Work]:
        with self.changed:
            return [one for one in self._under_way if one.end]

    def restores(self) -> list[Work]:
        with self.changed:
            return [one for one in self._under_way if not one.end]

    def others(self, mine: Work) -> list[Work]:
        with self.changed:
            return [one for one in self._under_way if one is not mine]

    @contextmanager
    def holding(self, mine: Work) -> Iterator[None]:
        with self.changed:
            self._under_way.append(mine)
        try:
            yield
        finally:
            with self.changed:
                self._under_way.remove(mine)
                self.changed.notify_all()


@contextmanager
def for_restore(rt: Runtime, made: Manifest, progress: Progress) -> Iterator[None]:
    """Drills go on beside it, or are stopped if that is too much. NoSpace."""
    mine = Work(needed(made), None)
    with rt.room.holding(mine):
        if rt.room.drills() and not fits(rt, mine):
            progress("stopping a drill: there is no room for both", 0)
            stop_drills(rt)
        require(rt, made)
        yield


@contextmanager
def for_drill(rt: Runtime, made: Manifest, marks: Mapping[str, str], progress: Progress) -> Iterator[Progress]:
    """What to tell the drill's progress to. GaveWay: a restore needs the room. NoSpace.

    :param marks: labels of the containers that it works in, and of no others.
    """
    def end() -> None:
        for one in rt.containers.list(marks):
            rt.containers.remove(one.id)

    def told(stage: str, size: int) -> None:
        if mine.stopped:
            raise GaveWay
        progress(stage, size)

    mine = Work(needed(made), end)
    with rt.room.holding(mine):
        if rt.room.restores() and not fits(rt, mine):
            raise GaveWay
        require(rt, made)
        try:
            yield told
        except BaseException as error:
            if mine.stopped:             # it failed of what was taken away under it
                raise GaveWay from error
            raise


def stop_drills(rt: Runtime) -> None:
    """And wait for their end, within bounds."""
    deadline = time.monotonic() + STOP_SECONDS
    while (drills := rt.room.drills()) and time.monotonic() < deadline:
        for one in drills:
            one.stopped = True
            with suppress(PaasError):    # tried again by the next look
                one.end()
        with rt.room.changed:
            rt.room.changed.wait(LOOK_SECONDS)


def fits(rt: Runtime, mine: Work) -> bool:
    """Beside all that is under way, were none of it written yet."""
    wanted = mine.needs + sum(one.needs for one in rt.room.others(mine))
    return rt.images.free_bytes() >= wanted and rt.host.memory() >= MEMORY


def needed(made: Manifest) -> int:
    return int(made.data_size * ROOM)


def require(rt: Runtime, made: Manifest) -> None:
    free, need = rt.images.free_bytes(), needed(made)
    if free < need:
        raise NoSpace(f"a restore needs {need >> 20:,} MB of disk, and {free >> 20:,} MB are free",
                      "Free some space (paas prune), then try again.")
