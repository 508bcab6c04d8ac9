"""SQLite files of apps that are streamed to the target: protect, unprotect, list, look."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from secrets import token_hex
from typing import TYPE_CHECKING

from paas.backups import keyring, sqlite_restore
from paas.backups.sqlite_ship import Epoch, Shipper, forget_superfluous
from paas.errors import BadInput, PaasError
from paas.model import drills, names, sqlite
from paas.model.access import Actor
from paas.model.app import App
from paas.model.backup_health import Finding
from paas.model.backup_mac import MacKey
from paas.model.sqlite import ProtectedFile
from paas.ops import backup_keys, sqlite_streams
from paas.ops.sqlite_place import Look, mount_of, require_database
from paas.ops.sqlite_streams import open_target, server_of, target_of
from paas.services.turns import history

if TYPE_CHECKING:
    from paas.runtime import Runtime

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
FIRST_SECONDS = 60.0                     # how long a protect waits until something is in the target
LATE_SECONDS = 60.0                      # a target that fails this long is a failure


def protect(rt: Runtime, app: App, path: str, name: str, actor: Actor) -> tuple[ProtectedFile, bool]:
    """Begin to stream it. (the file, is a first copy in the target by now?).

    BadInput: it is in no mount, a symbolic link, no database, or without write-ahead log. Conflict: it is protected.
    StoreError, NotFound: the target refuses, or there is none; nothing was changed then.
    """
    name = name or re.sub(r"[^a-z0-9._-]", "-", PurePosixPath(path).stem.lower()).strip("-._") or "main"
    if not NAME.fullmatch(name):
        raise BadInput(f"'{names.printable(name)}' cannot name a protected file",
                       "Use up to 40 lower-case letters, digits, '.', '_' and '-'.")
    mount = mount_of(rt, app, path)
    with Look(rt, app, mount) as look:
        found = require_database(look.at(path), path)
    owner = f"{found.uid}:{found.gid}"
    known = next((one for one in rt.store.protected_files(app.id) if one.path == path and not one.enabled), None)
    if known:
        file = rt.store.update_protected_file(known.id, enabled=True, owner=owner)
        begin = "protected again"
    else:
        file = rt.store.add_protected_file(app.id, token_hex(8), name, path, owner, actor)
        begin = "protected"
    try:
        file = rt.streams.restart(rt, file, begin)
    except PaasError:
        undo(rt, file, known is None)
        raise
    return file, rt.streams.wait(rt, file, FIRST_SECONDS, until_any=True)


def local_only(rt: Runtime, file: ProtectedFile) -> bool:
    return target_of(rt, file).url.startswith("file:")


def undo(rt: Runtime, file: ProtectedFile, added: bool) -> None:
    if added:
        rt.store.delete_protected_file(file.id)
    else:
        rt.store.update_protected_file(file.id, enabled=False)
    end_container(rt, file)


def unprotect(rt: Runtime, app: App, name: str, purge: bool) -> ProtectedFile:
    """Stop streaming. What is in the target stays (and its last state can be restored), unless *purge*.

    Conflict: a drill or a restore of it is under way.
    """
    file = rt.store.protected_file(app.id, name)
    with rt.turns.hold(history(file.uid), f"the end of the stream of {app.name} {name}"):
        if file.enabled:
            rt.streams.wait(rt, file, 5.0)
        rt.store.update_protected_file(file.id, enabled=False)
        end_container(rt, file)
        rt.streams.supervise(rt)
        shutil.rmtree(sqlite_streams.file_directory(rt, file), ignore_errors=True)
        if purge:
            store = open_target(rt, target_of(rt, file))
            below = sqlite_restore.layout(server_of(rt), file.uid).pitr()
            store.delete([one.key for one in store.list(below)])
            rt.store.delete_protected_file(file.id)
    return file


def end_container(rt: Runtime, file: ProtectedFile) -> None:
    found = sqlite_streams.state_of(rt, file)
    if found:
        rt.containers.stop(found.id, 20)
        rt.containers.remove(found.id)


@dataclass(frozen=True)
class Line:
    app: str
    name: str
    path: str
    state: str                           # "streaming", "behind", "failing", "off", "starting"
    safe_until: datetime | None          # the newest state that a restore would have
    lag: float | None                    # seconds that the oldest transaction which is not there waits; 0: none does
    reason: str                          # why it is not streaming
    drilled_at: datetime | None = None   # the last drill, whatever came of it


def listed(rt: Runtime, app: App | None) -> list[Line]:
    apps = [app] if app else rt.store.apps()
    return [replace(line(rt, one, file), drilled_at=file.drilled_at)
            for one in apps for file in rt.store.protected_files(one.id)]


def line(rt: Runtime, app: App, file: ProtectedFile) -> Line:
    if not file.enabled:
        return Line(app.name, file.name, file.path, "off", None, None, "")
    stream = rt.streams.of(file)
    reason = rt.streams.problems.get(file.id, "") or (stream.error if stream else "")
    if stream is None:
        return Line(app.name, file.name, file.path, "failing" if reason else "starting", None, None, reason)
    shipper = stream.shipper
    if reason:
        return Line(app.name, file.name, file.path, "failing", shipper.reach_at, lag_of(rt, shipper), reason)
    running = sqlite_streams.state_of(rt, file)
    if running is None or not running.running:
        return Line(app.name, file.name, file.path, "failing", shipper.reach_at, None, "its container does not run")
    lag = lag_of(rt, shipper)
    state = "starting" if not shipper.reach else "streaming" if lag is not None and lag < LATE_SECONDS else "behind"
    return Line(app.name, file.name, file.path, state, shipper.reach_at, lag, "")


def lag_of(rt: Runtime, shipper: Shipper) -> float | None:
    """Seconds; None: not known."""
    waiting = [one.at for one in shipper.spool.files() if one.max > shipper.reach]
    return max(0.0, (rt.clock.now() - min(waiting)).total_seconds()) if waiting else 0.0


def info(rt: Runtime, app: App, name: str) -> dict[str, object]:
    """Asks the target too: how far back, how many objects, how many bytes."""
    file = rt.store.protected_file(app.id, name)
    shown, stream = line(rt, app, file), rt.streams.of(file)
    newest = stream.shipper.newest() if stream else None
    said: dict[str, object] = {
        "app": app.name, "name": file.name, "path": file.path, "state": shown.state, "reason": shown.reason,
        "safe_until": shown.safe_until, "lag_seconds": shown.lag, "epoch": file.epoch, "uid": file.uid,
        "transactions": stream.shipper.reach if stream else None, "seen_here": newest.max if newest else None,
        "sent_bytes": stream.shipper.sent if stream else 0, "target": target_of(rt, file).url,
    }
    store, place = rt.targets.open(target_of(rt, file)), sqlite_restore.layout(server_of(rt), file.uid)
    kept = list(store.list(place.pitr()))
    known = epochs(rt, file)
    return {**said, "stored_objects": len(kept), "stored_bytes": sum(one.size for one in kept),
            "histories": [f"{one.id} {one.reason}" for one in known],
            "restorable_from": known[0].began if known else None,
            "last_drill": file.drilled_at, "drill": drill_words(rt, file)}


def drill_words(rt: Runtime, file: ProtectedFile) -> str:
    if file.drilled_at is None and keyring.keyring(rt).write_only:
        return "none: this server keeps no identity (write-only); give it: sqlite:drill --identity-stdin"
    return drills.words(file)


def protection(rt: Runtime) -> list[tuple[object, ...]]:
    """As :func:`paas.ops.backup_due.protection` says it of services: of each file that is streamed its name, "fine" or
    "failing", until when it is safe, the last drill if that passed, how long it took, remarks, how it is backed up."""
    wrong: dict[str, list[str]] = {}
    for name, one in drill_findings(rt):
        wrong.setdefault(name, []).append(one.text)
    rows: list[tuple[object, ...]] = []
    for file in (one for one in rt.store.protected_files() if one.enabled):
        shown = line(rt, rt.store.app_by_id(file.app_id), file)
        name, unsafe = f"{shown.app} {shown.name}", [f"{shown.state}: {shown.reason}".rstrip(": ")]
        remarks = [*(unsafe if shown.state in ("failing", "behind") else []), *wrong.get(name, [])]
        rows.append((name, "failing" if remarks else "fine", shown.safe_until,
                     file.drilled_at if file.drill_passed else None,
                     f"{file.drill_seconds:.0f} s" if file.drill_passed else "", "; ".join(remarks), ["streamed"]))
    return rows


def drill_findings(rt: Runtime) -> list[tuple[str, Finding]]:
    """(app and name, what is wrong with its drills), of what is streamed."""
    can_drill, found = not keyring.keyring(rt).write_only, []
    for file in rt.store.protected_files():
        if file.enabled:
            app = rt.store.app_by_id(file.app_id).name
            remedy = (f"Begin a new history: paas sqlite:unprotect {app} {file.name}; "
                      f"paas sqlite:protect {app} {file.path} --name {file.name}")
            found += [(f"{app} {file.name}", one) for one in drills.finding(
                file, "sqlite-drill", rt.clock.now(), remedy, f"paas sqlite:drill {app} {file.name}", can_drill)]
    return found


def epochs(rt: Runtime, file: ProtectedFile, macs: Iterable[MacKey] = ()) -> list[Epoch]:
    """Its histories, oldest first, as the target has them. *macs*: beside the server's own."""
    store, known = rt.targets.open(target_of(rt, file)), (backup_keys.seal_keys(rt).mac, *macs)
    return sqlite_restore.epochs(store, server_of(rt), known, file.uid)


