"""The threads that ship the log: for every service with point in time one that sends, and one that watches.

Receivers and threads are derived from the table ``pitr``: what is missing is made, what is too much goes, also after a
crash at any point.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import randbits, token_hex
from typing import TYPE_CHECKING

from paas.api import LogState
from paas.backups import keyring, pitr_base, pitr_receiver, places
from paas.backups.keyring import Keyring
from paas.backups.pitr_ship import Shipper, Spool
from paas.backups.streams import Progress, silent
from paas.errors import Conflict, PaasError, ServiceError, Unavailable
from paas.model.access import PLATFORM, Actor
from paas.model.backup import Target, Trigger
from paas.model.backup_layout import new_id
from paas.model.pitr_health import BASE_EVERY
from paas.model.pitr_row import Pitr, PitrBase
from paas.model.service import Service, ServiceState
from paas.secret import Secret
from paas.services import container
from paas.threads import started

if TYPE_CHECKING:
    from paas.runtime import Runtime

SHIP_SECONDS = 1.0                       # between two looks at the spool; that and an upload may be lost
WATCH_SECONDS = 10.0                     # between two looks at the slot and the receiver
MOST_PAUSE = 10.0                        # seconds between two attempts at a target that fails
START_SECONDS = 60.0                     # that a receiver may take to connect
RETRY = timedelta(minutes=15)            # after a base that failed
INTERRUPTED = "interrupted: paasd stopped while this was running"

log = logging.getLogger("paas.pitr")


@dataclass
class Stream:
    """One service's way to the target, of one epoch, to one target, with one set of keys."""

    row: Pitr
    target: Target
    keys: Keyring
    shipper: Shipper
    since: datetime
    error: str = ""                      # why the last attempt to send failed; "" while all is well
    problem: str = ""                    # why the log is not received
    replaced: bool = False               # the data are others than those that this epoch is of
    failing_since: datetime | None = None
    state: LogState | None = None        # as seen last
    asked: tuple[int, datetime] | None = None    # a position of the log, and a time when none later was there
    received: tuple[float, datetime] | None = None   # since when (monotonic) all of until when is in the spool
    synced: datetime | None = None       # the target has all that was committed until then
    idle_since: datetime | None = None   # the receiver is not connected since
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def same(self, row: Pitr, target: Target, keys: Keyring) -> bool:
        """And its threads go on: one that was ended has to be replaced, also where what came instead has failed."""
        return not self.stop.is_set() and \
            (self.row.epoch, self.row.target, self.target, self.keys) == (row.epoch, row.target, target, keys)

    def end(self) -> None:
        self.stop.set()
        for one in self.threads:
            if one is not threading.current_thread():
                one.join(10)

    def note(self, state: LogState, now: datetime, after: float) -> None:
        """*state* was asked for at *now*, and the answer came at *after* (monotonic)."""
        for position, until in ((self.asked or (state.position, now)), (state.position, now)):
            if state.received >= position:
                self.received = (after, until)
        self.state, self.asked = state, (state.position, now)

    def sent(self, began: float) -> None:
        """All that was in the spool when a look began is in the target."""
        if self.received and self.received[0] <= began:
            self.synced = max(self.synced or self.received[1], self.received[1])


