"""Containers that behave in named ways, fake and real, for the contract suite of :class:`paas.ports.Containers`."""

from __future__ import annotations

import secrets
import time
from ipaddress import ip_network

from paas.ports import ContainerSpec, Listener
from paas.secret import Secret
from paas.testing.fake_containers import Behaviour

# Behaviour → the real container's command.
COMMANDS = {
    "web": ("sh", "-c", "echo up; echo oops >&2; exec httpd -f -p $PORT -h /"),
    "loopback": ("sh", "-c", "exec httpd -f -p 127.0.0.1:$PORT -h /"),
    "silent": ("sleep", "1000"),
    "dies": ("sh", "-c", "echo bye; exit 3"),
    "stubborn": ("sh", "-c", "trap '' TERM; echo up; while true; do sleep 1; done"),
    "cat": ("cat",),
}
BEHAVIOURS = {
    "web": Behaviour(logs=("up", "!oops")),
    "loopback": Behaviour(listens=(Listener("127.0.0.1", 5000),)),
    "silent": Behaviour(listens=()),
    "dies": Behaviour(exits=3, logs=("bye",)),
    "stubborn": Behaviour(logs=("up",), ignores_term=True),
    "cat": Behaviour(echo=True),
}


class Rig:
    """A Containers and the way to make a container that behaves in a named way."""

    def __init__(self, containers, image: str) -> None:
        self.containers, self.image = containers, image
        self.tag = secrets.token_hex(3)
        self.subnet = free_subnet(containers.taken_subnets())
        self.network = f"ct-net-{self.tag}"

    def spec(self, kind: str, name: str = "1", **changes) -> ContainerSpec:
        values = {
            "name": f"ct-{self.tag}-{name}", "image": self.image, "command": COMMANDS[kind], "restart": "no",
            "labels": {"kind": kind, "run": self.tag}, "environment": {"PORT": Secret("5000")}, **changes}
        return ContainerSpec(**values)

    def run(self, kind: str, name: str = "1", **changes) -> str:
        made = self.containers.create(self.spec(kind, name, **changes))
        self.containers.start(made)
        return made

    def join(self) -> dict[str, str]:
        self.containers.ensure_network(self.network, self.subnet, {"run": self.tag})
        return {"network": self.network}


def free_subnet(taken: list[str]) -> str:
    networks = [ip_network(one, strict=False) for one in taken if ":" not in one]
    pool = list(ip_network("10.214.0.0/16").subnets(new_prefix=25))
    start = secrets.randbelow(len(pool))
    return str(next(one for one in pool[start:] + pool[:start] if not any(one.overlaps(other) for other in networks)))


def until(true, what: str, limit: float = 20):
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        found = true()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"never happened: {what}")
