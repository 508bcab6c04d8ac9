"""Backups as their users handle them: targets, schedules, retention, the one list of all, restore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from paas.backups import catalog, drill, in_place, keyring, pipeline, places, platform, prune, restore
from paas.backups.streams import Progress
from paas.errors import BadInput, Conflict, Forged, NotFound, StoreError
from paas.model import names
from paas.model.access import Actor
from paas.model.backup import Backup, BackupState, Target, Trigger
from paas.model.backup_layout import Layout, is_id
from paas.model.backup_manifest import read_manifest
from paas.model.durations import read_span
from paas.model.retention import DEFAULT, Policy, read_policy
from paas.model.service import Service
from paas.ops import guarded
from paas.ports_backup import Capabilities
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.runtime import Runtime

RETENTION, DRILLS = "backup-retention", "backup-drills"      # settings of a service
WEEKLY = "7d"
PLATFORM_BY_HAND = (("tar", "-xf", "-"), ("docker", "load"))     # of the platform's own: its files, its images
Say = Callable[[str], None]


# --- targets -------------------------------------------------------------------------------------------------------


def set_target(rt: Runtime, service_uid: str, target: Target, *, adopt: bool, say: Say) -> Capabilities:
    """Proved by use before it is stored. StoreError: it cannot be trusted with backups."""
    objects = rt.targets.open(target)
    say("Trying the target: put, read, list, upload in parts, delete")
    found = objects.probe()
    if found.problems:
        raise StoreError(f"the target cannot be used: {'; '.join(found.problems)}", "Correct that, then set it again.")
    places.claim(rt, objects, adopt=adopt)
    rt.store.set_backup_target(service_uid, target)
    return found


def unset_target(rt: Runtime, service_uid: str) -> None:
    if not rt.store.backup_target(service_uid):
        raise NotFound("there is no target to take away", "See: paas backups:target")
    rt.store.set_backup_target(service_uid, None)


def shown_target(rt: Runtime, service_uid: str) -> dict[str, object]:
    """Without its secret."""
    target = places.target_of(rt, service_uid)
    own = rt.store.backup_target(service_uid) is not None
    return {"url": target.url, "endpoint": target.endpoint, "region": target.region, "access key": target.access_key,
            "storage class": target.storage_class, "path style": target.path_style,
            "set for": ("this service" if service_uid else "the server") if own else
            "the server" if rt.store.backup_target("") else "nobody: a directory of this machine"}


# --- schedules and retention ---------------------------------------------------------------------------------------


def schedule(rt: Runtime, service: Service, actor: Actor, text: str) -> bool:
    """A cron expression in UTC. BadInput: it is none, or nobody has confirmed the recovery kit. False: it was there."""
    rt.schedules.check(text)
    if not keyring.kit_confirmed(rt):
        raise BadInput("nobody has confirmed the recovery kit: without it, backups die with this server",
                       "Print it, keep it elsewhere and confirm it: paas backups:kit")
    return rt.store.add_backup_schedule(service.uid, " ".join(text.split()), actor)


def unschedule(rt: Runtime, service: Service, text: str) -> int:
    gone = rt.store.remove_backup_schedules(service.uid, " ".join(text.split()))
    if not gone:
        raise NotFound(f"{service.title} has no such schedule",
                       f"See: paas {service.datastore}:backup-schedule-cat {service.name}")
    return gone


def policy_of(service: Service) -> Policy:
    words = service.settings.get(RETENTION)
    return read_policy(words.split()) if words else DEFAULT


def set_retention(rt: Runtime, service: Service, policy: Policy) -> None:
    guarded.put_setting(rt, service, RETENTION, " ".join(policy.words) or None)


def set_drills(rt: Runtime, service: Service, text: str) -> None:
    """``off``, or a span like ``7d``: how old the last proof may get."""
    if text != "off":
        read_span(text)
    guarded.put_setting(rt, service, DRILLS, None if text == WEEKLY else text)


def pruned(rt: Runtime, service: Service, *, force: bool = False, dry_run: bool = False) -> prune.Pruned:
    """Retention of one service in the target that it has now."""
    target = places.target_of(rt, service.uid)
    there = set(BackupState) - {BackupState.DELETED}             # their rows stay, and would be more every day
    rows = tuple(row for row in rt.store.backups(service.uid, states=there, limit=100_000)
                 if row.target == target.url)
    keys = keyring.keyring(rt)
    run = prune.Pruning(policy_of(service), places.layout_of(rt, service), keys.known, rt.host.machine(),
                        rt.clock.now, rows, force=force, dry_run=dry_run)
    return prune.prune(rt.targets.open(target), run,
                       lambda backup_id: forget(rt, backup_id, "retention"))


def forget(rt: Runtime, backup_id: str, why: str) -> None:
    """Also one that another machine made: there is no row of it here."""
    try:
        rt.store.move_backup(backup_id, BackupState.DELETED, reason=why)
    except NotFound:
        return


# --- one view over all -----------------------------------------------------------------------------------------------


def listed(rt: Runtime, service_uid: str | None = None, *, everything: bool = False,
           limit: int = 100) -> list[tuple[object, ...]]:
    """id, service, state, trigger, started, size, drilled, target, reason. Deleted ones only with *everything*."""
    proved = {one.backup_id: one.finished_at for one in rt.store.drills(service_uid, limit=10_000) if one.passed}
    rows = [row for row in rt.store.backups(service_uid, limit=10_000)
            if everything or row.state != BackupState.DELETED][:limit]
    return [(row.id, f"{row.datastore}/{row.service}", row.state, row.trigger, row.started_at, row.size,
             proved.get(row.id), row.held, row.reason) for row in rows]


COLUMNS = ("id", "service", "state", "trigger", "started_at", "size", "drilled_at", "held", "reason")


def find(rt: Runtime, text: str) -> Backup:
    """By its id, or ``latest`` good one of ``postgres/db``. NotFound."""
    if is_id(text):
        return rt.store.backup(text)
    return newest_good(rt, service_named(rt, text))


def service_named(rt: Runtime, text: str) -> Service:
    """``postgres/db``, or ``db`` where only one datastore has that name."""
    datastore, slash, name = text.rpartition("/")
    found = [one for one in guarded.guarded(rt) if one.name == name and datastore in ("", one.datastore)]
    if not found:
        raise NotFound(f"there is no service '{names.printable(text)}'", "See: paas backups")
    if len(found) > 1:
        raise BadInput(f"there are {' and '.join(f'{one.datastore}/{one.name}' for one in found)}",
                       "Say which, with the datastore before the slash.")
    return found[0]


def newest_good(rt: Runtime, service: Service) -> Backup:
    for row in rt.store.backups(service.uid):
        if row.good:
            return row
    raise NotFound(f"{service.title} has no good backup",
                   f"Make one: paas {service.datastore}:backup {service.name}")


def info(rt: Runtime, row: Backup) -> dict[str, object]:
    """All that is known; with the commands that restore it without paas."""
    known: dict[str, object] = {
        "id": row.id, "service": f"{row.datastore}/{row.service}", "state": row.state, "trigger": row.trigger,
        "target": row.target, "started": row.started_at, "finished": row.finished_at, "size": row.size,
        "held": row.held, "reason": row.reason}
    if not row.manifest:
        return known
    made = read_manifest(row.manifest.encode(), ()).manifest
    drills = [one for one in rt.store.drills(row.service_uid, limit=10_000) if one.backup_id == row.id]
    return known | {
        "image": made.image, "version": made.version, "data size": made.data_size,
        "seconds dumping": f"{made.dumped_in:.3f}",
        **{key: value for key, value in made.details.items() if key.startswith("seconds ")},
        "tables": len(made.contents.tables), "rows": sum(table.rows for table in made.contents.tables),
        "recipients": list(made.recipients), "object": made.parts[0].key, "sha256": made.parts[0].sha256,
        "drills": [f"{one.started_at:%Y-%m-%d %H:%M} {'passed' if one.passed else 'failed'} "
                   f"in {one.restore_seconds:.1f} s" for one in drills],
        "by hand": by_hand(rt, row, made)}


def by_hand(rt: Runtime, row: Backup, made: object) -> list[str]:
    """Without paas: only the store's own client, `age`, `zstd` and the datastore's restore program."""
    store = rt.plugins.datastores.get(row.datastore)
    lines = []
    for part in made.parts:
        program = " ".join(store.by_hand if store else PLATFORM_BY_HAND[part.key.endswith(platform.IMAGES)])
        if row.target.startswith("file://"):
            source = f"cat {row.target.removeprefix('file://')}/{part.key}"
        else:
            source = f"aws s3 cp {row.target.rstrip('/')}/{part.key} -"
        lines.append(f"{source} | age -d -i identity.txt | zstd -dc | {program}")
    return lines


# --- restore, drills, single backups -------------------------------------------------------------------------------


def restored(rt: Runtime, actor: Actor, row: Backup, name: str, *, identity: Secret | None,
             progress: Progress, say: Say) -> Service:
    """Into a new service."""
    stored = drill.stored_of(rt, row, identity)
    return restore.into_new(rt, actor, stored, name, progress=progress, say=say)


def restored_in_place(rt: Runtime, actor: Actor, service: Service, row: Backup, *, identity: Secret | None,
                      safety: bool, progress: Progress, say: Say) -> Backup | None:
    """In the place of what it holds; return the backup of that."""
    stored = drill.stored_of(rt, row, identity)
    before = in_place.put_back(rt, service, stored, safety=safety, progress=progress, say=say)
    rt.store.add_event(actor, f"{service.datastore}:restore", service.name, "ok",
                       {"backup": row.id, "in place of": before.id if before else "no backup"})
    return before


def delete(rt: Runtime, row: Backup) -> int:
    """By hand. Conflict: it is held, or the newest good one of its service."""
    if row.held:
        raise Conflict(f"the backup {row.id} is held", f"Let it go first: paas backups:hold {row.id} --off")
    alive = [one for one in rt.store.backups(row.service_uid) if one.good]
    if alive and alive[0].id == row.id and any(one.uid == row.service_uid for one in guarded.guarded(rt)):
        raise Conflict(f"{row.id} is the newest good backup of {row.service}", "Make a newer one first.")
    layout = Layout(places.server_id(rt), row.datastore, row.service_uid)
    objects = places.objects_at(rt, row)
    places.require_ours(rt, objects)
    forget(rt, row.id, "by hand")
    made = read_manifest(row.manifest.encode(), ()).manifest if row.manifest else None
    return catalog.delete(objects, layout, row.id, made)


def hold(rt: Runtime, row: Backup, held: bool) -> None:
    layout = Layout(places.server_id(rt), row.datastore, row.service_uid)
    catalog.hold(places.objects_at(rt, row), layout, row.id, held)
    rt.store.hold_backup(row.id, held)


def in_target(rt: Runtime, target: Target | None, server: str, identity: Secret | None) -> catalog.Listing:
    """What a target holds, also of other servers: for a machine that has nothing else."""
    keys = keyring.opened_with(rt, identity) if identity else keyring.keyring(rt)
    return catalog.listed(rt.targets.open(target or places.target_of(rt, "")), keys.known, server)


def from_target(rt: Runtime, actor: Actor, backup_id: str, name: str, *, identity: Secret | None,
                progress: Progress, say: Say) -> Service:
    """On a new machine: from the server's target and the identity alone."""
    keys = keyring.opened_with(rt, identity) if identity else keyring.keyring(rt)
    objects = places.objects_of(rt, "")
    found = [one for one in catalog.listed(objects, keys.known).backups if one.id == backup_id]
    if not found:
        raise NotFound(f"the target has no backup {names.printable(backup_id)}", "See: paas backups:in-target")
    one = max(found, key=lambda stored: stored.verdict is catalog.Verdict.GOOD)
    require_proven(one)
    restore.require_recipient(rt, one.manifest, keys.require_identity())
    stored = restore.Stored(one.manifest, objects, keys.require_identity())
    return restore.into_new(rt, actor, stored, name, progress=progress, say=say)


