"""What backups do by themselves: due schedules, retention after each, drills, and the health that `doctor` shows.

A schedule is due when its next time after the last attempt has come, so one that was missed (the server was off, the
service stopped) is made up for once, and a failed one is tried again once after a quarter of an hour.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas.backups import drill, keyring, leftovers, pipeline, places
from paas.backups.streams import Progress, silent
from paas.errors import Conflict, PaasError
from paas.model.access import PLATFORM, Actor
from paas.model.backup import GOOD, Backup, BackupState, Schedule, Trigger
from paas.model.backup_health import Due, Finding, Level, Watched, health
from paas.model.durations import read_span
from paas.model.retention import newest_drilled
from paas.model.service import Service, ServiceState
from paas.ops import backups, guarded, pitr

if TYPE_CHECKING:
    from paas.runtime import Runtime

RETRY = timedelta(minutes=15)
BACK = timedelta(days=400)               # how far back the last due times are looked for

log = logging.getLogger("paas.backups")


def begin(rt: Runtime) -> None:
    """Once, at the start of the daemon."""
    cut = leftovers.abandon(rt)
    for row in cut:
        log.warning("the backup %s of %s was interrupted", row.id, row.service)
    rt.spawn(lambda: after_cut(rt, cut))
    drill.end_cut(rt)


def after_cut(rt: Runtime, cut: list[Backup]) -> None:
    """In the background: a target that is down must not hold up the start."""
    leftovers.end_sessions(rt, cut)
    leftovers.clear_up(rt)


def tick(rt: Runtime) -> None:
    """Every few seconds: start what is due, each in the background."""
    leftovers.abandon(rt)
    for service in guarded.guarded(rt):
        if service.state in (ServiceState.CREATING, ServiceState.DESTROYING) or rt.turns.held(service.uid):
            continue
        if due(rt, service):
            rt.spawn(lambda one=service: scheduled(rt, one))
        elif drill_due(rt, service):
            rt.spawn(lambda one=service: drilled(rt, one))


def due(rt: Runtime, service: Service) -> bool:
    attempts = rt.store.backups(service.uid, limit=3)
    return any(is_due(rt, one, attempts) for one in rt.store.backup_schedules(service.uid))


def is_due(rt: Runtime, schedule: Schedule, attempts: list[Backup]) -> bool:
    now = rt.clock.now()
    last = attempts[0] if attempts else None
    since = max(schedule.created_at, last.started_at) if last else schedule.created_at
    if rt.schedules.next(schedule.schedule, "UTC", since) <= now:
        return True
    if not last or last.state is not BackupState.FAILED or last.trigger is not Trigger.SCHEDULE:
        return False
    return now - last.started_at > RETRY and not was_retry(rt, schedule, attempts)


def was_retry(rt: Runtime, schedule: Schedule, attempts: list[Backup]) -> bool:
    """Did the last attempt follow a failed one without a due time in between?"""
    if len(attempts) < 2 or attempts[1].state is not BackupState.FAILED:
        return False
    return rt.schedules.next(schedule.schedule, "UTC", attempts[1].started_at) > attempts[0].started_at


def scheduled(rt: Runtime, service: Service) -> None:
    try:
        with_retention(rt, service, Trigger.SCHEDULE, PLATFORM)
    except Conflict:
        return                           # somebody works on it; the next tick comes back
    except PaasError as error:
        log.warning("the backup of %s failed: %s", service.title, error.what)


def with_retention(rt: Runtime, service: Service, trigger: Trigger, actor: Actor, *,
                   progress: Progress = silent, allow_empty: bool = False) -> Backup:
    """A backup, its event, and then what the policy lets go."""
    try:
        made = pipeline.make(rt, service, trigger, progress=progress, allow_empty=allow_empty)
    except PaasError as error:
        if not isinstance(error, Conflict):
            tell(rt, actor, service, "failed", {"reason": error.what[:500]})
        raise
    tell(rt, actor, service, "ok", {"backup": made.id, "bytes": str(made.size)})
    look_after(rt, service)
    return made


def look_after(rt: Runtime, service: Service) -> None:
    """After a good backup, when the target answers. What fails here says nothing of the backup."""
    try:
        leftovers.clear_up(rt, service.uid)
        done = backups.pruned(rt, service)
        for backup_id in done.deleted:
            log.info("retention deleted %s of %s", backup_id, service.title)
        if done.stopped:
            log.warning("retention deleted nothing of %s: %s", service.title, done.stopped)
        leftovers.tidy(rt, service)
    except PaasError as error:
        log.warning("after the backup of %s: %s", service.title, error.what)


def tell(rt: Runtime, actor: Actor, service: Service, result: str, detail: dict[str, str]) -> None:
    rt.store.add_event(actor, f"{service.datastore}:backup", f"{service.datastore}/{service.name}", result, detail)


# --- drills --------------------------------------------------------------------------------------------------------


def drill_every(service: Service) -> timedelta:
    """Zero: off."""
    text = service.settings.get(backups.DRILLS, backups.WEEKLY)
    return timedelta() if text == "off" else read_span(text)


def drill_due(rt: Runtime, service: Service) -> bool:
    """After the first backup, then whenever the last attempt at a proof is older than it may be; never while a restore
    works, which it might have to give way to at once."""
    every = drill_every(service)
    if not every or rt.room.restores() or rt.turns.held(f"drill {service.uid}"):
        return False
    last = next(iter(rt.store.drills(service.uid, limit=1)), None)
    if last and rt.clock.now() - last.started_at <= (every if last.passed else min(every, timedelta(days=1))):
        return False
    return bool(rt.store.backups(service.uid, states=GOOD, limit=1)) and not keyring.keyring(rt).write_only


def drilled(rt: Runtime, service: Service) -> None:
    with suppress(Conflict):
        try:
            drill.run(rt, backups.newest_good(rt, service), PLATFORM, progress=silent)
        except PaasError as error:
            log.warning("the drill of %s: %s", service.title, error.what)
            if isinstance(error, Conflict):
                raise


# --- health --------------------------------------------------------------------------------------------------------


def findings(rt: Runtime, service: Service) -> list[Finding]:
    """What is wrong with its backups, failures first."""
    rows = rt.store.backups(service.uid)
    watched = Watched(
        target=places.target_of(rt, service.uid), backups=rows, drills=rt.store.drills(service.uid),
        schedules=[since_when(rt, one) for one in rt.store.backup_schedules(service.uid)],
        drill_every=drill_every(service), can_drill=not keyring.keyring(rt).write_only,
        kit_confirmed=keyring.kit_confirmed(rt))
    return [*health(watched, rt.clock.now()), *pitr.findings(rt, service)]


def since_when(rt: Runtime, schedule: Schedule) -> Due:
    """The two last due times: looked for backwards, in steps that double."""
    times = list(last_times(rt, schedule.schedule))[-2:]
    last = times[-1] if times else None
    return Due(schedule.schedule, schedule.created_at, last, times[0] if len(times) > 1 else None)


def last_times(rt: Runtime, text: str) -> Iterator[datetime]:
    now, back = rt.clock.now(), timedelta(hours=2)
    while back < BACK:
        times, at = [], rt.schedules.next(text, "UTC", now - back)
        while at <= now:
            times.append(at)
            at = rt.schedules.next(text, "UTC", at)
        if len(times) >= 2:
            yield from times
            return
        back *= 2
    yield from times


def protection(rt: Runtime, service: Service) -> dict[str, object]:
    """For a service's `info` and the one list: the last good backup, the last proof, how long a restore takes."""
    rows, proofs = rt.store.backups(service.uid), [one for one in rt.store.drills(service.uid) if one.passed]
    good = next((row for row in rows if row.good), None)
    found = findings(rt, service)
    return {
        "backups": "failing" if any(one.level is Level.FAILURE for one in found) else
        "fine" if not found else "fine, with remarks",
        "last good backup": good.started_at if good else None,
        "last drill": proofs[0].finished_at if proofs else None,
        "restorable in": f"{proofs[0].restore_seconds:.0f} s" if proofs else "",
        "remarks": "; ".join(one.text for one in found),
        "schedules": [one.schedule for one in rt.store.backup_schedules(service.uid)],
        "newest drilled": getattr(newest_drilled(rows), "id", ""),
    } | pitr.brief(rt, service)
