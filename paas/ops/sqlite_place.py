"""Where a database file of an app's is, and whether it can be streamed."""

from __future__ import annotations

import os
from secrets import token_hex
from typing import TYPE_CHECKING

from paas.backups import sqlite_program
from paas.errors import BadInput, NotFound
from paas.model import names
from paas.model.app import App, Mount
from paas.ops import storage
from paas.ports import BindMount, ContainerSpec, FileFacts

if TYPE_CHECKING:
    from paas.runtime import Runtime

MAGIC = b"SQLite format 3\0"             # sqlite.org/fileformat2.html, 1.3
WAL = (2, 2)                             # bytes 18 and 19 of the header: write and read version


def mount_of(rt: Runtime, app: App, path: str) -> Mount:
    """The mount of the app that holds *path*, the deepest. BadInput: none does, or it cannot be written to."""
    if not storage.clean_path(path):
        raise BadInput(f"'{names.printable(path)}' is not a plain absolute path", "Example: /data/app.db")
    found = [one for one in rt.store.mounts(app.id) if path.startswith(one.target.rstrip("/") + "/")]
    if not found:
        raise BadInput(f"{path} is in no mount of {app.name}, so it goes with the container at the next deploy",
                       f"Mount storage there first: paas storage:mount {app.name} data:{os.path.dirname(path) or '/'}")
    mount = max(found, key=lambda one: len(one.target))
    if mount.read_only:
        raise BadInput(f"{mount.target} is mounted read-only, so nothing writes to {path}", "Mount it for writing.")
    if mount.source.startswith("/") and os.path.realpath(mount.source) != mount.source:
        raise BadInput(f"what is mounted at {mount.target} is, or is below, a symbolic link now",
                       f"Take it away: paas storage:unmount {app.name} {mount.target}")
    return mount


class Look:
    """A container that is never started: the engine's own view of an app's mount. Use with ``with``."""

    def __init__(self, rt: Runtime, app: App, mount: Mount) -> None:
        image = sqlite_program.ensure_image(rt.images, rt.settings.litestream, rt.settings.prefix)
        self.containers = rt.containers
        self.spec = ContainerSpec(
            name=f"{rt.settings.prefix}-sqlite-look-{token_hex(4)}", image=image, restart="no",
            labels={"paas.kind": "sqlite-work", "paas.app": str(app.id), "paas.app-name": app.name},
            command=(sqlite_program.PROGRAM, "version"), mounts=(BindMount(mount.source, mount.target),))

    def __enter__(self) -> Look:
        self.id = self.containers.create(self.spec)
        return self

    def __exit__(self, *_: object) -> None:
        self.containers.remove(self.id)

    def at(self, path: str) -> FileFacts | None:
        """None: nothing is there."""
        try:
            return self.containers.facts(self.id, path, 100)
        except NotFound:
            return None

    def link(self, directory: str, given: dict[str, str]) -> None:
        self.containers.link(self.id, directory, given)


def require_database(found: FileFacts | None, path: str) -> FileFacts:
    """BadInput: not a SQLite database in WAL mode."""
    if found is None:
        raise BadInput(f"there is no {path} yet", "Let the app make it first, then protect it.")
    if found.kind != "file":
        raise BadInput(f"{path} is a {'symbolic link' if found.kind == 'link' else found.kind}, not a file",
                       "Give the path of the database file itself.")
    if len(found.head) < 100 or not found.head.startswith(MAGIC):
        raise BadInput(f"{path} is not a SQLite database", "An empty one becomes one with its first table.")
    if tuple(found.head[18:20]) != WAL:
        raise BadInput(f"{path} does not use a write-ahead log, which is what is streamed",
                       "Run once in the app: PRAGMA journal_mode = WAL (it stays so), and PRAGMA busy_timeout = 5000 "
                       "in every connection.")
    return found