class Recoveries:
    """What this process ships. One `supervise` at a time."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self._lock = threading.RLock()
        self.problems: dict[str, tuple[str, datetime]] = {}      # service uid → why nothing of it is sent, since when

    def of(self, service_uid: str) -> Stream | None:
        return self._streams.get(service_uid)

    def supervise(self, rt: Runtime) -> None:
        """Make the threads what the table wants. Never raises for one service."""
        with self._lock:
            wanted = {row.service_uid: row for row in rt.store.pitrs() if row.enabled}
            services = {one.uid: one for one in rt.store.services()} if wanted or self._streams else {}
            for uid in [uid for uid in self._streams if uid not in wanted or uid not in services]:
                self._streams.pop(uid).end()
            for uid, row in wanted.items():
                if uid not in services:
                    rt.store.update_pitr(uid, enabled=False)       # destroyed; its history stays
                    pitr_receiver.remove_spool(rt, uid)
                elif services[uid].state not in (ServiceState.CREATING, ServiceState.DESTROYING):
                    self._tried(rt, services[uid], row)
            self.problems = {uid: found for uid, found in self.problems.items() if uid in wanted}

    def _tried(self, rt: Runtime, service: Service, row: Pitr) -> None:
        try:
            self._ship(rt, service, row)
        except PaasError as error:
            before, since = self.problems.get(service.uid, ("", rt.clock.now()))
            if before != error.what:
                log.warning("the log of %s is not sent: %s", service.title, error.what)
            self.problems[service.uid] = error.what, since
        else:
            self.problems.pop(service.uid, None)

    def _ship(self, rt: Runtime, service: Service, row: Pitr) -> None:
        target, keys = places.target_of(rt, service.uid), keyring.keyring(rt)
        known = self._streams.get(service.uid)
        if known and known.same(row, target, keys):
            return
        if known:
            known.end()
        place = places.layout_of(rt, service).pitr(row.epoch)
        spool = Spool(pitr_receiver.spool_of(rt, service.uid, row.epoch))
        shipper = Shipper(spool, rt.targets.open(target), rt.sealing, keys, place, row.segment_size)
        stream = Stream(row, target, keys, shipper, rt.clock.now())
        self._streams[service.uid] = stream
        try:
            stream.threads += [started(work, rt, stream, name=f"pitr-{work.__name__}") for work in (send, watch)]
        except Unavailable:
            self._streams.pop(service.uid).end()     # opened again by the next supervision
            raise

    def end(self) -> None:
        """All threads; the receivers go on."""
        with self._lock:
            for one in self._streams.values():
                one.stop.set()
            self._streams.clear()


# --- sending -------------------------------------------------------------------------------------------------------


def send(rt: Runtime, stream: Stream) -> None:
    """Into the target that the epoch began in; another target gets another epoch."""
    pause = 0.0
    while not stream.stop.wait(pause):
        began = rt.clock.monotonic()
        try:
            if stream.row.target == stream.target.url:
                stream.shipper.tick()
                stream.sent(began)
            stream.error, stream.failing_since = "", None
            pause = max(0.0, SHIP_SECONDS - (rt.clock.monotonic() - began))
        except PaasError as error:
            pause = failed(rt, stream, error.what, pause)
        except Exception:
            log.exception("shipping of %s failed", stream.row.service_uid)
            pause = failed(rt, stream, "an error of paas itself; see the daemon's log", MOST_PAUSE)


def failed(rt: Runtime, stream: Stream, why: str, pause: float) -> float:
    stream.error = why
    stream.failing_since = stream.failing_since or rt.clock.now()
    return min(MOST_PAUSE, max(SHIP_SECONDS, pause * 2))


# --- watching ------------------------------------------------------------------------------------------------------


def watch(rt: Runtime, stream: Stream) -> None:
    pause = 0.0
    while not stream.stop.wait(pause):
        pause = WATCH_SECONDS
        try:
            stream.problem = look(rt, stream)
        except PaasError as error:
            stream.problem = error.what
        except Exception:
            log.exception("watching of %s failed", stream.row.service_uid)
            stream.problem = "an error of paas itself; see the daemon's log"
        if stream.problem:
            stream.state = None


def look(rt: Runtime, stream: Stream) -> str:
    """Once: what is wrong with receiving; empty: nothing. Mends what it can."""
    service = service_of(rt, stream.row.service_uid)
    if service is None or rt.turns.held(service.uid):
        return stream.problem            # somebody works on it
    if service.state != ServiceState.RUNNING:
        pitr_receiver.remove(rt, service)
        return "the service is stopped"
    point, shell, now = pitr_receiver.hook(rt, service.datastore), container.shell(rt, service), rt.clock.now()
    state = point.state(shell, service)
    stream.replaced = state.system != stream.row.system and service.volume == stream.row.volume
    if stream.replaced:
        pitr_receiver.remove(rt, service)
        return "its data are others than those that this history is of"
    if reason := over(stream, state, service):
        return renewed(rt, stream, service, reason)
    stream.note(state, now, rt.clock.monotonic())
    if not state.streaming:
        stream.idle_since = stream.idle_since or now
        pitr_receiver.ensure(rt, service, stream.row.epoch, point.owner(shell))
        return ""
    stream.idle_since = None
    if base_due(rt, stream.row):
        rt.spawn(lambda: quietly(rt, service, stream.row))
    return ""


def service_of(rt: Runtime, uid: str) -> Service | None:
    return next((one for one in rt.store.services() if one.uid == uid), None)


def over(stream: Stream, state: LogState, service: Service) -> str:
    """Why this epoch cannot go on; empty: it can."""
    if service.volume != stream.row.volume or state.system != stream.row.system:
        return "the service got other data"
    if stream.target.url != stream.row.target:
        return "another target was set"
    if state.slot in ("lost", "missing"):
        return f"the slot was {state.slot}: the log in between is lost"
    return f"the log has a hole: {stream.shipper.broken} is lost" if stream.shipper.broken else ""


def renewed(rt: Runtime, stream: Stream, service: Service, reason: str) -> str:
    """Another epoch, once all that was received of the old one is in the target."""
    unsent = stream.error and not stream.shipper.broken
    if unsent and stream.target.url == stream.row.target:
        return f"{reason}; what was received before waits for the target"
    try:
        with rt.turns.hold(service.uid, f"a new history of {service.title}"):
            begin_epoch(rt, service, reason)
    except Conflict:
        return reason
    log.warning("a new history of %s begins: %s", service.title, reason)
    rt.store.add_event(PLATFORM, f"{service.datastore}:pitr", service.name, "failed", {"gap": reason})
    rt.spawn(lambda: rt.recovery.supervise(rt))
    return ""


# --- epochs and bases ----------------------------------------------------------------------------------------------


def begin_epoch(rt: Runtime, service: Service, reason: str, actor: Actor | None = None) -> Pitr:
    """A fresh slot, receiver and spool; the base follows. The caller has the service's turn."""
    point = pitr_receiver.hook(rt, service.datastore)
    if "replication-password" not in service.secrets:
        service = rt.store.set_service_secrets(service.id, {
            **service.secrets, "replication-password": Secret(token_hex(32))})
    shell = container.shell(rt, service)
    places.require_ours(rt, places.objects_of(rt, service.uid))
    pitr_receiver.remove(rt, service)
    point.begin(shell, service)
    state, old = point.state(shell, service), rt.store.pitr(service.uid)
    epoch = new_id(rt.clock.now(), randbits(32), old.epoch if old else "")
    row = rt.store.put_pitr(service.uid, epoch=epoch, reason=reason, target=places.target_of(rt, service.uid).url,
                            system=state.system, volume=service.volume, segment_size=state.segment_size, actor=actor)
    pitr_receiver.ensure(rt, service, epoch, point.owner(shell))
    return row


