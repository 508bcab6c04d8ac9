"""What the proxy should know: sites from the database, and where each app points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paas.model import app_settings, ports
from paas.model.app import App
from paas.model.release import InstanceState
from paas.ports import Page, ProxyOptions, Site

if TYPE_CHECKING:
    from paas.runtime import Runtime


def apply(rt: Runtime) -> dict[int, str]:
    """Bring the proxy's config in line with the database; return quarantined app ids with the reason."""
    with rt.routing:
        return rt.router.apply(sites(rt), options(rt))


def sites(rt: Runtime) -> list[Site]:
    hosts: dict[int, list[str]] = {}
    for domain in rt.store.domains():
        hosts.setdefault(domain.app_id, []).append(domain.name)
    return [site(rt, app, tuple(hosts.get(app.id, ()))) for app in rt.store.apps()]


def site(rt: Runtime, app: App, hosts: tuple[str, ...]) -> Site:
    held = rt.store.certificate(app.id)
    if not held:
        return Site(app.id, hosts, ports=ports.of(app.settings))
    return Site(app.id, hosts, certificate=held[0].chain, key=held[1], ports=ports.of(app.settings))


def options(rt: Runtime) -> ProxyOptions:
    stored = rt.store.settings()

    def value(key: str) -> str:
        return app_settings.value_of(app_settings.SERVER, stored, key)

    return ProxyOptions(acme_email=value("acme-email"), acme_directory=value("acme-directory"),
                        acme_ca_root=value("acme-ca-root"), https=value("https") == "true",
                        counted=value("metrics") == "true")


def ensure_known(rt: Runtime, app: App) -> None:
    """The proxy has files for the app; only a brand-new app (or a lost file) makes it load anything."""
    if rt.router.pointed(app.id) is None:
        apply(rt)


def wanted(rt: Runtime, app: App) -> tuple[str, ...] | Page:
    """Where the app should point, by the database alone."""
    if app.maintenance:
        return Page.MAINTENANCE
    if app.stopped:
        return Page.STOPPED
    live = rt.store.live_release(app.id)
    if not live:
        return Page.NO_RELEASE
    if app.asleep:
        return Page.ASLEEP
    rows = rt.store.instances(app.id, release_id=live.id)
    targets = [row.target for row in rows
               if row.process_type == "web" and row.state == InstanceState.HEALTHY and row.port]
    return tuple(targets) or Page.STOPPED


def visible_host(rt: Runtime, app: App) -> str:
    """A host name by which a visitor reaches the app; empty if it has none."""
    exact = [one.name for one in rt.store.domains(app.id) if not one.name.startswith("*")]
    return exact[0] if exact else ""


def urls(rt: Runtime, app: App) -> list[str]:
    """The app's addresses, https where a certificate is there."""
    secured = rt.router.certificates()
    own = rt.store.certificate(app.id)
    return [url(rt, one.name, one.name in secured or own is not None) for one in rt.store.domains(app.id)]


def url(rt: Runtime, host: str, secure: bool) -> str:
    port, default = (rt.settings.https_port, 443) if secure else (rt.settings.http_port, 80)
    return f"http{'s' if secure else ''}://{host}" + ("" if port == default else f":{port}")
