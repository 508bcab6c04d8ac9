"""A drill: the backup is restored into a scratch container without a network, compared, looked over, and thrown away.

It is the only proof that a backup is one. It takes the time that a restore would take, and that is noted as well.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from paas import __version__
from paas.backups import catalog, keyring, places, platform, room
from paas.backups.pipeline import in_turn
from paas.backups.restore import BEGIN, Stored, loaded, require_recipient, tag_of
from paas.backups.streams import Progress, counted
from paas.errors import Forged, PaasError, ServiceError, reason_of
from paas.model.access import PLATFORM, Actor
from paas.model.backup import Backup, BackupState, Drill, Manifest
from paas.model.backup_layout import Layout
from paas.model.backup_manifest import DrillRecord, read_manifest
from paas.model.service import Service, ServiceState
from paas.ports import BindMount
from paas.secret import Secret
from paas.services import container, engine
from paas.services.shell import ContainerShell

if TYPE_CHECKING:
    from paas.runtime import Runtime

MEMORY = 512 * 1024 * 1024               # bytes for the scratch container where the service has no limit of its own
CPUS = 1.0

log = logging.getLogger("paas.backups")


def run(rt: Runtime, backup: Backup, actor: Actor, *, identity: Secret | None = None, progress: Progress,
        say: Callable[[str], None] = lambda line: None) -> Drill:
    """Forged: its content is wrong; the backup does not count any more. Other errors say nothing of the backup.

    Conflict: another drill of the service is under way. GaveWay: to a restore; nothing is noted of it.
    """
    stored = stored_of(rt, backup, identity)
    with rt.turns.hold(f"drill {backup.service_uid}", f"a drill of {backup.service}"), in_turn(rt, progress):
        return attempt(rt, stored, backup, actor, progress, say)


def attempt(rt: Runtime, stored: Stored, backup: Backup, actor: Actor, progress: Progress,
            say: Callable[[str], None]) -> Drill:
    number, began = rt.store.begin_drill(backup), rt.clock.monotonic()
    age = (rt.clock.now() - stored.manifest.started_at).total_seconds()
    try:
        proved(rt, stored, number, progress, say)
    except room.GaveWay:
        rt.store.drop_drill(number)
        raise
    except BaseException as error:
        reason = reason_of(error)
        failed(rt, stored, backup, number, reason, age, rt.clock.monotonic() - began,
               is_bad=isinstance(error, Forged))
        raise
    took = rt.clock.monotonic() - began
    rt.store.end_drill(number, True, restore_seconds=took, data_age=age)
    rt.store.move_backup(backup.id, BackupState.DRILLED)
    recorded(rt, stored, True, took, age, ())
    rt.store.add_event(actor, "backups:drill", f"{backup.datastore}/{backup.service}", "ok",
                       {"backup": backup.id, "seconds": f"{took:.1f}"})
    return next(one for one in rt.store.drills(backup.service_uid) if one.id == number)


def failed(rt: Runtime, stored: Stored, backup: Backup, number: int, reason: str, age: float, took: float, *,
           is_bad: bool) -> None:
    rt.store.end_drill(number, False, restore_seconds=took, data_age=age, reason=reason)
    rt.store.add_event(PLATFORM, "backups:drill", f"{backup.datastore}/{backup.service}", "failed",
                       {"backup": backup.id, "reason": reason[:500]})
    if is_bad:
        rt.store.move_backup(backup.id, BackupState.FAILED, reason=f"drill: {reason}")
        recorded(rt, stored, False, took, age, (reason,))


def recorded(rt: Runtime, stored: Stored, passed: bool, took: float, age: float, problems: tuple[str, ...]) -> None:
    """Beside the manifest, so that another machine knows it too. That it fails changes nothing of what was found."""
    made = stored.manifest
    record = DrillRecord(made.id, made.service_uid, rt.clock.now(), passed, round(took, 3), round(age, 3), problems,
                         (f"rows and content of {len(made.contents.tables)} tables", "damage"), __version__)
    layout = Layout(places.server_id(rt), made.datastore, made.service_uid)
    try:
        catalog.record_drill(stored.objects, layout, record, keyring.keyring(rt).mac, secrets.randbits(32))
    except PaasError as error:
        log.warning("the drill of %s is not noted in the target: %s", made.id, error.what)


def stored_of(rt: Runtime, backup: Backup, identity: Secret | None) -> Stored:
    """By our own copy of the manifest; a difference from the target's is found by the listing."""
    keys = keyring.opened_with(rt, identity) if identity else keyring.keyring(rt)
    if not backup.manifest:
        raise Forged(f"the backup {backup.id} has no manifest", "It was never finished; take another one.")
    made = read_manifest(backup.manifest.encode(), keys.known).manifest
    require_recipient(rt, made, keys.require_identity())
    return Stored(made, places.objects_at(rt, backup), keys.require_identity())