def wait_for(rt: Runtime, true: Callable[[], bool], seconds: float) -> bool:
    deadline = rt.clock.monotonic() + seconds
    while not true():
        if rt.clock.monotonic() > deadline:
            return False
        rt.clock.sleep(0.1)
    return True


def require_streaming(rt: Runtime, service: Service) -> None:
    """ServiceError: the receiver does not connect; with its last words."""
    point, shell = pitr_receiver.hook(rt, service.datastore), container.shell(rt, service)
    if not wait_for(rt, lambda: point.state(shell, service).streaming, START_SECONDS):
        found = pitr_receiver.running(rt, service)
        words = container.last_words(rt, found.id) if found else ""
        raise ServiceError(f"the receiver of the log does not connect{words}", "Look at the service's logs.")


def base_due(rt: Runtime, row: Pitr) -> bool:
    """None in this epoch, or the newest is a week old; after a failure a quarter of an hour later."""
    rows = [one for one in rt.store.pitr_bases(row.service_uid) if one.epoch == row.epoch]
    now = rt.clock.now()
    good = next((one for one in rows if one.state == "good"), None)
    cut = bool(rows) and rows[0].reason == INTERRUPTED
    if rows and rows[0].state == "failed" and not cut and now - rows[0].started_at < RETRY:
        return False
    return good is None or now - good.started_at >= BASE_EVERY


def quietly(rt: Runtime, service: Service, row: Pitr) -> None:
    with suppress(Conflict):             # somebody works on it; the next look comes back
        try:
            make_base(rt, service, row, Trigger.SCHEDULE)
        except Conflict:
            raise
        except PaasError as error:
            log.warning("the base of %s failed: %s", service.title, error.what)


def make_base(rt: Runtime, service: Service, row: Pitr, trigger: Trigger,
              progress: Progress = silent) -> PitrBase:
    with rt.turns.hold(service.uid, f"a base of {service.title}"):
        if trigger is Trigger.SCHEDULE and not base_due(rt, row):
            raise Conflict("another base was made meanwhile")
        return pitr_base.make(rt, rt.store.service_by_id(service.id), row, trigger, progress)


def flush(rt: Runtime, service: Service, seconds: float) -> datetime | None:
    """Wait until the target has all that is committed by now; until when it has all, or None: that is not known."""
    stream = rt.recovery.of(service.uid)
    if stream is None or service.state != ServiceState.RUNNING or stream.replaced:
        return stream.synced if stream else None
    now = rt.clock.now()
    deadline = rt.clock.monotonic() + seconds
    with suppress(PaasError):
        while rt.clock.monotonic() < deadline and (stream.synced is None or stream.synced < now):
            if stream.received is None or stream.received[1] < now:
                ask(rt, service, stream)
            rt.clock.sleep(0.1)
    return stream.synced


def ask(rt: Runtime, service: Service, stream: Stream) -> None:
    """ServiceError: it does not answer, or its log is not received any more."""
    now = rt.clock.now()
    state = pitr_receiver.hook(rt, service.datastore).state(container.shell(rt, service), service)
    if state.system != stream.row.system or state.slot in ("lost", "missing"):
        raise ServiceError("its log is not received any more")
    stream.note(state, now, rt.clock.monotonic())
