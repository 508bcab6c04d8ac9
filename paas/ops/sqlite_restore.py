"""A protected SQLite file as it was: beside the present one, or in its place."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from paas.backups import sqlite_program
from paas.backups.room import ROOM
from paas.backups.sqlite_restore import Epoch, OpenKeys, State, choose, download
from paas.backups.sqlite_restore import epochs as stored_epochs
from paas.errors import BadInput, Conflict, NoSpace, NotFound
from paas.model import sqlite
from paas.model.access import Actor
from paas.model.app import App, Mount
from paas.model.sqlite import ProtectedFile
from paas.ops import backup_keys, ps, sqlite_streams
from paas.ops.sqlite import beside, directory_of, end_container, epochs
from paas.ops.sqlite_place import Look, mount_of
from paas.ops.sqlite_streams import server_of, target_of
from paas.ports_backup import ObjectStore
from paas.secret import Secret
from paas.services.turns import history

if TYPE_CHECKING:
    from paas.runtime import Runtime

Say = Callable[[str], None]
MOST_SECONDS = 1800.0                    # that a check of a restored file may take, and …
SLOWEST = 1024 * 1024                    # … bytes of it for each further second
FLUSH_SECONDS = 15.0                     # how long a restore waits until the newest transactions are in the target


@dataclass(frozen=True)
class Restored:
    path: str                            # in the app's containers
    kept: str                            # where the old file is now; "" for a restore beside it
    state_at: datetime                   # time of the last transaction
    transactions: int
    seconds: float                       # from the beginning to the checked file


def restore(rt: Runtime, app: App, name: str, *, at: datetime | None = None, into: str = "", key: Secret | None = None,
            say: Say = print) -> Restored:
    """Make a new file beside the present one (or at *into*, in a mount of the app). Nothing else changes.

    :param at: the newest state that is not later; None: the newest.
    :param key: an age identity, where the server does not hold its own.
    """
    file = rt.store.protected_file(app.id, name)
    target = into or beside(file.path, rt.clock.now(), "restored")
    mount = mount_of(rt, app, target)
    with Look(rt, app, mount) as look:
        if look.at(target):
            raise Conflict(f"there is a file at {target} already", "Choose another path, or use --in-place.")
    begun = rt.clock.monotonic()
    with reading(rt, app, file):
        flush(rt, file, at, say)
        state = wanted(rt, file, at, key)
        with Scratch(rt, file) as scratch:
            fill(rt, file, state, key, scratch, say)
            build(rt, app, file, mount, scratch, target, force=False)
    return Restored(target, "", state.at, state.chain[-1].max, rt.clock.monotonic() - begun)


def restore_in_place(rt: Runtime, app: App, name: str, actor: Actor, *, at: datetime | None = None,
                     key: Secret | None = None, say: Say = print) -> Restored:
    """Stop the app, keep the present file under another name, put the old state in its place, begin a new epoch, start
    the app. Until the file has been fetched and checked nothing is stopped for an *at*.

    Cut anywhere: the old file is there under one of both names, and running the command again finishes.
    """
    file = rt.store.protected_file(app.id, name)
    with reading(rt, app, file):
        return put_back(rt, app, file, actor, at, key, say)


def reading(rt: Runtime, app: App, file: ProtectedFile) -> AbstractContextManager[None]:
    """Nothing is deleted in its history meanwhile. Conflict: something is."""
    return rt.turns.share(history(file.uid), f"a restore of {app.name} {file.name}")


def put_back(rt: Runtime, app: App, file: ProtectedFile, actor: Actor, at: datetime | None, key: Secret | None,
             say: Say) -> Restored:
    mount = mount_of(rt, app, file.path)
    refuse_busy(rt, app)
    begun, was_stopped = rt.clock.monotonic(), app.stopped
    if at is not None:
        rehearse(rt, file, at, key, say)
    ps.stop(rt, app, actor, say)
    rt.streams.paused.add(file.id)
    try:
        end_container(rt, file)          # its last look at the file is in the spool then
        flush(rt, file, at, say)
        state = wanted(rt, file, at, key)
        with Scratch(rt, file) as scratch:
            fill(rt, file, state, key, scratch, say)
            check(rt, file, state, scratch)
            kept = keep(rt, app, mount, file.path)
            build(rt, app, file, mount, scratch, file.path, force=True)
    finally:
        rt.streams.paused.discard(file.id)
    if file.enabled:
        rt.streams.restart(rt, file, f"restored to {state.at:%Y-%m-%dT%H:%M:%SZ}")
    if not was_stopped:
        ps.start(rt, rt.store.app_by_id(app.id), actor, say)
    return Restored(file.path, kept, state.at, state.chain[-1].max, rt.clock.monotonic() - begun)


def refuse_busy(rt: Runtime, app: App) -> None:
    """One-off containers have the file open too."""
    busy = [f"run.{one.id}" for one in rt.store.runs(app.id)]
    if busy:
        raise Conflict(f"{', '.join(busy)} of {app.name} may have the file open", f"End it: paas run:stop {app.name}")


def rehearse(rt: Runtime, file: ProtectedFile, at: datetime, key: Secret | None, say: Say) -> None:
    """Find, fetch and check before anything is stopped."""
    state = wanted(rt, file, at, key)
    with Scratch(rt, file) as scratch:
        fill(rt, file, state, key, scratch, say)
        check(rt, file, state, scratch)


def flush(rt: Runtime, file: ProtectedFile, at: datetime | None, say: Say) -> None:
    if at is None and file.enabled and not rt.streams.wait(rt, file, FLUSH_SECONDS):
        say("The newest transactions are not in the target; what is there is restored.")


def wanted(rt: Runtime, file: ProtectedFile, at: datetime | None, key: Secret | None) -> State:
    keys = backup_keys.open_keys(rt, key)
    return choose(store_of(rt, file), server_of(rt), epochs(rt, file, keys.macs), at)


def store_of(rt: Runtime, file: ProtectedFile) -> ObjectStore:
    return rt.targets.open(target_of(rt, file))


class Scratch:
    """A directory of root's alone that goes afterwards. Use with ``with``; gives the path of ``ltx``'s parent."""

    def __init__(self, rt: Runtime, file: ProtectedFile) -> None:
        self.base = sqlite_streams.file_directory(rt, file) / f"restore-{token_hex(4)}"

    def __enter__(self) -> Path:
        self.base.mkdir(mode=0o700, parents=True)
        for above in (self.base.parent, self.base.parent.parent):
            above.chmod(0o700)
        (self.base / "replica").mkdir()
        return self.base / "replica"

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.base, ignore_errors=True)


def fill(rt: Runtime, file: ProtectedFile, state: State, key: Secret | None, scratch: Path, say: Say) -> None:
    require_room(rt, state.size)
    say(f"Fetching {len(state.chain)} files, {state.size:,} bytes: the state of {state.at:%Y-%m-%d %H:%M:%S.%f} UTC")
    download(store_of(rt, file), rt.sealing, server_of(rt), state, backup_keys.open_keys(rt, key), scratch)


def require_room(rt: Runtime, size: int) -> None:
    """For *size* bytes in the platform's directory."""
    free, _ = rt.host.disk(rt.settings.state_dir)
    if free < size * ROOM:
        raise NoSpace(f"that needs {int(size * ROOM) >> 20:,} MB of disk, and {free >> 20:,} MB are free",
                      "Free some space (paas cleanup), then try again.")


