"""What a build may take from the server while it runs.

Builds are not bound by the limits that containers have: BuildKit ignores the memory limit of ``POST /build``, and puts
its steps into a cgroup without any (BuildKit issues 593 and 1362; measured with Docker 20.10). So the server is
watched, and the build is stopped before the running apps suffer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from paas.errors import BuildFailed, NoSpace, PaasError

LEAST_FREE = 512 * 1024**2               # bytes of the engine's disk; a running build that leaves less is stopped
LEAST_MEMORY = 64 * 1024**2              # the same for memory, swap included
MOST_TASKS = 4000                        # processes and threads that the server may have more than when the build began
MEMINFO, LOADAVG = Path("/proc/meminfo"), Path("/proc/loadavg")


class Room:
    """Ask :meth:`stop` again and again; :meth:`complain` raises the reason if there was one of the server's.

    :param free: bytes of disk that are free now. :param cancelled: another reason to stop.
    """

    def __init__(self, free: Callable[[], int], cancelled: Callable[[], bool]) -> None:
        self._free, self._cancelled, self._tasks = free, cancelled, tasks()
        self._reason: PaasError | None = None

    def stop(self) -> bool:
        self._reason = self._reason or self._look()
        return self._reason is not None or self._cancelled()

    def complain(self) -> None:
        if self._reason:
            raise self._reason

    def _look(self) -> PaasError | None:
        if self._free() < LEAST_FREE:
            return NoSpace(f"the build was stopped because it left less than {LEAST_FREE // 1024**2} MB of disk free",
                           "Let it write less, or free some space (docker system df shows what is used); push again.")
        if memory() < LEAST_MEMORY:
            return BuildFailed("the build was stopped because the server ran out of memory while it ran",
                               "Let it use less (fewer compilers at once), give the server more or some swap, or build "
                               "elsewhere: paas git:from-image.")
        if tasks() - self._tasks > MOST_TASKS:
            return BuildFailed(f"the build was stopped because it started more than {MOST_TASKS:,} processes",
                               "Correct the step of the Dockerfile that does, then push again.")
        return None


def memory() -> int:
    """Bytes that programs can still have: MemAvailable and SwapFree of proc_meminfo(5)."""
    lines = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
    return sum(int(lines[key].split()[0]) for key in ("MemAvailable", "SwapFree")) * 1024


def tasks() -> int:
    """Processes and threads of the whole server: the fourth field of proc_loadavg(5)."""
    return int(LOADAVG.read_text().split()[3].partition("/")[2])
