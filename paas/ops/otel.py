"""``otel:…``: the collector that apps are told of by environment variables; an app's own goes before the server's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.model.access import Actor
from paas.model.app import App
from paas.model.otel import Collector
from paas.ops import ps
from paas.ops.collectors import HEADERS, KEYS, SERVER_KEYS, of_app, of_server

if TYPE_CHECKING:
    from paas.runtime import Runtime

def set_app(rt: Runtime, app: App, actor: Actor, collector: Collector | None, *, restart: bool,
            say: Callable[[str], None]) -> bool:
    """None: none of its own. A restart that fails puts back what was, as with config vars. False: nothing changed."""
    before = of_app(rt, app.id)
    if before == collector:
        return False
    store_for_app(rt, app.id, collector)
    if restart and rt.store.live_release(app.id) and not app.stopped:
        try:
            ps.restart(rt, app, actor, "", say)
        except PaasError as error:
            store_for_app(rt, app.id, before)
            raise type(error)(error.what, f"Nothing was changed. {error.hint}".rstrip()) from error
    return True


def store_for_app(rt: Runtime, app_id: int, collector: Collector | None) -> None:
    values = (collector.endpoint, collector.protocol) if collector else (None, None)
    for key, value in zip(KEYS, values, strict=True):
        rt.store.set_app_setting(app_id, key, value)
    rt.store.set_sealed_setting(f"{HEADERS}:{app_id}", collector.headers if collector else None)


def set_server(rt: Runtime, collector: Collector | None) -> bool:
    """For every app without its own, from its next instances on. False: nothing changed."""
    if of_server(rt) == collector:
        return False
    values = (collector.endpoint, collector.protocol) if collector else (None, None)
    for key, value in zip(SERVER_KEYS, values, strict=True):
        rt.store.set_setting(key, value)
    rt.store.set_sealed_setting(HEADERS, collector.headers if collector else None)
    return True


def report(rt: Runtime, app: App | None) -> list[tuple[str, str, str, str, bool]]:
    """(app, endpoint, protocol, "app", "server" or "", whether there are headers), for one app or each."""
    return [line(rt, one) for one in ([app] if app else rt.store.apps())]


def line(rt: Runtime, app: App) -> tuple[str, str, str, str, bool]:
    own = of_app(rt, app.id)
    collector = own or of_server(rt)
    if not collector:
        return app.name, "", "", "", False
    return (app.name, collector.endpoint, collector.protocol, "app" if own else "server",
            collector.headers is not None)
