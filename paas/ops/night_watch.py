"""What the daemon looks at by itself and opens incidents of: its own last end, the engine, the proxy, certificates,
public ports, backups and drills; and the end of incidents whose object is gone. Others open theirs where the fault
happens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.model import app_settings
from paas.model.backup import UNDER_WAY
from paas.model.backup_health import Level
from paas.model.incident import OF_APPS, Incident, Kind
from paas.model.service import Service
from paas.ops import backup_due, doctor, guarded, ports, sqlite
from paas.ops.incidents import close_incident, open_incident, printable

if TYPE_CHECKING:
    from paas.runtime import Runtime

ALIVE = "daemon-alive"                   # setting: when it was so last, ISO 8601; missing: it was stopped
IN_A_ROW = 2
SERVER = "server"
DRILLS = frozenset({"drill-failed", "drill-overdue", "never-drilled", "pitr-drill"})
ADVICE = frozenset({"no-target", "no-recovery-kit"})      # of how it is set up: `doctor` has them

Found = Mapping[tuple[Kind, str], tuple[str, str]]        # what is wrong: (kind, object) → (what, hint)

log = logging.getLogger("paas.watch")


@dataclass
class Vigil:
    """What only this process knows."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: bool = False
    failures: dict[Kind, int] = field(default_factory=dict)      # in a row


# --- the daemon itself ---------------------------------------------------------------------------------------------


def begin(rt: Runtime) -> None:
    """Once, at the start of the daemon: was it stopped, or cut off?"""
    last = rt.store.settings().get(ALIVE)
    if last:
        at = datetime.fromisoformat(last)
        open_incident(rt, Kind.DAEMON_RESTARTED, SERVER,
                      f"paasd, or the whole machine, was cut off after {at:%Y-%m-%d %H:%M} UTC; it runs again",
                      "Look at: journalctl -u paasd -b -1, and last reboot")
        close_incident(rt, Kind.DAEMON_RESTARTED, SERVER)
    note_alive(rt)


def note_alive(rt: Runtime) -> None:
    with rt.vigil.lock:
        if not rt.vigil.ended:
            rt.store.set_setting(ALIVE, rt.clock.now().isoformat())


def end(rt: Runtime) -> None:
    """It is being stopped as it should. Raises nothing."""
    with rt.vigil.lock:
        rt.vigil.ended = True
        put_aside(rt)


def put_aside(rt: Runtime) -> None:
    """What a database says that came from elsewhere, or of a daemon that ends well. Raises nothing."""
    try:
        rt.store.set_setting(ALIVE, None)
    except PaasError as error:
        log.warning("that paasd was stopped could not be recorded: %s", error.what)


# --- what every app needs ------------------------------------------------------------------------------------------


def parts(rt: Runtime) -> None:
    """Every five seconds."""
    try:
        rt.containers.version()
        engine = ""
    except PaasError as error:
        engine = error.what
    proxy = "" if rt.router.healthy() else "the proxy does not answer: no app is reachable"
    judge(rt, Kind.ENGINE, engine, "systemctl start docker; paas doctor", "Docker answers again")
    judge(rt, Kind.PROXY, proxy, "systemctl restart paas-proxy; paas doctor", "the proxy answers again")


def judge(rt: Runtime, kind: Kind, fault: str, hint: str, ending: str) -> None:
    """Twice in a row counts. After a start an incident may be open that an earlier process opened."""
    before = rt.vigil.failures.get(kind)
    rt.vigil.failures[kind] = (before or 0) + 1 if fault else 0
    if fault and rt.vigil.failures[kind] == IN_A_ROW:
        open_incident(rt, kind, SERVER, fault, hint)
    elif not fault and before != 0:
        close_incident(rt, kind, SERVER, ending)


# --- once a minute -------------------------------------------------------------------------------------------------


def poll(rt: Runtime) -> None:
    """One look that fails does not keep the others from theirs."""
    for look in (note_alive, certificates, public_ports, backups, gone):
        try:
            look(rt)
        except PaasError as error:
            log.warning("%s: %s", look.__name__, error.what)


def certificates(rt: Runtime) -> None:
    settle(rt, {Kind.CERTIFICATE}, {(Kind.CERTIFICATE, one.object): (f"the {one.object} {one.found}", one.fix)
                                    for one in doctor.certificates(rt)})


def public_ports(rt: Runtime) -> None:
    settle(rt, {Kind.PORT}, {(Kind.PORT, f"port {number}"):
                             (f"another program holds the public port {number} of {', '.join(apps)}",
                              ports.remedy(number, apps)) for number, apps in ports.taken(rt).items()})


def backups(rt: Runtime) -> None:
    """A service that is being backed up now keeps its incidents until that has ended."""
    found: dict[tuple[Kind, str], tuple[str, str]] = {}
    busy = set()
    for service in guarded.guarded(rt):
        found |= of_service(rt, service)
        if rt.store.backups(service.uid, states=UNDER_WAY, limit=1):
            busy.add(service.title)
    found |= {(Kind.DRILL, object): (f"drills of {object}: {one.text}", one.hint)
              for object, one in sqlite.drill_findings(rt)}
    settle(rt, {Kind.BACKUP, Kind.DRILL}, found, keep=busy)


def of_service(rt: Runtime, service: Service) -> Found:
    """The worst of each kind."""
    found: dict[tuple[Kind, str], tuple[str, str]] = {}
    for one in backup_due.findings(rt, service):
        if one.level is Level.FAILURE and one.code not in ADVICE:
            kind, noun = (Kind.DRILL, "drills") if one.code in DRILLS else (Kind.BACKUP, "backups")
            found.setdefault((kind, service.title), (f"{noun} of {service.title}: {one.text}", one.hint))
    return found


def settle(rt: Runtime, kinds: Iterable[Kind], found: Found, keep: Iterable[str] = ()) -> None:
    """Open what is *found*, close what is open of these *kinds* and is not, but for the objects in *keep*."""
    known = {(one.kind, one.object) for one in rt.store.incidents(open_only=True, kinds=kinds, limit=10_000)}
    wanted = {(kind, printable(object)): words for (kind, object), words in found.items()}
    for kind, object in wanted.keys() - known:
        open_incident(rt, kind, object, *wanted[kind, object])
    for kind, object in known - wanted.keys():
        if object not in keep:
            close_incident(rt, kind, object)


def gone(rt: Runtime) -> None:
    """Incidents of apps and jobs that are no more, or have another name now."""
    for one in rt.store.incidents(open_only=True, kinds=OF_APPS, limit=10_000):
        app = rt.store.find_app(one.app)
        if app is None:
            close_incident(rt, one.kind, one.object, "the app is gone, or has another name")
        elif one.kind is Kind.CRON and not scheduled(rt, one, app.id):
            close_incident(rt, one.kind, one.object, "the job is not scheduled any more")


def scheduled(rt: Runtime, one: Incident, app_id: int) -> bool:
    live, job = rt.store.live_release(app_id), one.object.rpartition(" ")[2]
    return job in {each.id for each in live.cron} - rt.store.suspended_jobs(app_id).keys() if live else False


def clean(rt: Runtime) -> None:
    """Once an hour: what is over for longer than events are kept."""
    days = int(app_settings.value_of(app_settings.SERVER, rt.store.settings(), "event-days"))
    rt.store.trim_incidents(rt.clock.now() - timedelta(days=days))
