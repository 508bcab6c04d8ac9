"""A server whose database is here and nothing else: networks, images, services with their data, apps, routes, keys.

Every step leaves alone what is there already, so the same command goes on where an earlier one was cut. What cannot be
brought back is named, and never holds up the rest.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING

from paas.backups import catalog, places, platform, streams
from paas.backups.catalog import Verdict
from paas.backups.platform_pack import received
from paas.backups.restore import Stored, loaded, tag_of
from paas.backups.streams import Progress, counted
from paas.errors import Forged, NotFound, PaasError
from paas.model.access import Actor
from paas.model.app import App
from paas.model.backup import BackupState, Manifest
from paas.model.backup_mac import MacKey
from paas.model.service import Service, ServiceState
from paas.ops import apps, revive_apps, routes, server_state
from paas.ops.reconcile import reconcile
from paas.ops.server_state import Back, Restoring
from paas.ports_backup import ObjectStore, Reader
from paas.secret import Secret
from paas.services import container

if TYPE_CHECKING:
    from paas.runtime import Runtime

CHUNK = 1024 * 1024
GOOD = (BackupState.READ_BACK, BackupState.DRILLED)


@dataclass
class Revival:
    rt: Runtime
    actor: Actor
    objects: ObjectStore
    made: Manifest                       # of the platform's backup
    macs: tuple[MacKey, ...]
    identity: Secret
    progress: Progress
    say: Callable[[str], None]
    now: Restoring = field(init=False)

    def __post_init__(self) -> None:
        self.now = server_state.of(self.rt)

    def save(self) -> None:
        server_state.note(self.rt.store, self.now)


def revive(run: Revival) -> tuple[Back, ...]:
    """In this order, since each needs what is before it."""
    rt, found = run.rt, list[Back]()
    for step in (target, keys, networks, images, proxy, services, all_apps, others):
        found += attempted(run, step)
    run.now.over = True
    run.save()                           # from here on the platform looks after itself again
    if not run.now.services:
        server_state.note(rt.store, None)
    for repair in reconcile(rt):
        if repair.error:
            found.append(Back("repair", repair.object, False, f"{repair.found}: {repair.error}"))
    rt.store.add_event(run.actor, "server:restore", "", "ok" if all(one.back for one in found) else "failed",
                       {"backup": run.now.backup, "back": str(sum(one.back for one in found)),
                        "not back": ", ".join(f"{one.what} {one.name}" for one in found if not one.back)[:500]})
    return tuple(found)


def attempted(run: Revival, step: Callable[[Revival], Iterator[Back]]) -> list[Back]:
    found: list[Back] = []
    try:
        for one in step(run):
            found.append(one)
            run.say(f"       {one.what} {one.name}: {'is back' if one.back else 'IS NOT BACK'}"
                    f"{f' ({one.note})' if one.note else ''}")
    except PaasError as error:
        found.append(Back("step", step.__name__.replace("_", " "), False, error.what))
    return found


# --- what all others need --------------------------------------------------------------------------------------------


def target(run: Revival) -> Iterator[Back]:
    """From now on this machine writes there, and the old one, should it come back, does not."""
    places.claim(run.rt, run.objects, adopt=True)
    for service in run.rt.store.services():
        if run.rt.store.backup_target(service.uid):
            try:
                places.claim(run.rt, places.objects_of(run.rt, service.uid), adopt=True)
            except PaasError as error:
                yield Back("backup target", service.title, False, error.what)


def keys(run: Revival) -> Iterator[Back]:
    known = [(key.id, key.type, key.blob) for key in run.rt.store.keys()]
    run.rt.keys.write(known)
    yield Back("SSH keys", "", True, f"{len(known)}")


def networks(run: Revival) -> Iterator[Back]:
    """Ranges that something else on this machine has are given up; addresses keep their places in the new ones."""
    rt = run.rt
    ours = {one.removeprefix(f"{rt.settings.prefix}-") for one in rt.containers.networks()}
    for noun, things in (("app", rt.store.apps()), ("service", rt.store.services())):
        for one in things:
            if f"{noun}-{one.id}" in ours or not taken(rt, one.subnet):
                continue
            move = rt.store.move_app_network if noun == "app" else rt.store.move_service_network
            move(one.id, apps.free_subnet(rt))
            run.say(f"The network {one.subnet} is taken on this machine: {one.name} gets another one")
    yield from ()


def taken(rt: Runtime, subnet: str) -> bool:
    wanted = ip_network(subnet)
    return any(wanted.overlaps(other) for other in map(ip_network, rt.containers.taken_subnets())
               if other.version == wanted.version)


def images(run: Revival) -> Iterator[Back]:
    rt, part = run.rt, platform.part_of(run.made, platform.IMAGES)
    names = {digest: name for digest, name in named(run) if not there(rt, digest)}
    if not part or not names:
        return
    moved = counted(run.progress, "reading and loading images")
    received(lambda sink: streams.fetch(run.objects, rt.sealing, part, run.identity, sink, moved),
             lambda source: rt.images.load(chunks(source), names))
    yield Back("images", "", True, f"{len(names)}")


def named(run: Revival) -> Iterator[tuple[str, str]]:
    """digest → the name that keeps it, as its build gave it."""
    rt = run.rt
    for app in rt.store.apps():
        live = rt.store.live_release(app.id)
        if live and live.image in run.now.images:
            yield live.image, f"{rt.settings.prefix}-build-{live.build_id or f'r{live.id}'}"


def there(rt: Runtime, digest: str) -> bool:
    try:
        return bool(rt.images.inspect(digest))
    except NotFound:
        return False


def chunks(source: Reader) -> Iterator[bytes]:
    while data := source.read(CHUNK):
        yield data


def proxy(run: Revival) -> Iterator[Back]:
    refused = routes.apply(run.rt)
    for app_id, reason in refused.items():
        yield Back("routes", run.rt.store.app_by_id(app_id).name, False, reason)
    for app in run.rt.store.apps():
        held = run.rt.store.certificate(app.id)
        if held and app.id not in refused:
            yield Back("certificate", app.name, True, ", ".join(held[0].names))


# --- services ------------------------------------------------------------------------------------------------------


def services(run: Revival) -> Iterator[Back]:
    rt = run.rt
    for service in rt.store.services():
        if service.uid not in run.now.services:
            yield Back(service.datastore, service.name, True, "already")
            continue
        run.say(f"-----> {service.title}")
        try:
            with rt.turns.hold(service.uid, f"the restore of {service.title}"), rt.heavy:
                yield service_back(run, service)
        except PaasError as error:
            yield Back(service.datastore, service.name, False, f"{error.what} {error.hint}".strip())
    for uid in set(run.now.services) - {one.uid for one in rt.store.services()}:
        del run.now.services[uid]        # destroyed by a person since
    yield from newer(run)


def service_back(run: Revival, service: Service) -> Back:
    """With its newest good backup, under its old password, so that every link still fits. Without any backup it comes
    back empty: nothing of it exists any more."""
    rt, store = run.rt, container.datastore_of(run.rt, service)
    stored = newest(run, service)
    made = stored.manifest if stored else None
    image = rt.images.fetch(f"{store.image}:{tag_of(made) if made else service.version}", run.say)
    service = begun(run, service, tag_of(made) if made else service.version, image.digest)
    service = container.bring_up(rt, service)
    shell = container.shell(rt, service)
    store.prepare(shell, service)
    if made:
        loaded(rt, Stored(made, places_of(run, service), run.identity), store, shell, service, run.progress)
    wanted = ServiceState(run.now.services.pop(service.uid))
    if wanted == ServiceState.STOPPED:
        container.take_down(rt, service)
    rt.store.update_service(service.id, state=wanted)
    run.now.volumes.pop(service.uid, None)
    run.save()
    if not made:
        return Back(service.datastore, service.name, False, "the target has no backup of it: it is there, and empty")
    rows = sum(table.rows for table in made.contents.tables)
    return Back(service.datastore, service.name, True,
                f"as it was {made.started_at:%Y-%m-%d %H:%M:%S} UTC, {rows:,} {store.unit} compared")


def begun(run: Revival, service: Service, tag: str, image: str) -> Service:
    """A volume that only this restore knows; one that an earlier try had begun goes."""
    rt, before = run.rt, run.now.volumes.get(service.uid)
    for found in rt.containers.list({"paas.service": str(service.id)}):
        rt.containers.remove(found.id)
    if before:
        rt.containers.remove_volume(before)
    volume = f"{container.volume_name(rt, service.uid, tag)}-{secrets.token_hex(2)}"
    run.now.volumes[service.uid] = volume
    run.save()
    return rt.store.update_service(service.id, version=tag, image=image, volume=volume, container_id="")


def newest(run: Revival, service: Service) -> catalog.Stored | None:
    """None: there never was one. Forged, StoreError: there is, and none of them can be trusted or read now."""
    known = catalog.listed(places_of(run, service), run.macs, layout=places.layout_of(run.rt, service)).backups
    good = [one for one in known if one.verdict is Verdict.GOOD and one.state in GOOD]
    if known and not good:
        why = known[-1].problem or "its drill failed"
        raise Forged(f"none of its {len(known)} backups is good: {known[-1].id}: {why}",
                     "It stays stopped. See: paas backups:in-target --identity-stdin")
    return good[-1] if good else None


def places_of(run: Revival, service: Service) -> ObjectStore:
    return places.objects_of(run.rt, service.uid) if run.rt.store.backup_target(service.uid) else run.objects


def newer(run: Revival) -> Iterator[Back]:
    """Services that were made after the platform's backup: their data are in the target, nothing else is known."""
    known = {one.uid for one in run.rt.store.services()}
    found = {one.manifest.service_uid: one for one in catalog.listed(run.objects, run.macs, run.now.server).backups
             if one.verdict is Verdict.GOOD and one.layout.datastore != platform.DATASTORE}
    for uid, one in found.items():
        if uid not in known and one.id > run.now.backup:
            yield Back(one.manifest.datastore, one.manifest.service, False,
                       f"made after this backup of the server: paas backups:restore {one.id} {one.manifest.service}")


# --- apps ----------------------------------------------------------------------------------------------------------


def all_apps(run: Revival) -> Iterator[Back]:
    for app in run.rt.store.apps():
        run.say(f"-----> {app.name}")
        yield from app_back(run, app)


def app_back(run: Revival, app: App) -> Iterator[Back]:
    yield from revive_apps.storage_back(run, app)
    try:
        note = revive_apps.app_back(run.rt, app, run.actor, run.say)
        yield Back("app", app.name, True, note)
    except PaasError as error:
        yield Back("app", app.name, False, f"{error.what} {error.hint}".strip())


def others(run: Revival) -> Iterator[Back]:
    for app in run.rt.store.apps():
        live = run.rt.store.live_release(app.id)
        if live and live.cron:
            yield Back("cron", app.name, True, f"{len(live.cron)} jobs")
