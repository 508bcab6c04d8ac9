"""What reconcile looks at for data services. Never touches a volume that belongs to a service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from paas.model.service import Service, ServiceState
from paas.ops.repair import Repair
from paas.services import container, engine, exchange, links

if TYPE_CHECKING:
    from paas.runtime import Runtime


def find(rt: Runtime) -> Iterator[Repair]:
    """Every difference. A service that somebody works on is left alone."""
    for service in rt.store.services():
        if not rt.turns.held(service.uid):
            yield from of_service(rt, service)


def of_service(rt: Runtime, service: Service) -> Iterator[Repair]:
    if service.state == ServiceState.CREATING:
        yield Repair("service-cut", service.title, "its creation was interrupted", "remove what there is",
                     lambda: engine.undo(rt, service.id))
    elif service.state == ServiceState.DESTROYING:
        yield Repair("service-cut", service.title, "its removal was interrupted", "finish it",
                     lambda: engine.finish_destroy(rt, service))
    elif exchange.NOTE in service.settings:
        yield Repair("service-cut", service.title, "an upgrade or import was interrupted", "undo what is not in force",
                     lambda: held(rt, service, exchange.settle))
    elif links.NOTE in service.settings:
        yield Repair("service-cut", service.title, "a link was interrupted", "undo it, or let it count",
                     lambda: held(rt, service, links.settle))
    elif service.state == ServiceState.RUNNING:
        yield from wanted(rt, service)
    elif container.running(rt, service):
        yield Repair("service-running", service.title, "it runs, though it was stopped", "stop it",
                     lambda: container.take_down(rt, service))


def wanted(rt: Runtime, service: Service) -> Iterator[Repair]:
    """Its container runs on its volume, in the networks of the linked apps and in no others."""
    yield from misnamed(rt, service)
    if service.volume not in rt.containers.volumes():
        return                           # its data is gone: an empty one would hide that; doctor tells
    if not container.running(rt, service):
        yield Repair("service-down", service.title, "its container does not run", "start it",
                     lambda: held(rt, service, started))
        return
    made_of = rt.containers.state(service.container_id).labels.get(container.ROW)
    if made_of and made_of != container.row_mark(rt, service):
        yield Repair("service-changed", service.title, "its container is not made of its present settings",
                     "make it anew", lambda: held(rt, service, engine.replaced))
        return
    there = set(rt.containers.networks_of(service.container_id))
    linked = {container.app_network(rt, link.app_id) for link in rt.store.links(service_id=service.id)}
    if linked - there:
        yield Repair("service-network", service.title, "a linked app has no path to it", "connect it",
                     lambda: container.connect_links(rt, service))
    for name in sorted(there - linked - {container.network_name(rt, service)}):
        yield Repair("service-network", service.title, f"it is in the network {name}, though it is not linked there",
                     "disconnect it", lambda n=name: rt.containers.disconnect(service.container_id, n))


def misnamed(rt: Runtime, service: Service) -> Iterator[Repair]:
    for link, alias in links.misnamed(rt, service):
        yield Repair("service-link", service.title, f"an app has it as {links.variable(alias)}, not as "
                     f"{links.variable(link.alias)}", "note that",
                     lambda one=link, a=alias: rt.store.put_link(one.service_id, one.app_id, a))


def held(rt: Runtime, service: Service, work: Callable[[Runtime, Service], object]) -> None:
    with rt.turns.hold(service.uid, f"the repair of {service.title}"):
        work(rt, rt.store.service_by_id(service.id))


def started(rt: Runtime, service: Service) -> None:
    found = container.state(rt, service)
    if found is None:
        container.bring_up(rt, service)
    else:
        rt.containers.start(found.id)
