"""The threads that ship: for every protected file one for what is small and one for what is large.

The containers that Litestream runs in, and these threads, are derived from the table ``protected_files``: what is
missing is made, what is too much goes, also after a crash at any point.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from secrets import randbits
from typing import TYPE_CHECKING

from paas.backups import places, sqlite_program
from paas.backups.spool import Spool
from paas.backups.sqlite_restore import layout
from paas.backups.sqlite_ship import Epoch, SealKeys, Shipper, put_epoch
from paas.errors import PaasError, Unavailable
from paas.model.backup import Target
from paas.model.backup_layout import new_id
from paas.model.sqlite import ProtectedFile
from paas.ops import backup_keys, sqlite_place
from paas.ports import ContainerState
from paas.ports_backup import ObjectStore
from paas.threads import started

if TYPE_CHECKING:
    from paas.runtime import Runtime

LOOK_SECONDS = 0.05                      # between two looks for new files
LOOK_LARGE_SECONDS = 1.0                 # … for large ones
MOST_PAUSE = 5.0                         # seconds between two attempts at a target that fails
CONTAINERS_SECONDS = 10.0                # between two looks at the containers
BROKEN_SECONDS = 90.0                    # a hole that stays this long gets a new epoch

log = logging.getLogger("paas.sqlite")


@dataclass
class Stream:
    """One file's way to the target, of one epoch, to one target, with one set of keys."""

    file: ProtectedFile
    target: Target
    keys: SealKeys
    shipper: Shipper
    error: str = ""                      # why the last attempt failed; "" while all is well
    broken_since: float | None = None    # of Clock.monotonic
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def same(self, file: ProtectedFile, target: Target, keys: SealKeys) -> bool:
        """And its threads go on: one that was ended has to be replaced, also where what came instead has failed."""
        ours = (self.file.epoch, self.file.owner, self.target, self.keys)     # not what is noted of its drills
        return not self.stop.is_set() and ours == (file.epoch, file.owner, target, keys)

    def end(self) -> None:
        self.stop.set()
        for one in self.threads:
            if one is not threading.current_thread():
                one.join(10)


