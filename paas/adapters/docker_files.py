"""Single files of a container, seen and linked by the engine: symbolic links in it lead nowhere outside of it, and the
platform's own process never opens a path that an app can change. Part of DockerContainers."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Mapping

from paas.adapters.docker_client import Engine, asking
from paas.ports import FileFacts

KINDS = {tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link"}
MAX_HEADERS = 64 * 1024                  # bytes of a tar before the first file's own


class DockerFiles:
    """The file methods of :class:`paas.ports.Containers`."""

    _engine: Engine

    def facts(self, container_id: str, path: str, head: int = 0) -> FileFacts:
        with asking("look at a file in the container"):
            stream, _ = self._engine.api.get_archive(container_id, path, chunk_size=64 * 1024)
            with contextlib.closing(stream):
                data = b""
                for piece in stream:
                    data += piece
                    if len(data) >= MAX_HEADERS + head:
                        break
        return first_entry(data, head)

    def link(self, container_id: str, directory: str, names: Mapping[str, str]) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for new, old in names.items():
                entry = tarfile.TarInfo(new)
                entry.type, entry.linkname = tarfile.LNKTYPE, old
                found = self.facts(container_id, f"{directory.rstrip('/')}/{old}")
                entry.uid, entry.gid, entry.mode = found.uid, found.gid, found.mode
                tar.addfile(entry)
        with asking("give a file a further name"):
            self._engine.api.put_archive(container_id, directory, archive.getvalue())


def first_entry(data: bytes, head: int) -> FileFacts:
    """Of the tar that the engine sends, which may be cut behind what is wanted."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:
        entry = tar.next()
        kind = KINDS.get(entry.type, "other")
        content = b""
        if head and kind == "file":
            content = tar.extractfile(entry).read(min(head, entry.size))
    return FileFacts(kind, entry.size, entry.uid, entry.gid, entry.mode & 0o7777, content, int(entry.mtime))
