"""The life of a data service: create, start, stop, destroy, settings. Links are in `links`, versions in `upgrade`."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from paas.api import Datastore
from paas.errors import BadInput, Conflict, PaasError
from paas.model import names, ports
from paas.model.access import Actor
from paas.model.limits import cpus, memory_bytes
from paas.model.service import Service, ServiceState
from paas.ops.apps import free_subnet
from paas.secret import Secret
from paas.services import container

if TYPE_CHECKING:
    from paas.runtime import Runtime

VERSION = re.compile(r"\d{1,3}(?:\.\d{1,3}){0,2}(?:-[a-z0-9.]{1,30})?")
ADDRESS = re.compile(r"(?:(\d{1,3}(?:\.\d{1,3}){3}):)?(\d{1,5})")
LOOPBACK = "127.0.0.1"
SETTINGS: dict[str, Callable[[str], object]] = {"memory": memory_bytes, "cpu": cpus}
Say = Callable[[str], None]


# --- create --------------------------------------------------------------------------------------------------------


def create(rt: Runtime, actor: Actor, store: Datastore, name: str, *, version: str = "",
           settings: Mapping[str, str] | None = None, say: Say = lambda line: None,
           seed: Callable[[Service], Service] | None = None,
           fill: Callable[[Service], None] | None = None) -> Service:
    """A new service that answers. Whatever fails leaves nothing behind.

    :param seed: puts data into its volume before the first start; they get this service's passwords.
    :param fill: called when it is ready and prepared, before it counts as created (a restore).
    """
    version = checked_version(store, version)
    name = service_name(name)
    if rt.store.find_service(store.name, name):
        raise Conflict(f"the {store.name} service {name} exists already", f"See: paas {store.name}:info {name}")
    for key, value in (settings or {}).items():
        check_setting(store, key, value)
    image = rt.images.fetch(f"{store.image}:{version}", say)
    service = register(rt, actor, store, name, version, image.digest, settings or {})
    with rt.turns.hold(service.uid, f"{store.name}:create {name}"):
        try:
            service = container.bring_up(rt, seed(service) if seed else service)
            begin = store.rekey if seed else store.prepare
            begin(container.shell(rt, service), service)
            if fill:
                fill(service)
            return rt.store.update_service(service.id, state=ServiceState.RUNNING)
        except BaseException:
            undo(rt, service.id)
            raise


def register(rt: Runtime, actor: Actor, store: Datastore, name: str, version: str, image: str,
             settings: Mapping[str, str]) -> Service:
    uid = secrets.token_hex(6)
    with rt.creating:
        return rt.store.create_service(
            store.name, name, uid=uid, version=version, image=image, subnet=free_subnet(rt),
            volume=container.volume_name(rt, uid, version), settings=settings, secrets=new_secrets(), actor=actor)


def new_secrets() -> dict[str, Secret]:
    """32 random bytes each, as hex: nothing that a URL, a shell or SQL would have to quote."""
    return {key: Secret(secrets.token_hex(32)) for key in ("password", "admin-password")}


def undo(rt: Runtime, service_id: int) -> None:
    """A create that failed or was cut: its data was never anybody's."""
    service = rt.store.service_by_id(service_id)
    remove_parts(rt, service)
    rt.containers.remove_volume(service.volume)
    rt.store.delete_service(service.id)


def remove_parts(rt: Runtime, service: Service) -> None:
    """Container and network, also those of a create that was cut before it noted them."""
    for mark in ("paas.pitr", "paas.service"):
        for found in rt.containers.list({mark: str(service.id)}):
            rt.containers.stop(found.id, 30)
            rt.containers.remove(found.id)
    rt.containers.remove_network(container.network_name(rt, service))


def checked_version(store: Datastore, version: str) -> str:
    if not version:
        return store.default
    if not VERSION.fullmatch(version):
        raise BadInput(f"'{names.printable(version)}' is not a version of {store.title}",
                       f"Offered: {', '.join(store.versions)}; also exact ones like {store.default}.1.")
    if version.split(".")[0].split("-")[0] not in {one.split(".")[0] for one in store.versions}:
        raise BadInput(f"{store.title} {version} is not offered", f"Offered: {', '.join(store.versions)}.")
    return version


def service_name(text: str) -> str:
    """The grammar of app names: it becomes part of a host name."""
    if not names.APP.fullmatch(text) or len(text) > 30:
        raise BadInput(f"'{names.printable(text)}' cannot name a service",
                       "Use up to 30 lower-case letters, digits and single dashes, beginning with a letter.")
    return text


