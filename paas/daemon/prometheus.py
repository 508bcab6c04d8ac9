"""The door for Prometheus: ``GET /metrics`` over HTTP, one client at a time, each in bounded time and memory."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.ops import exposition

if TYPE_CHECKING:
    from paas.runtime import Runtime

LOOK_SECONDS = 1.0                       # between two looks at the setting
CLIENT_SECONDS = 5.0                     # that one may take to ask, and again to take the answer
REQUEST_BYTES = 8192
WAITING = 16                             # clients that wait for their turn

log = logging.getLogger("paas.prometheus")


def serve(rt: Runtime, stop: threading.Event) -> None:
    """Until *stop*: listen where the setting says, from one look to the next."""
    door = Door(rt)
    with contextlib.closing(door):
        while not stop.is_set():
            try:
                door.look()
                door.serve_one() if door.listener else stop.wait(LOOK_SECONDS)
            except PaasError as error:
                log.warning("%s", error.what)
                stop.wait(LOOK_SECONDS)
            except Exception:
                log.exception("a scrape failed")
                stop.wait(LOOK_SECONDS)


class Door:
    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self.listener: socket.socket | None = None
        self.wanted = ""
        self.told = ""

    def look(self) -> None:
        """Listen at another place, where the setting has changed; where that is taken, try again."""
        wanted = exposition.listen(self.rt)
        if wanted != self.wanted:
            self.close()
            self.wanted, self.told = wanted, ""
        if wanted and not self.listener:
            try:
                self.listener = listen(wanted)
            except OSError as error:
                if self.told != wanted:
                    log.warning("Prometheus cannot scrape at %s: %s", wanted, error.strerror or error)
                self.told = wanted

    def serve_one(self) -> None:
        with contextlib.suppress(TimeoutError):
            client, _ = self.listener.accept()
            with client, contextlib.suppress(OSError):           # it went away
                client.settimeout(CLIENT_SECONDS)
                client.sendall(answer(self.rt, read_head(client), client.getsockname()[0]))

    def close(self) -> None:
        if self.listener:
            self.listener.close()
        self.listener = None


def listen(where: str) -> socket.socket:
    host, _, port = where.rpartition(":")
    address = ip_address(host.strip("[]"))
    made = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((str(address), int(port)))
        made.listen(WAITING)
        made.settimeout(LOOK_SECONDS)
    except OSError:
        made.close()
        raise
    return made


def read_head(client: socket.socket) -> bytes:
    """A request's line and headers; what came of them, where the client is slow or talks too much."""
    data, ends = b"", time.monotonic() + CLIENT_SECONDS
    while b"\r\n\r\n" not in data and len(data) < REQUEST_BYTES and time.monotonic() < ends:
        client.settimeout(max(0.01, ends - time.monotonic()))
        try:
            more = client.recv(REQUEST_BYTES - len(data))
        except TimeoutError:
            break
        if not more:
            break
        data += more
    client.settimeout(CLIENT_SECONDS)
    return data


def answer(rt: Runtime, head: bytes, address: str) -> bytes:
    """The whole answer to a request whose head is *head*, asked at our *address*."""
    whole, end, _ = head.partition(b"\r\n\r\n")
    first, *rest = whole.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if not end or len(words) != 3 or not words[2].startswith("HTTP/1."):
        return reply("400 Bad Request", "not an HTTP request\n")
    if words[0] not in ("GET", "HEAD"):
        return reply("405 Method Not Allowed", "only GET\n", "Allow: GET, HEAD")
    if words[1].partition("?")[0] != "/metrics":
        return reply("404 Not Found", "see /metrics\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    if not exposition.admits(rt, headers.get("authorization", ""), address):
        return reply("401 Unauthorized", "a bearer token is needed: paas metrics:token\n", "WWW-Authenticate: Bearer")
    whole = reply("200 OK", exposition.text(rt), f"Content-Type: {exposition.CONTENT_TYPE}")
    return whole if words[0] == "GET" else whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def reply(status: str, text: str, *headers: str) -> bytes:
    body = text.encode()
    kind = () if any(one.startswith("Content-Type") for one in headers) else ("Content-Type: text/plain",)
    lines = (f"HTTP/1.1 {status}", *headers, *kind, f"Content-Length: {len(body)}", "Cache-Control: no-store",
             "Connection: close")
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body
