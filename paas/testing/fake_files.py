"""Files of containers, in memory, by mount: part of FakeContainers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from paas.errors import NotFound
from paas.ports import FileFacts
from paas.testing.faults import faulty


class FakeFiles:
    """The file methods of :class:`paas.ports.Containers`. A test puts files into :attr:`files`."""

    @property
    def files(self) -> dict[tuple[str, str], FileFacts]:
        """(source of a mount, path below it) → what is there, with all its bytes as ``head``."""
        return self.__dict__.setdefault("_files", {})

    def _place(self, container_id: str, path: str) -> tuple[str, str]:
        container: Any = self._get(container_id)
        for one in container.spec.mounts:
            if path.startswith(one.target.rstrip("/") + "/"):
                return one.source, path[len(one.target.rstrip("/")) + 1:]
        return "", path.lstrip("/")

    @faulty("containers.facts")
    def facts(self, container_id: str, path: str, head: int = 0) -> FileFacts:
        found = self.files.get(self._place(container_id, path))
        if found is None:
            raise NotFound(f"there is no {path} in the container")
        return replace(found, head=found.head[:head])

    @faulty("containers.link")
    def link(self, container_id: str, directory: str, names: Mapping[str, str]) -> None:
        for new, old in names.items():
            self.facts(container_id, f"{directory}/{old}")
            self.files[self._place(container_id, f"{directory}/{new}")] = self.files[
                self._place(container_id, f"{directory}/{old}")]
