"""A base: a whole copy of a service's data while it works, read back, then its manifest. As a backup is made."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from paas import __version__
from paas.backups import keyring, places, streams
from paas.backups.streams import Progress
from paas.errors import PaasError, ServiceError, reason_of
from paas.model import pitr
from paas.model.backup import Contents, Manifest, StoredPart, Trigger
from paas.model.backup_layout import new_id
from paas.model.backup_manifest import write_manifest
from paas.model.pitr import Base
from paas.model.pitr_row import Pitr, PitrBase
from paas.model.service import Service
from paas.ports_backup import ObjectStore
from paas.services import container

if TYPE_CHECKING:
    from paas.runtime import Runtime

LABEL = "paas-base-"


def make(rt: Runtime, service: Service, row: Pitr, trigger: Trigger, progress: Progress) -> PitrBase:
    """The caller has the service's turn. Whatever fails leaves a failed row with its reason, and no object."""
    known = rt.store.pitr_bases(service.uid)
    base_id = new_id(rt.clock.now(), secrets.randbits(32), max((one.id for one in known), default=""))
    rt.store.begin_pitr_base(base_id, row)
    place = f"{places.layout_of(rt, service).pitr(row.epoch)}base/{base_id}/"
    objects = places.objects_of(rt, service.uid)
    try:
        places.require_ours(rt, objects)
        with rt.heavy:
            made = copied(rt, service, row, objects, place, base_id, trigger, progress)
        data = write_manifest(made, keyring.keyring(rt).mac)
        objects.put(place + pitr.MANIFEST, data)
    except BaseException as error:
        with suppress(PaasError):
            objects.delete([place + pitr.MANIFEST, place + pitr.DATA])
        reason = reason_of(error)
        rt.store.end_pitr_base(base_id, "failed", reason=reason)
        raise
    return rt.store.end_pitr_base(base_id, "good", manifest=data.decode(), size=made.parts[0].size)


def copied(rt: Runtime, service: Service, row: Pitr, objects: ObjectStore, place: str, base_id: str, trigger: Trigger,
           progress: Progress) -> Manifest:
    """The positions are asked for before and after, so they may be a little too far apart, which harms nothing."""
    store, shell = container.datastore_of(rt, service), container.shell(rt, service)
    store.end_stale(shell, LABEL)
    facts, keys, began = store.facts(shell, service), keyring.keyring(rt), rt.clock.now()
    before, watch = store.pitr.state(shell, service), rt.clock.monotonic()
    if before.system != row.system:
        raise ServiceError("its data are others than before", "Turn point in time off and on again.")
    part = streams.send(objects, rt.sealing, keys.recipients, store.pitr.base(shell, service, LABEL + base_id),
                        place + pitr.DATA, what="copy", expected=int(facts.get("size", 0)),
                        moved=streams.counted(progress, "copying, sealing, uploading"))
    took, after = rt.clock.monotonic() - watch, store.pitr.state(shell, service)
    streams.read_back(objects, part, streams.counted(progress, "reading back"))
    # PostgreSQL ends a base by beginning another segment; what came since is not needed.
    stop = after.position - after.position % after.segment_size
    base = Base(base_id, row.epoch, began, rt.clock.now(), before.position, stop, after.timeline,
                after.segment_size, after.system, row.reason)
    return manifest(rt, service, base, part, facts, keys.recipients, trigger, took)


def manifest(rt: Runtime, service: Service, base: Base, part: StoredPart, facts: dict[str, object],
             recipients: tuple[str, ...], trigger: Trigger, took: float) -> Manifest:
    store = container.datastore_of(rt, service)
    kept = {key: value for key, value in service.settings.items() if key in ("memory", "cpu")}
    kept |= store.pitr.kept(service)
    return Manifest(
        id=base.id, kind=pitr.KIND, datastore=service.datastore, service=service.name, service_uid=service.uid,
        trigger=trigger, started_at=base.began, finished_at=base.ended, image=f"{store.image}:{service.version}",
        image_digest=service.image, version=str(facts.get("version", "")), parts=(part,), contents=Contents(),
        recipients=recipients, data_size=int(facts.get("size", 0)), program=__version__, dumped_in=round(took, 3),
        details={**base.details, "tag": service.version, **{f"setting {key}": value for key, value in kept.items()}})
