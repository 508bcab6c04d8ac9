"""Retention carried out: list, plan, look again, delete one by one.

What may go is decided by :func:`paas.model.retention.plan`. Here is what the plan cannot see: that the target still has
what the plan keeps, and that nothing has changed since it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from paas.backups.catalog import Listing, Stored, Verdict, delete, exists, listed, whole
from paas.backups.owner import check_owner
from paas.errors import PaasError
from paas.model.backup import GOOD, Backup, BackupState
from paas.model.backup_layout import Layout
from paas.model.backup_mac import MacKey
from paas.model.retention import Circumstances, Plan, Policy, newest_drilled, newest_good, plan
from paas.ports_backup import ObjectStore


@dataclass(frozen=True)
class Pruning:
    """One run of retention of one service."""

    policy: Policy
    layout: Layout
    keys: tuple[MacKey, ...]             # all that manifests may be proven by
    machine: str                         # see paas.backups.owner
    now: Callable[[], datetime]
    history: tuple[Backup, ...]          # our rows of this service in this target, in any order
    overdue: bool = False
    needed: Collection[str] = ()         # ids that a point-in-time window begins with
    force: bool = False                  # more than half may go
    dry_run: bool = False
    may_delete: bool = True              # False: append-only credentials (Capabilities.deletes)


@dataclass(frozen=True)
class Pruned:
    plan: Plan
    deleted: tuple[str, ...] = ()
    freed: int = 0                       # bytes
    stopped: str = ""                    # why it ended before the plan was carried out


def prune(store: ObjectStore, run: Pruning, forget: Callable[[str], None]) -> Pruned:
    """Delete what the policy does not keep; never raises for what a store does: then nothing (more) is deleted.

    *forget* is called with an id before anything of it is deleted: the row becomes DELETED first, so that a cut leaves
    a backup that is there and counted again by the next run, never a row that says good of one that is gone.
    """
    try:
        check_owner(store, run.layout.server_id, run.machine)
        listing = listed(store, run.keys, layout=run.layout)
        rows = as_it_is(listing, run.history)
        made = plan(rows, run.policy, run.now(), circumstances(store, run, listing), force=run.force)
    except PaasError as error:
        return Pruned(Plan({}, refused=error.what), stopped=error.what)
    if why := made.refused or missing(listing, run.history) or (made.delete and broken(store, listing, rows)):
        return Pruned(replace(made, delete=(), refused=why), stopped=why)
    if run.dry_run or not run.may_delete:
        return Pruned(made, stopped="" if run.dry_run else "the key may not delete: it is up to the bucket's lifecycle")
    return carry_out(store, run, made, {one.id: one for one in listing.backups}, rows, forget)


def as_it_is(listing: Listing, history: Iterable[Backup]) -> list[Backup]:
    """What retention decides on: good is only what the target has; from our rows come failures, holds and drills."""
    known = {one.id: one for one in history}
    rows = []
    for stored in (one for one in listing.backups if one.verdict is Verdict.GOOD):
        row, there = known.pop(stored.id, None), stored.as_backup("")
        if row and BackupState.FAILED in (row.state, there.state):
            there = replace(there, state=BackupState.FAILED, reason=row.reason or there.reason)
        elif row and row.state is BackupState.DRILLED:
            there = replace(there, state=BackupState.DRILLED)
        rows.append(replace(there, held=there.held or bool(row and row.held)))
    return rows + [one for one in known.values() if one.state not in GOOD]


def circumstances(store: ObjectStore, run: Pruning, listing: Listing) -> Circumstances:
    """Also measures how far the store's clock is from ours (S3 tells it to the second)."""
    before = run.now()
    theirs = store.now()
    skew = (theirs - before - (run.now() - before) / 2).total_seconds()
    return Circumstances(skew, listing.complete, listing.doubtful, run.overdue, frozenset(run.needed))


def missing(listing: Listing, history: Iterable[Backup]) -> str:
    there = {one.id for one in listing.backups}
    gone = [one.id for one in history if one.state in GOOD and one.id not in there]
    return f"the store has lost {', '.join(gone[:3])}, which we know as good" if gone else ""


def broken(store: ObjectStore, listing: Listing, rows: Iterable[Backup]) -> str:
    """Why the newest good or the newest drilled backup cannot be relied upon; empty: all their data is there.

    An answer that does not come is a reason, too.
    """
    rows = list(rows)
    relied = {one.id for one in (newest_good(rows), newest_drilled(rows)) if one}
    try:
        for stored in listing.backups:
            if stored.id in relied and (why := whole(store, stored)):
                return f"backup {stored.id} is not whole: {why}"
    except PaasError as error:
        return error.what
    return ""


def carry_out(store: ObjectStore, run: Pruning, made: Plan, there: dict[str, Stored], rows: Iterable[Backup],
              forget: Callable[[str], None]) -> Pruned:
    relied = newest_good(rows)
    deleted, freed = [], 0
    for backup_id in made.delete:
        stored = there[backup_id]
        try:
            if why := changed(store, run, stored, relied.id):
                return Pruned(made, tuple(deleted), freed, why)
            forget(backup_id)
            freed += delete(store, run.layout, backup_id, stored.manifest)
        except PaasError as error:
            return Pruned(made, tuple(deleted), freed, error.what)
        deleted.append(backup_id)
    return Pruned(made, tuple(deleted), freed)


def changed(store: ObjectStore, run: Pruning, stored: Stored, relied: str) -> str:
    """Right before a deletion: is everything as it was when the plan was made? Empty: yes. StoreError."""
    check_owner(store, run.layout.server_id, run.machine)
    if exists(store, run.layout.hold(stored.id)):
        return f"{stored.id} was held in the meantime"
    if store.get(run.layout.manifest(stored.id)) != stored.text:
        return f"the manifest of {stored.id} changed in the meantime"
    if not exists(store, run.layout.manifest(relied)):
        return f"the newest good backup {relied} is gone"
    return ""
