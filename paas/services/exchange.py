"""Other data, or another version, in the place of a service's: made beside it, proved, then switched.

The new data get a volume of their own. Until the new container has answered on it nothing leads there, and everything
that fails brings the old one back as it was. The old volume is kept. What is under way is noted in the service's row
before anything is made, so that reconcile can undo what was cut; :func:`container.bring_up` sees to it that two servers
never run on one volume.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from paas.errors import PaasError, ServiceError
from paas.model.service import Service, ServiceState
from paas.ports_backup import Shell
from paas.services import container

if TYPE_CHECKING:
    from paas.runtime import Runtime

NOTE = "exchange"                        # setting: name of the volume that is being filled
Fill = Callable[[Service, Shell], None]


def exchange(rt: Runtime, service: Service, fill: Fill, *, version: str = "", image: str = "") -> Service:
    """The service on a new volume that *fill* has filled; its turn is held by the caller.

    :param fill: gets the service as it will be, with a shell in its container, empty and prepared.
    """
    volume = free_volume(rt, service, version or service.version)
    new = replace(service, version=version or service.version, image=image or service.image, volume=volume)
    rt.store.set_service_setting(service.id, NOTE, volume)
    try:
        with beside(rt, new, "next") as shell:
            container.datastore_of(rt, new).prepare(shell, new)
            fill(new, shell)
        made = switched(rt, new)
    except BaseException as error:
        brought_back(rt, service, error)
        raise
    return let_in(rt, made)


def brought_back(rt: Runtime, before: Service, error: BaseException) -> None:
    try:
        undo(rt, rt.store.service_by_id(before.id), before)
    except PaasError as second:
        what = error.what if isinstance(error, PaasError) else type(error).__name__
        raise ServiceError(f"{what}; and {before.title} is not back yet: {second.what}",
                           "Its data are unchanged. Run: paas reconcile") from error


def free_volume(rt: Runtime, service: Service, version: str) -> str:
    taken, number = container.volumes_of(rt, service), 1
    while (name := container.volume_name(rt, service.uid, version, number)) in taken:
        number += 1
    return name


@contextmanager
def beside(rt: Runtime, service: Service, word: str) -> Iterator[Shell]:
    """A container on *service*'s volume that nothing leads to; stopped in order and removed at the end."""
    rt.containers.ensure_volume(service.volume, container.labels(service, "volume"))
    spec = container.spec(rt, service)
    made = rt.containers.create(replace(spec, name=f"{spec.name}-{word}", network="", publish=(), restart="no"))
    try:
        rt.containers.start(made)
        container.wait_until_ready(rt, service, made)
        yield container.shell_of(rt, service, made)
    finally:
        rt.containers.stop(made, container.datastore_of(rt, service).stop_timeout)
        rt.containers.remove(made)


@contextmanager
def alone(rt: Runtime, service: Service) -> Iterator[Shell]:
    """The old data in a container that no client reaches: what was acknowledged is there, and nothing comes to it."""
    container.take_down(rt, service)
    with beside(rt, replace(service, container_id=""), "last") as shell:
        yield shell


def switched(rt: Runtime, new: Service) -> Service:
    """From here on the new data count, if the container answers on them; until then no client reaches it."""
    container.remove_all(rt, new)
    made = rt.store.update_service(new.id, version=new.version, image=new.image, volume=new.volume, container_id="")
    made = container.bring_up(rt, made, linked=False)
    return rt.store.set_service_setting(made.id, NOTE, None)


def let_in(rt: Runtime, service: Service) -> Service:
    """Nothing goes back any more; what fails now is repaired by reconcile."""
    try:
        if service.settings.get("expose"):
            container.take_down(rt, service)
            return container.bring_up(rt, rt.store.service_by_id(service.id))
        container.connect_links(rt, service)
    except PaasError as error:
        raise ServiceError(f"{service.title} has its new data, but not everything leads to it yet: {error.what}",
                           "Run: paas reconcile") from error
    return service


def undo(rt: Runtime, now: Service, before: Service) -> None:
    """The old container on the old volume; the new volume goes: no client has ever written to it."""
    unfinished = now.settings.get(NOTE, "")
    if now.volume != before.volume:
        now = rt.store.update_service(now.id, version=before.version, image=before.image, volume=before.volume,
                                      container_id="")
    clear(rt, now, unfinished)
    if not container.running(rt, now):
        container.bring_up(rt, rt.store.service_by_id(now.id))


def clear(rt: Runtime, service: Service, unfinished: str) -> None:
    container.remove_all(rt, service, but=service.container_id)
    if unfinished and unfinished != service.volume:
        rt.containers.remove_volume(unfinished)
    rt.store.set_service_setting(service.id, NOTE, None)


def settle(rt: Runtime, service: Service) -> None:
    """For reconcile: an exchange that was cut. What the row says counts, old or new: both hold the same."""
    clear(rt, service, service.settings[NOTE])
    service = rt.store.service_by_id(service.id)
    if service.state == ServiceState.RUNNING and not container.running(rt, service):
        container.bring_up(rt, service)


def kept(rt: Runtime, service: Service) -> tuple[str, ...]:
    """Volumes from before; of nobody's use but a person's."""
    mine = {service.volume, service.settings.get(NOTE)}
    return tuple(name for name in container.volumes_of(rt, service) if name not in mine)


def drop_kept(rt: Runtime, service: Service) -> tuple[str, ...]:
    """Remove them; return their names."""
    with rt.turns.hold(service.uid, f"{service.datastore}:drop-old {service.name}"):
        gone = kept(rt, rt.store.service_by_id(service.id))
        for name in gone:
            with contextlib.suppress(PaasError):
                rt.containers.remove_volume(name)
        return gone
