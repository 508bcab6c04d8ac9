"""The catalog of a target: what makes a backup one, what is there, whose it is, and how one goes away.

All facts are in the contents of objects, so a machine without any database finds everything by :func:`listed`.
Order of writing: data, then the manifest. Order of deleting: the manifest, then data. So nothing that is listed lacks
its data; data without a manifest is garbage (:func:`garbage`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from paas.errors import Forged, NotFound, PaasError, StoreError
from paas.model.backup import GOOD, Backup, BackupState, Manifest
from paas.model.backup_layout import Layout, Place, is_part, place_of, root
from paas.model.backup_mac import LIMIT, MacKey
from paas.model.backup_manifest import DrillRecord, expect_at, read_drill, read_manifest, write_drill
from paas.ports_backup import ObjectStore, StoredObject

GARBAGE_AFTER = timedelta(hours=48)      # also for uploads that were never finished
HOLD = b"{}\n"


class Verdict(StrEnum):
    GOOD = "good"                        # proven by a key that is here, and at its place
    UNPROVEN = "unproven"                # whole, but of a key that is not here: trust it as far as the bucket
    FORGED = "forged"                    # not what was written, or at another backup's place
    UNREADABLE = "unreadable"            # the store did not give it


@dataclass(frozen=True)
class Stored:
    """One backup in a target."""

    layout: Layout
    id: str
    verdict: Verdict
    problem: str = ""                    # why it is not good, for its user
    manifest: Manifest | None = None     # None: forged, unreadable
    text: bytes = b""                    # of the manifest, as stored
    drills: tuple[DrillRecord, ...] = ()      # proven ones, oldest first
    held: bool = False
    drill_forged: bool = False           # a record of a drill is not what was written

    @property
    def state(self) -> BackupState:
        if self.verdict is not Verdict.GOOD:
            return BackupState.FAILED
        if not self.drills:
            return BackupState.READ_BACK
        return BackupState.DRILLED if self.drills[-1].passed else BackupState.FAILED

    def as_backup(self, target: str) -> Backup:
        """As a row for a database that does not know it. Only where there is a manifest."""
        made = self.manifest
        return Backup(self.id, made.service_uid, made.datastore, made.service, self.state, made.trigger, target,
                      made.started_at, made.finished_at, sum(part.size for part in made.parts), self.problem, self.held,
                      self.text.decode())


@dataclass(frozen=True)
class Listing:
    backups: tuple[Stored, ...]          # by service, oldest first
    complete: bool                       # False: a manifest could not be read
    strange: tuple[str, ...] = ()        # keys in the catalog that are none of ours

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Ids of what is not surely ours, or whose drill is not."""
        return tuple(one.id for one in self.backups
                     if one.verdict in (Verdict.FORGED, Verdict.UNPROVEN) or one.drill_forged)


# --- Writing -----------------------------------------------------------------------------------------------------


def commit(store: ObjectStore, layout: Layout, backup_id: str, data: bytes) -> None:
    """Put the manifest and read it back: from here on the backup exists.

    Right when it returns, also if an answer of the store got lost. Conflict: there is another manifest of that id.
    StoreError: the store refused, or has something else than it was given; whether the manifest is there is unknown, so
    the caller calls :func:`delete`.
    """
    put_once(store, layout.manifest(backup_id), data)


def put_once(store: ObjectStore, key: str, data: bytes) -> None:
    try:
        store.put(key, data, new=True)
    except PaasError as error:
        # The answer may be lost and the object there; then a client's own second try says Conflict.
        if found(store, key) == data:
            return
        raise error
    if store.get(key, LIMIT) != data:
        raise StoreError("The store has something else than what it was given",
                         "It cannot be trusted with backups: choose another target.")


def found(store: ObjectStore, key: str) -> bytes | None:
    with contextlib.suppress(PaasError):
        return store.get(key, LIMIT)
    return None


def record_drill(store: ObjectStore, layout: Layout, record: DrillRecord, key: MacKey, random: int) -> None:
    """Keep what a drill found beside the manifest. StoreError."""
    put_once(store, layout.drill(record.backup_id, record.at, random), write_drill(record, key))


def hold(store: ObjectStore, layout: Layout, backup_id: str, held: bool) -> None:
    """Mark a backup so that retention of any machine leaves it alone, or take the mark away. NotFound."""
    store.size(layout.manifest(backup_id))
    if held:
        store.put(layout.hold(backup_id), HOLD)
    else:
        store.delete([layout.hold(backup_id)])


# --- Reading -----------------------------------------------------------------------------------------------------


def listed(store: ObjectStore, keys: Sequence[MacKey], server_id: str = "", layout: Layout | None = None) -> Listing:
    """All backups of the target, of one server or of one service, from ``catalog/`` alone.

    Raises StoreError when the listing itself fails: there is no half of one.
    """
    prefixes = [layout.catalog()] if layout else [f"{root(one)}catalog/" for one in servers(store, server_id)]
    groups: dict[tuple[Layout, str], list[Place]] = {}
    strange = []
    for one in (one for prefix in prefixes for one in store.list(prefix)):
        if place := place_of(one.key):
            groups.setdefault((place.layout, place.backup_id), []).append(place)
        else:
            strange.append(one.key)
    made = [read_one(store, at, backup_id, [place.name for place in places], keys)
            for (at, backup_id), places in sorted(groups.items(), key=lambda item: item[0])
            if any(place.name == "manifest.json" for place in places)]
    backups = tuple(one for one in made if one)
    return Listing(backups, all(one.verdict is not Verdict.UNREADABLE for one in backups), tuple(strange))


def servers(store: ObjectStore, server_id: str = "") -> list[str]:
    """The servers that keep something here."""
    if server_id:
        return [server_id]
    paths = (one.key.split("/") for one in store.list("v1"))
    return sorted({path[1] for path in paths if len(path) > 2 and is_part(path[1])})


