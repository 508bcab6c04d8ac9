"""Where this installation lives and how it is bounded: one TOML file, read once at start.

The file is ``/etc/paas/paas.toml``, or the path in ``PAAS_SETTINGS``. Every key is optional. What an admin
changes while the platform runs (global domain, limits) is not here but in the database (``paas server:set``).
"""

import os
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path

from paas.errors import StateError

DEFAULT_FILE = Path("/etc/paas/paas.toml")


@dataclass(frozen=True)
class Settings:
    """Paths, users, ports. Ports are TCP port numbers; directories are absolute."""

    state_dir: Path = Path("/var/lib/paas")        # database, repositories, proxy files
    run_dir: Path = Path("/run/paas")              # sockets and pids; empty after a reboot
    config_dir: Path = Path("/etc/paas")           # this file and the master key
    lib_dir: Path = Path("/usr/local/lib/paas")    # the program: hooks/, paas/client.py
    ssh_user: str = "paas"                         # owner of the repositories, user of `git push`
    proxy_user: str = "paas-proxy"                 # user that Caddy runs as
    host: str = ""                                 # how clients reach this server by SSH; empty: its host name
    ssh_port: int = 22
    host_keys: Path = Path("/etc/ssh")             # where sshd's ssh_host_*_key.pub are
    http_port: int = 80
    https_port: int = 443
    reload_overlap_ms: int = 1000                  # milliseconds for which an old config of the proxy still serves
    docker_socket: Path = Path("/var/run/docker.sock")
    prefix: str = "paas"                           # first word of every name paas gives in Docker
    network_pool: str = "10.89.0.0/16"             # cut into /25 networks, one per app (512 in a /16)
    host_ports: str = ""                           # further TCP ports of this server that containers may reach: "5432"
    caddy: Path = Path("/usr/local/lib/paas/venv/bin/caddy")
    litestream: Path = Path("/usr/local/lib/paas/venv/bin/litestream")
    syslog: Path = Path("/dev/log")                # where events go, too

    @property
    def database(self) -> Path:
        return self.state_dir / "paas.db"

    @property
    def master_key(self) -> Path:
        return self.config_dir / "master.key"

    @property
    def socket(self) -> Path:
        return self.run_dir / "paas.sock"

    @property
    def waker_socket(self) -> Path:
        return self.run_dir / "proxy" / "waker.sock"

    @property
    def repos_dir(self) -> Path:
        return self.state_dir / "repos"

    @property
    def proxy_dir(self) -> Path:
        return self.state_dir / "proxy"

    @property
    def storage_dir(self) -> Path:
        return self.state_dir / "storage"

    @property
    def logs_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def authorized_keys(self) -> Path:
        return self.state_dir / "ssh" / "authorized_keys"


def load(path: Path | None = None) -> Settings:
    """Read the settings file; a missing file means all defaults.

    :raises StateError: the file is not TOML, or has an unknown key or a value of the wrong type.
    """
    path = path or Path(os.environ.get("PAAS_SETTINGS", DEFAULT_FILE))
    if not path.exists():
        return Settings()
    try:
        words = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{path} is not valid TOML: {error}", "Correct that line and start again.") from None
    known = {field.name: field.type for field in fields(Settings)}
    changes = {}
    for key, value in words.items():
        name = key.replace("-", "_")
        if name not in known:
            raise StateError(f"{path}: unknown setting '{key}'", f"Known: {', '.join(sorted(known))}.")
        kind = known[name]
        if not isinstance(value, int if kind is int else str) or isinstance(value, bool):
            raise StateError(f"{path}: '{key}' must be {'a number' if kind is int else 'text'}", "Correct it.")
        changes[name] = Path(value) if kind is Path else value
    return replace(Settings(), **changes)