def build(rt: Runtime, app: App, file: ProtectedFile, mount: Mount, scratch: Path, target: str, *, force: bool,
          seconds: float = math.inf) -> None:
    """By Litestream, as the owner of the file, with SQLite's integrity_check. ServiceError, also after *seconds*."""
    image = sqlite_program.ensure_image(rt.images, rt.settings.litestream, rt.settings.prefix)
    spec = sqlite_program.restore_spec(f"{rt.settings.prefix}-sqlite-restore-{token_hex(4)}", image,
                                       work_labels(rt, file), mount, file.owner, scratch, target, force)
    sqlite_program.run(rt.containers, spec, rt.clock, seconds)


def check(rt: Runtime, file: ProtectedFile, state: State, scratch: Path) -> None:
    """The app's own is not touched before."""
    shutil.rmtree(built(rt, file, state, scratch).parent, ignore_errors=True)


def built(rt: Runtime, file: ProtectedFile, state: State, scratch: Path) -> Path:
    """Make the database in a directory of the platform's, which goes with the Scratch; return where it is. In bounded
    time: what an app put into its file (constraints, indexes of expressions) can make integrity_check take days."""
    last = scratch / "ltx" / str(state.chain[-1].level) / state.chain[-1].local_name
    with last.open("rb") as ltx:
        size = sqlite.database_size(ltx.read(sqlite.HEADER_BYTES))
    require_room(rt, size)
    place = scratch.parent / "checked"
    place.mkdir(mode=0o700, exist_ok=True)
    uid, _, gid = file.owner.partition(":")
    os.chown(place, int(uid), int(gid))
    mount = Mount(0, file.app_id, str(place), "/checked")
    build(rt, rt.store.app_by_id(file.app_id), file, mount, scratch, "/checked/db", force=False,
          seconds=MOST_SECONDS + size / SLOWEST)
    return place / "db"