def read_one(store: ObjectStore, layout: Layout, backup_id: str, names: Sequence[str],
             keys: Sequence[MacKey]) -> Stored | None:
    """None: it was deleted in the meantime."""
    try:
        data = store.get(layout.manifest(backup_id), LIMIT)
        opened = read_manifest(data, keys)
        expect_at(opened.manifest, layout, backup_id)
        drills, forged = drills_of(store, layout, backup_id, names, keys)
    except NotFound:
        return None
    except Forged as error:
        return Stored(layout, backup_id, Verdict.FORGED, error.what)
    except StoreError as error:
        return Stored(layout, backup_id, Verdict.UNREADABLE, error.what)
    verdict, problem = Verdict.GOOD, ""
    if not opened.proven:
        verdict, problem = Verdict.UNPROVEN, f"its manifest was made with the key {opened.mac_key}, which is not here"
    return Stored(layout, backup_id, verdict, problem, opened.manifest, data, drills, "hold.json" in names, forged)


def drills_of(store: ObjectStore, layout: Layout, backup_id: str, names: Sequence[str],
              keys: Sequence[MacKey]) -> tuple[tuple[DrillRecord, ...], bool]:
    """Those that a key proves, and whether one is forged. A drill that nobody can prove has proved nothing."""
    made, forged = [], False
    for name in sorted(name for name in names if name.startswith("verify-")):
        try:
            record, proven = read_drill(store.get(layout.catalog(backup_id) + name, LIMIT), keys)
        except NotFound:
            continue
        except Forged:
            forged = True
            continue
        if (record.backup_id, record.service_uid) != (backup_id, layout.uid):
            forged = True
        elif proven:
            made.append(record)
    return tuple(made), forged


def whole(store: ObjectStore, stored: Stored) -> str:
    """"" when every object of the backup is there in its size; else what is wrong. StoreError."""
    for part in stored.manifest.parts if stored.manifest else ():
        try:
            size = store.size(part.key)
        except NotFound:
            return f"a part of its data is gone: {part.key.rpartition('/')[2]}"
        if size != part.size:
            return f"a part of its data has {size} bytes instead of {part.size}: {part.key.rpartition('/')[2]}"
    return "" if stored.manifest else stored.problem


def differences(listing: Listing, known: Iterable[Backup]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(missing, unknown): good ones of *known* that the target has not; those of the target that are not in *known*.

    Both are reasons for an alarm. *known* must be the rows of what was listed: of that target, server or service.
    """
    known = list(known)
    there, here = {one.id for one in listing.backups}, {one.id for one in known}
    return (tuple(sorted(one.id for one in known if one.state in GOOD and one.id not in there)),
            tuple(sorted(there - here)))


# --- Deleting ----------------------------------------------------------------------------------------------------


def delete(store: ObjectStore, layout: Layout, backup_id: str, manifest: Manifest | None = None) -> int:
    """The manifest first, then data, then what else is in the catalog; return the number of bytes of data.

    Cut anywhere, what is left is no backup any more, and :func:`garbage` finds it. *manifest* names data outside of
    the backup's own prefix (a base backup's); only this service's own is touched. StoreError: refused, or the store
    says that it deleted the manifest and still has it.
    """
    store.delete([layout.manifest(backup_id)])
    if exists(store, layout.manifest(backup_id)):
        raise StoreError("The store still has a manifest that it was told to delete",
                         "Its key may not be allowed to delete; then deleting is up to a lifecycle rule of the bucket.")
    objects = {one.key: one.size for one in store.list(layout.data(backup_id))}
    objects |= {part.key: part.size for part in (manifest.parts if manifest else ()) if layout.owns(part.key)}
    store.delete(sorted(objects))
    store.delete([one.key for one in store.list(layout.catalog(backup_id))])
    return sum(objects.values())


def garbage(store: ObjectStore, server_id: str, spare: Iterable[str] = ()) -> list[StoredObject]:
    """What no manifest stands for: left by backups that were cut, or by deletions that were.

    Only of this server, only of backups all of whose objects are older than 48 h by the store's own clock, and none of
    *spare*: ids of those under way, and of those that we know as good (whose manifest somebody else deleted, so that
    their data is all that is left).
    """
    # Data before the catalog: a manifest that is committed while we list is then seen.
    objects = [*store.list(f"{root(server_id)}data/"), *store.list(f"{root(server_id)}catalog/")]
    limit, groups = store.now() - GARBAGE_AFTER, {}
    for one in objects:
        if place := place_of(one.key):
            groups.setdefault((place.layout, place.backup_id), []).append((one, place))
    spared = set(spare)
    return [one for (_, backup_id), members in sorted(groups.items(), key=lambda item: item[0])
            if backup_id not in spared and all(one.modified < limit for one, _ in members)
            and not any(place.kind == "catalog" and place.name == "manifest.json" for _, place in members)
            for one, _ in members]


def collect(store: ObjectStore, found_garbage: Sequence[StoredObject]) -> int:
    """Delete garbage, unless a manifest has come since; return the number of bytes. StoreError."""
    freed, groups = 0, {}
    for one in found_garbage:
        if place := place_of(one.key):
            groups.setdefault((place.layout, place.backup_id), []).append(one)
    for (layout, backup_id), objects in groups.items():
        if not exists(store, layout.manifest(backup_id)):
            store.delete([one.key for one in objects])
            freed += sum(one.size for one in objects)
    return freed


def exists(store: ObjectStore, key: str) -> bool:
    """Only NotFound says no: a store that does not answer says nothing (StoreError)."""
    try:
        store.size(key)
    except NotFound:
        return False
    return True
