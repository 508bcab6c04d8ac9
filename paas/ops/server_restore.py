"""The whole server on another machine, from a target and an identity alone: find, stage, swap. Then `revive`.

Until the swap nothing of this machine has changed. From its decision on (`Installation.commit`) recovery goes forward:
the next start of the daemon finishes one that was cut, and what comes after it is done by the same command again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from paas.backups import catalog, leftovers, places, platform
from paas.backups.catalog import Verdict
from paas.backups.restore import require_recipient
from paas.backups.streams import Progress, counted
from paas.errors import BadInput, Conflict, Forged, NoSpace, NotFound
from paas.model.access import Actor
from paas.model.backup import UNDER_WAY, BackupState, Manifest, Target
from paas.model.backup_mac import MacKey, identity_key
from paas.model.service import ServiceState
from paas.ops import server_state
from paas.ops.revive import Revival, revive
from paas.ops.server_state import Back, Restoring
from paas.ports_backup import ObjectStore
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.ports_store import Store
    from paas.runtime import Runtime

ROOM = 2.5                               # bytes of disk wanted for each byte of the backup: the stream, and its copy
Say = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """A backup of a server, in a target that is not this server's yet."""

    target: Target
    objects: ObjectStore
    listing: catalog.Listing             # everything of that server
    stored: catalog.Stored
    macs: tuple[MacKey, ...]
    identity: Secret

    @property
    def made(self) -> Manifest:
        return self.stored.manifest

    @property
    def server_id(self) -> str:
        return self.stored.layout.server_id


@dataclass(frozen=True)
class Restored:
    backup: str
    back: tuple[Back, ...]


def restore(rt: Runtime, actor: Actor, target: Target | None, backup_id: str, identity: Secret, *, unproven: bool,
            confirmed: bool, progress: Progress, say: Say, take: Callable[[Runtime], None]) -> Restored:
    """BadInput, Forged, NotFound, Conflict: nothing has changed. What does not come back afterwards is in the result.

    :param target: None: the server's own.
    :param backup_id: empty: the newest one, or that of a restore that was cut.
    :param unproven: also one whose manifest *identity* does not prove.
    :param confirmed: a server that has apps or services is to be replaced.
    :param take: is given the restored server's runtime as soon as there is one: that before is closed then.
    """
    now = server_state.of(rt)
    again = now is not None and backup_id in ("", now.backup)
    found = find(rt, target or places.target_of(rt, ""), now.backup if again else backup_id, identity, unproven,
                 say)
    if not again:
        require_empty(rt, confirmed)
        require_room(rt, found.made)
        rt = replaced(rt, actor, found, progress, take)
    back = revive(Revival(rt, actor, found.objects, found.made, found.macs, identity, progress, say))
    return Restored(found.stored.id, back)


# --- find ----------------------------------------------------------------------------------------------------------


def find(rt: Runtime, target: Target, backup_id: str, identity: Secret, unproven: bool, say: Say) -> Found:
    objects = rt.targets.open(target)
    macs = (identity_key(identity, rt.sealing.recipient_of(identity)),)
    listing = catalog.listed(objects, macs)
    ours = [one for one in listing.backups if one.layout.datastore == platform.DATASTORE]
    if backup_id:
        ours = [one for one in ours if one.id == backup_id]
    if not ours:
        raise NotFound("the target has no such backup of a server" if backup_id else
                       "the target has no backup of a server", "See: paas backups:in-target --identity-stdin")
    one = chosen(ours, unproven or bool(backup_id))
    for other in ours:
        if other.id > one.id:
            say(f"{other.id} is newer and not used: {other.problem or 'its drill failed'}")
    judge(rt, one, identity, unproven)
    return Found(target, objects, replace(listing, backups=tuple(
        other for other in listing.backups if other.layout.server_id == one.layout.server_id)), one, macs, identity)


def chosen(ours: Sequence[catalog.Stored], any_verdict: bool) -> catalog.Stored:
    """The newest good one; where none is good, the newest, so that its user is told what is wrong with it."""
    good = [one for one in ours if any_verdict or one.state in (BackupState.READ_BACK, BackupState.DRILLED)]
    servers = {one.layout.server_id for one in good}
    if len(servers) > 1:
        newest = [max((one for one in good if one.layout.server_id == server), key=lambda one: one.id)
                  for server in sorted(servers)]
        raise BadInput(f"{len(servers)} servers keep their backups there",
                       f"Name the backup: {' or '.join(f'{one.id} (of {one.layout.server_id})' for one in newest)}")
    return max(good or ours, key=lambda one: one.id)


