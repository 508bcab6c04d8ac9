"""What is wrong with this installation, object by object, and how to mend it. Changes nothing."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas import settings
from paas.errors import NotFound, PaasError, PushRefused
from paas.model import app_settings
from paas.model.backup_health import Level
from paas.model.service import ServiceState
from paas.ops import (
    backup_due,
    cleanup,
    drains,
    guarded,
    heartbeat,
    notify,
    older,
    ports,
    routes,
    server_backup,
    server_state,
    sqlite,
)
from paas.ops.reconcile import reconcile
from paas.ports_source import Budgets
from paas.services import container

if TYPE_CHECKING:
    from paas.runtime import Runtime

EVERYTHING = Budgets(entries=10**9, blob_bytes=10**12, tree_bytes=10**15)      # of a tree that was taken in already
ERROR, WARNING, ADVICE = "error", "warning", "advice"
EXPIRES_SOON = timedelta(days=14)        # ACME certificates are renewed 30 days ahead: these were not
OWN_EXPIRES_SOON = timedelta(days=30)

# Versions without known holes, by release line; the last one counts for every other line. A distribution may have
# mended an older one, so these are advice. SQLite's WAL bug (mended in 3.51.3) takes two connections: here is one.
FIXED = {
    "Docker": ((24, 0, 9), (25, 0, 2)),                                       # CVE-2024-24557
    "git": ((2, 43, 7), (2, 44, 4), (2, 45, 4), (2, 46, 4), (2, 47, 3), (2, 48, 2), (2, 49, 1), (2, 50, 1)),
    "runc": ((1, 2, 8), (1, 3, 3)),
    "sqlite": ((3, 50, 2),),
    "dulwich": ((1, 2, 13),),                                                 # what reads pushed trees
}
WHY = {"Docker": "CVE-2024-24557", "git": "CVE-2025-48384", "runc": "CVE-2025-31133", "sqlite": "CVE-2025-6965",
       "dulwich": "hostile packs"}


@dataclass(frozen=True)
class Finding:
    id: str                              # "engine-down", "route-wrong", …: documented in docs/doctor.md
    object: str
    expected: str
    found: str
    severity: str                        # "error": broken; "warning": will break; "advice": could be better
    fix: str


def examine(rt: Runtime) -> list[Finding]:
    """Every finding, the worst first. A look that fails is a finding itself; the others go on."""
    looks = (engine, proxy, sites, public_ports, database, repositories, images, data, settings_file, private_files,
             disk, certificates, versions, differences, services, restores, backups, sqlite_files, log_drains, channels,
             outside, audit, foreign_keys)
    found = [finding for look in looks for finding in looked(rt, look)]
    return sorted(found, key=lambda one: (ERROR, WARNING, ADVICE).index(one.severity))


def log_drains(rt: Runtime) -> Iterator[Finding]:
    for one in drains.failing(rt):
        yield Finding("drain-failing", f"drain {one.id}", f"{one.to} takes the lines of {one.app or 'all apps'}",
                      f"{one.error}; {one.waiting:,} lines wait, {one.dropped:,} were dropped", WARNING,
                      f"Mend it there, or remove it: paas logs:drain-remove {one.id}")


def channels(rt: Runtime) -> Iterator[Finding]:
    for one in notify.standings(rt):
        if one.error:
            yield Finding("channel-failing", f"channel {one.channel.name}", "it takes messages",
                          f"{one.error}; {one.waiting} wait", WARNING,
                          f"Try it: paas notify:test {one.channel.name}; or paas notify:remove {one.channel.name}")


def outside(rt: Runtime) -> Iterator[Finding]:
    found = heartbeat.report(rt)
    if found["error"]:
        yield Finding("heartbeat-failing", "heartbeat", f"a sign of life every {found['every']} s",
                      str(found["error"]), WARNING, "Mend that, or set another: paas heartbeat:set")


def audit(rt: Runtime) -> Iterator[Finding]:
    broken = rt.store.broken_chain()
    if broken is not None:
        yield Finding("audit-broken", f"event {broken}", "each event carries the hash of the one before",
                      "it does not: the trail was tampered with", ERROR,
                      "Find out who could write the database; compare with the copy in syslog.")


def foreign_keys(rt: Runtime) -> Iterator[Finding]:
    """A line without a forced command is a login: who put it there must be found out, even after its removal."""
    kept = rt.keys.kept()
    if kept:
        yield Finding("keys-foreign", "ssh", "authorized_keys is written by paas alone",
                      f"{len(kept)} lines that somebody else wrote were taken out", WARNING,
                      f"Find out who wrote them, then remove {rt.settings.authorized_keys}.foreign. "
                      "Keys come in with: paas ssh-keys:add")


def services(rt: Runtime) -> Iterator[Finding]:
    for line in rt.plugins.problems:
        yield Finding("plugin-failed", "plugins", "every plugin loads", line, WARNING, "Mend or remove it.")
    for service in rt.store.services():
        state = container.health(rt, service)
        if state in ("down", "not answering"):
            yield Finding("service-down", service.title, "it answers", f"it is {state}", ERROR,
                          f"Look at it: paas {service.datastore}:logs {service.name}")


def sqlite_files(rt: Runtime) -> Iterator[Finding]:
    for one in sqlite.listed(rt, None):
        if one.state in ("failing", "behind"):
            found = one.reason or f"{one.lag:.0f} s behind" if one.lag is not None else one.reason
            yield Finding("sqlite-unsafe", f"{one.app} {one.name}", "streamed to the target within a second", found,
                          ERROR, f"See: paas sqlite:info {one.app} {one.name}")
    for object, one in sqlite.drill_findings(rt):
        yield Finding(one.code, object, "its history is proved by restoring it", one.text, WARNING, one.hint)


def restores(rt: Runtime) -> Iterator[Finding]:
    now = server_state.of(rt)
    if now and not now.over:
        yield Finding("restore-cut", "server", "restored", f"the restore of {now.backup} was interrupted: nothing is "
                      "done by the clock until it has ended", ERROR, "Run the same paas server:restore again.")
    elif now:
        names = [one.title for one in rt.store.services() if one.uid in now.services]
        yield Finding("restore-left", "server", "restored", f"not back: {', '.join(names) or 'nothing any more'}",
                      ERROR if names else ADVICE, "Run the same paas server:restore again.")


def backups(rt: Runtime) -> Iterator[Finding]:
    seen_to = server_backup.seen_to(rt)
    if not seen_to and (rt.store.apps() or rt.store.services()):
        yield Finding("backup-none", "server", "the platform itself is backed up", "the server itself has no backup",
                      ADVICE, 'paas server:backup, and paas server:backup-schedule "30 3 * * *"')
    for service in guarded.guarded(rt) if seen_to else rt.store.services():
        for one in backup_due.findings(rt, service):
            yield Finding(f"backup-{one.code}", service.title, "backed up, in time, and proved", one.text,
                          WARNING if one.level is Level.FAILURE else ADVICE, one.hint)


def images(rt: Runtime) -> Iterator[Finding]:
    """Nothing can start of an image that is not there, and none is ever pulled."""
    there = {one.digest for one in rt.images.list({})}
    for app in rt.store.apps():
        live = rt.store.live_release(app.id)
        wanted = cleanup.kept_images(rt, app)
        if live and live.image not in there:
            yield Finding("image-missing", app.name, f"the image of v{live.version} is there",
                          "it is missing: what stops cannot be started again", ERROR,
                          f"paas ps:rebuild {app.name}, or push again")
        lost = wanted - there - {live.image if live else ""}
        if lost:
            yield Finding("image-lost", app.name, "images of the kept releases are there",
                          f"{len(lost)} are missing: a rollback to them fails", ADVICE,
                          "Nothing: push again what is needed.")


def data(rt: Runtime) -> Iterator[Finding]:
    """Reconcile makes everything anew but this."""
    there = rt.containers.volumes()
    for service in rt.store.services():
        made = service.state in (ServiceState.RUNNING, ServiceState.STOPPED)
        if made and service.volume not in there:
            yield Finding("data-missing", service.title, f"its volume {service.volume}",
                          "it does not exist: its data is gone from this server", ERROR,
                          f"Restore a backup: paas {service.datastore}:backups {service.name}")
    known = {service.uid for service in rt.store.services()}
    for name, marks in there.items():
        if "paas.uid" in marks and marks["paas.uid"] not in known:
            yield Finding("volume-unknown", name, "a service that it belongs to",
                          "no row explains it; reconcile never removes a volume", WARNING,
                          f"Look what it holds; if nobody needs it: docker volume rm {name}")
    for app in rt.store.apps():
        for mount in rt.store.mounts(app.id):
            if mount.source.startswith("/") and not os.path.exists(mount.source):
                yield Finding("data-missing", app.name, f"the directory {mount.source}", "it does not exist: the app "
                              "cannot start again", ERROR, "Put it back, or take the mount away: paas storage:unmount")


def repositories(rt: Runtime) -> Iterator[Finding]:
    for app in rt.store.apps():
        live = rt.store.live_release(app.id)
        if not live or not live.commit:
            continue
        try:
            rt.repos.read(app.id, live.commit, None, EVERYTHING)
        except (NotFound, PushRefused) as error:
            yield Finding("repository-damaged", app.name, f"the objects of {live.commit[:8]} are whole", error.what,
                          ERROR, "It serves on. Push again from a checkout; if git refuses, restore the repository.")


def looked(rt: Runtime, look: Callable[[Runtime], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        for one in look(rt):
            found.append(one)
    except PaasError as error:
        name = look.__name__.replace("_", "-")
        found.append(Finding(f"{name}-unknown", name, "an answer", error.what, ERROR, error.hint))
    return found


def engine(rt: Runtime) -> Iterator[Finding]:
    try:
        rt.containers.version()
    except PaasError as error:
        yield Finding("engine-down", "Docker", "answers", error.what, ERROR, "systemctl start docker")


def proxy(rt: Runtime) -> Iterator[Finding]:
    if not rt.router.healthy():
        yield Finding("proxy-down", "proxy", "answers on its admin socket", "no answer", ERROR,
                      "systemctl restart paas-proxy")


def sites(rt: Runtime) -> Iterator[Finding]:
    """Apps that visitors get the page for unknown hosts for, because one bad site must not take the others along."""
    for app_id, reason in rt.router.refused(routes.sites(rt)).items():
        name = rt.store.app_by_id(app_id).name
        yield Finding("site-refused", name, "known to the proxy", reason, ERROR,
                      f"Look at paas domains:report {name} and certs:report {name}; mend it with domains:set, "
                      "domains:clear, certs:add or certs:remove.")


def public_ports(rt: Runtime) -> Iterator[Finding]:
    for number, apps in ports.taken(rt).items():
        yield Finding("port-taken", f"port {number}", f"the proxy serves {', '.join(apps)} on it",
                      "another program uses it", ERROR, ports.remedy(number, apps))


def database(rt: Runtime) -> Iterator[Finding]:
    for complaint in rt.store.integrity():
        yield Finding("database-damaged", "database", "sound", complaint, ERROR,
                      "Stop paasd, keep a copy of the file, restore the newest backup.")


def settings_file(rt: Runtime) -> Iterator[Finding]:
    try:
        now = settings.load()
    except PaasError as error:
        yield Finding("settings-bad", "paas.toml", "readable", error.what, ERROR, error.hint)
        return
    if now != rt.settings:
        changed = sorted(key for key, value in vars(now).items() if value != getattr(rt.settings, key))
        yield Finding("settings-changed", "paas.toml", "what the daemon was started with",
                      f"differs in {', '.join(changed)}", WARNING, "systemctl restart paasd")


def private_files(rt: Runtime) -> Iterator[Finding]:
    for name, path in (("master key", rt.settings.master_key), ("database", rt.settings.database)):
        try:
            mode = path.stat().st_mode & 0o777
        except FileNotFoundError:
            yield Finding("file-missing", name, "there", "missing", ERROR, f"Put back {path} from a backup.")
            continue
        except OSError as error:
            yield Finding("file-unreadable", name, "readable", str(error.strerror), ERROR, f"Look at {path}.")
            continue
        if mode & 0o077:
            yield Finding("file-open", name, "mode 0600", f"mode {mode:04o}", ERROR, f"chmod 600 {path}")


def disk(rt: Runtime) -> Iterator[Finding]:
    needed = int(app_settings.value_of(app_settings.SERVER, rt.store.settings(), "min-free-disk"))
    free, total = rt.host.disk(rt.settings.state_dir)
    for name, left in (("disk of the state", free), ("disk of Docker", rt.images.free_bytes())):
        if left < needed:
            yield Finding("disk-full", name, f"{needed / 1e9:.1f} GB free", f"{left / 1e9:.1f} GB free", ERROR,
                          "Free some space; builds are refused until then. See: paas disk")
    if needed <= free < total / 20:
        yield Finding("disk-low", "disk of the state", "5 % free", f"{100 * free / total:.1f} % free", WARNING,
                      "Free some space: paas disk, paas cleanup")


def certificates(rt: Runtime) -> Iterator[Finding]:
    """The proxy's own, which it renews by itself, and those that users brought."""
    for host, end in sorted(rt.router.certificates().items()):
        yield from expiring(rt, f"certificate of {host}", end, EXPIRES_SOON,
                            "Its renewal fails: look at journalctl -u paas-proxy.")
    for app in rt.store.apps():
        held = rt.store.certificate(app.id)
        if held:
            yield from expiring(rt, f"certificate added to {app.name}", held[0].not_after, OWN_EXPIRES_SOON,
                                f"paas certs:add {app.name} < new.pem")


