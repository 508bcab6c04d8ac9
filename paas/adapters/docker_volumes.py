"""Volumes that the platform made by name. Part of DockerContainers."""

from __future__ import annotations

from collections.abc import Mapping

from paas.adapters.docker_client import SERVER_LABEL, Engine, asking, explanation
from paas.errors import Conflict


class DockerVolumes:
    """The volume methods of :class:`paas.ports.Containers`."""

    _engine: Engine

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        with asking("make the volume"):          # the engine answers with the one there is
            found = self._engine.api.create_volume(name, labels=self._engine.labels(labels))
        if (found.get("Labels") or {}).get(SERVER_LABEL) != self._engine.server:
            raise Conflict(f"the Docker volume {name} belongs to somebody else",
                           f"Look at it: docker volume inspect {name}")

    def volumes(self) -> dict[str, Mapping[str, str]]:
        with asking("list the volumes"):
            found = self._engine.api.volumes(filters=self._engine.filters({})).get("Volumes") or []
        return {one["Name"]: one["Labels"] or {} for one in found}

    def remove_volume(self, name: str) -> None:
        from docker.errors import APIError

        known = self.volumes()
        with asking("remove the volume"):
            try:
                if name not in known:
                    self._engine.api.inspect_volume(name)
                    raise Conflict(f"the Docker volume {name} is not the platform's own", "It was left alone.")
                self._engine.api.remove_volume(name)
            except APIError as error:
                if error.status_code == 404:
                    return
                if error.status_code == 409:
                    raise Conflict(f"the volume {name} is in use: {explanation(error)}",
                                   "Remove its container first.") from None
                raise
