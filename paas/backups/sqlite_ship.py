"""From Litestream's local replica to the target: each LTX file sealed, named with its time and MAC, as soon as it is
there. What the target did not take stays in the replica, whose size Litestream's compaction and retention bound."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from paas.backups.spool import Spool
from paas.errors import Forged
from paas.model import sqlite
from paas.model.backup_mac import MacKey, authenticate, open_document
from paas.model.sqlite import Ltx
from paas.ports_backup import ObjectStore, Sealing, Writer
from paas.secret import Secret

SMALL = 4 * 1024 * 1024                  # bytes up to which a file is sealed in memory and put at once
EPOCH_PURPOSE = "paas sqlite epoch v1"
EPOCH_NAME = "epoch.json"


@dataclass(frozen=True)
class SealKeys:
    """For whom files are sealed, and what proves that they are ours."""

    recipients: tuple[str, ...]
    mac: MacKey


@dataclass(frozen=True)
class Epoch:
    """One unbroken history of one file: all that a machine without our database needs to know of it."""

    uid: str
    id: str
    app: str
    name: str
    path: str                            # in the app's containers
    owner: str                           # "UID:GID"
    began: datetime
    reason: str                          # "protected", "restored", …
    authentic: bool = True               # False: its MAC was made with a key that is not there


def put_epoch(store: ObjectStore, place: str, epoch: Epoch, keys: SealKeys) -> None:
    """*place*: the epoch's prefix, ending in "/"."""
    said = {"format": 1, "uid": epoch.uid, "epoch": epoch.id, "app": epoch.app, "name": epoch.name,
            "path": epoch.path, "owner": epoch.owner, "began": epoch.began.isoformat(), "reason": epoch.reason}
    store.put(place + EPOCH_NAME, authenticate(said, keys.mac, EPOCH_PURPOSE))


def read_epoch(data: bytes, keys: Iterable[MacKey]) -> Epoch:
    """Forged: it is not what was written, or of a version that this program does not know."""
    said, authentic = open_document(data, keys, EPOCH_PURPOSE, "description of a SQLite file's history")
    words = ("uid", "epoch", "app", "name", "path", "owner", "began", "reason")
    if said.get("format") != 1 or not all(isinstance(said.get(word), str) for word in words):
        raise Forged("The description of a SQLite file's history is of another version, or incomplete",
                     "Use the paas that made it, or a newer one.")
    uid, epoch, app, name, path, owner, began, reason = (str(said[word]) for word in words)
    try:
        return Epoch(uid, epoch, app, name, path, owner, datetime.fromisoformat(began), reason, authentic)
    except ValueError:
        raise Forged("The description of a SQLite file's history has no time", "Use another history.") from None


def stored_files(store: ObjectStore, place: str, below: str = "") -> Iterator[Ltx]:
    """The LTX files of an epoch, as its listing tells; *below*: of one level or shard only."""
    for found in store.list(place + below):
        one = sqlite.stored(found.key.removeprefix(place), found.size)
        if one is not None:
            yield one


