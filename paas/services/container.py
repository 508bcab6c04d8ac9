"""A service's container, network and volume: their names, how they are made and looked at."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from paas.api import Datastore
from paas.errors import NotFound, PaasError, ServiceError
from paas.model.limits import cpus, memory_bytes
from paas.model.service import Service, ServiceState
from paas.ports import BindMount, ContainerSpec, ContainerState
from paas.services.shell import ContainerShell

if TYPE_CHECKING:
    from paas.runtime import Runtime

READY_SECONDS = 120.0                    # for the first answer after a start (crash recovery may take long)
PAUSE = 0.1
LOG_LINES = 5
ROW = "paas.row"                         # label of a container: `row_mark`


def datastore_of(rt: Runtime, service: Service) -> Datastore:
    """:raises NotFound: its plugin is not there any more."""
    return datastore(rt, service.datastore)


def datastore(rt: Runtime, name: str) -> Datastore:
    found = rt.plugins.datastores.get(name)
    if found is None:
        raise NotFound(f"there is no plugin for {name} services", "See: paas doctor")
    return found


def container_name(rt: Runtime, service: Service) -> str:
    return f"{rt.settings.prefix}-service-{service.id}"


def network_name(rt: Runtime, service: Service) -> str:
    return f"{rt.settings.prefix}-service-{service.id}"


def volume_name(rt: Runtime, uid: str, version: str, number: int = 1) -> str:
    """Never made of a name that somebody chose. *number*: after an import or a restore, of the same version."""
    name = f"{rt.settings.prefix}-data-{uid}-{re.sub('[^0-9A-Za-z.]', '', version)}"
    return name if number == 1 else f"{name}-{number}"


def volumes_of(rt: Runtime, service: Service) -> tuple[str, ...]:
    """Its own and those kept from before, by name."""
    there = rt.containers.volumes().items()
    return tuple(sorted(name for name, marks in there if marks.get("paas.uid") == service.uid))


def host_name(rt: Runtime, service: Service) -> str:
    """What linked apps know it by, as Dokku's ``dokku-postgres-NAME``."""
    return f"{rt.settings.prefix}-{service.datastore}-{service.name}"


def labels(service: Service, kind: str) -> dict[str, str]:
    return {"paas.service": str(service.id), "paas.uid": service.uid, "paas.kind": kind}


def spec(rt: Runtime, service: Service) -> ContainerSpec:
    store = datastore_of(rt, service)
    limits = {key: service.settings[key] for key in ("memory", "cpu") if key in service.settings}
    known = dict(service.settings)
    if "memory" in limits:
        known["memory-bytes"] = str(memory_bytes(limits["memory"]))
    plan = store.plan(replace(service, settings=known))
    return ContainerSpec(
        name=container_name(rt, service), image=service.image,
        labels={**labels(service, "service"), ROW: row_mark(rt, service)},
        environment=plan.environment, command=plan.command, network=network_name(rt, service),
        mounts=(BindMount(service.volume, plan.data),),
        memory=memory_bytes(limits["memory"]) if "memory" in limits else 0,
        cpus=cpus(limits["cpu"]) if "cpu" in limits else 0.0,
        pids=2048, shm=plan.shm, stop_timeout=store.stop_timeout, restart="always",
        publish=published(service, store.port))


def unexposed(service: Service) -> Service:
    return replace(service, settings={key: value for key, value in service.settings.items() if key != "expose"})


