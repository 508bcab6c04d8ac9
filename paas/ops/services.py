"""What the commands of data services show and do beyond the engine: listings, info, terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from paas.api import Datastore
from paas.errors import PaasError, ServiceError
from paas.model.service import Service
from paas.ops import backup_due
from paas.ops.terminal import Caller, converse, environment
from paas.ports import LogLine
from paas.services import container, exchange, links

if TYPE_CHECKING:
    from paas.runtime import Runtime

CHUNK = 65536
COLUMNS = ("service", "version", "state", "links", "exposed")


def listed(rt: Runtime, store: Datastore) -> list[tuple[object, ...]]:
    return [(one.name, one.version, container.health(rt, one),
             [app for app, _ in links.linked_apps(rt, one)], one.settings.get("expose", ""))
            for one in rt.store.services(store.name)]


def info(rt: Runtime, service: Service) -> dict[str, object]:
    """All that is known without a secret; what only the running service knows is left out while it does not answer."""
    store, health = container.datastore_of(rt, service), container.health(rt, service)
    known: dict[str, object] = {
        "service": service.name, "datastore": store.title, "version": service.version, "state": health,
        "created": service.created_at, "created by": service.created_by,
        "host": container.host_name(rt, service), "port": store.port,
        "exposed": service.settings.get("expose", ""), "memory limit": service.settings.get("memory", ""),
        "cpu limit": service.settings.get("cpu", ""),
        "links": [f"{app} ({variable})" for app, variable in links.linked_apps(rt, service)],
        "image": service.image, "volume": service.volume, "old volumes": list(exchange.kept(rt, service)),
    }
    if health == "running":
        known |= facts(rt, store, service)
    return known | backup_due.protection(rt, service)


def facts(rt: Runtime, store: Datastore, service: Service) -> dict[str, object]:
    try:
        found = store.facts(container.shell(rt, service), service)
    except PaasError as error:
        return {"error": error.what}
    return {"server version" if key == "version" else key: value for key, value in found.items()} | {
        "memory used": rt.containers.memory(service.container_id)}


def logs(rt: Runtime, service: Service, number: int, follow: bool) -> Iterable[LogLine]:
    found = container.state(rt, service)
    return rt.containers.logs(found.id, tail=number, follow=follow) if found else ()


def console(rt: Runtime, service: Service, caller: Caller, tty: bool, words: Sequence[str]) -> int:
    """The datastore's own client (`connect`), or *words* (`enter`); return its exit code."""
    container.shell(rt, service)         # says plainly that it does not run
    program = container.datastore_of(rt, service).console(service)
    command, given = (tuple(words), {}) if words else (program.command, program.environment)
    exec_id, attachment = rt.containers.exec(service.container_id, command, tty,
                                             {**environment(caller, tty), **given})
    converse(caller, attachment, tty, begin=lambda: None, interrupt=attachment.close, lost=attachment.close)
    code = rt.containers.exec_exit_code(exec_id)
    return 1 if code is None else code


def dump(rt: Runtime, service: Service, write: Callable[[bytes], None]) -> None:
    """Everything in the datastore's own format, zstd-compressed: what `import` reads."""
    store, shell = container.datastore_of(rt, service), container.shell(rt, service)
    with rt.turns.hold(service.uid, f"{service.datastore}:export {service.name}"), \
            store.snapshot(shell, service, "paas-export") as snapshot:
        reader = snapshot.dump()
        while data := reader.read(CHUNK):
            write(data)


class Given:
    """A Reader of what a caller gives on standard input; a caller that went away is no end of it."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        data = self._caller.read(size)
        if not data and not self._caller.alive:
            raise ServiceError("the caller has gone before everything was read", "Nothing was changed; try again.")
        return data
