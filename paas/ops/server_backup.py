"""Backups of the platform itself: made, scheduled, kept. Their restore is in `server_restore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paas.backups.streams import Progress
from paas.model.access import Actor
from paas.model.backup import Backup, Trigger
from paas.ops import backup_due, backups, guarded

if TYPE_CHECKING:
    from paas.runtime import Runtime


def make(rt: Runtime, actor: Actor, *, images: bool | None, storage: bool | None,
         progress: Progress) -> Backup:
    """Now; None: with what schedules take along too."""
    return backup_due.with_retention(rt, guarded.itself(rt, images=images, storage=storage), Trigger.MANUAL, actor,
                                     progress=progress)


def schedule(rt: Runtime, actor: Actor, text: str, *, images: bool, storage: bool) -> bool:
    """A cron expression in UTC; *images* and *storage* are of all scheduled backups. BadInput. False: it was there."""
    new = backups.schedule(rt, guarded.itself(rt), actor, text)
    for key, wanted in (("images", images), ("storage", storage)):
        rt.store.set_setting(guarded.PREFIX + key, "yes" if wanted else None)
    return new


def seen_to(rt: Runtime) -> bool:
    """It has a schedule, or was backed up once."""
    own = guarded.itself(rt)
    return bool(rt.store.backups(own.uid, limit=1) or rt.store.backup_schedules(own.uid))
