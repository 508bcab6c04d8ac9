"""Scale to zero: an app that nobody asks for stops, and starts again with the next request.

Asleep is a state of the app. Its instances keep their rows, addresses and containers; these are stopped, and the engine
is told not to start them by itself. Every change is made in the app's turn, the database first, so that reconcile can
finish what was cut: a sleeping app whose containers run is put back to sleep.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING

from paas.deploy import Work, warm
from paas.deploy.drain import drain
from paas.deploy.probes import accepts, describe
from paas.errors import CheckFailed, EngineError, Locked, PaasError
from paas.jobs import Job
from paas.model import app_settings, sleep
from paas.model.access import PLATFORM
from paas.model.app import App
from paas.model.release import Check, CheckKind, Instance, InstanceState, Release
from paas.ops import app_repairs, cron_run, routes
from paas.ports import Page

if TYPE_CHECKING:
    from paas.runtime import Runtime

PROBE_SECONDS = 0.01
LOOK_SECONDS = 0.05                      # between two looks whether the container still runs
WAKE_MOST = 60.0                         # seconds for an app to become ready, and to wait for its turn
AT_ONCE = 12
TURN_POLL = 0.02
UNDER_WAY = "a deploy of it, or the like, is not over"


# --- may it ------------------------------------------------------------------------------------------------------


def after(app: App) -> int:
    """Seconds without a request after which it sleeps; 0: never."""
    return int(app_settings.value_of(app_settings.APP, app.settings, "sleep.after"))


def hindrance(rt: Runtime, app: App) -> str:
    """Why it is not to sleep at all; empty: it may. As on Heroku, workers keep an app awake."""
    if app.name in sleep.words(app_settings.value_of(app_settings.SERVER, rt.store.settings(), "never-sleep")):
        return "the server's setting never-sleep names it"
    live = rt.store.live_release(app.id)
    workers = [f"{one.type}={one.quantity}" for one in live.formation if one.type != "web" and one.quantity] \
        if live else []
    if workers:
        return f"{', '.join(workers)} runs beside web, and nothing would wake it"
    if not rt.store.domains(app.id):
        return "it has no domain, so that no request could wake it"
    return ""


def counted(rt: Runtime) -> bool:
    """The proxy counts requests (``server:set metrics``); else nobody knows who is idle."""
    return app_settings.value_of(app_settings.SERVER, rt.store.settings(), "metrics") == "true"


def business(rt: Runtime, app: App) -> str:
    """What goes on in it now, but for requests; empty: nothing."""
    live = rt.store.live_release(app.id)
    if not live or app.stopped or app.maintenance:
        return "it does not run" if not live or app.stopped else "it is in maintenance"
    rows = rt.store.instances(app.id)
    if not rows:
        return "it is scaled to 0"
    if any(row.release_id != live.id or row.state != InstanceState.HEALTHY for row in rows):
        return UNDER_WAY
    runs = [f"run.{one.id}" for one in rt.store.runs(app.id)] + \
        [f"cron.{one.id}" for one in cron_run.running(rt, app.id)]
    return f"{', '.join(runs)} is under way" if runs else ""


# --- to sleep ----------------------------------------------------------------------------------------------------


def fall_asleep(rt: Runtime, app_id: int, idle: Callable[[], bool] | None = None) -> str:
    """Put it to sleep; why not, or empty. Without *idle* the time after a deploy in which it is watched ends.

    Requests are held from the first step on. With *idle*, asked once more in the app's turn, those that are still being
    served at the drain timeout keep it awake; without, they are cut as by ``ps:stop``.
    """
    turn = rt.jobs.try_turn(app_id, "sleep", housekeeping=True)
    if turn is None:
        return UNDER_WAY
    try:
        app = rt.store.app_by_id(app_id)
        if idle is None and rt.store.watches(app.id, open_only=True):
            warm.cut_short(app_repairs.work_of(rt, app, "sleep"))
        why = hindrance(rt, app) or business(rt, app)
        if why or app.asleep or (idle and not idle()):
            return why
        return lie_down(rt, app, patient=idle is not None)
    finally:
        rt.jobs.leave(turn)


def lie_down(rt: Runtime, app: App, patient: bool) -> str:
    routes.ensure_known(rt, app)
    app = rt.store.update_app(app.id, asleep=True)
    rt.router.point(app.id, routes.wanted(rt, app))
    work, rows = app_repairs.work_of(rt, app, "sleep"), rt.store.instances(app.id)
    if drain(work, rows) and patient:
        rt.router.point(app.id, routes.wanted(rt, rt.store.update_app(app.id, asleep=False)))
        return "requests of it are being served"
    freed = sum(warm.memory(work, row) for row in rows)
    app_repairs.take_down(work, rows)
    rt.store.add_event(PLATFORM, "sleep", app.name, "ok", {"memory": str(freed)})
    return ""


# --- awake -------------------------------------------------------------------------------------------------------


def wake(rt: Runtime, app_id: int, job: Job | None = None) -> tuple[str, ...] | Page:
    """Where its requests go now: it is started if it sleeps, exactly once however many ask. *job* can be cancelled.

    :raises CheckFailed: it did not become ready; it sleeps on. :raises Locked: its turn did not come in time.
    """
    ends = rt.clock.monotonic() + WAKE_MOST
    while True:
        app = rt.store.app_by_id(app_id)
        if not app.asleep:
            return routes.wanted(rt, app)
        turn = rt.jobs.try_turn(app_id, "wake", housekeeping=True)
        if turn:
            break
        if rt.clock.monotonic() > ends:
            raise Locked("something else is under way with this app", "See: paas status")
        rt.clock.sleep(TURN_POLL)
    try:
        return rise(rt, rt.store.app_by_id(app_id), job)
    finally:
        rt.jobs.leave(turn)


def rise(rt: Runtime, app: App, job: Job | None = None) -> tuple[str, ...] | Page:
    """The caller has the app's turn. Raises what kept it from becoming ready; then it sleeps on."""
    live = rt.store.live_release(app.id)
    if app.asleep and live:
        work, rows = Work(rt, app, PLATFORM, job or Job(app.id, "wake")), serving(rt, live)
        try:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="wake") as pool:
                list(pool.map(lambda row: get_up(work, live, row), rows))
        except BaseException:
            with suppress(PaasError):    # else reconcile does it
                app_repairs.take_down(work, serving(rt, live))
            raise
    app = rt.store.update_app(app.id, asleep=False)
    targets = routes.wanted(rt, app)
    rt.router.point(app.id, targets)
    return targets


