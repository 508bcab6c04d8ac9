"""Further public ports of apps: a server of the proxy's for each, beside ``web``, and none for one that is taken.

They need no files of their own. Where a request goes is what ``web`` would read from the app's files, with another port
at the end: so a deploy switches all ports of an app in the same instant.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
from collections.abc import Iterable

from paas.adapters.caddy_layout import SLOTS, Layout, part
from paas.adapters.files import write_atomic
from paas.ports import Page, Site

SERVER = "port-{}"
CONTAINER = "paas.container"             # the port in the container; empty: that of the site
UPSTREAM = "paas.at{}"


def wanted(sites: Iterable[Site]) -> list[int]:
    """The public ports of *sites*, each once."""
    return sorted({one.number for site in sites for one in site.ports})


def containers(sites: Iterable[Site]) -> list[int]:
    return sorted({one.container for site in sites for one in site.ports if one.container})


def asleep_page(container: int) -> str:
    """The page of an app that sleeps, which sends the request on to port *container* once it runs; 0: of its site."""
    return f"{Page.ASLEEP}-{container}" if container else Page.ASLEEP


def dials(upstream: str) -> list[dict]:
    """A handler for each slot: from what the file holds, *upstream*, to where the request goes from this port.

    ``10.0.0.7:3000`` to ``10.0.0.7:5000``, the page for apps that sleep to its own of that port, else the same.
    """
    return [moved(f"{{{upstream.format(slot)}}}|{{{CONTAINER}}}", UPSTREAM.format(slot)) for slot in range(SLOTS)]


def moved(source: str, destination: str) -> dict:
    rules = [(r"^([0-9.]+):[0-9]+\|([0-9]+)$", "${1}:${2}"),
             (rf"^(unix/.*/page-{Page.ASLEEP})(\.sock)\|([0-9]+)$", "${1}-${3}${2}"), (r"^(.*)\|[0-9]*$", "${1}")]
    return {"handler": "map", "source": source, "destinations": [f"{{{destination}}}"],
            "mappings": [{"input_regexp": pattern, "outputs": [output]} for pattern, output in rules]}


# Ports that another program holds


def served(config: dict | None) -> set[int]:
    """The public ports that a proxy with *config* listens on."""
    servers = part(config, "apps", "http", "servers")
    return {int(name.removeprefix("port-")) for name in servers if name.startswith("port-")}


def free(number: int) -> bool:
    """Nobody else listens on TCP port *number*, on any address of this machine: the proxy could."""
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            with socket.socket(family) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)        # past connections do not count
                sock.bind((address, number))
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):      # a machine without IPv6
                return False
    return True


def leave_out_taken(layout: Layout) -> None:
    """To be called before the proxy starts: it gives up whole where it cannot have one of its ports.

    What is left out of its config here, the daemon puts back once it is free.
    """
    with contextlib.suppress(FileNotFoundError):
        config = json.loads(layout.config.read_bytes())
        taken = [number for number in served(config) if not free(number)]
        for number in taken:
            del config["apps"]["http"]["servers"][SERVER.format(number)]
        if taken:
            write_atomic(layout.config, json.dumps(config).encode(), 0o640, layout.owner)
