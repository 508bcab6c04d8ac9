"""Point in time as its users handle it: on, off, what can be restored to, restore, drill, retention."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas.backups import keyring, pitr_read, pitr_receiver, pitr_restore, places
from paas.backups.keyring import Keyring
from paas.backups.pitr_read import History
from paas.backups.room import GaveWay
from paas.backups.streams import Progress, silent
from paas.errors import BadInput, Conflict, Forged, NotFound, PaasError, reason_of
from paas.model import drills, pitr
from paas.model.access import PLATFORM, Actor
from paas.model.backup import Trigger
from paas.model.backup_health import Finding
from paas.model.backup_layout import Layout
from paas.model.durations import read_span
from paas.model.moments import read_moment, write_moment
from paas.model.names import printable
from paas.model.pitr_health import DRILL_EVERY, Watched, health
from paas.model.pitr_row import Pitr, PitrBase
from paas.model.retention import MAX_SKEW
from paas.model.service import Service, ServiceState
from paas.ops import pitr_streams
from paas.ops.pitr_streams import flush, wait_for
from paas.ports_backup import ObjectStore
from paas.secret import Secret
from paas.services import container
from paas.services.turns import history, trial

if TYPE_CHECKING:
    from paas.runtime import Runtime

LATEST = "latest"
FLUSH_SECONDS = 60.0                     # that a restore waits until the newest commits are in the target
GARBAGE = timedelta(hours=48)            # age of a base without a manifest, before it is removed
Say = Callable[[str], None]

log = logging.getLogger("paas.pitr")


# --- on and off ----------------------------------------------------------------------------------------------------


def turn_on(rt: Runtime, actor: Actor, service: Service, progress: Progress) -> PitrBase:
    """Receive its log from now on, and make the first base. What fails turns it off again."""
    pitr_receiver.hook(rt, service.datastore)
    row = rt.store.pitr(service.uid)
    stream = rt.recovery.of(service.uid)
    if row and row.enabled and not (stream and stream.replaced):
        raise Conflict(f"{service.title} has point in time already",
                       f"See: paas {service.datastore}:pitr status {service.name}")
    if not keyring.kit_confirmed(rt):
        raise BadInput("nobody has confirmed the recovery kit: without it, backups die with this server",
                       "Print it, keep it elsewhere and confirm it: paas backups:kit")
    if service.state != ServiceState.RUNNING:
        raise BadInput(f"{service.title} is {service.state}",
                       f"Start it: paas {service.datastore}:start {service.name}")
    try:
        with rt.turns.hold(service.uid, f"{service.datastore}:pitr on {service.name}"):
            row = pitr_streams.begin_epoch(rt, service, "turned on", actor)
        rt.recovery.supervise(rt)
        service = rt.store.service_by_id(service.id)
        pitr_streams.require_streaming(rt, service)
        return first_base(rt, service, row, progress)
    except Conflict:
        raise
    except BaseException:
        if rt.store.pitr(service.uid):
            with suppress(PaasError):    # what went wrong first tells more
                turn_off(rt, service)
        raise


def first_base(rt: Runtime, service: Service, row: Pitr, progress: Progress) -> PitrBase:
    """By us, or by the watching thread, whoever was first; then wait until it can be used."""
    try:
        made = pitr_streams.make_base(rt, service, row, Trigger.MANUAL, progress)
    except Conflict:
        progress("waiting for the base", 0)
        wait_for(rt, lambda: bool(good_bases(rt, row)) or not rt.turns.held(service.uid), 24 * 3600.0)
        if not good_bases(rt, row):
            raise
        made = good_bases(rt, row)[0]
    flush(rt, service, FLUSH_SECONDS)
    return made


def good_bases(rt: Runtime, row: Pitr) -> list[PitrBase]:
    return [one for one in rt.store.pitr_bases(row.service_uid) if one.epoch == row.epoch and one.state == "good"]


def turn_off(rt: Runtime, service: Service, *, purge: bool = False) -> None:
    """The history stays in the target and can be restored, unless *purge*. Conflict: it is to go, and is being read."""
    row_of(rt, service)
    if service.state == ServiceState.STOPPED:
        raise BadInput(f"{service.title} is stopped, and keeps its log for a receiver until it is told otherwise",
                       f"Start it first: paas {service.datastore}:start {service.name}")
    what = f"{service.datastore}:pitr off {service.name}"
    with rt.turns.hold(service.uid, what), rt.turns.hold(history(service.uid), what) if purge else nullcontext():
        rt.store.update_pitr(service.uid, enabled=False)
        rt.recovery.supervise(rt)
        pitr_receiver.remove(rt, service)
        pitr_receiver.remove_spool(rt, service.uid)
        if container.running(rt, service):
            pitr_receiver.hook(rt, service.datastore).end(container.shell(rt, service), service)
        if purge:
            objects, layout = places.objects_of(rt, service.uid), places.layout_of(rt, service)
            places.require_ours(rt, objects)
            objects.delete([one.key for one in objects.list(layout.pitr())])
            rt.store.delete_pitr(service.uid)


def set_window(rt: Runtime, service: Service, text: str) -> None:
    row_of(rt, service)
    read_span(text)
    rt.store.update_pitr(service.uid, window=text)


def row_of(rt: Runtime, service: Service) -> Pitr:
    row = rt.store.pitr(service.uid)
    if row is None:
        raise NotFound(f"{service.title} has no point in time",
                       f"Turn it on: paas {service.datastore}:pitr on {service.name}")
    return row


def new_base(rt: Runtime, service: Service, progress: Progress) -> PitrBase:
    row = row_of(rt, service)
    if not row.enabled:
        raise BadInput(f"point in time of {service.title} is off", "Turn it on first.")
    return pitr_streams.make_base(rt, service, row, Trigger.MANUAL, progress)


# --- what there is -------------------------------------------------------------------------------------------------


def history_of(rt: Runtime, service: Service, keys: Keyring) -> History:
    """Asks the target."""
    return pitr_read.history(places.objects_of(rt, service.uid), places.layout_of(rt, service), keys.known)


def status(rt: Runtime, service: Service) -> dict[str, object]:
    """Asks the target too: which times can be restored to."""
    row, stream = row_of(rt, service), rt.recovery.of(service.uid)
    found = history_of(rt, service, keyring.keyring(rt))
    synced = stream.synced if stream else None
    spans = pitr.spans(found.epochs, row.epoch, synced)
    state = stream.state if stream else None
    return {
        **brief(rt, service), "window": row.window, "restorable": [str(one) for one in spans],
        "restorable from": spans[0].start if spans else None, "restorable to": spans[-1].end if spans else None,
        "history": row.epoch, "began": row.began_at, "because": row.reason,
        "bases": [f"{base.id} of {base.epoch}" for epoch in found.epochs for base in epoch.bases],
        "doubtful": list(found.doubtful), "stored": found.sizes,
        "slot": state.slot if state else "", "kept by the slot": state.held if state else 0,
        "spool": stream.shipper.spooled if stream else 0, "sent": stream.shipper.sent if stream else 0,
        "last drill": row.drilled_at, "drill": drills.words(row),
    }


def brief(rt: Runtime, service: Service) -> dict[str, object]:
    """For `info`; asks nobody."""
    row, stream = rt.store.pitr(service.uid), rt.recovery.of(service.uid)
    if row is None:
        return {}
    if not row.enabled:
        return {"point in time": "off"}
    unsent, _ = rt.recovery.problems.get(service.uid, ("", None))
    reason = unsent or ((stream.problem or stream.error) if stream else "starting")
    lag = (rt.clock.now() - stream.synced).total_seconds() if stream and stream.synced else None
    return {"point in time": f"failing: {reason}" if reason else "on",
            "safe until": stream.synced if stream else None, "lag": round(lag, 1) if lag is not None else None}


def findings(rt: Runtime, service: Service) -> list[Finding]:
    """What is wrong with it, failures first; none where it is off."""
    row, stream = rt.store.pitr(service.uid), rt.recovery.of(service.uid)
    if row is None or not row.enabled:
        return []
    watched = Watched(row, rt.store.pitr_bases(service.uid), service.state == ServiceState.RUNNING,
                      can_drill=not keyring.keyring(rt).write_only)
    if stream:
        watched = replace(
            watched, replaced=stream.replaced, error=stream.error, failing_since=stream.failing_since,
            problem=stream.problem, idle_since=stream.idle_since, synced=stream.synced, since=stream.since,
            slot=stream.state.slot if stream.state else "", held=stream.state.held if stream.state else 0,
            spooled=stream.shipper.spooled, bound=pitr_receiver.MOST * row.segment_size)
    if unsent := rt.recovery.problems.get(service.uid):
        watched = replace(watched, error=unsent[0], failing_since=unsent[1])
    return health(watched, rt.clock.now())


# --- restore -------------------------------------------------------------------------------------------------------


def restored(rt: Runtime, actor: Actor, service: Service, when: str, name: str, *, identity: Secret | None,
             progress: Progress, say: Say) -> tuple[Service, pitr_restore.Wanted]:
    """Into a new service. *when*: see :func:`paas.model.moments.read_moment`, or "latest"."""
    row_of(rt, service)
    at = None if when == LATEST else read_moment(when, rt.clock.now())
    with rt.turns.share(history(service.uid), f"a restore of {service.title}"):
        wanted = chosen(rt, service, at, identity)
        made = pitr_restore.into_new(rt, actor, wanted, name, progress=progress, say=say)
    return made, wanted


def chosen(rt: Runtime, service: Service, at: datetime | None, identity: Secret | None) -> pitr_restore.Wanted:
    row = row_of(rt, service)
    keys = keyring.opened_with(rt, identity) if identity else keyring.keyring(rt)
    opener = keys.require_identity()
    stream = rt.recovery.of(service.uid)
    synced = stream.synced if stream else None
    if row.enabled and (synced is None or at is None or at > synced):
        synced = flush(rt, service, FLUSH_SECONDS)
    objects = places.objects_of(rt, service.uid)
    found = pitr_read.history(objects, places.layout_of(rt, service), keys.known)
    return pitr_restore.choose(rt, found, objects, opener, keys.known, at, row.epoch if row.enabled else "", synced)


def restore_from(rt: Runtime, actor: Actor, objects: ObjectStore, layout: Layout, when: str, name: str, *,
                 identity: Secret | None, progress: Progress, say: Say) -> tuple[Service, pitr_restore.Wanted]:
    """On a new machine: from a target and the identity alone. The layout says which server's which service."""
    keys = keyring.opened_with(rt, identity) if identity else keyring.keyring(rt)
    at = None if when == LATEST else read_moment(when, rt.clock.now())
    with rt.turns.share(history(layout.uid), f"a restore of {layout.uid}"):
        found = pitr_read.history(objects, layout, keys.known)
        wanted = pitr_restore.choose(rt, found, objects, keys.require_identity(), keys.known, at)
        return pitr_restore.into_new(rt, actor, wanted, name, progress=progress, say=say), wanted


