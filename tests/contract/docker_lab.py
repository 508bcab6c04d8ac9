"""A tiny real image, made without a registry, for the contract suites over Docker."""

from __future__ import annotations

import contextlib
import io
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOCKET = Path("/var/run/docker.sock")
BUSYBOX = Path("/bin/busybox")
TOOLS = ("sh", "sleep", "echo", "cat", "httpd", "stty", "head", "wc", "grep", "dd", "tr", "ls", "readlink")


def tar(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A GNU tar with integer times, as Repos.archive gives it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return out.getvalue()


class Lab:
    """One engine, a server id of its own, one image ``base``; removes by label what was made under that id."""

    def __init__(self) -> None:
        from docker import APIClient

        self.api = APIClient(base_url=f"unix://{SOCKET}", version="1.41", timeout=60)
        self.server = f"contract{secrets.token_hex(4)}"
        self.base = f"paas-contract-{secrets.token_hex(4)}"
        content = tar({"bin/busybox": BUSYBOX.read_bytes()}, {f"bin/{tool}": "busybox" for tool in TOOLS})
        self.api.import_image_from_data(content, repository=self.base, tag="latest",
                                        changes=["ENV PATH=/bin", f"LABEL paas.test={self.base}"])
        self.digest = self.api.inspect_image(self.base)["Id"]

    def clean(self) -> None:
        mine = {"label": [f"paas.server={self.server}"]}
        for one in self.api.containers(all=True, filters=mine):
            self.api.remove_container(one["Id"], v=True, force=True)
        for one in self.api.networks(filters=mine):
            self.api.remove_network(one["Name"])
        for one in self.api.images(filters=mine):
            with contextlib.suppress(Exception):
                self.api.remove_image(one["Id"], force=True)

    def close(self) -> None:
        self.clean()
        self.api.remove_image(self.base, force=True)
        self.api.close()


def open_lab() -> Iterator[Lab]:
    if not SOCKET.exists():
        pytest.skip("no Docker engine")
    lab = Lab()
    try:
        yield lab
    finally:
        lab.close()
