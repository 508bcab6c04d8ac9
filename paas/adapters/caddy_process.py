"""How the proxy's process is started: by its unit, by the installer, by the tests."""

from __future__ import annotations

import json

from paas.adapters import caddy_ports
from paas.adapters.caddy_config import make_config
from paas.adapters.caddy_layout import Layout
from paas.adapters.files import write_atomic
from paas.ports import ProxyOptions
from paas.settings import Settings


def caddy_argv(settings: Settings) -> list[str]:
    """The command line; what it starts from (directories, a first config without apps) is made if missing."""
    prepare(settings)
    return [str(settings.caddy), "run", "--config", str(Layout(settings).config)]


def caddy_environment(settings: Settings) -> dict[str, str]:
    """The whole environment: nothing of the starter's own, and no file of the proxy's outside its directory.

    GOGC: the collector runs half as often (https://go.dev/doc/gc-guide), which spares 10 % of the time of a request for
    26 MB with 1,000 hosts. GODEBUG: sockets of Multipath TCP cannot be told who takes a connection
    (:mod:`paas.adapters.caddy_reload`).
    """
    home = str(Layout(settings).storage)
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home,
            "GOGC": "200", "GODEBUG": "multipathtcp=0"}


def prepare(settings: Settings) -> None:
    """Make what the proxy needs to start. Idempotent; never touches a config that is there."""
    layout = Layout(settings)
    layout.prepare()
    if not layout.config.exists():
        config = make_config((), ProxyOptions(https=False), settings)
        write_atomic(layout.config, json.dumps(config).encode(), 0o640, layout.owner)


def leave_out_taken(settings: Settings) -> str:
    """Just before the proxy starts: let it not ask for a public port that another program has taken meanwhile."""
    caddy_ports.leave_out_taken(Layout(settings))
    return ""