def keep(rt: Runtime, app: App, mount: Mount, path: str) -> str:
    """Give the present file and its log a further name; return it ("": there was no file)."""
    name, directory = os.path.basename(path), directory_of(path)
    kept = os.path.basename(beside(path, rt.clock.now(), "before"))
    with Look(rt, app, mount) as look:
        given = {kept + end: name + end for end in ("", "-wal") if look.at(path + end)}
        if not given:
            return ""
        look.link(directory, given)
    return f"{directory.rstrip('/')}/{kept}"


def work_labels(rt: Runtime, file: ProtectedFile) -> dict[str, str]:
    return {**sqlite_streams.labels(rt, file), "paas.kind": "sqlite-work"}


# --- A new machine -----------------------------------------------------------------------------------------------


def found_in(rt: Runtime, store: ObjectStore, server_id: str, keys: OpenKeys) -> dict[str, list[Epoch]]:
    """File uid → its histories, oldest first, of a server that may be no more. Asks nothing but *store*."""
    found: dict[str, list[Epoch]] = {}
    for one in stored_epochs(store, server_id, keys.macs):
        found.setdefault(one.uid, []).append(one)
    return found


def restore_from(rt: Runtime, store: ObjectStore, server_id: str, histories: list[Epoch], keys: OpenKeys, app: App, *,
                 at: datetime | None = None, path: str = "", say: Say = print) -> Restored:
    """The newest state (or that of *at*) of a file of another server, at *path* (default: where it was) in a mount of
    *app* here. Its directory must exist and belong to the owner that the file had. Conflict: something is there."""
    if not histories:
        raise NotFound("the target has nothing of this file", "List what it has: paas sqlite:list --from-target")
    begun = rt.clock.monotonic()
    state = choose(store, server_id, histories, at)
    epoch, target = state.epoch, path or state.epoch.path
    if not epoch.owner.replace(":", "").isdigit():
        raise BadInput("the history does not say whose the file was", "Use another history.")
    mount = mount_of(rt, app, target)
    with Look(rt, app, mount) as look:
        if look.at(target):
            raise Conflict(f"there is a file at {target} already", "Give another path.")
    file = ProtectedFile(0, app.id, f"from-{token_hex(4)}", epoch.name, target, epoch.owner, "", False,
                         rt.clock.now(), "")
    with Scratch(rt, file) as scratch:
        say(f"Fetching {len(state.chain)} files, {state.size:,} bytes")
        download(store, rt.sealing, server_id, state, keys, scratch)
        build(rt, app, file, mount, scratch, target, force=False)
    shutil.rmtree(sqlite_streams.file_directory(rt, file), ignore_errors=True)
    return Restored(target, "", state.at, state.chain[-1].max, rt.clock.monotonic() - begun)
