"""Data from one service, or from a file, into an empty one: compared before it counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from paas.errors import BadInput, Forged, NoSpace, PaasError
from paas.model.backup import Contents
from paas.model.service import Service
from paas.ports_backup import Reader, Shell, Writer
from paas.services import container

if TYPE_CHECKING:
    from paas.runtime import Runtime

CHUNK = 1024 * 1024
ZSTD = b"\x28\xb5\x2f\xfd"               # RFC 8878, 3.1.1
ROOM = 1.3                               # free disk wanted for each byte of data


def copy(rt: Runtime, source: Service, out_of: Shell, target: Service, into: Shell, label: str) -> None:
    """All data of *source*, of one moment. Forged: what came is not what was there."""
    store = container.datastore_of(rt, source)
    with store.snapshot(out_of, source, label) as snapshot:
        reader = snapshot.dump()
        store.load(into, target, lambda sink: decompressed(rt, b"", reader, sink))
        compare(rt, snapshot.contents(), target, into)


def compare(rt: Runtime, before: Contents, target: Service, into: Shell) -> None:
    store = container.datastore_of(rt, target)
    problems = (*store.same(before, store.contents(into, target)), *store.inspect(into, target))
    if problems:
        raise Forged(f"the copied data are not those that were there: {'; '.join(problems[:5])}", "Try again.")


def load(rt: Runtime, source: Reader, target: Service, into: Shell) -> Contents:
    """What `export` wrote, or the datastore's own dump without compression; return what is there now."""
    store = container.datastore_of(rt, target)
    head = b""
    while len(head) < len(ZSTD) and (data := source.read(CHUNK)):
        head += data
    if not head:
        raise BadInput("there is nothing on standard input", f"Give what paas {target.datastore}:export wrote.")
    give = decompressed if head.startswith(ZSTD) else plain
    store.load(into, target, lambda sink: give(rt, head, source, sink))
    return store.contents(into, target)


def decompressed(rt: Runtime, head: bytes, source: Reader, sink: Writer) -> None:
    target = rt.sealing.decompress(sink)
    pump(head, source, target.write)
    target.finish()


def plain(rt: Runtime, head: bytes, source: Reader, sink: Writer) -> None:
    pump(head, source, sink.write)


def pump(head: bytes, source: Reader, write: Callable[[bytes], object]) -> None:
    data = head or source.read(CHUNK)
    while data:
        write(data)
        data = source.read(CHUNK)


def require_room(rt: Runtime, service: Service, shell: Shell) -> None:
    """For another copy of its data. NoSpace."""
    size = int(container.datastore_of(rt, service).facts(shell, service).get("size", 0))
    free, need = rt.images.free_bytes(), int(size * ROOM)
    if free < need:
        raise NoSpace(f"a copy of {service.title} needs {need >> 20:,} MB of disk, and {free >> 20:,} MB are free",
                      "Free some space (paas prune), then try again.")


def empty(rt: Runtime, service: Service, shell: Shell) -> bool:
    """Does it hold nothing at all?"""
    try:
        found = container.datastore_of(rt, service).contents(shell, service)
    except PaasError:
        return False
    return not found.tables
