"""Another version of a datastore. Nothing that was acknowledged is lost: no client writes while the data are copied.

Within a major version the container is replaced on its volume by one of the newer image. To another major version the
data are dumped and loaded into a new volume and compared; meanwhile the service answers nobody, so this takes as long
as a dump and a restore do. Host name, passwords and URL stay, so linked apps need no release: they connect again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from paas.errors import BadInput, PaasError
from paas.model.service import Service, ServiceState
from paas.ports_backup import Shell
from paas.services import container, engine, exchange, transfer

if TYPE_CHECKING:
    from paas.runtime import Runtime

Say = Callable[[str], None]


def upgrade(rt: Runtime, service: Service, version: str = "", say: Say = lambda line: None) -> Service:
    """To the tag *version*; empty: to what the service's own tag names today. BadInput: that would be a downgrade."""
    if service.state != ServiceState.RUNNING:
        raise BadInput(f"{service.title} is {service.state}",
                       f"Start it: paas {service.datastore}:start {service.name}")
    store = container.datastore_of(rt, service)
    version = engine.checked_version(store, version or service.version)
    with rt.turns.hold(service.uid, f"{service.datastore}:upgrade {service.name}"):
        service = rt.store.service_by_id(service.id)
        shell = container.shell(rt, service)
        running = str(store.facts(shell, service)["version"])
        refuse_downgrade(service, version, running)
        image = rt.images.fetch(f"{store.image}:{version}", say, anew=version == service.version)
        if numbers(version)[:1] == numbers(running)[:1]:
            return minor(rt, service, version, image.digest, say)
        transfer.require_room(rt, service, shell)
        return major(rt, service, version, image.digest, say)


def refuse_downgrade(service: Service, version: str, running: str) -> None:
    """A newer server's data cannot be given to an older one. As exact as the tag is: "17" is no downgrade of 17.6."""
    wanted, there = numbers(version), numbers(running)
    if wanted < there[:len(wanted)]:
        raise BadInput(f"{service.title} runs {running}: {version} would be a downgrade",
                       "Import an export of its data into a new service, if the older version can read that.")


def numbers(version: str) -> tuple[int, ...]:
    """"17.6-alpine" → (17, 6)."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def minor(rt: Runtime, service: Service, version: str, image: str, say: Say) -> Service:
    """In place. What does not come up goes back to the old image."""
    if image == service.image:
        say(f"{service.name} has the newest image of {version} already.")
        return rt.store.update_service(service.id, version=version)
    changed = rt.store.update_service(service.id, version=version, image=image)
    try:
        return engine.replaced(rt, changed)
    except PaasError:
        engine.replaced(rt, rt.store.update_service(service.id, version=service.version, image=service.image))
        raise


def major(rt: Runtime, service: Service, version: str, image: str, say: Say) -> Service:
    def fill(new: Service, shell: Shell) -> None:
        say(f"{service.name} answers nobody while its data are copied.")
        with exchange.alone(rt, rt.store.service_by_id(service.id)) as old:
            transfer.copy(rt, service, old, new, shell, "paas-upgrade")

    made = exchange.exchange(rt, service, fill, version=version, image=image)
    say(f"Its data of {service.version} are kept in the volume {service.volume}, until: "
        f"paas {service.datastore}:drop-old {service.name}")
    return made