def from_target(rt: Runtime, actor: Actor, server: str, uid: str, when: str, name: str, *, identity: Secret | None,
                progress: Progress, say: Say) -> tuple[Service, pitr_restore.Wanted]:
    """:func:`restore_from` the server's target; empty *server*: this one."""
    objects = places.objects_of(rt, "")
    found = [one for one in pitr_read.layouts(objects, server or places.server_id(rt)) if one.uid == uid]
    if not found:
        raise NotFound(f"the target has no history of {printable(uid)}", "See: paas backups:histories")
    return restore_from(rt, actor, objects, found[0], when, name, identity=identity, progress=progress, say=say)


def histories(rt: Runtime, server: str, identity: Secret | None) -> list[tuple[object, ...]]:
    """(server, datastore, uid, name, spans, doubtful) of what the server's target holds."""
    keys = keyring.opened_with(rt, identity) if identity else keyring.keyring(rt)
    objects, rows = places.objects_of(rt, ""), []
    for layout in pitr_read.layouts(objects, server):
        found = pitr_read.history(objects, layout, keys.known)
        name = next((found.manifests[one].service for one in sorted(found.manifests, reverse=True)), "?")
        rows.append((layout.server_id, layout.datastore, layout.uid, name,
                     [str(one) for one in pitr.spans(found.epochs)], list(found.doubtful)))
    return rows


