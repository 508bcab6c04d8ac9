"""Where the proxy's files and sockets lie, and who may read them."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from paas.ports import Page
from paas.settings import Settings

SLOTS = 12                               # upstream files per app: `ps:scale` is file renames up to this many
UNKNOWN_HOST = "unknown-host"            # the page for a host that no app owns
STILL_PAGES = (Page.NO_RELEASE, Page.STOPPED, Page.MAINTENANCE)
SOCKET_PAGES = (*STILL_PAGES, Page.ASLEEP)


def part(config: dict | None, *path: str) -> dict:
    """What stands at *path* of a config that somebody else may have loaded; empty where nothing does."""
    for name in path:
        config = (config or {}).get(name)
    return config or {}


@dataclass(frozen=True)
class Layout:
    """Paths under ``settings.proxy_dir`` (durable) and ``settings.run_dir/proxy`` (sockets)."""

    settings: Settings

    @cached_property
    def root(self) -> Path:
        return self.settings.proxy_dir

    @property
    def config(self) -> Path:
        """The whole config that the proxy starts from."""
        return self.root / "caddy.json"

    @cached_property
    def upstreams(self) -> Path:
        return self.root / "up"

    @cached_property
    def certificates(self) -> Path:
        """Certificates that users added; the proxy's own ones are in :attr:`storage`."""
        return self.root / "certs"

    @cached_property
    def storage(self) -> Path:
        return self.root / "data"

    @cached_property
    def sockets(self) -> Path:
        return self.settings.run_dir / "proxy"

    @property
    def admin(self) -> Path:
        return self.sockets / "admin.sock"

    @staticmethod
    def ask_name(generation: int) -> str:
        return f"ask-{generation}.sock"

    def ask(self, generation: int) -> Path:
        """The daemon's own way to a generation of the config (:mod:`paas.adapters.caddy_reload`)."""
        return self.sockets / self.ask_name(generation)

    @property
    def requests(self) -> Path:
        """What the proxy writes of each request, for :mod:`paas.adapters.caddy_traffic`."""
        return self.sockets / "requests.log"

    @property
    def read_so_far(self) -> Path:
        return self.settings.run_dir / "requests.read"

    def slot(self, app_id: int, slot: int) -> Path:
        return self.upstreams / str(int(app_id)) / str(slot)

    def page_socket(self, page: str) -> Path:
        return self.sockets / f"page-{page}.sock"

    def page_dial(self, page: str) -> str:
        return f"unix/{self.page_socket(page)}"

    @cached_property
    def owner(self) -> tuple[int, int] | None:
        """(root, the proxy's group): files that the proxy may read only. None: not root, or no such user."""
        ids = self.proxy_ids
        return (0, ids[1]) if ids else None

    @cached_property
    def proxy_ids(self) -> tuple[int, int] | None:
        """(uid, gid) of the proxy's user where this process can give files to it."""
        if os.geteuid() != 0:
            return None
        try:
            entry = pwd.getpwnam(self.settings.proxy_user)
        except KeyError:
            return None
        return entry.pw_uid, entry.pw_gid

    def prepare(self) -> None:
        """Make the directories that are missing. Idempotent; each side (daemon, proxy) may do it first."""
        for directory in (self.root, self.upstreams, self.certificates):
            self.ensure(directory, 0o750, self.owner)
        for directory in (self.storage, self.sockets):
            self.ensure(directory, 0o700, self.proxy_ids)

    @staticmethod
    def ensure(directory: Path, mode: int, owner: tuple[int, int] | None) -> None:
        if directory.is_dir():
            return
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(exist_ok=True)
        if owner:
            os.chown(directory, *owner)
        directory.chmod(mode)
