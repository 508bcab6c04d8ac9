"""What backups that failed or were cut leave in the target: found again, counted if it is one, taken away if not.

A process may die between the manifest (the commit, see :mod:`paas.backups.catalog`) and our own row. Then the target is
right and the row is not: so no row is closed for good before the target has been asked.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from paas.backups import catalog, keyring, places
from paas.backups.catalog import Verdict
from paas.errors import PaasError
from paas.model.backup import GOOD, UNDER_WAY, Backup, BackupState
from paas.model.backup_layout import Layout
from paas.services import container

if TYPE_CHECKING:
    from paas.model.service import Service
    from paas.ports_backup import ObjectStore
    from paas.runtime import Runtime

LABEL = "paas-backup-"                   # of the sessions in the datastore
CUT = "interrupted: paasd stopped while this was running"
LEFT = "; some of it may be left in the target"      # at the end of a reason: the target has not been asked yet

log = logging.getLogger("paas.backups")


def abandon(rt: Runtime) -> list[Backup]:
    """Rows that say under way while nobody works on them have failed; at the start of the daemon these are all."""
    cut = [row for row in rt.store.backups(states=UNDER_WAY) if not rt.turns.held(row.service_uid)]
    found = []
    for row in cut:
        if rt.store.backup(row.id).state in UNDER_WAY:           # it may have ended between the two looks
            found.append(rt.store.move_backup(row.id, BackupState.FAILED, reason=CUT + LEFT))
    return found


def end_sessions(rt: Runtime, rows: Iterable[Backup]) -> None:
    """Of backups that died: in the datastore they would hold their snapshot and locks to the end of the dump."""
    uids = {row.service_uid for row in rows}
    for service in rt.store.services():
        if service.uid in uids:
            try:
                container.datastore_of(rt, service).end_stale(container.shell(rt, service), LABEL)
            except PaasError as error:
                log.info("sessions of %s: %s", service.title, error.what)


def clear_up(rt: Runtime, service_uid: str | None = None) -> None:
    """Ask the targets about every failed backup that may have left something. What does not answer is asked again
    after the next good backup."""
    for row in rt.store.backups(service_uid, states=(BackupState.FAILED,)):
        if row.reason.endswith(LEFT):
            try:
                settle(rt, row)
            except PaasError as error:
                log.warning("the backup %s of %s: %s", row.id, row.service, error.what)


def settle(rt: Runtime, row: Backup) -> None:
    """Good, if its manifest is there and proven: then all of it had been read back. Else nothing of it stays."""
    objects, layout = places.objects_at(rt, row), layout_of(rt, row)
    stored = next((one for one in catalog.listed(objects, keyring.keyring(rt).known, layout=layout).backups
                   if one.id == row.id), None)
    if stored and stored.verdict is Verdict.UNREADABLE:
        return
    if stored and stored.verdict is Verdict.GOOD and not catalog.whole(objects, stored):
        known = stored.as_backup(row.target)
        rt.store.move_backup(row.id, known.state, reason="", size=known.size, manifest=known.manifest)
        log.info("the backup %s of %s is good: it had been finished", row.id, row.service)
        return
    remove(objects, layout, row.id)
    rt.store.move_backup(row.id, BackupState.FAILED, reason=row.reason.removesuffix(LEFT))


def remove(objects: ObjectStore, layout: Layout, backup_id: str) -> None:
    """Everything of a backup that failed: manifest first, then data and the upload that was never finished."""
    catalog.delete(objects, layout, backup_id)
    objects.abort_uploads(-60.0, layout.data(backup_id))         # whatever its clock says: this one is dead


def layout_of(rt: Runtime, row: Backup) -> Layout:
    return Layout(places.server_id(rt), row.datastore, row.service_uid)


def tidy(rt: Runtime, service: Service) -> None:
    """Of the whole server in that target: what no manifest stands for and is older than two days."""
    objects, server = places.objects_of(rt, service.uid), places.server_id(rt)
    spare = [row.id for row in rt.store.backups(states=GOOD | UNDER_WAY, limit=100_000)]
    found = catalog.garbage(objects, server, spare)
    freed = catalog.collect(objects, found) if found else 0
    ended = objects.abort_uploads(catalog.GARBAGE_AFTER.total_seconds(), f"v1/{server}")
    if freed or ended:
        log.info("%d bytes and %d uploads of backups that were never finished are gone", freed, ended)