class Streams:
    """What this process ships. One `supervise` at a time."""

    def __init__(self) -> None:
        self._streams: dict[int, Stream] = {}
        self._lock = threading.RLock()
        self._containers_at: float | None = None
        self.paused: set[int] = set()    # files whose container somebody has stopped for a restore
        self.problems: dict[int, str] = {}       # file id → why it is not streamed

    def of(self, file: ProtectedFile) -> Stream | None:
        found = self._streams.get(file.id)
        return found if found and found.file.epoch == file.epoch else None

    def supervise(self, rt: Runtime) -> None:
        """Make the threads, and every ten seconds the containers, what the table wants. Never raises for one file."""
        with self._lock:
            wanted = {one.id: one for one in rt.store.protected_files() if one.enabled}
            for file_id in [known for known in self._streams if known not in wanted]:
                gone = self._streams.pop(file_id)
                gone.end()
                shutil.rmtree(file_directory(rt, gone.file), ignore_errors=True)
                self.problems.pop(file_id, None)
            now = rt.clock.monotonic()
            if self._containers_at is None:
                remove_work(rt)
            if self._containers_at is None or now - self._containers_at >= CONTAINERS_SECONDS:
                self._containers_at = now
                remove_strays(rt, wanted)
                for one in wanted.values():
                    self._tried(rt, one, self.contain)
            for one in wanted.values():
                self._tried(rt, one, self.ship)

    def _tried(self, rt: Runtime, file: ProtectedFile, step: Callable[[Runtime, ProtectedFile], None]) -> None:
        name = step.__name__
        try:
            step(rt, file)
        except PaasError as error:
            self.problems[file.id] = f"{error.what} ({name})"
            return
        except OSError as error:                     # a full disk, no descriptors
            self.problems[file.id] = f"{error.strerror} ({name})"
            return
        if self.problems.get(file.id, "").endswith(f"({name})"):
            del self.problems[file.id]

    def contain(self, rt: Runtime, file: ProtectedFile) -> None:
        """The container that streams, as it should be; begins an epoch where there is none on this machine."""
        if file.id in self.paused:
            return
        app = rt.store.app_by_id(file.app_id)
        mount = sqlite_place.mount_of(rt, app, file.path)
        if not file.epoch or not spool_of(rt, file).is_dir():
            file = self.begin(rt, file, "protected" if not file.epoch else "its spool was lost")
        image = sqlite_program.ensure_image(rt.images, rt.settings.litestream, rt.settings.prefix)
        spec = sqlite_program.stream_spec(container_name(rt, file), image, labels(rt, file), mount, file.owner,
                                          epoch_directory(rt, file))
        found = state_of(rt, file)
        if found and found.labels.get("paas.spec") == spec.labels["paas.spec"]:
            if not found.running:
                rt.containers.start(found.id)
            return
        if found:
            rt.containers.stop(found.id, spec.stop_timeout)
        rt.containers.start(rt.containers.create(spec))

    def begin(self, rt: Runtime, file: ProtectedFile, reason: str) -> ProtectedFile:
        """A new epoch: the target is told first, then directories, then the row. StoreError: nothing was changed."""
        now = rt.clock.now()
        epoch = new_id(now, randbits(32))
        tell_target(rt, file, epoch, now, reason)
        old = epoch_directory(rt, file) if file.epoch else None
        made = rt.store.update_protected_file(file.id, epoch=epoch)
        make_directories(rt, made)
        if old:
            shutil.rmtree(old, ignore_errors=True)
        return made

    def ship(self, rt: Runtime, file: ProtectedFile) -> None:
        """Threads for its present epoch, target and keys."""
        if not file.epoch:
            return
        target, keys = target_of(rt, file), backup_keys.seal_keys(rt)
        known = self._streams.get(file.id)
        if known and known.same(file, target, keys):
            self.look_after(rt, known)
            return
        if known:
            known.end()
        place = layout(server_of(rt), file.uid).pitr(file.epoch)
        shipper = Shipper(Spool(spool_of(rt, file) / "replica"), open_target(rt, target), rt.sealing, keys, place)
        if known and known.target != target:         # a target that has not heard of this epoch
            tell_target(rt, file, file.epoch, rt.clock.now(), "the target was changed")
        stream = self._streams[file.id] = Stream(file, target, keys, shipper)
        try:
            stream.threads += [started(run_lane, rt, stream, large, name=f"sqlite-{file.id}{'-large' if large else ''}")
                               for large in (False, True)]
        except Unavailable:
            self._streams.pop(file.id).end()         # opened again by the next look
            raise

    def look_after(self, rt: Runtime, stream: Stream) -> None:
        """A hole that stays gets a new epoch."""
        now = rt.clock.monotonic()
        if not stream.shipper.broken or stream.error:
            stream.broken_since = None
        elif stream.broken_since is None:
            stream.broken_since = now
        elif now - stream.broken_since > BROKEN_SECONDS:
            self.restart(rt, stream.file, "a hole in the history")

    def restart(self, rt: Runtime, file: ProtectedFile, reason: str) -> ProtectedFile:
        """Begin anew with a whole copy: new epoch, new container."""
        with self._lock:
            found = state_of(rt, file)
            if found:
                rt.containers.stop(found.id, 20)
                rt.containers.remove(found.id)
            made = self.begin(rt, file, reason)
            self.contain(rt, made)
            self.ship(rt, made)
            return made

    def wait(self, rt: Runtime, file: ProtectedFile, seconds: float, until_any: bool = False) -> bool:
        """Until all that is here is there (or, with *until_any*, something is). False: not within *seconds*."""
        deadline = rt.clock.monotonic() + seconds
        while rt.clock.monotonic() < deadline:
            stream = self.of(file)
            with contextlib.suppress(PaasError):
                if stream and (stream.shipper.reach > 0 if until_any else not stream.shipper.pending()):
                    return True
            rt.clock.sleep(LOOK_SECONDS)
        return False

    def end(self) -> None:
        """All threads; the containers go on."""
        with self._lock:
            for one in self._streams.values():
                one.stop.set()
            self._streams.clear()


