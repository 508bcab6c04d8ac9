"""An app: what is pushed to and routed to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class App:
    """One row of ``apps``.

    ``settings`` are the app's own values of the keys in :data:`paas.model.app_settings.KEYS`, as text; a missing
    key means the default there.
    """

    id: int
    name: str
    created_at: datetime
    created_by: str
    subnet: str                          # the app's Docker network, CIDR, never changed
    locked: str = ""                     # why deploys are refused; empty: not locked
    maintenance: bool = False
    stopped: bool = False                # `ps:stop`: no containers wanted
    asleep: bool = False                 # its containers are stopped until somebody asks for it; never with `stopped`
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mount:
    """A host directory or named volume given to every container of an app."""

    id: int
    app_id: int
    source: str                          # absolute host path, or the name of a volume
    target: str                          # absolute path in the container
    read_only: bool = False
