"""What is backed up: every data service, and the platform itself, which has its settings among those of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paas.backups import platform
from paas.model.service import Service

if TYPE_CHECKING:
    from paas.runtime import Runtime

PREFIX = "platform."                     # of the settings of the server that are the platform's as a guarded thing


def itself(rt: Runtime, *, images: bool | None = None, storage: bool | None = None) -> Service:
    """The platform. *images*, *storage*: for one backup; None: as it is set."""
    settings = {key.removeprefix(PREFIX): value for key, value in rt.store.settings().items() if key.startswith(PREFIX)}
    for key, given in (("images", images), ("storage", storage)):
        if given is not None:
            settings[key] = "yes" if given else "no"
    return platform.as_service(settings)


def guarded(rt: Runtime) -> list[Service]:
    return [*rt.store.services(), itself(rt)]


def put_setting(rt: Runtime, service: Service, key: str, value: str | None) -> None:
    if service.datastore == platform.DATASTORE:
        rt.store.set_setting(PREFIX + key, value)
    else:
        rt.store.set_service_setting(service.id, key, value)
