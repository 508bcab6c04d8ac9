"""A base and the log after it, up to a moment, as the data of a volume; and a new service on them.

What is needed is the target and an identity: none of it has to come from this server's database.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from paas.api import Shell
from paas.backups import pitr_receiver, restore, room, streams
from paas.backups.pitr_feed import Feed, Source
from paas.backups.pitr_read import History
from paas.backups.streams import Progress, counted
from paas.errors import BadInput, Forged, PaasError, ServiceError
from paas.model import pitr
from paas.model.access import Actor
from paas.model.backup import Manifest
from paas.model.backup_mac import MacKey
from paas.model.limits import memory_bytes
from paas.model.moments import write_moment
from paas.model.pitr import Chain, Segment
from paas.model.service import Service
from paas.ports import BindMount, ContainerSpec
from paas.ports_backup import ObjectStore, Writer
from paas.secret import Secret
from paas.services import container, engine

if TYPE_CHECKING:
    from paas.runtime import Runtime

LOOK_SECONDS = 0.2
STOP = 300                               # seconds for the checkpoint at the end of a recovery
WORK = "pitr-work"                       # kind of containers
WORDS = 20                               # lines of a server's log that are looked at
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """One state, where it is, and what opens and proves it."""

    made: Manifest                       # of the base
    chain: Chain
    segments: tuple[Segment, ...]
    at: datetime | None                  # None: as far as the log goes
    place: str                           # the epoch's prefix
    objects: ObjectStore
    identity: Secret
    keys: tuple[MacKey, ...]


def choose(rt: Runtime, found: History, objects: ObjectStore, identity: Secret, keys: tuple[MacKey, ...],
           at: datetime | None, live: str = "", synced: datetime | None = None) -> Wanted:
    """BadInput: nothing leads to *at*; it names the times that can be restored to."""
    chosen = pitr.choose(found.epochs, at, live, synced)
    if chosen is None:
        spans = "; ".join(str(one) for one in pitr.spans(found.epochs, live, synced))
        what = f"there is no way back to {write_moment(at)}" if at else "there is no state to restore to"
        raise BadInput(what, f"Any time of these can be restored to: {spans}" if spans else
                       "No base is whole yet. See: paas postgres:pitr status SERVICE")
    epoch, chain = chosen
    made = found.manifests[chain.base.id]
    restore.require_recipient(rt, made, identity)
    return Wanted(made, chain, pitr.until(chain, at), at, found.place(epoch.id), objects, identity, keys)


def into_new(rt: Runtime, actor: Actor, wanted: Wanted, name: str, *, progress: Progress, say: Say,
             settings: Mapping[str, str] | None = None) -> Service:
    """A new service *name* with that state. Whatever fails leaves nothing behind."""
    made = wanted.made
    store = container.datastore(rt, made.datastore)
    point = pitr_receiver.hook(rt, made.datastore)
    kept = restore.kept_settings(made)
    limits = {key: value for key, value in kept.items() if key in engine.SETTINGS}

    def seed(service: Service) -> Service:
        for key in kept.keys() - limits.keys():
            service = rt.store.set_service_setting(service.id, key, kept[key])
        rt.containers.ensure_volume(service.volume, container.labels(service, "volume"))
        recover(rt, service, wanted, progress)
        return service

    def fill(service: Service) -> None:
        shell = container.shell(rt, service)
        point.end(shell, service)        # what came along of the origin's receiver
        progress("looking for damage", 0)
        refuse_damage(store.inspect(shell, service))

    with room.for_restore(rt, made, progress):
        return engine.create(rt, actor, store, name, version=restore.tag_of(made), settings=settings or limits,
                             say=say, seed=seed, fill=fill)


def refuse_damage(found: tuple[str, ...]) -> None:
    if found:
        raise Forged(f"the restored data are damaged: {'; '.join(found[:3])}", "Try an earlier time, or a backup.")


# --- a volume ------------------------------------------------------------------------------------------------------


def recover(rt: Runtime, service: Service, wanted: Wanted, progress: Progress) -> None:
    """Fill the empty volume of *service*; no server runs on it before or after. Forged, ServiceError, StoreError."""
    point = pitr_receiver.hook(rt, service.datastore)
    moved = counted(progress, "reading and unpacking the base")

    def write(sink: Writer) -> None:
        for part in wanted.made.parts:
            streams.fetch(wanted.objects, rt.sealing, part, wanted.identity, sink, moved)

    with at_work(rt, service) as shell:
        point.unpack(shell, write)
        root = pitr_receiver.directory(rt, service.uid) / f"restore-{secrets.token_hex(4)}"
        root.parent.parent.mkdir(mode=0o700, exist_ok=True)
        source = Source(wanted.objects, wanted.place, rt.sealing, wanted.identity, wanted.keys)
        told = counted(progress, "applying the log")
        with Feed(root, point.owner(shell), source, wanted.chain, wanted.segments, told) as feed:
            if not applied(rt, service, feed, wanted.at):
                # No commit is later than the wanted time, and the log is known to reach it: so all of it is wanted.
                applied(rt, service, feed, None)
        progress("looking at every page", 0)
        refuse_damage(point.inspect(shell))
    if root.parent.is_dir() and not any(root.parent.iterdir()):
        root.parent.rmdir()


@contextmanager
def at_work(rt: Runtime, service: Service) -> Iterator[Shell]:
    """The volume in a container that only waits; its programs run as the datastore's own user."""
    made = rt.containers.create(work_spec(rt, service, "sleep", ("sleep", "infinity"), user="postgres"))
    try:
        rt.containers.start(made)
        yield container.shell_of(rt, service, made)
    finally:
        rt.containers.remove(made)


