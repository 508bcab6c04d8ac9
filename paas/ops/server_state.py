"""Whether this server is being restored: what is done of it, in a setting, so that one that was cut can go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paas.ports_store import Store
    from paas.runtime import Runtime

KEY = "restoring"


@dataclass(frozen=True)
class Back:
    """One thing of the server, and whether it is there again."""

    what: str                            # "app", "postgres", "storage", "images", …
    name: str
    back: bool
    note: str = ""


@dataclass
class Restoring:
    """While it is not ``over``, nothing is done by the clock: no app may start before its database is back."""

    backup: str                          # id
    server: str                          # that made it, and that this one is now
    images: list[str] = field(default_factory=list)      # digests that the backup has
    services: dict[str, str] = field(default_factory=dict)       # uid → state it shall have; those that are not back
    volumes: dict[str, str] = field(default_factory=dict)        # uid → volume that a restore of it has begun
    files: list[str] = field(default_factory=list)       # uids of streamed SQLite files that are not back
    mounts: list[int] = field(default_factory=list)      # ids of those whose content is back
    storage: bool = False                # directories of apps are in the backup
    over: bool = False                   # it was gone through once; what is left can be tried again


def of(rt: Runtime) -> Restoring | None:
    text = rt.store.settings().get(KEY)
    return Restoring(**json.loads(text)) if text else None


def under_way(rt: Runtime) -> bool:
    now = of(rt)
    return now is not None and not now.over


def note(store: Store, now: Restoring | None) -> None:
    store.set_setting(KEY, json.dumps(asdict(now)) if now else None)
