"""From the target back to LTX files that Litestream makes a database of. Needs nothing but the target and the keys."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from paas.backups.sqlite_ship import EPOCH_NAME, Epoch, fetch, read_epoch, stored_files
from paas.errors import Forged, NotFound
from paas.model import sqlite
from paas.model.backup_layout import Layout, is_id, root
from paas.model.backup_mac import MacKey
from paas.model.sqlite import Ltx
from paas.ports_backup import ObjectStore, Sealing
from paas.secret import Secret

DATASTORE = "sqlite"


@dataclass(frozen=True)
class OpenKeys:
    """What a restore needs: the identity that opens, and every key that may have made MACs."""

    identity: Secret
    macs: tuple[MacKey, ...]


@dataclass(frozen=True)
class State:
    """What is to be restored."""

    epoch: Epoch
    chain: tuple[Ltx, ...]

    @property
    def at(self) -> datetime:
        return self.chain[-1].at

    @property
    def size(self) -> int:
        return sum(one.size for one in self.chain)


def layout(server_id: str, uid: str) -> Layout:
    return Layout(server_id, DATASTORE, uid)


def epochs(store: ObjectStore, server_id: str, macs: Iterable[MacKey], uid: str = "") -> list[Epoch]:
    """Every history that a server left in *store* (of one file), by file, oldest first.

    The server's own database is not asked: so this works on a new machine. Descriptions that are damaged are left out;
    one whose key is unknown has ``authentic`` False.
    """
    macs, found = tuple(macs), []
    below = layout(server_id, uid).pitr() if uid else f"{root(server_id)}pitr/{DATASTORE}/"
    for one in store.list(below):
        parts = one.key.split("/")
        if parts[-1] != EPOCH_NAME or len(parts) != 7 or not is_id(parts[5]):
            continue
        try:
            epoch = read_epoch(store.get(one.key, 64 * 1024), macs)
        except Forged:
            continue
        if (epoch.uid, epoch.id) == (parts[4], parts[5]):
            found.append(epoch)
    return sorted(found, key=lambda one: (one.uid, one.id))


def choose(store: ObjectStore, server_id: str, histories: Sequence[Epoch], at: datetime | None) -> State:
    """The newest state not later than *at* (None: the newest). NotFound: there is none."""
    for epoch in reversed(histories):
        if not epoch.authentic or (at is not None and epoch.began > at):
            continue
        place = layout(server_id, epoch.uid).pitr(epoch.id)
        chain = sqlite.plan(stored_files(store, place), at)
        if chain:
            return State(epoch, tuple(chain))
    if not histories:
        raise NotFound("the target has nothing of this file", "See: paas sqlite:list")
    began = min(one.began for one in histories)
    limit = f" from {at:%Y-%m-%d %H:%M:%S} UTC or before" if at else ""
    raise NotFound(f"the target has no state of this file{limit}",
                   f"Its history begins at {began:%Y-%m-%d %H:%M:%S} UTC.")


def download(store: ObjectStore, sealing: Sealing, server_id: str, state: State, keys: OpenKeys, into: Path) -> None:
    """The chain as Litestream's replica of kind ``file``, readable by everybody; *into* must be empty and in a
    directory of root's alone. Forged, StoreError: what is there must be thrown away."""
    place = layout(server_id, state.epoch.uid).pitr(state.epoch.id)
    for one in state.chain:
        directory = into / "ltx" / str(one.level)
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / one.local_name
        with path.open("xb") as file:
            fetch(store, sealing, place, one, keys.identity, keys.macs, file)
        os.utime(path, (one.at.timestamp(), one.at.timestamp()))     # Litestream's `-timestamp` goes by it
    for path in (into, *into.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
