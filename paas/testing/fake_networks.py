"""Networks and volumes in memory. Part of FakeContainers."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from paas.errors import Conflict, EngineError
from paas.testing.faults import faulty


class FakeNetworks:
    """The network and volume methods of :class:`paas.ports.Containers`."""

    server: str
    _containers: dict[str, Any]

    def __init__(self) -> None:
        self._networks: dict[str, tuple[str, dict[str, str]]] = {}
        self._volumes: dict[str, dict[str, str]] = {}
        self.joined: dict[str, dict[str, str]] = {}      # container id → further network → alias

    @faulty("containers.ensure_network")
    def ensure_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> None:
        known = self._networks.get(name)
        if known:
            if known[0] != subnet:
                raise EngineError(f"the Docker network {name} has the addresses {known[0]}, not {subnet}")
            return
        if any(ip_network(subnet).overlaps(ip_network(taken)) for taken, _ in self._networks.values()):
            raise EngineError(f"the addresses {subnet} are already used by another Docker network")
        self._networks[name] = (subnet, {**labels, "paas.server": self.server})

    @faulty("containers.remove_network")
    def remove_network(self, name: str) -> None:
        if any(name in self.networks_of(one.id) and one.status == "running" for one in self._containers.values()):
            raise Conflict(f"the network {name} still has containers in it", "Remove the containers first.")
        self._networks.pop(name, None)

    @faulty("containers.networks")
    def networks(self) -> dict[str, Mapping[str, str]]:
        return {name: labels for name, (_, labels) in self._networks.items()
                if labels["paas.server"] == self.server}

    @faulty("containers.taken_subnets")
    def taken_subnets(self) -> Any:
        return sorted(subnet for subnet, _ in self._networks.values())

    @faulty("containers.connect")
    def connect(self, container_id: str, network: str, alias: str) -> None:
        container = self._get(container_id)
        if network not in self._networks:
            raise EngineError(f"Docker has no network {network}")
        if network != container.spec.network:
            self.joined.setdefault(container.id, {})[network] = alias

    @faulty("containers.disconnect")
    def disconnect(self, container_id: str, network: str) -> None:
        container = self._find(container_id)
        if container:
            self.joined.get(container.id, {}).pop(network, None)

    @faulty("containers.networks_of")
    def networks_of(self, container_id: str) -> tuple[str, ...]:
        container = self._get(container_id)
        own = (container.spec.network,) if container.spec.network else ()
        return tuple(sorted({*own, *self.joined.get(container.id, {})}))

    # volumes -------------------------------------------------------------------------------------------------------
    @faulty("containers.ensure_volume")
    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self._volumes.setdefault(name, {**labels, "paas.server": self.server})
        if self._volumes[name]["paas.server"] != self.server:
            raise Conflict(f"the Docker volume {name} belongs to somebody else")

    @faulty("containers.volumes")
    def volumes(self) -> dict[str, Mapping[str, str]]:
        return {name: labels for name, labels in self._volumes.items() if labels["paas.server"] == self.server}

    @faulty("containers.remove_volume")
    def remove_volume(self, name: str) -> None:
        if self._volumes.get(name, {"paas.server": self.server})["paas.server"] != self.server:
            raise Conflict(f"the Docker volume {name} is not the platform's own")
        if any(mount.source == name for one in self._containers.values() for mount in one.spec.mounts):
            raise Conflict(f"the volume {name} is in use")
        self._volumes.pop(name, None)
