"""A backup in the place of what a service holds now: made beside it, compared, then switched.

The old data go on serving until the new ones are whole; host name, passwords and URL stay, so linked apps need no new
release: they connect again. The way back is the safety backup that is made first; the old volume is kept as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from paas.backups import pipeline, restore, room
from paas.backups.restore import Stored
from paas.backups.streams import Progress
from paas.errors import BadInput, Forged, PaasError
from paas.model.backup import Backup, Trigger
from paas.model.service import Service, ServiceState
from paas.ports_backup import Shell
from paas.services import container, exchange

if TYPE_CHECKING:
    from paas.runtime import Runtime

Say = Callable[[str], None]


def put_back(rt: Runtime, service: Service, stored: Stored, *, safety: bool = True, progress: Progress,
             say: Say) -> Backup | None:
    """Return the safety backup; None without *safety*. Whatever fails leaves the service as it was."""
    made = stored.manifest
    require_fitting(service, made.datastore, restore.tag_of(made))
    with rt.turns.hold(service.uid, f"{service.datastore}:restore {service.name} --in-place"), \
            room.for_restore(rt, made, progress):
        service = rt.store.service_by_id(service.id)
        before = saved(rt, service, progress) if safety else None

        def fill(new: Service, shell: Shell) -> None:
            restore.loaded(rt, stored, container.datastore_of(rt, new), shell, new, progress)
            progress("looking for damage", 0)
            damage = container.datastore_of(rt, new).inspect(shell, new)
            if damage:
                raise Forged(f"the restored data are damaged: {'; '.join(damage[:3])}", "Take another backup.")
            progress("switching: for a moment it answers nobody", 0)

        progress(restore.BEGIN, 0)
        exchange.exchange(rt, service, fill)
    say(f"What it held is kept in the volume {service.volume}, until: "
        f"paas {service.datastore}:drop-old {service.name}")
    return before


def saved(rt: Runtime, service: Service, progress: Progress) -> Backup:
    try:
        return pipeline.attempt(rt, service, Trigger.SAFETY, progress, True)
    except PaasError as error:
        raise type(error)(f"what it holds now could not be backed up, so nothing was changed: {error.what}",
                          f"{error.hint} Or add --no-safety-backup: its volume is kept all the same.") from error


def require_fitting(service: Service, datastore: str, tag: str) -> None:
    if service.state != ServiceState.RUNNING:
        raise BadInput(f"{service.title} is {service.state}",
                       f"Start it: paas {service.datastore}:start {service.name}")
    if datastore != service.datastore:
        raise BadInput(f"that backup is of {datastore}, and {service.name} is {service.datastore}",
                       f"Restore it into a new service: paas {datastore}:restore NAME --into NEW")
    if major(tag) > major(service.version):
        raise BadInput(f"that backup is of version {tag}, which {service.title} {service.version} cannot read",
                       f"Upgrade first: paas {service.datastore}:upgrade {service.name} --version {tag}")


def major(tag: str) -> int:
    digits = tag.partition(".")[0].partition("-")[0]
    return int(digits) if digits.isdigit() else 0