# --- drills --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drilled:
    at: datetime
    base: str
    seconds: float


def drill(rt: Runtime, actor: Actor, service: Service, when: str = "", *, identity: Secret | None = None,
          progress: Progress = silent, say: Say = lambda line: None) -> Drilled:
    """Restore to a time (without *when* a random one of the window) into a scratch volume, and look it over.

    Conflict: another drill of it is under way. GaveWay: to a restore; nothing is noted of it.
    """
    row, began, what = row_of(rt, service), rt.clock.monotonic(), f"a drill of {service.title}"
    with rt.turns.hold(trial(service.uid), what), rt.turns.share(history(service.uid), what), rt.heavy:
        at = read_moment(when, rt.clock.now()) if when else random_time(rt, service, row)
        wanted = chosen(rt, service, at, identity)
        try:
            pitr_restore.drill(rt, service, wanted, progress, say)
        except GaveWay:
            raise
        except BaseException as error:
            reason = reason_of(error)
            note_drill(rt, actor, service, at, False, rt.clock.monotonic() - began, reason)
            raise
    took = rt.clock.monotonic() - began
    note_drill(rt, actor, service, at, True, took, "")
    return Drilled(at, wanted.made.id, took)


def random_time(rt: Runtime, service: Service, row: Pitr) -> datetime:
    stream = rt.recovery.of(service.uid)
    found = history_of(rt, service, keyring.keyring(rt))
    spans = pitr.spans(found.epochs, row.epoch, stream.synced if stream else None)
    if not spans:
        raise NotFound(f"{service.title} has nothing to restore yet", "Wait for the first base.")
    lengths = [max((one.end - one.start).total_seconds(), 0.001) for one in spans]
    span = random.choices(spans, lengths)[0]
    return span.start + (span.end - span.start) * random.random()