def require_proven(stored: catalog.Stored) -> None:
    """Sealing says for whom, not by whom: whoever may write to the bucket can plant a backup of his own there."""
    if stored.verdict is catalog.Verdict.UNREADABLE:
        raise StoreError(f"the manifest of {stored.id} could not be read: {stored.problem}", "Try again later.")
    if stored.verdict is not catalog.Verdict.GOOD:
        raise Forged(f"nothing proves that {stored.id} is a backup of yours: {stored.problem}",
                     "With the identity that it was made for (--identity-stdin) it can be proven; else use another.")


def final(rt: Runtime, service: Service, progress: Progress) -> Backup:
    """Before a destroy; one that holds nothing is backed up as well."""
    return pipeline.make(rt, service, Trigger.FINAL, progress=progress, allow_empty=True)


def kit(rt: Runtime) -> Sequence[str]:
    """What somebody needs who has lost this server. It holds the identity: print it, keep it elsewhere."""
    keys = keyring.keyring(rt)
    targets = {places.target_of(rt, one.uid).url for one in rt.store.services()} | {places.target_of(rt, "").url}
    return (
        f"Recovery kit of the paas server {places.server_id(rt)}",
        "",
        "Identity (age; whoever has it can read every backup):",
        keys.identity.reveal() if keys.identity else "(not on this server: you keep it)",
        "",
        f"Recipient: {keys.recipients[0]}",
        *(f"Further recipient: {one}" for one in keys.recipients[1:]),
        *(f"Target: {url}" for url in sorted(targets)),
        "",
        "With paas: install it on a new machine. The whole server (docs/recovery.md):",
        "  paas server:restore --target-url URL --endpoint … --access-key … --identity-stdin < identity.txt",
        "One service:",
        "  paas backups:target set URL --endpoint … --access-key …",
        "  paas backups:in-target --identity-stdin < identity.txt",
        "  paas backups:restore ID NAME --identity-stdin < identity.txt",
        "Without paas: put the identity's line into identity.txt, then, for the object named in a manifest",
        "(v1/…/catalog/…/manifest.json),",
        "  age -d -i identity.txt < dump.000.zst.age | zstd -dc | pg_restore --no-owner -d DATABASE",
        "",
        f"Word: {keys.word}",
    )


def with_secret(target: Target, secret: str) -> Target:
    return replace(target, secret_key=Secret(secret))
