"""One backup: dump → seal → upload → read back → manifest, in constant memory, with no file in between.

Every stage is an entry of :class:`BackupState`, and only what was read back counts. Whatever fails on the way leaves a
failed row with its reason, no manifest, no upload and no session in the datastore; the backups before it stay.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from paas import __version__
from paas.backups import catalog, keyring, leftovers, places, streams
from paas.backups.leftovers import LABEL
from paas.backups.sources import Source, source_of
from paas.backups.streams import Moved, Progress, silent
from paas.errors import PaasError, ServiceError, reason_of
from paas.model.backup import Backup, BackupState, Contents, Manifest, StoredPart, Target, Trigger
from paas.model.backup_layout import Layout, new_id
from paas.model.backup_manifest import read_manifest, write_manifest
from paas.model.service import Service
from paas.ports_backup import ObjectStore, Reader

if TYPE_CHECKING:
    from paas.runtime import Runtime

DUMP = "dump.000.zst.age"


@dataclass
class Run:
    """One backup on its way, and what is known of it so far."""

    rt: Runtime
    service: Service
    source: Source
    row: Backup
    target: Target
    objects: ObjectStore
    layout: Layout
    keys: keyring.Keyring
    progress: Progress = silent
    allow_empty: bool = False
    warnings: list[str] = field(default_factory=list)
    took: dict[str, str] = field(default_factory=dict)           # "counting" → seconds; for the manifest

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        began = self.rt.clock.monotonic()
        yield
        self.took[f"seconds {stage}"] = f"{self.rt.clock.monotonic() - began:.3f}"

    def reach(self, state: BackupState) -> None:
        self.rt.store.move_backup(self.row.id, state)


def make(rt: Runtime, service: Service, trigger: Trigger, *, progress: Progress = silent,
         allow_empty: bool = False) -> Backup:
    """Back it up now. Conflict: something else is under way with it. Every other failure is recorded, then raised."""
    with rt.turns.hold(service.uid, f"a backup of {service.title}"):
        return attempt(rt, service, trigger, progress, allow_empty)


def attempt(rt: Runtime, service: Service, trigger: Trigger, progress: Progress, allow_empty: bool) -> Backup:
    """The caller has the service's turn. One heavy stream at a time on the whole server; but a restore waits for the
    safety backup, which waits for nobody."""
    target = places.target_of(rt, service.uid)
    row = rt.store.add_backup(next_id(rt, service), service.uid, service.datastore, service.name, trigger=trigger,
                              target=target.url)
    try:
        with nullcontext() if trigger is Trigger.SAFETY else in_turn(rt, progress):
            run = Run(rt, service, source_of(rt, service), row, target, rt.targets.open(target),
                      places.layout_of(rt, service), keyring.keyring(rt), progress, allow_empty)
            text, size = stages(run)
    except BaseException as error:
        failed(rt, row, error)
        raise
    # The manifest is committed. If this fails the row stays under way, and `leftovers` makes it right by the target.
    return rt.store.move_backup(row.id, BackupState.READ_BACK, manifest=text, size=size)


@contextmanager
def in_turn(rt: Runtime, progress: Progress) -> Iterator[None]:
    if not rt.heavy.acquire(blocking=False):
        progress("waiting for another backup or drill of this server", 0)
        rt.heavy.acquire()
    try:
        yield
    finally:
        rt.heavy.release()


def failed(rt: Runtime, row: Backup, error: BaseException) -> None:
    """Nothing of it stays, and the row says why."""
    reason = reason_of(error)
    try:
        leftovers.remove(places.objects_at(rt, row), leftovers.layout_of(rt, row), row.id)
    except PaasError:
        reason += leftovers.LEFT
    with suppress(PaasError):            # of the two errors the first tells more; `leftovers.abandon` sees to the row
        rt.store.move_backup(row.id, BackupState.FAILED, reason=reason)


def next_id(rt: Runtime, service: Service) -> str:
    newest = max((one.id for one in rt.store.backups(service.uid)), default="")
    return new_id(rt.clock.now(), secrets.randbits(32), newest)


def stages(run: Run) -> tuple[str, int]:
    """(manifest as it is committed, bytes of data)."""
    started = run.rt.clock.now()
    places.require_ours(run.rt, run.objects)
    parts, contents, facts, took = sealed_dump(run)
    refuse_emptied(run, contents)
    with run.timing("reading back"):
        moved = streams.counted(run.progress, "reading back")
        for part in parts:
            streams.read_back(run.objects, part, moved)
    run.progress("writing the manifest", 0)
    manifest = manifest_of(run, started, parts, contents, facts, took)
    return commit(run, manifest)


# --- dump, seal, upload ----------------------------------------------------------------------------------------------


def sealed_dump(run: Run) -> tuple[tuple[StoredPart, ...], Contents, dict[str, object], float]:
    """The dump in the store, and what the very same snapshot held."""
    run.source.end_stale(LABEL)
    facts = run.source.facts()
    began, moved = run.rt.clock.monotonic(), streams.counted(run.progress, "dumping, sealing, uploading")
    with run.source.snapshot(LABEL + run.row.id) as snapshot:
        parts = [streamed(run, DUMP, snapshot.dump(), int(facts.get("size", 0)), moved)]
        took = run.rt.clock.monotonic() - began
        run.progress("counting what the snapshot holds", 0)
        with run.timing("counting"):
            contents = snapshot.contents()
        parts += [streamed(run, name, source, 0, moved) for name, source in run.source.further()]
    return tuple(parts), contents, facts, took


def streamed(run: Run, name: str, source: Reader, expected: int, moved: Moved) -> StoredPart:
    def sealed() -> None:
        run.reach(BackupState.DUMPED)
        run.reach(BackupState.SEALED)

    part = streams.send(run.objects, run.rt.sealing, run.keys.recipients, source, run.layout.object(run.row.id, name),
                        what="dump", expected=expected, moved=moved, sealed=sealed)
    run.reach(BackupState.UPLOADED)
    return part


def refuse_emptied(run: Run, contents: Contents) -> None:
    """Data that vanished would be backed up faithfully, until the last good backup is gone."""
    before = newest_manifest(run)
    if not contents.tables and before and before.contents.tables and not run.allow_empty:
        raise ServiceError(f"it is empty, though the backup {before.id} has {len(before.contents.tables)} tables",
                           "If that is right: back up by hand with --allow-empty.")


def newest_manifest(run: Run) -> Manifest | None:
    for row in run.rt.store.backups(run.service.uid):
        if row.good and row.manifest:
            return read_manifest(row.manifest.encode(), run.keys.known).manifest
    return None


# --- commit ----------------------------------------------------------------------------------------------------------


def manifest_of(run: Run, started: datetime, parts: tuple[StoredPart, ...], contents: Contents,
                facts: dict[str, object], took: float) -> Manifest:
    service, before = run.service, newest_manifest(run)
    return Manifest(
        id=run.row.id, kind=run.source.kind, datastore=service.datastore, service=service.name,
        service_uid=service.uid, trigger=run.row.trigger, started_at=started, finished_at=run.rt.clock.now(),
        image=run.source.image, image_digest=service.image,
        version=str(facts.get("version", "")), parts=parts, contents=contents, recipients=run.keys.recipients,
        data_size=int(facts.get("size", 0)), program=__version__, previous=before.id if before else "",
        dumped_in=round(took, 3), warnings=tuple(run.warnings),
        details={**run.source.details(), **run.took})


def commit(run: Run, manifest: Manifest) -> tuple[str, int]:
    data = write_manifest(manifest, run.keys.mac)
    catalog.commit(run.objects, run.layout, run.row.id, data)
    return data.decode(), sum(part.size for part in manifest.parts)
