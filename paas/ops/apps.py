"""Apps: create, list, inspect, rename, lock, destroy."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from paas.errors import Conflict, PaasError
from paas.model import app_settings, names
from paas.model.access import Actor
from paas.model.app import App
from paas.model.release import Release
from paas.ops import collectors, routes
from paas.services import links

if TYPE_CHECKING:
    from paas.runtime import Runtime


def create(rt: Runtime, actor: Actor, name: str) -> App:
    """A new app with its network range and, where a global domain is set, its first domain."""
    names.app_name(name)
    with rt.creating:                    # two at once would find the same range free
        if rt.store.find_app(name):
            raise Conflict(f"the app {name} exists already", f"See: paas apps:info {name}")
        app = rt.store.create_app(name, free_subnet(rt), actor)
    base = app_settings.value_of(app_settings.SERVER, rt.store.settings(), "global-domain")
    if base:
        give_generated_domain(rt, app, base)
    rt.repos.ensure(app.id)
    routes.apply(rt)
    return app


def give_generated_domain(rt: Runtime, app: App, base: str) -> None:
    try:
        rt.store.add_domain(app.id, f"{app.name}.{base}", generated=True)
    except Conflict:
        return                           # another app was given that very name; this one is reached by its own domains


def free_subnet(rt: Runtime) -> str:
    """The first /25 of the pool that no app or service has and no network on the engine overlaps."""
    taken = [ipaddress.ip_network(text) for text in rt.containers.taken_subnets()]
    ours = {ipaddress.ip_network(one.subnet) for one in (*rt.store.apps(), *rt.store.services())}
    for candidate in ipaddress.ip_network(rt.settings.network_pool).subnets(new_prefix=25):
        if candidate not in ours and not any(candidate.overlaps(one) for one in taken if one.version == 4):
            return str(candidate)
    raise Conflict(f"the network pool {rt.settings.network_pool} has no free range left",
                   "Give a larger network-pool in /etc/paas/paas.toml and restart paasd.")


def overview(rt: Runtime) -> list[tuple[str, str, str, str, datetime]]:
    """name, state, live release, why locked, created at; by name."""
    found = []
    for app in rt.store.apps():
        live = rt.store.live_release(app.id)
        found.append((app.name, state(rt, app, live), f"v{live.version}" if live else "", app.locked, app.created_at))
    return found


def info(rt: Runtime, app: App) -> dict[str, object]:
    live = rt.store.live_release(app.id)
    return {
        "name": app.name, "created": app.created_at, "created by": app.created_by,
        "release": f"v{live.version}" if live else "", "commit": live.commit if live else "",
        "state": state(rt, app, live), "urls": routes.urls(rt, app), "locked": app.locked,
        "deploy branch": app.settings.get("git.deploy-branch", ""), "git remote": git_remote(rt, app.name),
    }


def state(rt: Runtime, app: App, live: Release | None) -> str:
    if app.maintenance:
        return "maintenance"
    if app.stopped:
        return "stopped"
    if app.asleep:
        return "asleep"
    return "running" if live else "not deployed"


def git_remote(rt: Runtime, name: str) -> str:
    """What `git remote add` wants."""
    import socket

    host = rt.settings.host or socket.gethostname()
    if rt.settings.ssh_port == 22:
        return f"{rt.settings.ssh_user}@{host}:{name}"
    return f"ssh://{rt.settings.ssh_user}@{host}:{rt.settings.ssh_port}/{name}"


def rename(rt: Runtime, app: App, name: str) -> App:
    """Only the name changes; its generated domain follows, containers and repository keep their ids."""
    names.app_name(name)
    renamed = rt.store.rename_app(app.id, name)
    for domain in rt.store.domains(app.id):
        if domain.generated:
            rt.store.remove_domain(app.id, domain.name)
            give_generated_domain(rt, renamed, domain.name.removeprefix(app.name + "."))
    routes.apply(rt)
    return renamed


def lock(rt: Runtime, app: App, why: str) -> App:
    return rt.store.update_app(app.id, locked=names.printable(why, 200) or "locked by an admin")


def unlock(rt: Runtime, app: App) -> App:
    return rt.store.update_app(app.id, locked="")


def destroy(rt: Runtime, app: App, say: Callable[[str], None]) -> None:
    """Everything that belongs to the app but host directories and named volumes. Conflict while a deploy runs.

    The order lets reconcile finish a destroy that was cut: the database row goes last.
    """
    with rt.jobs.turn(app.id, f"apps:destroy {app.name}"), rt.cron.closed(app.id):
        remove_everything(rt, app, say)


def remove_everything(rt: Runtime, app: App, say: Callable[[str], None]) -> None:
    for domain in rt.store.domains(app.id):
        rt.store.remove_domain(app.id, domain.name)
    routes.apply(rt)
    for container in rt.containers.list({"paas.app": str(app.id)}):
        rt.containers.stop(container.id, 10)
        rt.containers.remove(container.id)
    links.forget_app(rt, app)
    rt.containers.remove_network(f"{rt.settings.prefix}-app-{app.id}")
    for image in rt.images.list({"paas.app": str(app.id)}):
        try:
            rt.images.remove(image.digest)
        except PaasError as error:
            say(f"image kept: {error.what}")
    rt.repos.remove(app.id)
    collectors.forget(rt, app.id)
    rt.store.delete_app(app.id)
    routes.apply(rt)
    rt.router.forget(app.id)


