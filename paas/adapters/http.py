"""HTTP as a client: over a unix socket to the proxy, and one bounded GET to an app that may not be up yet.

The standard library's client only: a readiness probe runs every 20 ms and must cost next to nothing.
"""

from __future__ import annotations

import errno
import functools
import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from paas.model.sleep import OWN_AGENT
from paas.ports import Answer

BODY_LIMIT = 64 * 1024
READ_LIMIT = 32 * 1024                   # beyond the body: header, frames of chunks
BODY_PATIENCE = 1.0                      # seconds for the body once the header is there: it may never end
SERVER_NAME = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}")          # RFC 6066, section 3: no final dot


class UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over a unix stream socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def unix_request(path: Path, method: str, target: str, timeout: float, body: bytes | None = None,
                 headers: Mapping[str, str] | None = None,
                 limit: int = 256 * 1024**2) -> tuple[int, Mapping[str, str], bytes]:
    """(status, headers, body up to *limit*) of one request.

    :raises OSError: nobody listens, or no answer in time. :raises http.client.HTTPException: not an HTTP answer.
    """
    connection = UnixConnection(path, timeout)
    try:
        connection.request(method, target, body, {"Host": "localhost", "Connection": "close", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.headers, response.read(limit)
    finally:
        connection.close()


class HttpProber:
    """Implements :class:`paas.ports.Prober`. Keeps nothing between calls."""

    def get(self, address: str, port: int, path: str, host: str, timeout: float,
            headers: Sequence[tuple[str, str]] = (), body_limit: int | None = None, tls: bool = False) -> Answer:
        """*timeout* bounds the whole exchange, so an app that sends a byte a second does not stretch it."""
        ends = time.monotonic() + timeout
        limit = BODY_LIMIT if body_limit is None else body_limit
        received = bytearray()
        try:
            head = request_head(path, host, headers)
            with connected(address, port, ends, server_name(host, headers) if tls else None, tls) as sock:
                sock.sendall(head)
                receive(sock, received, ends, limit, BODY_PATIENCE if body_limit is None else timeout)
        except TimeoutError:
            return parsed(received, limit) or Answer(0, f"no answer within {timeout:g} s")
        except (OSError, ValueError) as error:
            return parsed(received, limit) or Answer(0, in_words(error))
        return parsed(received, limit) or Answer(0, "not an HTTP answer" if received else "closed without an answer")


def connected(address: str, port: int, ends: float, name: str | None, tls: bool) -> socket.socket:
    """A stream by *ends* (monotonic seconds), with *tls* over TLS whoever's certificate it is.

    As the kubelet's probes: one that is made for a name outside proves nothing at the address of a container.
    """
    sock = socket.create_connection((address, port), max(ends - time.monotonic(), 0.001))
    if not tls:
        return sock
    try:
        sock.settimeout(max(ends - time.monotonic(), 0.001))
        return unverified().wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise


@functools.cache
def unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def server_name(host: str, headers: Sequence[tuple[str, str]]) -> str | None:
    """What `Host` names, for SNI, where the library leaves out an address (RFC 6066, section 3). None: no name."""
    host = next((value for name, value in headers if name.lower() == "host"), host)
    name = host.partition(":")[0].removesuffix(".")
    return name if len(name) <= 253 and SERVER_NAME.fullmatch(name) else None


def request_head(path: str, host: str, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """:raises ValueError: a control character or a blank where it would begin another field."""
    if any(ord(c) <= 32 or ord(c) == 127 for c in path + host + "".join(name for name, _ in headers)):
        raise ValueError("the check's path, host or header holds a blank or a control character")
    if any((ord(c) < 32 and c != "\t") or ord(c) == 127 for _, value in headers for c in value):
        raise ValueError("the value of a header of the check holds a control character")
    given = {name.lower() for name, _ in headers}
    own = (("Host", host), ("User-Agent", OWN_AGENT), ("Accept", "*/*"), ("Connection", "close"))
    fields = [*(one for one in own if one[0].lower() not in given), *headers]
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode()


def receive(sock: socket.socket, received: bytearray, ends: float, limit: int, patience: float) -> None:
    """Read until the answer is complete, the other side closes, *limit* bytes of body, or *ends* (monotonic seconds).

    :param patience: seconds for the body once the header is there.
    """
    length = None                        # of the whole answer, once its header says so
    most = limit + READ_LIMIT
    while len(received) < most and (length is None or len(received) < length):
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        data = sock.recv(65536)
        if not data:
            return
        began = b"\r\n\r\n" in received
        received += data
        if not began and b"\r\n\r\n" in received:
            length = expected_length(received)
            ends = min(ends, time.monotonic() + patience)
        if length is None and last_chunk(received):
            return


def last_chunk(received: bytearray) -> bool:
    """It ends as a chunked body does (RFC 9112, section 7.1), for a server that then keeps the connection open."""
    if not received.endswith(b"\r\n0\r\n\r\n"):
        return False
    head = bytes(received).partition(b"\r\n\r\n")[0].lower()
    return any(line.startswith(b"transfer-encoding:") and b"chunked" in line for line in head.split(b"\r\n")[1:])


def expected_length(received: bytearray) -> int | None:
    """Bytes of header and body, where the header tells (RFC 9112, section 6)."""
    head = bytes(received).partition(b"\r\n\r\n")[0]
    status = head[9:12]
    if status.startswith(b"1"):
        return None
    if status in (b"204", b"304"):
        return len(head) + 4
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return len(head) + 4 + int(value)
    return None


class _Received:
    """As much of a socket as HTTPResponse wants."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


def parsed(received: bytearray, limit: int = BODY_LIMIT) -> Answer | None:
    """None: no complete HTTP header. A body that was cut counts as far as it came."""
    if b"\n\r\n" not in received and b"\n\n" not in received:
        return None
    response = http.client.HTTPResponse(_Received(bytes(received)), method="GET")
    try:
        response.begin()
        location = response.getheader("Location") or ""
        try:
            body = response.read(limit)
        except http.client.IncompleteRead as cut:
            body = cut.partial
        return Answer(response.status, body=body[:limit], location=location)
    except (http.client.HTTPException, ValueError, OSError):
        return None


def in_words(error: Exception) -> str:
    """What a user understands, instead of the name of an errno."""
    words = {errno.ECONNREFUSED: "connection refused", errno.ECONNRESET: "connection reset",
             errno.EPIPE: "connection reset", errno.EHOSTUNREACH: "nothing at this address",
             errno.ENETUNREACH: "nothing at this address"}
    if isinstance(error, ssl.SSLError):
        return no_tls(error)
    if isinstance(error, socket.gaierror):
        return "not an address"
    if isinstance(error, OSError):
        return words.get(error.errno, (error.strerror or "network error").lower())
    return str(error)


def no_tls(error: ssl.SSLError) -> str:
    """An answer without TLS looks like a record of an unknown version, an end like a broken one."""
    if error.reason in ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "no TLS is spoken there"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "closed without an answer"
    return f"TLS failed: {(error.reason or 'unknown reason').replace('_', ' ').lower()}"