def work_spec(rt: Runtime, service: Service, word: str, command: tuple[str, ...], *, user: str = "",
              mounts: tuple[BindMount, ...] = (), shm: int = 0) -> ContainerSpec:
    """Without a network."""
    data = container.datastore_of(rt, service).plan(service).data
    limit = service.settings.get("memory")
    return ContainerSpec(
        name=f"{rt.settings.prefix}-pitr-{word}-{service.volume.rpartition('-data-')[2]}", image=service.image,
        labels=pitr_receiver.marks(service, WORK), command=command, user=user,
        mounts=(BindMount(service.volume, data), *mounts), memory=memory_bytes(limit) if limit else 0, pids=512,
        stop_timeout=STOP, shm=shm, restart="no")


def applied(rt: Runtime, service: Service, feed: Feed, at: datetime | None) -> bool:
    """Run the server until it has applied the log, and stop it. False: nothing in the log is later than *at*."""
    point = pitr_receiver.hook(rt, service.datastore)
    plan = point.recovery(service, at)
    made = rt.containers.create(work_spec(rt, service, "server", plan.command, mounts=feed.mounts, shm=plan.shm))
    try:
        rt.containers.start(made)
        shell = container.shell_of(rt, service, made)
        while not is_recovered(rt, point, shell, made, feed):
            found = rt.containers.state(made)
            if not found.running and found.exit_code is not None:
                if feed.error:
                    raise feed.error
                words = last_words(rt, made)
                if at and point.ended_early(words):
                    return False
                raise ServiceError(f"the server ended while it applied the log\n{words}".rstrip(),
                                   "Try another time; the base and the log stay as they are.")
            rt.clock.sleep(LOOK_SECONDS)
        rt.containers.stop(made, STOP)
    finally:
        rt.containers.remove(made)
    return True


def is_recovered(rt: Runtime, point: object, shell: Shell, made: str, feed: Feed) -> bool:
    if feed.error:
        raise feed.error
    try:
        return point.recovered(shell)
    except PaasError:
        return False


def last_words(rt: Runtime, made: str) -> str:
    lines = [line.text.decode("utf-8", "replace") for line in rt.containers.logs(made, tail=WORDS)]
    return "\n".join(lines)


# --- a drill -------------------------------------------------------------------------------------------------------


def drill(rt: Runtime, origin: Service, wanted: Wanted, progress: Progress, say: Say) -> None:
    """Restore it into a scratch volume, look it over, and throw it away. Forged: it is damaged. GaveWay."""
    with room.for_drill(rt, wanted.made, pitr_receiver.marks(origin, WORK), progress) as told:
        on_trial(rt, origin, wanted, told, say)


def on_trial(rt: Runtime, origin: Service, wanted: Wanted, progress: Progress, say: Say) -> None:
    store = container.datastore_of(rt, origin)
    kept = {**restore.kept_settings(wanted.made), "scratch": "yes"}
    volume = f"{rt.settings.prefix}-pitrdrill-{origin.uid}"
    tag = restore.tag_of(wanted.made)
    image = rt.images.fetch(f"{store.image}:{tag}", say)
    service = replace(origin, version=tag, image=image.digest, volume=volume, settings=kept, container_id="")
    rt.containers.ensure_volume(volume, {**pitr_receiver.marks(origin, "drill")})
    try:
        recover(rt, service, wanted, progress)
        spec = container.spec(rt, service)
        made = rt.containers.create(replace(
            spec, name=f"{rt.settings.prefix}-pitr-drill-{origin.uid}", labels=pitr_receiver.marks(origin, WORK),
            network="", publish=(), restart="no", mounts=(BindMount(volume, spec.mounts[0].target),)))
        try:
            rt.containers.start(made)
            container.wait_until_ready(rt, service, made)
            progress("looking for damage", 0)
            refuse_damage(store.inspect(container.shell_of(rt, service, made), service))
        finally:
            rt.containers.remove(made)
    finally:
        rt.containers.remove_volume(volume)


def end_cut(rt: Runtime) -> None:
    """At the start of the daemon: containers, volumes and files of restores that an earlier one left."""
    import shutil

    for one in rt.containers.list({"paas.kind": WORK}):
        rt.containers.remove(one.id)
    for path in (rt.settings.state_dir / "pitr").glob("*/restore-*"):
        shutil.rmtree(path, ignore_errors=True)