class Shipper:
    """One file's. Two lanes, a thread each: what is small never waits behind a snapshot of gigabytes.

    :param place: the epoch's prefix in *store*, ending in "/".
    """

    def __init__(self, spool: Spool, store: ObjectStore, sealing: Sealing, keys: SealKeys, place: str) -> None:
        self.spool, self.store, self.sealing, self.keys, self.place = spool, store, sealing, keys, place
        self.reach = 0                   # the last transaction that a restore would have
        self.reach_at: datetime | None = None
        self.sent = 0                    # bytes since the start
        self._lock = threading.Lock()
        self._done: set[str] | None = None
        self._idle: dict[bool, int] = {}         # lane → generation of the spool in which it had nothing to do
        self._ahead: list[Ltx] = []      # sent, but something before them is not

    def pending(self) -> list[Ltx]:
        """What is here and not there. StoreError: it is not known what is there."""
        with self._lock:
            files = self.spool.files()
            if self._done is None:
                self._done = self._look(files)
            self._done &= {name_of(one) for one in files}        # bounded by what Litestream keeps
            return [one for one in files if name_of(one) not in self._done]

    def tick(self, large: bool = False) -> bool:
        """Send the file of this lane that is wanted most. False: there is none. StoreError, and everything stays."""
        seen = self.spool.generation()
        if self._idle.get(large) == seen:
            return False
        one = next_wanted([one for one in self.pending() if (one.size > SMALL) == large], self.reach)
        if one is None:
            self._idle[large] = seen
            return False
        file = self.spool.open(one)
        if file is not None:             # else: compacted away meanwhile, and its level above is pending
            with file:
                self._send(one, file)
        with self._lock:
            self._done.add(name_of(one))
        return True

    @property
    def broken(self) -> bool:
        """What is here continues nothing that is there: only a new epoch, or the next snapshot, mends that."""
        further = [one for one in self.spool.files() if one.max > self.reach]
        return bool(further) and all(one.min > self.reach + 1 for one in further)

    def newest(self) -> Ltx | None:
        """Of what is here."""
        return max(self.spool.files(), key=lambda one: (one.max, one.level), default=None)

    def _look(self, files: Sequence[Ltx]) -> set[str]:
        """What is there already: of level 0, only in the shards of what is here; the other levels are small."""
        shards = {one.key.rsplit("/", 1)[0] for one in files if one.level == 0}
        there = [one for level in sqlite.LEVELS if level for one in stored_files(self.store, self.place, f"{level}/")]
        there += [one for shard in sorted(shards) for one in stored_files(self.store, self.place, f"{shard}/")]
        chain = sqlite.plan(there)
        if chain:
            self.reach, self.reach_at = chain[-1].max, chain[-1].at
        self._ahead = [one for one in there if one.max > self.reach]
        return {name_of(one) for one in there}

    def _arrived(self, one: Ltx) -> None:
        """Move `reach` over everything that now hangs together."""
        with self._lock:
            self._ahead.append(one)
            while step := max((one for one in self._ahead if one.min <= self.reach + 1), default=None,
                              key=lambda one: one.max):
                self._ahead = [one for one in self._ahead if one.max > step.max]
                if step.max > self.reach:
                    self.reach, self.reach_at = step.max, step.at

    def _send(self, one: Ltx, file: BinaryIO) -> None:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        key = self.place + sqlite.signed(one, self.keys.mac, self.place, digest).key
        self.sent += self._put(key, file) if one.size <= SMALL else self._upload(key, one.size, file)
        self._arrived(one)

    def _put(self, key: str, file: BinaryIO) -> int:
        sealed = io.BytesIO()
        self.sealing.seal(file, sealed, self.keys.recipients)
        self.store.put(key, sealed.getvalue())
        return sealed.tell()

    def _upload(self, key: str, size: int, file: BinaryIO) -> int:
        upload = self.store.upload(key, size)
        try:
            self.sealing.seal(file, upload, self.keys.recipients)
            return upload.commit()
        except BaseException:
            upload.abort()
            raise


def name_of(one: Ltx) -> str:
    return f"{one.level}/{one.local_name}"


def next_wanted(pending: Sequence[Ltx], reach: int) -> Ltx | None:
    """First what takes a restore furthest, then the rest, oldest first: after an outage the newest state is safe
    before the fine steps on the way to it are."""
    further = [one for one in pending if one.min <= reach + 1 and one.max > reach]
    if further:
        return max(further, key=lambda one: (one.max, -one.level))
    return min(pending, key=lambda one: (one.max, one.level), default=None)


# --- Back --------------------------------------------------------------------------------------------------------


class Hashing:
    """A Writer that passes on and keeps the digest."""

    def __init__(self, sink: Writer) -> None:
        self.sink, self.sha256 = sink, hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        self.sha256.update(data)
        return self.sink.write(data)


def fetch(store: ObjectStore, sealing: Sealing, place: str, one: Ltx, identity: Secret, keys: Sequence[MacKey],
          sink: Writer) -> None:
    """One stored file, opened and proved. Forged: throw away what was written."""
    hashing = Hashing(sink)
    sealing.unseal(store.read(place + one.key), hashing, identity)
    sqlite.check(one, keys, place, hashing.sha256.hexdigest())


def forget_superfluous(store: ObjectStore, place: str, now: datetime, window: float = sqlite.WINDOW) -> int:
    """Carry out retention; return how many objects went."""
    gone = sqlite.superfluous(list(stored_files(store, place)), now, window)
    store.delete([place + one.key for one in gone])
    return len(gone)