def check_setting(store: Datastore, key: str, value: str) -> None:
    """Empty: the default."""
    if key in store.settings:
        if value and value not in store.settings[key]:
            raise BadInput(f"'{names.printable(value)}' is no {key}", f"Choose of: {', '.join(store.settings[key])}.")
    elif key not in SETTINGS:
        raise BadInput(f"a service has no setting '{names.printable(key)}'",
                       f"It has: {', '.join([*SETTINGS, *store.settings])}.")
    elif value:
        SETTINGS[key](value)


# --- start and stop ------------------------------------------------------------------------------------------------


def start(rt: Runtime, service: Service) -> Service:
    with rt.turns.hold(service.uid, f"{service.datastore}:start {service.name}"):
        service = container.bring_up(rt, rt.store.service_by_id(service.id))
        return rt.store.update_service(service.id, state=ServiceState.RUNNING)


def stop(rt: Runtime, service: Service) -> Service:
    with rt.turns.hold(service.uid, f"{service.datastore}:stop {service.name}"):
        container.take_down(rt, service)
        return rt.store.update_service(service.id, state=ServiceState.STOPPED)


def restart(rt: Runtime, service: Service) -> Service:
    """A new container with the settings as they are now."""
    with rt.turns.hold(service.uid, f"{service.datastore}:restart {service.name}"):
        return replaced(rt, service)


def replaced(rt: Runtime, service: Service) -> Service:
    container.take_down(rt, service)
    return container.bring_up(rt, rt.store.service_by_id(service.id))


def set_(rt: Runtime, service: Service, key: str, value: str) -> Service:
    """Empty: the default again. In force at once: the container is replaced."""
    check_setting(container.datastore_of(rt, service), key, value)
    return apply_setting(rt, service, key, value or None, "set")


def apply_setting(rt: Runtime, service: Service, key: str, value: str | None, verb: str) -> Service:
    """What does not come up with it goes back to the old value."""
    with rt.turns.hold(service.uid, f"{service.datastore}:{verb} {service.name}"):
        before = service.settings.get(key)
        changed = rt.store.set_service_setting(service.id, key, value)
        if changed.state != ServiceState.RUNNING or before == value:
            return changed
        try:
            return replaced(rt, changed)
        except PaasError as error:
            replaced(rt, rt.store.set_service_setting(service.id, key, before))
            raise type(error)(error.what, f"The old setting is back in force. {error.hint}".rstrip()) from error


def expose(rt: Runtime, service: Service, where: str) -> Service:
    """``PORT`` (on loopback) or ``ADDRESS:PORT`` of this server."""
    match = ADDRESS.fullmatch(where)
    if not match or not 1024 <= int(match[2]) <= 65535 or any(int(part) > 255 for part in (match[1] or "").split(".")
                                                               if part):
        raise BadInput(f"'{names.printable(where)}' is not PORT or ADDRESS:PORT", "Give a port from 1024 to 65535.")
    for app in rt.store.apps():
        if int(match[2]) in {one.number for one in ports.of(app.settings)}:
            raise BadInput(f"{match[2]} is a public port of {app.name}",
                           f"Give another, or take it away there: paas ports:remove {app.name} {match[2]}")
    return apply_setting(rt, service, "expose", f"{match[1] or LOOPBACK}:{match[2]}", "expose")


def unexpose(rt: Runtime, service: Service) -> Service:
    return apply_setting(rt, service, "expose", None, "unexpose")


# --- destroy -------------------------------------------------------------------------------------------------------


def destroy(rt: Runtime, service: Service) -> None:
    """Container, network, volumes, row. Conflict while apps are linked. The caller has seen to a last backup."""
    linked = [rt.store.app_by_id(link.app_id).name for link in rt.store.links(service_id=service.id)]
    if linked:
        raise Conflict(f"{service.title} is linked to {', '.join(linked)}",
                       f"Unlink it first: paas {service.datastore}:unlink {service.name} {linked[0]}")
    with rt.turns.hold(service.uid, f"{service.datastore}:destroy {service.name}"):
        finish_destroy(rt, rt.store.update_service(service.id, state=ServiceState.DESTROYING))


def finish_destroy(rt: Runtime, service: Service) -> None:
    """The row goes last, so that reconcile can finish one that was cut."""
    remove_parts(rt, service)
    for name, marks in rt.containers.volumes().items():
        if marks.get("paas.uid") == service.uid:
            rt.containers.remove_volume(name)
    rt.store.remove_backup_schedules(service.uid)
    rt.store.delete_service(service.id)