def note_drill(rt: Runtime, actor: Actor, service: Service, at: datetime, passed: bool, took: float,
               reason: str) -> None:
    rt.store.update_pitr(service.uid, drilled_at=rt.clock.now(), drill_to=at, drill_passed=passed,
                         drill_seconds=round(took, 3), drill_reason=reason[:500])
    rt.store.add_event(actor, f"{service.datastore}:pitr", service.name, "ok" if passed else "failed",
                       {"drill": write_moment(at), **({"reason": reason[:500]} if reason else {})})


def drill_due(rt: Runtime, row: Pitr) -> bool:
    if not row.enabled or keyring.keyring(rt).write_only:
        return False
    if rt.room.restores() or rt.turns.held(history(row.service_uid)):
        return False
    good = [one for one in rt.store.pitr_bases(row.service_uid) if one.state == "good" and one.finished_at]
    return bool(good) and drills.is_due(row, good[-1].finished_at, DRILL_EVERY, rt.clock.now())


# --- by itself -----------------------------------------------------------------------------------------------------


def begin(rt: Runtime) -> None:
    """Once, at the start of the daemon."""
    pitr_restore.end_cut(rt)
    for row in rt.store.pitrs():
        for base in rt.store.pitr_bases(row.service_uid):
            if base.state == "under way":
                rt.store.end_pitr_base(base.id, "failed", reason=pitr_streams.INTERRUPTED)


def tick(rt: Runtime) -> None:
    """Every second."""
    rt.recovery.supervise(rt)


def hourly(rt: Runtime) -> None:
    """Retention, and drills that are due. A target that fails waits for the next time."""
    for row in rt.store.pitrs():
        service = pitr_streams.service_of(rt, row.service_uid)
        if service is None:
            continue
        try:
            clean(rt, service, row)
        except PaasError as error:
            log.warning("retention of the history of %s: %s", service.title, error.what)
        if drill_due(rt, row):
            rt.spawn(lambda one=service: drilled(rt, one))


def drilled(rt: Runtime, service: Service) -> None:
    with suppress(Conflict):
        try:
            drill(rt, PLATFORM, service)
        except PaasError as error:
            log.warning("the drill of the history of %s: %s", service.title, error.what)
            if isinstance(error, Conflict):
                raise


def clean(rt: Runtime, service: Service, row: Pitr) -> int:
    """Delete what no restore within the window needs; return how many objects went.

    Nothing while it is off, something is in doubt, clocks differ, or another machine writes there.
    """
    if not row.enabled:
        return 0
    objects, keys = places.objects_of(rt, service.uid), keyring.keyring(rt)
    places.require_ours(rt, objects)
    if abs((objects.now() - rt.clock.now()).total_seconds()) > MAX_SKEW:
        raise BadInput("our clock and that of the store differ", "Set the clock (NTP).")
    with rt.turns.hold(history(service.uid), f"the retention of {service.title}", housekeeping=True):
        found = pitr_read.history(objects, places.layout_of(rt, service), keys.known)
        objects.abort_uploads(GARBAGE.total_seconds(), places.layout_of(rt, service).pitr())
        if found.doubtful:
            raise Forged(f"manifests are in doubt: {', '.join(found.doubtful[:3])}", "Look at the bucket.")
        return forget(rt, service, row, found)


def forget(rt: Runtime, service: Service, row: Pitr, found: History) -> int:
    objects, now = places.objects_of(rt, service.uid), rt.clock.now()
    gone = pitr.needless(found.epochs, row.epoch, now, read_span(row.window))
    keys: list[str] = []
    for base in gone.bases:              # manifests first: without it, it is no base
        place = f"{found.place(base.epoch)}base/{base.id}/"
        keys += [place + pitr.MANIFEST, place + pitr.DATA]
    keys += [found.place(epoch) + one.key for epoch, one in gone.files]
    for epoch in gone.epochs:
        listed = [one.key for one in objects.list(found.place(epoch))]
        keys += sorted(listed, key=lambda key: not key.endswith(pitr.MANIFEST))
    alive = {base.id for base in rt.store.pitr_bases(service.uid) if base.state == "under way"}
    ages = {one.key: one.modified for key in found.leftovers for one in objects.list(key)}
    keys += [key for key in found.leftovers if key.split("/")[-2] not in alive and key in ages
             and now - ages[key] > GARBAGE]
    objects.delete(keys)
    for base in rt.store.pitr_bases(service.uid):
        if base.id in {one.id for one in gone.bases} or base.epoch in gone.epochs:
            rt.store.end_pitr_base(base.id, "deleted", reason="retention")
    return len(keys)
