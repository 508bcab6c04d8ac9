"""What the engine's objects take on the disk, by ``GET /system/df`` (Engine API 1.41) and its own directory."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paas.adapters.disk_files import ThisDisk
from paas.adapters.docker_client import SERVER_LABEL, Engine, asking
from paas.adapters.docker_images import DATA_ROOT
from paas.errors import EngineError
from paas.ports_watch import EngineUse, Used

ANSWER_SECONDS = 300                     # for df: it walks all volumes
BUSY_SECONDS = 60.0                      # somebody else asks it: the engine answers one at a time
PAUSE = 0.5


class DockerDisk:
    """See :class:`paas.ports_watch.EngineDisk`."""

    def __init__(self, socket: Path, server: str, prefix: str) -> None:
        self._engine = Engine(socket, server, prefix)
        self._asking = threading.Lock()
        self._root: Path | None = None

    def use(self) -> EngineUse:
        with self._asking:
            found = self._df()
        mine = [one for one in found.get("Images") or [] if self._is_mine(one)]
        return EngineUse(
            images=tuple(Used(one["Id"], one["Labels"], max(0, one["Size"] - max(0, one["SharedSize"])))
                         for one in mine),
            containers=tuple(self._container(one) for one in found.get("Containers") or [] if self._is_mine(one)),
            volumes=tuple(Used(one["Name"], one.get("Labels") or {}, volume_size(one))
                          for one in found.get("Volumes") or []),
            layers=found.get("LayersSize") or 0,
            cache=sum(one["Size"] for one in found.get("BuildCache") or [] if not one.get("Shared")))

    def _df(self) -> Mapping[str, Any]:
        ends = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                with asking("tell what takes space"):
                    api = self._engine.api
                    return api._result(api._get(api._url("/system/df"), timeout=ANSWER_SECONDS), True)
            except EngineError as error:
                if "already running" not in error.what or time.monotonic() > ends:
                    raise
            time.sleep(PAUSE)

    def _is_mine(self, one: Mapping[str, Any]) -> bool:
        return (one.get("Labels") or {}).get(SERVER_LABEL) == self._engine.server

    def _container(self, one: Mapping[str, Any]) -> Used:
        kept = self.root() / "containers" / one["Id"]
        logs = sum(ThisDisk().below(path) for path in (*kept.glob("*-json.log*"), *kept.glob("*-logs")))
        return Used(one["Names"][0].removeprefix("/") if one["Names"] else one["Id"], one["Labels"],
                    one.get("SizeRw") or 0, logs)

    def root(self) -> Path:
        if self._root is None:
            with asking("tell where its data is"):
                self._root = Path(self._engine.api.info().get("DockerRootDir") or DATA_ROOT)
        return self._root


def volume_size(one: Mapping[str, Any]) -> int:
    """-1 where the engine does not know."""
    return max(0, (one.get("UsageData") or {}).get("Size", 0))