def run_lane(rt: Runtime, stream: Stream, large: bool) -> None:
    pause = 0.0
    while not stream.stop.wait(pause):
        try:
            pause = 0.0 if stream.shipper.tick(large) else LOOK_LARGE_SECONDS if large else LOOK_SECONDS
            if not large:
                stream.error = ""
        except PaasError as error:
            stream.error = error.what
            pause = min(MOST_PAUSE, max(0.25, pause * 2))
        except Exception:
            log.exception("shipping of %s failed", stream.file.uid)
            stream.error, pause = "an error of paas itself; see the daemon's log", MOST_PAUSE


# --- Where things are --------------------------------------------------------------------------------------------


def server_of(rt: Runtime) -> str:
    return places.server_id(rt)


def target_of(rt: Runtime, file: ProtectedFile) -> Target:
    """Its own, the server's, or a directory of this machine."""
    return places.target_of(rt, file.uid)


def open_target(rt: Runtime, target: Target) -> ObjectStore:
    """For writing. Conflict: another machine writes to this server's place in it."""
    store = rt.targets.open(target)
    places.require_ours(rt, store)
    return store


def tell_target(rt: Runtime, file: ProtectedFile, epoch: str, now: datetime, reason: str) -> None:
    app = rt.store.app_by_id(file.app_id)
    said = Epoch(file.uid, epoch, app.name, file.name, file.path, file.owner, now, reason)
    store = open_target(rt, target_of(rt, file))
    put_epoch(store, layout(server_of(rt), file.uid).pitr(epoch), said, backup_keys.seal_keys(rt))


def file_directory(rt: Runtime, file: ProtectedFile) -> Path:
    return rt.settings.state_dir / "sqlite" / file.uid


def epoch_directory(rt: Runtime, file: ProtectedFile) -> Path:
    return file_directory(rt, file) / file.epoch


def spool_of(rt: Runtime, file: ProtectedFile) -> Path:
    return epoch_directory(rt, file) / "spool"


def make_directories(rt: Runtime, file: ProtectedFile) -> None:
    """Closed to everybody but root on the host; the container sees only its own parts of them."""
    base, user = epoch_directory(rt, file), file.owner.partition(":")
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    for above in (base, base.parent, base.parent.parent):
        above.chmod(0o700)
    spool, config = base / "spool", base / "config"
    spool.mkdir(mode=0o700, exist_ok=True)
    os.chown(spool, int(user[0]), int(user[2]))
    config.mkdir(mode=0o755, exist_ok=True)
    (config / "litestream.yml").write_text(sqlite_program.config(file.path))
    (config / "litestream.yml").chmod(0o644)


def container_name(rt: Runtime, file: ProtectedFile) -> str:
    return f"{rt.settings.prefix}-sqlite-{file.id}"


def labels(rt: Runtime, file: ProtectedFile) -> dict[str, str]:
    app = rt.store.app_by_id(file.app_id)
    return {"paas.kind": "sqlite", "paas.app": str(app.id), "paas.app-name": app.name, "paas.sqlite": str(file.id)}


def state_of(rt: Runtime, file: ProtectedFile) -> ContainerState | None:
    found = rt.containers.list({"paas.kind": "sqlite", "paas.sqlite": str(file.id)})
    return found[0] if found else None


def remove_work(rt: Runtime) -> None:
    """At the start of the process: what a restore that was cut has left, and the spools of files that are no more."""
    for one in rt.containers.list({"paas.kind": "sqlite-work"}):
        rt.containers.remove(one.id)
    known = {file.uid for file in rt.store.protected_files() if file.enabled}
    for path in (rt.settings.state_dir / "sqlite").glob("*"):
        for gone in [path] if path.name not in known else path.glob("restore-*"):
            shutil.rmtree(gone, ignore_errors=True)


def remove_strays(rt: Runtime, wanted: dict[int, ProtectedFile]) -> None:
    """Containers of files that are not protected any more."""
    for one in rt.containers.list({"paas.kind": "sqlite"}):
        if one.labels.get("paas.sqlite", "") not in {str(known) for known in wanted}:
            rt.containers.stop(one.id, 20)
            rt.containers.remove(one.id)
