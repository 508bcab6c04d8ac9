"""Lines of the audit trail to the machine's own log (syslog or journald), where the database's owner cannot alter them.

One line an event, in logfmt, facility authpriv (RFC 5424, section 6.2.1: security messages), to the socket that
syslog(3) uses. Nobody waits for it: a log that is not there, full or slow loses lines, never a command.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from paas.model.access import Event
from paas.model.names import printable

AUTHPRIV, INFO, NOTICE = 10, 6, 5             # RFC 5424, tables 1 and 2
NAME = "paas"


class Syslog:
    """:param path: the datagram socket, usually ``/dev/log``."""

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)

    def tell(self, event: Event) -> None:
        priority = AUTHPRIV * 8 + (INFO if event.result == "ok" else NOTICE)
        data = f"<{priority}>{NAME}[{os.getpid()}]: audit {line(event)}".encode()
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.sendto(data, self._path)


def line(event: Event) -> str:
    """``key=value`` pairs. The words of the command stay out: the hash says which they were."""
    at = event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    pairs = {"id": str(event.id), "at": at, "actor": event.actor, "user": event.user, "key": event.key,
             "address": event.address, "verb": event.verb, "object": event.app, "result": event.result,
             "hash": event.hash}
    return " ".join(f"{name}={quoted(value)}" for name, value in pairs.items() if value)


def quoted(value: str) -> str:
    """As it is, or between double quotes where a reader of logfmt would take it for something else."""
    text = printable(value, 200)
    if text.isascii() and not set(text) & set(' "=\\'):
        return text
    return '"' + text.encode("ascii", "backslashreplace").decode().replace("\\", "\\\\").replace('"', '\\"') + '"'