def clean(rt: Runtime) -> int:
    """Retention of every file that is streamed; how many objects went. A target that fails waits for the next time."""
    gone = 0
    for file in rt.store.protected_files():
        if not file.enabled or not file.epoch:
            continue                     # what is not streamed any more keeps all it has
        try:
            with rt.turns.hold(history(file.uid), f"the retention of {file.name}", housekeeping=True):
                gone += clean_file(rt, file)
        except PaasError as error:
            sqlite_streams.log.warning("retention of %s: %s", file.name, error.what)
    return gone


def clean_file(rt: Runtime, file: ProtectedFile) -> int:
    """The present epoch by the rules of :func:`paas.model.sqlite.superfluous`; an older one as a whole, once the one
    after it has gone on for the whole window."""
    store, place = open_target(rt, target_of(rt, file)), sqlite_restore.layout(server_of(rt), file.uid)
    now, gone = rt.clock.now(), 0
    stream = rt.streams.of(file)
    if stream is None or stream.error or not stream.shipper.reach:
        return 0                         # never while the present history is not known to be whole
    known = epochs(rt, file)
    for epoch, following in zip(known, known[1:], strict=False):
        if now - following.began > timedelta(seconds=sqlite.WINDOW) and epoch.id != file.epoch:
            keys = [one.key for one in store.list(place.pitr(epoch.id))]
            store.delete(keys)
            gone += len(keys)
    return gone + forget_superfluous(store, place.pitr(file.epoch), now)


def beside(path: str, now: datetime, word: str) -> str:
    """``/data/app.db.before-20261120T160000Z``"""
    return f"{path}.{word}-{now:%Y%m%dT%H%M%SZ}"


def directory_of(path: str) -> str:
    return os.path.dirname(path) or "/"
