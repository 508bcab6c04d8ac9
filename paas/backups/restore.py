"""From a manifest to a service: always a new one, compared with what the snapshot held before it counts.

What is needed is the manifest, the store and an identity: none of it has to come from this server's database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paas.api import Datastore, Shell
from paas.backups import room, streams
from paas.backups.streams import Progress, counted
from paas.errors import BadInput, Forged
from paas.model.access import Actor
from paas.model.backup import Manifest
from paas.model.service import Service
from paas.ports_backup import ObjectStore, Writer
from paas.secret import Secret
from paas.services import container, engine

if TYPE_CHECKING:
    from paas.runtime import Runtime

BEGIN = "starting an empty container"    # stage


@dataclass(frozen=True)
class Stored:
    """A backup where it is, with what opens it."""

    manifest: Manifest
    objects: ObjectStore
    identity: Secret


def into_new(rt: Runtime, actor: Actor, stored: Stored, name: str, *, progress: Progress, say: Callable[[str], None],
             settings: Mapping[str, str] | None = None) -> Service:
    """A new service *name* with the backup's content. Whatever fails leaves nothing behind."""
    made = stored.manifest
    store = container.datastore(rt, made.datastore)

    def fill(service: Service) -> None:
        loaded(rt, stored, store, container.shell(rt, service), service, progress)

    with room.for_restore(rt, made, progress):
        progress(BEGIN, 0)
        return engine.create(rt, actor, store, name, version=tag_of(made), settings=settings or kept_settings(made),
                             say=say, fill=fill)


def loaded(rt: Runtime, stored: Stored, store: Datastore, shell: Shell, service: Service, progress: Progress) -> None:
    """Fill an empty, prepared service and compare. Forged: its content is not the snapshot's."""
    made, moved = stored.manifest, counted(progress, "reading and restoring")

    def write(sink: Writer) -> None:
        for part in made.parts:
            streams.fetch(stored.objects, rt.sealing, part, stored.identity, sink, moved)

    store.load(shell, service, write)
    progress("comparing", 0)
    problems = store.same(made.contents, store.contents(shell, service))
    if problems:
        raise Forged(f"the restored data are not those of the snapshot: {'; '.join(problems[:5])}",
                     "Take another backup; see: paas backups")


def require_recipient(rt: Runtime, made: Manifest, identity: Secret) -> None:
    """An identity that a person brings may be the wrong one: that says nothing about the backup."""
    if rt.sealing.recipient_of(identity) not in made.recipients:
        raise BadInput(f"the backup {made.id} is not sealed for that identity",
                       f"It is for {', '.join(made.recipients)}")


def tag_of(made: Manifest) -> str:
    tag = made.details.get("tag") or made.image.rpartition(":")[2]
    if not tag:
        raise BadInput(f"the backup {made.id} does not say which version made it")
    return tag


def kept_settings(made: Manifest) -> dict[str, str]:
    return {key.removeprefix("setting "): value for key, value in made.details.items() if key.startswith("setting ")}
