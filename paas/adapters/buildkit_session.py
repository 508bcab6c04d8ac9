"""The side channel of a build: BuildKit asks us for secrets over gRPC, on an upgraded connection of ours.

``POST /session`` with ``Upgrade: h2c`` turns the connection around: the engine becomes the HTTP/2 client and we the
server (BuildKit, session/grpchijack). Services: moby.buildkit.secrets.v1.Secrets, moby.filesync.v1.Auth and
grpc.health.v1.Health; anything else is answered "unimplemented".
"""

from __future__ import annotations

import contextlib
import struct
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from paas.adapters.buildkit_trace import fields, varint
from paas.adapters.docker_client import Engine, asking, cut
from paas.adapters.docker_streams import CHUNK, hijack
from paas.secret import Secret
from paas.threads import started

if TYPE_CHECKING:
    from h2.connection import H2Connection

GET_SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"
HEALTH = "/grpc.health.v1.Health/Check"
OK, NOT_FOUND, UNIMPLEMENTED = 0, 5, 12                  # gRPC status codes
SERVING = b"\x08\x01"                                    # HealthCheckResponse{status: SERVING}
MAX_REQUEST = 65536


class Session:
    """An open session. ``id`` goes to /build; close() ends it.

    A registry that wants a login is told that there are no credentials, so public images are fetched anonymously.
    """

    def __init__(self, engine: Engine, secrets: Mapping[str, Secret]) -> None:
        self.id = uuid.uuid4().hex
        self._secrets = secrets
        with asking("open a build session"):
            self._socket, rest = hijack(engine, "/session", "open a build session", headers=self._headers())
        self._streams: dict[int, _Call] = {}
        self._thread = started(self._serve, rest, name="build-session")

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (("Upgrade", "h2c"), ("X-Docker-Expose-Session-Uuid", self.id),
                ("X-Docker-Expose-Session-Name", "paas"), ("X-Docker-Expose-Session-Sharedkey", ""),
                *(("X-Docker-Expose-Session-Grpc-Method", method) for method in (GET_SECRET, CREDENTIALS, HEALTH)))

    def close(self) -> None:
        cut(self._socket)
        self._thread.join(timeout=5)
        self._socket.close()

    def _serve(self, data: bytes) -> None:
        """To the end of the connection. Should this thread fail, the engine must not wait for its answers."""
        try:
            self._converse(data)
        finally:
            cut(self._socket)

    def _converse(self, data: bytes) -> None:
        from h2.config import H2Configuration
        from h2.connection import H2Connection
        from h2.exceptions import ProtocolError

        link = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        link.initiate_connection()
        with contextlib.suppress(OSError, ProtocolError):
            while True:
                for event in link.receive_data(data) if data else ():
                    self._handle(link, event)
                self._socket.sendall(link.data_to_send())
                data = self._socket.recv(CHUNK)
                if not data:
                    return

    def _handle(self, link: H2Connection, event: object) -> None:
        from h2 import events

        if isinstance(event, events.RequestReceived):
            call = self._streams[event.stream_id] = _Call(dict(event.headers).get(":path", ""))
            if call.path not in (GET_SECRET, CREDENTIALS, HEALTH):
                self._refuse(link, event.stream_id)
        elif isinstance(event, events.DataReceived):
            link.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            call = self._streams.get(event.stream_id)
            if call is not None and len(call.request) < MAX_REQUEST:
                call.request += event.data
        elif isinstance(event, events.StreamEnded):
            self._answer(link, event.stream_id)
        elif isinstance(event, events.WindowUpdated):
            for stream_id in [event.stream_id] if event.stream_id else list(self._streams):
                self._send(link, stream_id)
        elif isinstance(event, events.StreamReset):
            self._streams.pop(event.stream_id, None)

    def _answer(self, link: H2Connection, stream_id: int) -> None:
        call = self._streams.get(stream_id)
        if call is None:
            return
        call.status, message = self._reply(call)
        if call.status != OK:
            self._refuse(link, stream_id)
            return
        link.send_headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        call.answer = b"\0" + struct.pack(">L", len(message)) + message
        self._send(link, stream_id)

    def _reply(self, call: _Call) -> tuple[int, bytes]:
        if call.path == HEALTH:
            return OK, SERVING
        if call.path == CREDENTIALS:
            return OK, b""               # CredentialsResponse without a user
        with contextlib.suppress(ValueError):
            wanted = dict(fields(call.request[5:])).get(1, b"")
            name = wanted.decode("utf-8", "replace") if isinstance(wanted, bytes) else ""
            if name in self._secrets:
                value = self._secrets[name].reveal().encode("utf-8", "surrogateescape")
                return OK, b"\x0a" + number(len(value)) + value
        return NOT_FOUND, b""

    def _send(self, link: H2Connection, stream_id: int) -> None:
        """As much of the answer as the flow-control window takes; the rest follows on WINDOW_UPDATE."""
        call = self._streams.get(stream_id)
        if call is None or not call.answer:
            return
        while call.answer:
            size = min(link.local_flow_control_window(stream_id), link.max_outbound_frame_size, len(call.answer))
            if size <= 0:
                return
            link.send_data(stream_id, call.answer[:size])
            call.answer = call.answer[size:]
        link.send_headers(stream_id, [("grpc-status", str(OK))], end_stream=True)
        del self._streams[stream_id]

    def _refuse(self, link: H2Connection, stream_id: int) -> None:
        call = self._streams.pop(stream_id)
        link.send_headers(stream_id, [(":status", "200"), ("content-type", "application/grpc"),
                                      ("grpc-status", str(call.status))], end_stream=True)


class _Call:
    """A gRPC call in progress: the request as far as it came, the answer as far as it is not sent."""

    def __init__(self, path: str) -> None:
        self.path, self.request, self.answer, self.status = path, b"", b"", UNIMPLEMENTED


def number(value: int) -> bytes:
    """A protobuf varint; the opposite of :func:`varint`."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    assert varint(bytes(out), 0)[1] == len(out)
    return bytes(out)
