"""One bridge network per app. Part of DockerContainers."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Mapping
from typing import Any

from paas.adapters.docker_client import SERVER_LABEL, Engine, asking, explanation
from paas.errors import Conflict, EngineError


class DockerNetworks:
    """The network methods of :class:`paas.ports.Containers`."""

    _engine: Engine

    def __init__(self) -> None:
        self._networks_lock = threading.Lock()      # the engine lets two requests make two networks of one name

    def ensure_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> None:
        with self._networks_lock, asking("make the app's network"):
            if not self._has_network(name, subnet):
                self._create_network(name, subnet, labels)

    def _has_network(self, name: str, subnet: str) -> bool:
        found = self._find_network(name)
        if found is None:
            return False
        if (found.get("Labels") or {}).get(SERVER_LABEL) != self._engine.server:
            raise Conflict(f"the Docker network {name} belongs to somebody else",
                           f"Remove or rename it: docker network rm {name}")
        if subnet not in _subnets(found):
            raise EngineError(f"the Docker network {name} has the addresses {', '.join(_subnets(found))}, not {subnet}",
                              f"Stop what runs in it and remove it: docker network rm {name}")
        return True

    def _find_network(self, name: str) -> dict[str, Any] | None:
        found = self._engine.api.networks(names=[name])
        return next((one for one in found if one["Name"] == name), None)

    def _create_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> None:
        from docker.errors import APIError

        try:
            self._engine.api.create_network(
                name, driver="bridge", check_duplicate=True, labels=self._engine.labels(labels),
                ipam={"Driver": "default", "Config": [_pool(subnet)]},
                options={"com.docker.network.bridge.enable_icc": "true"})
        except APIError as error:
            if self._has_network(name, subnet):      # another process was faster
                return
            if "overlaps" in explanation(error):
                raise EngineError(f"the addresses {subnet} are already used by another Docker network",
                                  "Remove it (docker network ls), or give paas another network-pool.") from None
            raise

    def remove_network(self, name: str) -> None:
        from docker.errors import APIError

        with asking("remove the network"):
            try:
                self._engine.api.remove_network(name)
            except APIError as error:
                if error.status_code == 404:
                    return
                if "active endpoints" in explanation(error):
                    raise Conflict(f"the network {name} still has containers in it",
                                   "Remove the containers first.") from None
                raise

    def connect(self, container_id: str, network: str, alias: str) -> None:
        from docker.errors import APIError

        with asking("connect the container to the network"):
            try:
                self._engine.api.connect_container_to_network(container_id, network, aliases=[alias])
            except APIError as error:
                if "already exists in network" not in explanation(error):
                    raise

    def disconnect(self, container_id: str, network: str) -> None:
        from docker.errors import APIError

        with asking("disconnect the container from the network"):
            try:
                self._engine.api.disconnect_container_from_network(container_id, network, force=True)
            except APIError as error:
                if error.status_code != 404 and "is not connected" not in explanation(error):
                    raise

    def networks_of(self, container_id: str) -> tuple[str, ...]:
        with asking("look at the container"):
            found = self._engine.api.inspect_container(container_id)
        return tuple(sorted(found["NetworkSettings"].get("Networks") or {}))

    def networks(self) -> dict[str, Mapping[str, str]]:
        with asking("list the networks"):
            found = self._engine.api.networks(filters=self._engine.filters({}))
        return {one["Name"]: one["Labels"] or {} for one in found}

    def taken_subnets(self) -> list[str]:
        with asking("list the networks"):
            return sorted({subnet for one in self._engine.api.networks() for subnet in _subnets(one)})


def _pool(subnet: str) -> dict[str, str]:
    """Gateway at .1, dynamic addresses from the upper half only, so that a fixed one is never given away."""
    whole = ipaddress.ip_network(subnet)
    _, upper = whole.subnets(prefixlen_diff=1)
    return {"Subnet": subnet, "Gateway": str(whole.network_address + 1), "IPRange": str(upper)}


def _subnets(network: Mapping[str, Any]) -> list[str]:
    pools = (network.get("IPAM") or {}).get("Config") or []
    return [pool["Subnet"] for pool in pools if pool.get("Subnet")]


