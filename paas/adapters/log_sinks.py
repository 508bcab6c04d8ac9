"""Where log drains lead: syslog over UDP, TCP or TLS, and HTTP. The standard library's clients only."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from paas.adapters.log_forms import BODIES, datagram, framed
from paas.errors import BadInput, PaasError
from paas.model.drain import Drain, DrainLine, Kind, endpoint
from paas.model.names import printable

PATIENCE = 10.0                          # seconds without progress
ANSWER = 4096                            # bytes of an answer that are looked at
REFUSED_FOR_GOOD = (400, 413, 422)       # the content is not wanted; with any other status it is tried again


class Sinks:
    """See :class:`paas.ports_watch.LogSinks`."""

    def open(self, drain: Drain, host: str) -> Udp | Tcp | Http:
        if drain.kind == Kind.UDP:
            return Udp(drain, host)
        return Tcp(drain, host) if drain.kind in (Kind.TCP, Kind.TLS) else Http(drain, host)


def failing(error: Exception) -> PaasError:
    """Of what a socket, TLS or the HTTP client raised."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not trusted: {error.verify_message}"
    elif isinstance(error, TimeoutError):
        why = f"no answer within {PATIENCE:g} s"
    elif isinstance(error, socket.gaierror):
        why = "its name cannot be resolved"
    else:
        why = getattr(error, "strerror", None) or type(error).__name__
    return PaasError(f"the drain cannot be reached: {printable(str(why), 200)}")


class Udp:
    """RFC 5426: a datagram a line. Nobody says whether it arrived."""

    def __init__(self, drain: Drain, host: str) -> None:
        self._to, self._host = endpoint(drain.url), host

    def send(self, lines: Sequence[DrainLine]) -> None:
        try:
            family, kind, _, _, address = socket.getaddrinfo(*self._to, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind) as sock:
                for line in lines:
                    sock.sendto(datagram(line, self._host), address)
        except OSError as error:
            raise failing(error) from None

    def close(self) -> None:
        return


class Tcp:
    """RFC 6587 with octet counting; over TLS RFC 5425. What the other side's kernel took counts as sent."""

    def __init__(self, drain: Drain, host: str) -> None:
        self._to, self._host, self._tls = endpoint(drain.url), host, drain.kind == Kind.TLS
        self._sock: socket.socket | None = None

    def send(self, lines: Sequence[DrainLine]) -> None:
        try:
            self._connected().sendall(b"".join(framed(line, self._host) for line in lines))
        except OSError as error:
            self.close()
            raise failing(error) from None

    def _connected(self) -> socket.socket:
        if self._sock is not None and left(self._sock):
            self.close()
        if self._sock is None:
            sock = socket.create_connection(self._to, PATIENCE)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                self._sock = ssl.create_default_context().wrap_socket(sock, server_hostname=self._to[0]) \
                    if self._tls else sock
            except BaseException:
                sock.close()
                raise
        return self._sock

    def close(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.close()
        self._sock = None


def left(sock: socket.socket) -> bool:
    """The other side has closed: what is written now would be lost without a word."""
    sock.setblocking(False)
    try:
        return not sock.recv(ANSWER)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        sock.settimeout(PATIENCE)


class Http:
    """POST of a batch at a time, over one connection that is kept. No redirect is followed."""

    def __init__(self, drain: Drain, host: str) -> None:
        url = urlsplit(drain.url.reveal())
        self._target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._body, content_type = BODIES[drain.format]
        self._headers = {"Content-Type": content_type, "User-Agent": "paas",
                         **{name: value.reveal() for name, value in drain.headers.items()}}
        self._host, self._make = host, maker(drain)
        self._connection: http.client.HTTPConnection | None = None

    def send(self, lines: Sequence[DrainLine]) -> None:
        body = self._body(lines, self._host)
        kept = self._connection is not None
        try:
            try:
                status, said = self._ask(body)
            except (OSError, http.client.HTTPException):
                self.close()
                if not kept:
                    raise
                status, said = self._ask(body)           # it may have closed a connection that lay idle
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise failing(error) from None
        if not 200 <= status < 300:
            self.close()
            kind = BadInput if status in REFUSED_FOR_GOOD else PaasError
            raise kind(f"the drain answered with status {status}{said and ': '}{said}")

    def _ask(self, body: bytes) -> tuple[int, str]:
        if self._connection is None:
            self._connection = self._make()
        self._connection.request("POST", self._target, body, self._headers)
        answer = self._connection.getresponse()
        said = answer.read(ANSWER)
        if not answer.isclosed():
            self.close()                 # a long answer is not waited for
        return answer.status, printable(" ".join(said.decode("utf-8", "replace").split()), 200)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def maker(drain: Drain) -> Callable[[], http.client.HTTPConnection]:
    host, port = endpoint(drain.url)
    if drain.kind == Kind.HTTPS:
        return lambda: http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=ssl.create_default_context())
    return lambda: http.client.HTTPConnection(host, port, timeout=PATIENCE)
