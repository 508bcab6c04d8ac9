"""Drills of streamed SQLite files: the newest state in the target is restored into a directory of the platform's,
checked by SQLite, and thrown away. By hand, and by itself an hour after a history began, then every week.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas.backups import keyring
from paas.backups.sqlite_restore import State
from paas.errors import Conflict, Forged, PaasError, reason_of
from paas.model import drills
from paas.model.access import PLATFORM, Actor
from paas.model.app import App
from paas.model.backup_layout import time_of
from paas.model.moments import write_moment
from paas.model.sqlite import DRILL_EVERY, ProtectedFile
from paas.ops import backup_keys
from paas.ops.sqlite_restore import Scratch, built, fill, flush, wanted
from paas.secret import Secret
from paas.services.turns import history, trial

if TYPE_CHECKING:
    from paas.runtime import Runtime

Say = Callable[[str], None]

log = logging.getLogger("paas.sqlite")


@dataclass(frozen=True)
class Drilled:
    state_at: datetime                   # time of its last transaction
    transactions: int
    size: int                            # bytes of the database
    counted: tuple[int, int] | None      # tables and rows; None: it is too large for that, or SQLite cannot say
    seconds: float


def drill(rt: Runtime, actor: Actor, app: App, name: str, *, key: Secret | None = None,
          say: Say = lambda line: None) -> Drilled:
    """Restore the newest state, as sqlite:restore does, and look it over. Forged: what was stored is not all there, or
    not what was stored. ServiceError: SQLite finds damage. NoSpace. Conflict: one is under way.

    :param key: an age identity, where the server does not hold its own; without any there is no drill (BadInput).
    """
    file = rt.store.protected_file(app.id, name)
    backup_keys.open_keys(rt, key)
    what = f"a drill of {app.name} {name}"
    with rt.turns.hold(trial(file.uid), what), rt.turns.share(history(file.uid), what), rt.heavy:
        return attempt(rt, actor, app, rt.store.protected_file_by_id(file.id), key, say)


def attempt(rt: Runtime, actor: Actor, app: App, file: ProtectedFile, key: Secret | None, say: Say) -> Drilled:
    began, state = rt.clock.monotonic(), None
    try:
        flush(rt, file, None, say)
        sent = reach(rt, file)
        state = wanted(rt, file, None, key)
        require_all(file, state, sent)
        with Scratch(rt, file) as scratch:
            fill(rt, file, state, key, scratch, say)
            database = built(rt, file, state, scratch)
            size, counted = database.stat().st_size, rt.databases.count(database)
    except BaseException as error:
        reason = reason_of(error)
        note(rt, actor, app, file, state, rt.clock.monotonic() - began, reason)
        raise
    took = rt.clock.monotonic() - began
    note(rt, actor, app, file, state, took, "")
    return Drilled(state.at, state.chain[-1].max, size, counted, took)


def reach(rt: Runtime, file: ProtectedFile) -> int:
    """The last transaction that the target is known to have of the present history; 0: none."""
    stream = rt.streams.of(file)
    return stream.shipper.reach if stream else 0


def require_all(file: ProtectedFile, state: State, sent: int) -> None:
    """A file that was taken out of the target gives an older state, which is whole in itself."""
    if sent and (state.epoch.id, state.chain[-1].max) < (file.epoch, sent):
        raise Forged("the target lacks files of the history that it had taken: the newest state that it gives is of "
                     f"{state.at:%Y-%m-%d %H:%M:%S} UTC", "Look who deletes there; then protect the file anew.")


def note(rt: Runtime, actor: Actor, app: App, file: ProtectedFile, state: State | None, took: float,
         reason: str) -> None:
    to = state.at if state else None
    rt.store.note_file_drill(file.id, to=to, passed=not reason, seconds=round(took, 3), reason=reason[:500])
    rt.store.add_event(actor, "sqlite:drill", app.name, "failed" if reason else "ok",
                       {"file": file.name, **({"drill": write_moment(to)} if to else {}),
                        **({"reason": reason[:500]} if reason else {})})


# --- by itself -----------------------------------------------------------------------------------------------------


def hourly(rt: Runtime) -> None:
    """Begin the drills that are due, each in the background; one works at a time."""
    for file in rt.store.protected_files():
        if is_due(rt, file):
            rt.spawn(lambda one=file: drilled(rt, one))


def is_due(rt: Runtime, file: ProtectedFile) -> bool:
    if not file.enabled or not file.epoch or keyring.keyring(rt).write_only or rt.turns.held(history(file.uid)):
        return False
    return drills.is_due(file, time_of(file.epoch), timedelta(seconds=DRILL_EVERY), rt.clock.now())


def drilled(rt: Runtime, file: ProtectedFile) -> None:
    with suppress(Conflict):
        try:
            drill(rt, PLATFORM, rt.store.app_by_id(file.app_id), file.name)
        except PaasError as error:
            log.warning("the drill of %s failed: %s", file.name, error.what)
            if isinstance(error, Conflict):
                raise
