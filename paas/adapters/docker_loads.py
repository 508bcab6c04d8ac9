"""What containers use, from their cgroups: the engine's own ``stats`` take a second each.

The engine is asked only for a container that is new, or has another process than the last time; else a look is four
small files. cgroups(7); kernel documents cgroup-v1/cpuacct.txt and cgroup-v2, "cpu.stat".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from paas.adapters.docker_client import Engine, asking
from paas.adapters.docker_memory import ROOT, group, used
from paas.errors import NotFound
from paas.ports_watch import Load

PROC = Path("/proc")


class DockerLoads:
    """See :class:`paas.ports_watch.Loads`. For one thread at a time."""

    def __init__(self, socket: Path, server: str, prefix: str) -> None:
        self._engine = Engine(socket, server, prefix)
        self._known: dict[str, tuple[int, int]] = {}     # container id → (process id, restarts)

    def read(self, container_ids: Iterable[str]) -> Mapping[str, Load]:
        wanted = list(container_ids)
        self._known = {one: self._known[one] for one in wanted if one in self._known}
        return {one: Load(cpu_seconds(pid), used(pid), restarts)
                for one in wanted for pid, restarts in [self._process(one)] if pid}

    def _process(self, container_id: str) -> tuple[int, int]:
        known = self._known.get(container_id)
        if known and belongs(known[0], container_id):
            return known
        try:
            with asking("look at the container"):
                found = self._engine.api.inspect_container(container_id)
        except NotFound:
            return 0, 0
        self._known[container_id] = (found["State"]["Pid"], found["RestartCount"])
        return self._known[container_id]


def belongs(pid: int, container_id: str, proc: Path = PROC) -> bool:
    """Is *pid* still a process of that container? (Process ids are used again.)"""
    try:
        return container_id in (proc / str(pid) / "cgroup").read_text()
    except OSError:
        return False


def cpu_seconds(pid: int, root: Path = ROOT, proc: Path = PROC) -> float:
    """Processor time of the cgroup that *pid* is in, since the container started; 0.0 when it is gone."""
    try:
        found = group((proc / str(pid) / "cgroup").read_text(), "cpuacct", root)
        if (found / "cpuacct.usage").exists():
            return int((found / "cpuacct.usage").read_text()) / 1e9
        stat = dict(line.split() for line in (found / "cpu.stat").read_text().splitlines())
        return int(stat["usage_usec"]) / 1e6
    except (OSError, ValueError, KeyError):
        return 0.0
