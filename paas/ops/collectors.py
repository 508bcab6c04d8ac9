"""The collectors that apps are told of (``otel:…``): where they are stored, and what a container gets of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from paas.model import otel
from paas.model.app import App
from paas.model.otel import Collector
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.runtime import Runtime

KEYS = ("otel.endpoint", "otel.protocol")        # settings of an app
SERVER_KEYS = ("otel-endpoint", "otel-protocol")
HEADERS = "otel-headers"                         # sealed setting; of an app with a colon and its id


def of_app(rt: Runtime, app_id: int) -> Collector | None:
    """The app's own, where it has one."""
    return made(rt.store.app_by_id(app_id).settings, KEYS, rt.store.sealed_setting(f"{HEADERS}:{app_id}"))


def of_server(rt: Runtime) -> Collector | None:
    return made(rt.store.settings(), SERVER_KEYS, rt.store.sealed_setting(HEADERS))


def made(stored: Mapping[str, str], keys: tuple[str, str], headers: Secret | None) -> Collector | None:
    return Collector(stored[keys[0]], stored.get(keys[1], otel.PROTOCOLS[0]), headers) if stored.get(keys[0]) else None


def environment(rt: Runtime, app: App, release: str, process: str, own: Mapping[str, Secret]) -> dict[str, Secret]:
    """What a container of the app is told; nothing where there is no collector."""
    collector = of_app(rt, app.id) or of_server(rt)
    return otel.environment(collector, app.name, release, process, own) if collector else {}


def forget(rt: Runtime, app_id: int) -> None:
    """The app is being destroyed: its settings go with it, its sealed headers by this."""
    rt.store.set_sealed_setting(f"{HEADERS}:{app_id}", None)
