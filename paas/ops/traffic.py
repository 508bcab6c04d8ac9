"""Where an app's requests go now, and the network that its containers share: what the reports show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from paas.model import app_settings, extra_hosts
from paas.model.app import App
from paas.model.ports import requests_at
from paas.model.release import Instance
from paas.ops import routes
from paas.ports import Page

if TYPE_CHECKING:
    from paas.runtime import Runtime

def proxy_report(rt: Runtime, app: App) -> dict[str, object]:
    pointed = rt.router.pointed(app.id)
    targets = [] if pointed is None or isinstance(pointed, Page) else list(pointed)
    busy = rt.router.in_flight()
    return {
        "app": app.name, "page": str(pointed) if isinstance(pointed, Page) else "", "targets": targets,
        "requests_in_flight": sum(requests_at(busy, target) for target in targets), "urls": routes.urls(rt, app),
        "as_wanted": (pointed if isinstance(pointed, Page) else tuple(targets)) == routes.wanted(rt, app),
        "drain_timeout": app_settings.value_of(app_settings.APP, app.settings, "proxy.drain-timeout"),
    }


def web_instances(rt: Runtime, app: App) -> list[Instance]:
    live = rt.store.live_release(app.id)
    rows = rt.store.instances(app.id, release_id=live.id) if live else []
    return [row for row in rows if row.process_type == "web"]


def network_report(rt: Runtime, app: App) -> dict[str, object]:
    name = f"{rt.settings.prefix}-app-{app.id}"
    addresses: Mapping[str, str] = {f"{row.name} ({row.state})": row.address for row in rt.store.instances(app.id)}
    hosts = app_settings.value_of(app_settings.APP, app.settings, "network.extra-hosts")
    return {"app": app.name, "network": name, "subnet": app.subnet, "present": name in rt.containers.networks(),
            "extra_hosts": list(extra_hosts.listed(hosts)),
            "addresses": [f"{who} {address}" for who, address in addresses.items()]}
