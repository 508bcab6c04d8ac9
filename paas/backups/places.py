"""Where a service's backups go."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from paas import __version__
from paas.backups import owner
from paas.errors import BadInput
from paas.model.backup import Target
from paas.model.backup_layout import Layout

if TYPE_CHECKING:
    from paas.model.backup import Backup
    from paas.model.service import Service
    from paas.ports_backup import ObjectStore
    from paas.runtime import Runtime


def target_of(rt: Runtime, service_uid: str) -> Target:
    """Its own, else the server's, else a directory of this machine: better than nothing, and `doctor` says so."""
    return rt.store.backup_target(service_uid) or rt.store.backup_target("") or local(rt)


def local(rt: Runtime) -> Target:
    return Target(f"file://{rt.settings.state_dir}/backups")


def objects_at(rt: Runtime, backup: Backup) -> ObjectStore:
    """Where that backup is: its target may have been changed since. BadInput: nobody has that one's keys any more."""
    for target in (target_of(rt, backup.service_uid), rt.store.backup_target(""), local(rt)):
        if target and target.url == backup.target:
            return rt.targets.open(target)
    raise BadInput(f"the backup {backup.id} is in {backup.target}, which is no target of this server any more",
                   "Set it again for the time of the restore: paas backups:target set URL")


def objects_of(rt: Runtime, service_uid: str) -> ObjectStore:
    return rt.targets.open(target_of(rt, service_uid))


def claim(rt: Runtime, objects: ObjectStore, *, adopt: bool = False) -> None:
    """This machine writes here, and no other. Conflict: another one does, and it is not to be adopted."""
    ours = owner.Instance(server_id(rt), rt.host.machine(), socket.gethostname(), __version__, rt.clock.now())
    owner.claim(objects, ours, adopt=adopt)


def require_ours(rt: Runtime, objects: ObjectStore) -> None:
    """Before each backup: another machine may have taken this place since. A target that nobody has claimed is."""
    if owner.owner(objects, server_id(rt)) is None:
        claim(rt, objects)
    owner.check_owner(objects, server_id(rt), rt.host.machine())


def server_id(rt: Runtime) -> str:
    return rt.store.settings()["server-id"]


def layout_of(rt: Runtime, service: Service) -> Layout:
    return Layout(server_id(rt), service.datastore, service.uid)
