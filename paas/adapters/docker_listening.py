"""Which TCP sockets listen inside a container: read from /proc of its init process, no tool in the image needed."""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path

from paas.ports import Listener

LISTEN = "0A"                            # proc(5), /proc/net/tcp, column st
ENGINE_DNS = "127.0.0.11"


def listeners(pid: int, proc: Path = Path("/proc")) -> list[Listener]:
    """Listeners of the network namespace of process *pid*, IPv4 first; none if the process is gone."""
    found: list[Listener] = []
    for name in ("tcp", "tcp6"):
        try:
            table = (proc / str(pid) / "net" / name).read_text()
        except OSError:
            continue
        found += parsed(table)
    return [one for one in dict.fromkeys(found) if one.address != ENGINE_DNS]


def parsed(table: str) -> list[Listener]:
    return [listener(row[1]) for row in listening(table)]


def listening(table: str) -> list[list[str]]:
    """The rows of sockets that listen, in their columns (proc(5), /proc/net/tcp)."""
    rows = (line.split() for line in table.splitlines()[1:])
    return [row for row in rows if len(row) > 3 and row[3] == LISTEN]


def listener(local: str) -> Listener:
    """``0100007F:1F90`` → 127.0.0.1, 8080: 32-bit words in the machine's byte order, the port as a number."""
    words, port = local.split(":")
    raw = b"".join(struct.pack("=I", int(words[i:i + 8], 16)) for i in range(0, len(words), 8))
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return Listener(str(mapped or address), int(port, 16))
