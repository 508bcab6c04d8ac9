"""Compare what the database wants with Docker, the proxy, git and authorized_keys; finish or undo what was cut; repair.

Level-triggered and idempotent: a second run finds nothing. Never deletes data: no volume, no repository, no database
row but those of containers. An app whose deploy is running is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from paas.errors import NotFound, PaasError
from paas.failpoints import step
from paas.model.access import PLATFORM
from paas.model.app import App
from paas.ops import app_repairs, older, routes
from paas.ops.repair import Repair
from paas.services import repairs as service_repairs

if TYPE_CHECKING:
    from paas.runtime import Runtime

LEFTOVER_SECONDS = 3600.0                # age from which a quarantine directory is a leftover


def reconcile(rt: Runtime, *, dry_run: bool = False, app: App | None = None) -> list[Repair]:
    """Repair (or with *dry_run* only name) every difference, of one app or of everything.

    Nothing where the database is older than what runs: what it does not know may be all that there is.
    """
    found = rt.older.look(rt)
    if found:
        return [older.repair(found)]
    done: list[Repair] = []
    for one in [app] if app else rt.store.apps():
        done += reconcile_app(rt, one, dry_run)
    if app is None:
        for repair in chain(service_repairs.find(rt), server_repairs(rt)):
            done.append(repair if dry_run else carried_out(rt, repair))
    return done


def reconcile_app(rt: Runtime, app: App, dry_run: bool) -> list[Repair]:
    turn = rt.jobs.try_turn(app.id, "reconcile", housekeeping=True)
    if not turn:
        return []
    try:
        return [repair if dry_run else carried_out(rt, repair)
                for repair in chain(app_repairs.find(rt, rt.store.app_by_id(app.id)), pushes_left(rt, app))]
    except NotFound:
        return []                        # destroyed meanwhile
    finally:
        rt.jobs.leave(turn)


def pushes_left(rt: Runtime, app: App) -> Iterator[Repair]:
    """The app's turn is ours: no deploy of it needs one of them."""
    for quarantine in rt.repos.abandoned(app.id):
        yield Repair("push-left", f"{app.name} {quarantine.objects.name}", "left over from a push that was killed",
                     "remove it", lambda q=quarantine: rt.repos.discard(app.id, q))


def carried_out(rt: Runtime, repair: Repair) -> Repair:
    """Act; an error is noted, and the other repairs go on."""
    try:
        with step("reconcile"):
            repair.act()
    except PaasError as error:
        repair = replace(repair, error=error.what)
    result = "failed" if repair.error else "ok"
    rt.store.add_event(PLATFORM, "reconcile", repair.object.partition(" ")[0], result,
                       {"kind": repair.kind, "object": repair.object, "found": repair.found,
                        **({"error": repair.error} if repair.error else {})})
    return repair


def server_repairs(rt: Runtime) -> Iterator[Repair]:
    yield from strange_containers(rt)
    yield from strange_networks(rt)
    yield from strange_images(rt)
    yield from authorized_keys(rt)
    yield from proxy(rt)                 # last: it raises while the proxy is down


def strange_containers(rt: Runtime) -> Iterator[Repair]:
    """Containers of apps and services that are no more (a destroy that was cut)."""
    known = owners(rt)
    for container in rt.containers.list({}):
        if not known & container.labels.items():
            yield Repair("container-unknown", container.name, "a container of an app or service that does not exist",
                         "remove it", lambda c=container: rt.containers.remove(c.id))


def strange_networks(rt: Runtime) -> Iterator[Repair]:
    known = owners(rt)
    for name, labels in rt.containers.networks().items():
        if not known & labels.items():
            yield Repair("network-unknown", name, "a network of an app or service that does not exist", "remove it",
                         lambda n=name: rt.containers.remove_network(n))


def strange_images(rt: Runtime) -> Iterator[Repair]:
    """Of apps that are no more. One that a container still has is refused, and goes the next time."""
    there = rt.images.list({})
    known = owners(rt)
    for image in there:
        labels = dict(image.labels)
        if "paas.app" in labels and ("paas.app", labels["paas.app"]) not in known:
            yield Repair("image-unknown", image.digest[:19], "an image of an app that does not exist", "remove it",
                         lambda i=image: rt.images.remove(i.digest))


def owners(rt: Runtime) -> set[tuple[str, str]]:
    """The labels that say whose a thing is."""
    return {*(("paas.app", str(app.id)) for app in rt.store.apps()),
            *((mark, str(service.id)) for service in rt.store.services() for mark in ("paas.service", "paas.pitr")),
            *(("paas.drill", str(drill.id)) for drill in rt.store.drills() if drill.finished_at is None)}


def proxy(rt: Runtime) -> Iterator[Repair]:
    """The proxy's config (loaded only where it differs) and the files of apps that are no more."""
    if not rt.router.current(routes.sites(rt), routes.options(rt)):
        yield Repair("proxy-config", "proxy", "the proxy's config is not what the database wants", "load it",
                     lambda: routes.apply(rt))
    apps = {app.id for app in rt.store.apps()}
    for app_id in rt.router.known():
        if app_id not in apps:
            yield Repair("proxy-files", f"app {app_id}", "proxy files of an app that does not exist", "remove them",
                         lambda i=app_id: rt.router.forget(i))


def authorized_keys(rt: Runtime) -> Iterator[Repair]:
    wanted = [(key.id, key.type, key.blob) for key in rt.store.keys()]
    if not rt.keys.current(wanted):
        strange = len(rt.keys.foreign())
        found = f"authorized_keys has {strange} lines that paas did not write" if strange else \
            "authorized_keys is not what the database wants"
        yield Repair("authorized-keys", "ssh", found, "write it anew; foreign lines are kept in a file beside it"
                     if strange else "write it anew", lambda: rt.keys.write(wanted))
