"""The receiver of a service's log: a container of the same image in the service's own network, its spool on the host.

The engine keeps it running while the daemon does not. It holds nothing that cannot be had again: what it did not
receive, the slot in the datastore keeps; what the daemon did not send yet, lies in the spool. Both are bounded.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from paas.api import PointInTime
from paas.errors import BadInput
from paas.model.service import Service
from paas.ports import BindMount, ContainerSpec, ContainerState
from paas.services import container

if TYPE_CHECKING:
    from paas.runtime import Runtime

MOST = 64                                # files in the spool, before the receiver pauses (1 GB)
MEMORY = 128 * 1024 * 1024
STOP = 10                                # seconds


def hook(rt: Runtime, datastore: str) -> PointInTime:
    """BadInput: that datastore cannot do it."""
    store = container.datastore(rt, datastore)
    if store.pitr is None:
        raise BadInput(f"{store.title} has no restore to a point in time", "Postgres has.")
    return store.pitr


def directory(rt: Runtime, uid: str) -> Path:
    return rt.settings.state_dir / "pitr" / uid


def spool_of(rt: Runtime, uid: str, epoch: str) -> Path:
    return directory(rt, uid) / epoch / "spool"


def marks(service: Service, kind: str = "pitr") -> dict[str, str]:
    return {"paas.kind": kind, "paas.pitr": str(service.id)}


def make_spool(rt: Runtime, service: Service, epoch: str, owner: tuple[int, int]) -> Path:
    """Of this epoch; those of others go. Closed to everybody else on the host."""
    base, spool = directory(rt, service.uid), spool_of(rt, service.uid, epoch)
    for path in (base.parent, base, spool.parent, spool):
        path.mkdir(mode=0o700, exist_ok=True)
    os.chown(spool, *owner)
    for other in base.iterdir():
        if other.name != epoch and not other.name.startswith("restore-"):
            shutil.rmtree(other, ignore_errors=True)
    return spool


def spec(rt: Runtime, service: Service, epoch: str, owner: tuple[int, int]) -> ContainerSpec:
    point = hook(rt, service.datastore)
    program = point.receiver(service, container.container_name(rt, service), MOST)
    spool = str(spool_of(rt, service.uid, epoch))
    said = json.dumps([service.image, spool, owner, program.command,
                       {key: value.reveal() for key, value in sorted(program.environment.items())}])
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return ContainerSpec(
        name=f"{rt.settings.prefix}-pitr-{service.id}", image=service.image, user=f"{owner[0]}:{owner[1]}",
        labels={**marks(service), "paas.spec": digest}, environment=program.environment, command=program.command,
        network=container.network_name(rt, service), mounts=(BindMount(spool, point.SPOOL),), memory=MEMORY, pids=32,
        stop_timeout=STOP, restart="always")


def running(rt: Runtime, service: Service) -> ContainerState | None:
    found = rt.containers.list(marks(service))
    return found[0] if found else None


def ensure(rt: Runtime, service: Service, epoch: str, owner: tuple[int, int]) -> None:
    """It runs, as it should be; its spool is there."""
    found, wanted = running(rt, service), spec(rt, service, epoch, owner)
    if found and found.labels.get("paas.spec") == wanted.labels["paas.spec"]:
        if not found.running:
            rt.containers.start(found.id)
        return
    remove(rt, service)
    make_spool(rt, service, epoch, owner)
    rt.containers.start(rt.containers.create(wanted))


def remove(rt: Runtime, service: Service) -> None:
    for one in rt.containers.list(marks(service)):
        rt.containers.stop(one.id, STOP)
        rt.containers.remove(one.id)


def remove_spool(rt: Runtime, uid: str) -> None:
    shutil.rmtree(directory(rt, uid), ignore_errors=True)
