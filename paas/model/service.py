"""Data services: a datastore of one kind in a container with a volume of its own, and its links to apps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from paas.secret import Secret


class ServiceState(StrEnum):
    CREATING = "creating"                # its data is not ready; a create that was cut is undone
    RUNNING = "running"
    STOPPED = "stopped"                  # by hand
    DESTROYING = "destroying"            # a destroy that was cut is finished


@dataclass(frozen=True)
class Service:
    id: int                              # names its container and network
    uid: str                             # names its volume and its backups; never used again
    datastore: str                       # "postgres"
    name: str
    version: str                         # tag of the image, "17"
    image: str                           # digest it runs on
    state: ServiceState
    subnet: str
    created_at: datetime
    created_by: str
    volume: str = ""                     # changes with an upgrade; the old one is kept
    container_id: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)      # "password", "admin-password"

    @property
    def title(self) -> str:
        return f"{self.datastore} {self.name}"


@dataclass(frozen=True)
class Link:
    """An app may reach a service, and knows it by the config var ``<alias>_URL``."""

    service_id: int
    app_id: int
    alias: str                           # "DATABASE"