def serving(rt: Runtime, live: Release) -> list[Instance]:
    return [row for row in rt.store.instances(live.app_id, release_id=live.id) if row.state == InstanceState.HEALTHY]


def get_up(work: Work, live: Release, row: Instance) -> None:
    """:raises CheckFailed: it ended, or was not ready in time."""
    app_repairs.start(work.rt, work.app, live, row)
    [row] = [one for one in work.rt.store.instances(work.app.id) if one.id == row.id]    # it may have been made anew
    process, done = live.process(row.process_type), threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="probe") as pool:
        proof = pool.submit(await_ready, work, process.check, row, done) if process.type == "web" else None
        try:
            let_restart(work, row, process.restart)
            while proof and not proof.done():
                refuse_ended(work, row)
                wait([proof], LOOK_SECONDS)
        finally:
            done.set()
    if proof:
        proof.result()


def let_restart(work: Work, row: Instance, policy: str) -> None:
    """:raises CheckFailed: it has ended: the engine does not listen then."""
    try:
        work.rt.containers.set_restart(row.container_id, policy)
    except EngineError:
        refuse_ended(work, row)
        raise


def refuse_ended(work: Work, row: Instance) -> None:
    work.stop_if_cancelled()
    found = work.rt.containers.state(row.container_id)
    if not found.running or found.restarts:
        code = "" if found.exit_code is None else f" with exit code {found.exit_code}"
        raise CheckFailed(f"{row.name} ended{code} while it was starting", f"See: paas logs {work.app.name}")


def await_ready(work: Work, check: Check, row: Instance, done: threading.Event) -> None:
    """Ask again and again, at once: the port is known.

    An image's HEALTHCHECK and the delay and the body of a check are for deploys: they proved this release then, and
    would hold up the visitor now. Where the check asks another port, any answer on the site's counts.

    :raises CheckFailed: its time is over.
    """
    asks = check.kind in (CheckKind.HTTP, CheckKind.LISTEN) and check.port in (0, row.port)
    clock, host = work.rt.clock, check.host or routes.visible_host(work.rt, work.app) or row.address
    patience = min(check.timeout, WAKE_MOST)
    ends = clock.monotonic() + patience
    while not done.is_set():
        answer = work.rt.prober.get(row.address, row.port, check.path, host, check.attempt_timeout, check.headers, None,
                                    asks and check.https)
        if accepts(check, answer) if asks else answer.status:
            return
        if clock.monotonic() > ends:
            raise CheckFailed(f"{row.name} was not ready within {patience:g} s: {describe(check, answer)}",
                              f"See: paas logs {work.app.name}")
        clock.sleep(PROBE_SECONDS)
