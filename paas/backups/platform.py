"""The platform itself as something to back up: database, master key, repositories and certificates in one stream.

What it holds and what it leaves out stands in docs/backups.md. The stream is a tar. The master key is in it, because
nothing in the database opens without it; it is nowhere outside of the sealed stream.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from paas import __version__
from paas.api import differences
from paas.backups import streams
from paas.backups.platform_pack import Pieced, packed, received, unpacked
from paas.errors import Forged, NotFound, StateError
from paas.model.backup import Contents, Manifest, StoredPart, Table
from paas.model.service import Service, ServiceState
from paas.ports_backup import ObjectStore, Reader
from paas.ports_platform import DATABASE, MASTER_KEY, Piece
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.ports_store import Store
    from paas.runtime import Runtime

DATASTORE, UID, KIND = "server", "platform", "server"
IMAGES = "images.000.zst.age"            # the further part, where one was asked for
ABOUT = "platform.json"                  # in the tar: what a restore must know before it opens the database
METHOD = "rows and sha256 of each table of the state database, v1"


def as_service(settings: dict[str, str]) -> Service:
    """The platform, where schedules, retention and health deal with services. *settings*: its own, of backups."""
    return Service(0, UID, DATASTORE, UID, "", "", ServiceState.RUNNING, "", datetime.min.replace(tzinfo=UTC), "paas",
                   settings=settings)


@dataclass(frozen=True)
class About:
    """Of the machine that made the backup."""

    server_id: str
    storage_dir: str
    prefix: str
    images: tuple[str, ...]              # digests in the further part

    @classmethod
    def read(cls, path: Path) -> About:
        try:
            found = json.loads(path.read_bytes())
            return cls(str(found["server_id"]), str(found["storage_dir"]), str(found["prefix"]),
                       tuple(map(str, found["images"])))
        except (OSError, ValueError, KeyError, TypeError):
            raise Forged("it is not a backup of the platform: it does not say what it is", "Take another.") from None


class PlatformSource:
    """A Source of :mod:`paas.backups.sources`."""

    kind, image = KIND, ""

    def __init__(self, rt: Runtime, service: Service) -> None:
        self._rt = rt
        self._storage, self._images = (service.settings.get(key) == "yes" for key in ("storage", "images"))

    def end_stale(self, label: str) -> None:
        """Nothing works on when the daemon has died; its scratch files go with the next snapshot."""

    def facts(self) -> dict[str, object]:
        pieces = self._rt.installation.pieces(storage=self._storage)
        size = sum(one.size for one in pieces) + self._rt.settings.database.stat().st_size
        return {"version": __version__, "size": size}

    @contextmanager
    def snapshot(self, label: str) -> Iterator[PlatformSnapshot]:
        with self._rt.installation.scratch() as place:
            self._rt.store.copy_to(place / DATABASE)
            rt = self._rt
            about = About(rt.store.settings()["server-id"], str(rt.settings.storage_dir), rt.settings.prefix,
                          tuple(self.digests()))
            (place / ABOUT).write_text(json.dumps(vars(about)))
            yield PlatformSnapshot(rt, place, self._storage)

    def digests(self) -> list[str]:
        """Of live releases, where the engine has them still."""
        found = []
        for app in self._rt.store.apps() if self._images else ():
            live = self._rt.store.live_release(app.id)
            try:
                found += [self._rt.images.inspect(live.image).digest] if live else []
            except NotFound:
                continue
        return sorted(set(found))

    def further(self) -> Iterator[tuple[str, Reader]]:
        digests = self.digests()
        if digests:
            yield IMAGES, self._rt.sealing.compress(Pieced(self._rt.images.save(digests)))

    def details(self) -> dict[str, str]:
        store = self._rt.store
        return {"apps": str(len(store.apps())), "services": str(len(store.services())),
                "images": "yes" if self._images else "no", "storage": "yes" if self._storage else "no"}


class PlatformSnapshot:
    def __init__(self, rt: Runtime, place: Path, storage: bool) -> None:
        self._rt, self._place, self._storage = rt, place, storage

    def dump(self) -> Reader:
        return self._rt.sealing.compress(Pieced(packed(self.pieces())))

    def pieces(self) -> Iterator[Piece]:
        for name in (ABOUT, DATABASE):
            path = self._place / name
            yield Piece(name, "file", size=path.stat().st_size, open=lambda path=path: path.open("rb"))
        yield from self._rt.installation.pieces(storage=self._storage)

    def contents(self) -> Contents:
        return contents_of(self._place / DATABASE)


def contents_of(database: Path) -> Contents:
    """StateError: damaged."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = tuple(table_of(connection, name) for (name,) in names)
    except sqlite3.Error as error:
        raise StateError(f"the copy of the state database cannot be read: {error}", "Try again.") from None
    return Contents(tables, {"schema": str(version)}, METHOD)


def table_of(connection: sqlite3.Connection, name: str) -> Table:
    quoted, rows, digest = '"' + name.replace('"', '""') + '"', 0, hashlib.sha256()
    for row in connection.execute(f"SELECT * FROM {quoted}"):
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
        rows += 1
    return Table(name, rows, digest.hexdigest())


# --- back again ----------------------------------------------------------------------------------------------------


def part_of(made: Manifest, name: str) -> StoredPart | None:
    return next((part for part in made.parts if part.key.rpartition("/")[2] == name), None)


def laid_out(rt: Runtime, made: Manifest, objects: ObjectStore, identity: Secret, directory: Path,
             moved: Callable[[int], None]) -> About:
    """All of it but its images into an empty directory of root's, compared with what the snapshot held. Forged."""
    dump = next(part for part in made.parts if part_of(made, IMAGES) != part)
    received(lambda sink: streams.fetch(objects, rt.sealing, dump, identity, sink, moved),
             lambda source: unpacked(source, directory))
    for name in (DATABASE, MASTER_KEY):
        if not (directory / name).is_file():
            raise Forged(f"the backup has no {name}", "Take another backup.")
    problems = differences(made.contents, contents_of(directory / DATABASE))
    if problems:
        raise Forged(f"the restored data are not those of the snapshot: {'; '.join(problems[:5])}",
                     "Take another backup.")
    return About.read(directory / ABOUT)


def opened(rt: Runtime, directory: Path) -> Store:
    """The staged database, at the newest schema, opened with the key beside it. StateError: it is not sound."""
    (directory / MASTER_KEY).chmod(0o400)
    store = rt.open_at(directory / DATABASE, directory / MASTER_KEY)
    complaints = store.integrity()
    if complaints:
        store.close()
        raise StateError(f"the restored database is damaged: {'; '.join(complaints[:3])}", "Take another backup.")
    return store


def drilled(rt: Runtime, made: Manifest, objects: ObjectStore, identity: Secret, moved: Callable[[int], None]) -> None:
    """Restored beside the running platform, looked at, thrown away. Forged."""
    with rt.installation.scratch() as place:
        laid_out(rt, made, objects, identity, place, moved)
        store = opened(rt, place)
        try:
            missing = [f"repository of {app.name}" for app in store.apps()
                       if store.live_release(app.id) and not (place / f"repos/{app.id}.git/HEAD").is_file()]
        finally:
            store.close()
    if missing:
        raise Forged(f"not in the backup: {', '.join(missing[:5])}", "Take another backup.")
