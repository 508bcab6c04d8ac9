"""A commit made of files that did not come by a push (``git:from-archive``, ``git:from-image``)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from dulwich.objects import Blob, Commit, ShaFile, Tree

from paas.adapters.files import sync_directory
from paas.ports_source import SourceFile

COMMITTER = b"paas <paas@localhost>"


def write_commit(objects: Path, files: Iterable[SourceFile], message: str, author: str, parent: str | None) -> str:
    """Write blobs, trees and the commit as loose objects into the directory *objects*; return the commit's id."""
    root: dict = {}
    for file in files:
        *above, name = file.path.split("/")
        at = root
        for part in above:
            at = at.setdefault(part.encode(), {})
        at[name.encode()] = (file.mode, write(objects, Blob.from_string(file.content)))
    commit = Commit()
    commit.tree = write_tree(objects, root)
    commit.parents = [parent.encode()] if parent else []
    commit.author = f"{author} <paas@localhost>".encode()
    commit.committer = COMMITTER
    commit.author_time = commit.commit_time = int(time.time())
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = message.encode() + b"\n"
    made = write(objects, commit)
    for directory in (*objects.iterdir(), objects):
        sync_directory(directory)
    return made.decode()


def write_tree(objects: Path, level: dict) -> bytes:
    tree = Tree()
    for name, entry in level.items():
        if isinstance(entry, dict):
            tree.add(name, 0o040000, write_tree(objects, entry))
        else:
            tree.add(name, *entry)
    return write(objects, tree)


def write(objects: Path, one: ShaFile) -> bytes:
    """gitformat-loose(5). Written once: content that is there under its own hash is that content."""
    name = one.id.decode()
    path = objects / name[:2] / name[2:]
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(one.as_legacy_object())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return one.id