def proved(rt: Runtime, stored: Stored, number: int, progress: Progress, say: Callable[[str], None]) -> None:
    made = stored.manifest
    if made.kind == platform.KIND:
        room.require(rt, made)
        platform.drilled(rt, made, stored.objects, stored.identity, counted(progress, "reading and unpacking"))
        return
    with room.for_drill(rt, made, marks(number), progress) as told:
        on_trial(rt, stored, number, told, say)


def on_trial(rt: Runtime, stored: Stored, number: int, progress: Progress, say: Callable[[str], None]) -> None:
    made = stored.manifest
    store = container.datastore(rt, made.datastore)
    progress(BEGIN, 0)
    with scratch(rt, made, number, say) as (service, shell):
        store.prepare(shell, service)
        try:
            loaded(rt, stored, store, shell, service, progress)
        except ServiceError as error:
            if container.running(rt, service):       # else it ended for want of memory, or somebody stopped it
                raise Forged(f"it cannot be restored: {error.what}", "Take another backup.") from error
            raise
        progress("looking for damage", 0)
        damage = store.inspect(shell, service)
        if damage:
            raise Forged(f"the restored data are damaged: {'; '.join(damage[:3])}", "Take another backup.")


@contextmanager
def scratch(rt: Runtime, made: Manifest, number: int, say: Callable[[str], None],
            ) -> Iterator[tuple[Service, ContainerShell]]:
    """A container of that datastore that nobody can reach; it and its volume go, whatever happens."""
    store = container.datastore(rt, made.datastore)
    image = rt.images.fetch(f"{store.image}:{tag_of(made)}", say)
    volume = f"{rt.settings.prefix}-drill-{number}"
    service = Service(0, made.service_uid, made.datastore, made.service, tag_of(made), image.digest,
                      ServiceState.CREATING, "", rt.clock.now(), "paas", volume,
                      settings={**{key: value for key, value in made.details.items() if key == "memory"},
                                "scratch": "yes"}, secrets=engine.new_secrets())
    rt.containers.ensure_volume(volume, marks(number))
    made_id = ""
    try:
        spec = container.spec(rt, service)
        made_id = rt.containers.create(replace(
            spec, name=volume, labels=marks(number), network="", publish=(), memory=spec.memory or MEMORY,
            cpus=spec.cpus or CPUS, restart="no", mounts=(BindMount(volume, spec.mounts[0].target),)))
        rt.containers.start(made_id)
        container.wait_until_ready(rt, service, made_id)
        yield replace(service, container_id=made_id), container.shell_of(rt, service, made_id)
    finally:
        if made_id:
            rt.containers.remove(made_id)
        rt.containers.remove_volume(volume)


def marks(number: int) -> dict[str, str]:
    return {"paas.kind": "drill", "paas.drill": str(number)}


def end_cut(rt: Runtime) -> None:
    """At the start of the daemon: containers and volumes of drills that an earlier one left."""
    for found in rt.containers.list({"paas.kind": "drill"}):
        rt.containers.remove(found.id)
    for name, labels in rt.containers.volumes().items():
        if labels.get("paas.kind") == "drill":
            rt.containers.remove_volume(name)
    for one in rt.store.drills():
        if one.passed is None and one.finished_at is None:
            rt.store.end_drill(one.id, False, reason="interrupted: paasd stopped while this was running")
