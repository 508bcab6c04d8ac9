"""Stage 6: the window in which a release is watched opens; ``paas.ops.watch`` looks, and goes back where it must.

It is a row of the database, so that a daemon that starts anew goes on with it.
"""

from __future__ import annotations

from datetime import timedelta

from paas.deploy import warm
from paas.deploy.switch import Switched
from paas.deploy.work import Work
from paas.model import app_settings
from paas.model.app import App
from paas.model.watch import Outcome, Watch
from paas.ops import traffic_counts
from paas.ports_store import Store

POLL = 0.2                               # seconds between two looks of a waiting push
PATIENCE = 120.0                         # seconds that the end may take, with a rollback


def begin(work: Work, switched: Switched) -> Watch | None:
    """Open the window of a release that has one; the instances that stay are warm then.

    None: nothing to go back to (a first release, a restart, a scaling), a rollback, or turned off.
    """
    rt, before, seconds = work.rt, switched.before, length(work.rt.store, work.app)
    if not seconds or not work.watched or not before:
        return None
    return rt.store.begin_watch(
        switched.release.id, work.app.id, before.id, rt.clock.now() + timedelta(seconds=seconds),
        before=traffic_counts.lately(rt, work.app, before), counted=traffic_counts.so_far(rt, work.app),
        warm=[row.id for row in warm.staying(work, switched.draining)])


def length(store: Store, app: App) -> float:
    """Seconds; 0: no window."""
    return float(app_settings.value_of(app_settings.APP, app.settings, "watch.seconds")
                 or app_settings.value_of(app_settings.SERVER, store.settings(), "watch-seconds"))


def await_end(work: Work, watched: Watch) -> Outcome:
    """For a push that waits: until the window is over, and a rollback that began in it has said how it went."""
    clock = work.rt.clock
    latest = clock.monotonic() + (watched.ends_at - clock.now()).total_seconds() + PATIENCE
    outcome = outcome_of(work, watched)
    while not work.job.decided and clock.monotonic() < latest and outcome in (Outcome.OPEN, Outcome.ROLLED_BACK):
        clock.sleep(POLL)
        outcome = outcome_of(work, watched)
    return outcome


def outcome_of(work: Work, watched: Watch) -> Outcome:
    """Of an app that was destroyed: cut short."""
    found = [one for one in work.rt.store.watches(work.app.id) if one.release_id == watched.release_id]
    return found[0].outcome if found else Outcome.CUT_SHORT