def expiring(rt: Runtime, name: str, end: datetime, soon: timedelta, fix: str) -> Iterator[Finding]:
    left = end - rt.clock.now()
    if left < soon:
        over = left <= timedelta(0)
        yield Finding("certificate-expired" if over else "certificate-expiring", name,
                      f"valid for {soon.days} days", f"{'ended' if over else 'ends'} {end:%Y-%m-%d}",
                      ERROR if over else WARNING, fix)


def versions(rt: Runtime) -> Iterator[Finding]:
    found = dict(rt.host.versions())
    with contextlib.suppress(PaasError):                         # told by `engine`
        found["Docker"] = rt.containers.version()
    if "git" not in found:
        yield Finding("version-missing", "git", "installed", "missing", ERROR, "apt install git")
    for name, fixed in FIXED.items():
        if name in found and too_old(found[name], fixed):
            yield Finding("version-old", name, f"{'.'.join(map(str, fixed[-1]))} or a mended older one ({WHY[name]})",
                          found[name], ADVICE, f"Update {name}, or see that your distribution has mended it.")


def too_old(text: str, fixed: tuple[tuple[int, ...], ...]) -> bool:
    """Older than the fixed version of its own line (same major.minor, or the oldest line there is)."""
    version = tuple(int(part) for part in re.findall(r"\d+", text)[:3])
    line = next((one for one in fixed if one[:2] == version[:2]), None)
    if line:
        return version < line
    return version < fixed[-1]


def differences(rt: Runtime) -> Iterator[Finding]:
    """What reconcile would repair. It does so by itself every two minutes."""
    for one in reconcile(rt, dry_run=True):
        if one.kind == older.KIND:
            yield Finding(one.kind, one.object, "it knows all that runs", one.found, ERROR, older.ADVICE)
            return
        yield Finding(one.kind, one.object, "as the database wants it", one.found, WARNING,
                      f"paas reconcile ({one.fix})")