def judge(rt: Runtime, one: catalog.Stored, identity: Secret, unproven: bool) -> None:
    if one.manifest is None or one.verdict is Verdict.FORGED:
        raise Forged(f"the backup {one.id} cannot be trusted: {one.problem}", "Name another one.")
    require_recipient(rt, one.manifest, identity)
    if one.verdict is not Verdict.GOOD and not unproven:
        raise BadInput(f"nothing proves who made the backup {one.id}: {one.problem}",
                       "Give the identity of that server, from its recovery kit; or, if you trust everybody who can "
                       "write to the target, add --unproven.")
    if one.drills and not one.drills[-1].passed:
        raise Forged(f"the backup {one.id} failed its drill: {'; '.join(one.drills[-1].problems)[:300]}",
                     "Name another one.")


def require_empty(rt: Runtime, confirmed: bool) -> None:
    apps, services = len(rt.store.apps()), len(rt.store.services())
    if (apps or services) and not confirmed:
        raise Conflict(f"this server is not empty: it has {apps} apps and {services} services",
                       f"Restore on a fresh machine; or replace this one: --confirm {places.server_id(rt)}")
    for app in rt.store.apps():
        for job in rt.jobs.deploys(app.id):
            raise Conflict(f"{app.name} is busy: {job.title}", "Wait until it is over, then try again.")


def require_room(rt: Runtime, made: Manifest) -> None:
    free, _ = rt.host.disk(rt.settings.state_dir)
    need = int(made.data_size * ROOM)
    if free < need:
        raise NoSpace(f"the restore needs {need >> 20:,} MB of disk, and {free >> 20:,} MB are free",
                      "Free some space, then try again.")


# --- stage and swap ------------------------------------------------------------------------------------------------


def replaced(rt: Runtime, actor: Actor, found: Found, progress: Progress,
             take: Callable[[Runtime], None]) -> Runtime:
    """The runtime of the restored server."""
    place = rt.installation.staging()
    try:
        about = platform.laid_out(rt, found.made, found.objects, found.identity, place,
                                  counted(progress, "reading and unpacking"))
        progress("looking over the restored database", 0)
        store = platform.opened(rt, place)
        try:
            fit(rt, store, found, about)
            store.add_event(actor, "server:restore", "", "begun", {"backup": found.stored.id})
        finally:
            store.close()
        progress("taking its place", 0)
        with rt.heavy:                   # no backup or drill is under way
            return rt.reopening.by(lambda: swap(rt))
    finally:
        if rt.reopening.now:
            take(rt.reopening.now)
        rt.installation.drop()


def swap(rt: Runtime) -> None:
    """Containers of what was here go (their volumes stay): they would hold names and addresses."""
    for one in rt.containers.list({}):
        rt.containers.stop(one.id, 10)
        rt.containers.remove(one.id)
    for name in rt.containers.networks():
        rt.containers.remove_network(name)
    rt.installation.commit()
    rt.installation.swap()


def fit(rt: Runtime, store: Store, found: Found, about: platform.About) -> None:
    """What is true on this machine only, before anything opens the database here. Services wait, stopped, until their
    data are back: an empty one that runs would pass for the real one."""
    store.set_backup_target("", found.target)
    store.move_mounts(f"{about.storage_dir}/", f"{rt.settings.storage_dir}/")
    store.move_mounts(f"{about.prefix}-volume-", f"{rt.settings.prefix}-volume-")
    for one in found.listing.backups:
        if one.verdict is Verdict.GOOD and one.manifest:
            store.put_backup(one.as_backup(found.target.url))
    store.put_backup(replace(found.stored.as_backup(found.target.url), state=BackupState.READ_BACK, reason=""))
    for row in store.backups(states=UNDER_WAY):          # when the copy was made; what became of it is not known
        store.move_backup(row.id, BackupState.FAILED, reason=leftovers.CUT)
    waiting = {}
    for service in store.services():
        if service.state in (ServiceState.RUNNING, ServiceState.STOPPED):
            waiting[service.uid] = str(service.state)
            store.update_service(service.id, state=ServiceState.STOPPED, container_id="")
    server_state.note(store, Restoring(found.stored.id, about.server_id, list(about.images), waiting,
                                       files=[one.uid for one in store.protected_files() if one.enabled],
                                       storage=found.made.details.get("storage") == "yes"))