def row_mark(rt: Runtime, service: Service) -> str:
    """What of its row a container was made of; where that differs now, it has to be made anew."""
    keys = {"memory", "cpu", "expose", *datastore_of(rt, service).settings}
    text = json.dumps([service.image, service.volume,
                       sorted((key, value) for key, value in service.settings.items() if key in keys)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def published(service: Service, port: int) -> tuple[str, ...]:
    """From the setting ``expose``: ADDRESS:PORT."""
    exposed = service.settings.get("expose")
    return (f"{exposed}:{port}",) if exposed else ()


def bring_up(rt: Runtime, service: Service, *, linked: bool = True) -> Service:
    """Make the container anew on its volume, connect it to every linked app, start it, wait until it answers.

    :param linked: False: neither apps nor a port of this server lead to it yet.
    """
    remove_all(rt, service)
    rt.containers.ensure_network(network_name(rt, service), service.subnet, labels(service, "network"))
    rt.containers.ensure_volume(service.volume, labels(service, "volume"))
    made = rt.containers.create(spec(rt, service if linked else unexposed(service)))
    service = rt.store.update_service(service.id, container_id=made)
    if linked:
        connect_links(rt, service)
    rt.containers.start(made)
    wait_until_ready(rt, service)
    return service


def remove_all(rt: Runtime, service: Service, but: str = "") -> None:
    """Its containers, also those that nobody noted: never do two servers run on one volume."""
    patience = datastore_of(rt, service).stop_timeout
    for found in rt.containers.list({"paas.service": str(service.id), "paas.kind": "service"}):
        if found.id != but:
            rt.containers.stop(found.id, patience)
            rt.containers.remove(found.id)


def connect_links(rt: Runtime, service: Service) -> None:
    for link in rt.store.links(service_id=service.id):
        app = rt.store.app_by_id(link.app_id)
        network = app_network(rt, app.id)
        rt.containers.ensure_network(network, app.subnet, {"paas.app": str(app.id), "paas.kind": "network"})
        rt.containers.connect(service.container_id, network, host_name(rt, service))


def app_network(rt: Runtime, app_id: int) -> str:
    return f"{rt.settings.prefix}-app-{app_id}"


def take_down(rt: Runtime, service: Service) -> None:
    """Stop and remove the container; the volume stays."""
    if service.container_id:
        rt.containers.stop(service.container_id, datastore_of(rt, service).stop_timeout)
        rt.containers.remove(service.container_id)
        rt.store.update_service(service.id, container_id="")


def shell(rt: Runtime, service: Service) -> ContainerShell:
    """:raises ServiceError: it does not run."""
    if not running(rt, service):
        raise ServiceError(f"{service.title} does not run",
                           f"Start it: paas {service.datastore}:start {service.name}")
    return shell_of(rt, service, service.container_id)


def shell_of(rt: Runtime, service: Service, container_id: str) -> ContainerShell:
    return ContainerShell(rt.containers, container_id, rt.sealing, tuple(service.secrets.values()))


def running(rt: Runtime, service: Service) -> bool:
    found = state(rt, service)
    return found is not None and found.running


def state(rt: Runtime, service: Service) -> ContainerState | None:
    try:
        return rt.containers.state(service.container_id) if service.container_id else None
    except NotFound:
        return None


def wait_until_ready(rt: Runtime, service: Service, container_id: str = "", patience: float = READY_SECONDS) -> None:
    """:raises ServiceError: it ended, or does not answer within *patience* seconds; with its last log lines."""
    container_id = container_id or service.container_id
    store, inside = datastore_of(rt, service), shell_of(rt, service, container_id)
    deadline = rt.clock.monotonic() + patience
    while rt.clock.monotonic() < deadline:
        found = rt.containers.state(container_id)
        if not found.running and found.exit_code is not None and found.restarts >= 2:
            break
        if answers(store, inside, service):
            return
        rt.clock.sleep(PAUSE)
    raise ServiceError(f"{service.title} does not answer{last_words(rt, container_id)}",
                       "Look at what it says, correct that and try again.")


def answers(store: Datastore, inside: ContainerShell, service: Service) -> bool:
    try:
        return store.ready(inside, service)
    except PaasError:
        return False


def last_words(rt: Runtime, container_id: str) -> str:
    try:
        lines = [line.text.decode("utf-8", "replace") for line in rt.containers.logs(container_id, tail=LOG_LINES)]
    except PaasError:
        return ""
    return "".join(f"\n{line}" for line in lines)


def health(rt: Runtime, service: Service) -> str:
    """ "running", "not answering", "stopped", "down" (wanted, but its container does not run), or its state."""
    if service.state != ServiceState.RUNNING:
        return str(service.state)
    if not running(rt, service):
        return "down"
    inside = shell_of(rt, service, service.container_id)
    return "running" if answers(datastore_of(rt, service), inside, service) else "not answering"
