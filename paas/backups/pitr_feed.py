"""The log for a server that is being restored: it asks for one segment after the other, and gets each opened, proved.

Two directories of the host are in its container: one to read (``feed``), with the program that it runs for each file,
the names of all there are, and the next few segments; and one (``ask``) where that program says what is wanted now. So
a log of any length takes the disk space of a few segments. A segment that cannot be had ends the recovery: never does
it go on as if the log had ended there.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from paas.backups.spool import DIRECTORY, opened
from paas.errors import Forged, NotFound, PaasError, Unavailable
from paas.model import pitr
from paas.model.backup_mac import MacKey
from paas.model.pitr import Chain, Segment, Wal
from paas.ports import BindMount
from paas.ports_backup import ObjectStore, Sealing
from paas.secret import Secret
from paas.threads import started

AHEAD, BEHIND = 6, 2                     # segments kept ready before and after the one that is wanted
ATTEMPTS = 3                             # at a segment that changes while it is fetched
LOOK_SECONDS = 0.05
FAILED = "failed"
FETCH = """grep -qxF -- "$1" /paas/feed/names || exit 1
printf '%s\\n' "$1" > /paas/ask/wanted.new && mv /paas/ask/wanted.new /paas/ask/wanted
while [ ! -e "/paas/feed/$1" ]; do
  if [ -e /paas/feed/failed ]; then exit 200; fi
  sleep 0.05
done
exec cp "/paas/feed/$1" "$2"
"""

log = logging.getLogger("paas.pitr")


class Source:
    """Where the log is, and what opens and proves it.

    :param place: the epoch's prefix, ending in "/".
    """

    def __init__(self, store: ObjectStore, place: str, sealing: Sealing, identity: Secret,
                 keys: Sequence[MacKey]) -> None:
        self._store, self._place, self._sealing = store, place, sealing
        self._identity, self._keys = identity, tuple(keys)

    def segment(self, one: Segment, size: int) -> bytes:
        """Filled up with zeros to *size*, as the receiver has it. Forged, StoreError.

        A history that goes on puts fewer and longer pieces in the place of those that a listing has shown.
        """
        for _ in range(ATTEMPTS):
            try:
                return self._assembled(one, size)
            except NotFound:
                one = self._listed(one)
        return self._assembled(one, size)

    def _assembled(self, one: Segment, size: int) -> bytes:
        data = bytearray()
        for piece in one.pieces:
            data[piece.start:] = self.piece(piece, size)
        return bytes(data) + bytes(size - len(data))

    def _listed(self, one: Segment) -> Segment:
        """As it is now. NotFound: it is shorter than it was."""
        found = [pitr.stored(stored.key.removeprefix(self._place), stored.size)
                 for stored in self._store.list(f"{self._place}wal/") if f"/wal/{one.name}." in stored.key]
        now = Segment(one.name, pitr.assemble(piece for piece in found if piece))
        if not now.pieces or now.length < one.length:
            raise NotFound(f"a part of the log {one.name} is gone from the target",
                           "Somebody deleted it there. Try an earlier time.")
        return now

    def piece(self, one: Wal, size: int) -> bytes:
        plain = Bounded(size)
        into = self._sealing.decompress(plain)
        self._sealing.unseal(self._store.read(self._place + one.key), into, self._identity)
        into.finish()
        data = plain.getvalue()
        pitr.check(one, self._keys, self._place, hashlib.sha256(data).hexdigest())
        if len(data) != one.end - one.start:
            raise Forged(f"the stored log {one.segment} has another length than its name says", "Try an earlier time.")
        return data


class Bounded(io.BytesIO):
    """Something small may decompress to something huge: not here."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: bytes, /) -> int:
        if self.tell() + len(data) > self._limit:
            raise Forged("the stored log is longer than a segment", "Try an earlier time.")
        return super().write(data)


class Feed:
    """A context: the directories, and the thread that fills them."""

    def __init__(self, root: Path, owner: tuple[int, int], source: Source, chain: Chain, segments: Sequence[Segment],
                 told: Callable[[int], None] = lambda size: None) -> None:
        self.root, self._owner, self._source, self._chain = root, owner, source, chain
        self._segments = {one.name: one for one in segments}
        self._names = [one.name for one in segments]
        self._told, self._stop = told, threading.Event()
        self._ready: set[str] = set()
        self._thread: threading.Thread | None = None
        self.error: PaasError | None = None

    @property
    def mounts(self) -> tuple[BindMount, ...]:
        return (BindMount(str(self.root / "feed"), "/paas/feed", read_only=True),
                BindMount(str(self.root / "ask"), "/paas/ask"))

    def __enter__(self) -> Feed:
        feed, ask = self.root / "feed", self.root / "ask"
        self.root.mkdir(mode=0o700, parents=True)
        feed.mkdir(mode=0o755)
        ask.mkdir(mode=0o700)
        os.chown(ask, *self._owner)
        self._write("fetch", FETCH.encode())
        self._write("names", "".join(f"{name}\n" for name in self._names).encode())
        try:
            self._thread = started(self._run, name="pitr-feed")
        except Unavailable:
            shutil.rmtree(self.root, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(60)
        shutil.rmtree(self.root, ignore_errors=True)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if not self._next():
                    self._stop.wait(LOOK_SECONDS)
        except PaasError as error:
            self._end(error)
        except OSError as error:
            self._end(PaasError(f"the log could not be given to the server: {error.strerror}",
                                "Free some space, then try again."))
        except Exception:                # the server would wait for its next segment for ever
            log.exception("the log could not be given to the server")
            self._end(PaasError("the log could not be given to the server: an error of paas itself",
                                "Its cause stands in the log of paasd."))

    def _end(self, error: PaasError) -> None:
        self.error = error
        (self.root / "feed" / FAILED).touch()

    def _next(self) -> bool:
        """Fetch one segment that is wanted soon; drop those that are not wanted any more. False: nothing to do."""
        at = self._place()
        self._drop(at)
        for name in self._names[at:at + AHEAD + 1]:
            if name not in self._ready:
                data = self._source.segment(self._segments[name], self._chain.base.segment_size)
                self._write(name, data)
                self._ready.add(name)
                self._told(len(data))
                return True
        return False

    def _drop(self, at: int) -> None:
        """What lies behind; not before the copy is consistent: until then the server may go back."""
        if self._number(at) > self._chain.base.stop // self._chain.base.segment_size + BEHIND:
            for name in self._ready - set(self._names[max(0, at - BEHIND):at + AHEAD + 1]):
                (self.root / "feed" / name).unlink(missing_ok=True)
                self._ready.discard(name)

    def _number(self, at: int) -> int:
        return pitr.number_of(self._names[at], self._chain.base.segment_size)

    def _place(self) -> int:
        """Of the segment wanted now, in the list; 0 while none is."""
        directory = os.open(self.root / "ask", DIRECTORY)
        try:
            file = opened(directory, "wanted")
        finally:
            os.close(directory)
        if file is None:
            return 0
        with file:
            name = file.read(64).decode("ascii", "replace").strip()
        return self._names.index(name) if name in self._segments else 0

    def _write(self, name: str, data: bytes) -> None:
        """Under its name it is whole. It need not survive a crash."""
        part = self.root / "feed" / f".{name}.part"
        part.write_bytes(data)
        part.chmod(0o644)
        part.rename(part.with_name(name))
