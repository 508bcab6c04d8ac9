"""From one config of the proxy to the next without a lost connection.

Go's HTTP server, told to stop, throws away what it has accepted and not yet read
(https://github.com/golang/go/issues/65802), and a closed listening socket resets what waits in its queue. So each
config listens beside the one before, for :attr:`Settings.reload_overlap_ms`, and the kernel gives new connections to
the newer one only: when the older one stops, all that it had accepted has been answered.

Caddy waits before it stops (``shutdown_delay``) only where a listener's address goes away; hence two spellings of the
same address, by turns. SO_REUSEPORT (socket(7)) puts both sockets into one group, and a program of one instruction says
which of the group takes a connection.
"""

from __future__ import annotations

import ctypes
import http.client
import logging
import os
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paas.adapters import docker_listening
from paas.adapters.caddy_layout import Layout, part
from paas.adapters.http import unix_request

LOG = logging.getLogger("paas.proxy")
EVERYWHERE = ("", "0.0.0.0")             # to Go both are all addresses, of IPv4 and IPv6 where the machine has them
STATE_HEADER = "X-Paas-State"            # on the internal listener: asks the proxy's generation, not an app
STATE_SECONDS = 1.0
SYS_PIDFD_GETFD = 438                    # pidfd_getfd(2); one number on all of today's architectures
SO_ATTACH_REUSEPORT_CBPF = 51            # asm-generic/socket.h
BPF_RETURN = 0x06                        # BPF_RET | BPF_K: the socket with this number in the group
NEWEST = 1                               # of at most two; where there is but one, the kernel takes that one


# Generations


def generation(config: dict | None) -> int:
    """The one of *config*, 0 or 1: no two that follow each other have the same."""
    listens = part(config, "apps", "http", "servers", "ask").get("listen") or [""]
    return int(listens[0].endswith(Layout.ask_name(1) + "|0600"))


def listen(number: int, one: int) -> str:
    """The address of public port *number* in generation *one*."""
    return f"{EVERYWHERE[one]}:{number}"


def state_route() -> dict:
    return {"match": [{"header": {STATE_HEADER: ["*"]}}], "terminal": True,
            "handle": [{"handler": "static_response", "body": "{http.shutting_down}"}]}


def leave_route() -> dict:
    """Clients are told to use no connection of a generation again that is about to stop (RFC 9110, section 7.6.1).

    Not where it becomes a websocket, nor over HTTP/3, which forbids the header (RFC 9114, section 4.2).
    """
    others = [{"header": {"Upgrade": ["*"]}}, {"protocol": "http/3"}]
    return {"match": [{"vars": {"{http.shutting_down}": ["true"]}, "not": others}],
            "handle": [{"handler": "headers", "response": {"set": {"Connection": ["close"]}}}]}


def is_leaving(layout: Layout, one: int) -> bool:
    """Generation *one* is about to stop: the next has begun to serve."""
    try:
        _, _, body = unix_request(layout.ask(one), "GET", "/", STATE_SECONDS, headers={STATE_HEADER: "1"}, limit=100)
    except (OSError, http.client.HTTPException):
        return False
    return body == b"true"


# New connections to the newest listener


def steer(layout: Layout) -> bool:
    """Let the kernel give each new connection to the newest listener of its port, from now on.

    Before each load, since the ports, and the proxy's process, change. False: the kernel does not know it (before Linux
    5.6) or forbids it. Both configs get connections then, until the older one ends.
    """
    try:
        with proxy_process(layout.admin) as (pid, handle):
            for descriptor in listening(pid):
                with borrowed(handle, descriptor) as sock:
                    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, program())
    except OSError as error:
        LOG.warning("connections that arrive while the proxy is reloaded may be lost: %s", error.strerror or error)
        return False
    return True


@contextmanager
def proxy_process(admin: Path) -> Iterator[tuple[int, int]]:
    """(pid, pidfd) of the process that listens on the admin socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(STATE_SECONDS)
        sock.connect(str(admin))
        pid, _, _ = struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    handle = os.pidfd_open(pid)
    try:
        yield pid, handle
    finally:
        os.close(handle)


def listening(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """The descriptors of process *pid* that are listening TCP sockets."""
    tables = (proc / str(pid) / "net" / name for name in ("tcp", "tcp6"))        # no second one without IPv6
    inodes = {row[9] for table in tables if table.exists() for row in docker_listening.listening(table.read_text())}
    found = []
    for path in (proc / str(pid) / "fd").iterdir():
        try:
            target = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(path))
        except FileNotFoundError:        # closed meanwhile
            continue
        if target and target[1] in inodes:
            found.append(int(path.name))
    return sorted(found)


@contextmanager
def borrowed(handle: int, descriptor: int) -> Iterator[socket.socket]:
    """The socket itself, not a connection to it, of the process behind *handle*."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = libc.syscall(SYS_PIDFD_GETFD, handle, descriptor, 0)
    if own < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    with socket.socket(fileno=own) as sock:
        yield sock


def program() -> bytes:
    """A ``struct sock_fprog`` around one instruction: return :data:`NEWEST`."""
    return struct.pack("HP", 1, ctypes.addressof(INSTRUCTION))


INSTRUCTION = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RETURN, 0, 0, NEWEST))
