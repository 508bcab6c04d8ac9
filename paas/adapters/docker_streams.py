"""Long streams of the engine: terminals and pipes over a hijacked connection, and container logs.

The framing is the Engine API's ("Attach to a container", stream format): without a tty each piece of output has an
8-byte header, one byte of stream type, three of zero, four of length in big-endian order.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from paas.adapters.docker_client import ANSWER_TIMEOUT, Engine, asking, cut, message_of, parsed_time, refused
from paas.errors import EngineError, NotFound, PaasError
from paas.ports import LogLine

STREAMS = {0: "stdout", 1: "stdout", 2: "stderr", 3: "stderr"}     # 3: the engine's own error text
CHUNK = 32768
PIECE = 16384                            # bytes of a message that is not the last of its line
LINE_LIMIT = 1024 * 1024                 # bytes of a line; a longer one comes in several


def hijack(engine: Engine, path: str, doing: str, *, headers: tuple[tuple[str, str], ...] = (("Upgrade", "tcp"),),
           body: Mapping[str, Any] | None = None) -> tuple[socket.socket, bytes]:
    """POST with an upgrade; return the raw socket and what came right behind the head of the answer.

    By hand, not by docker-py: its buffered reader swallows output that arrives together with the head.
    """
    content = json.dumps(body).encode() if body is not None else b""
    lines = [f"POST {engine.url(path)} HTTP/1.1", "Host: docker", "Connection: Upgrade",
             "Content-Type: application/json", f"Content-Length: {len(content)}",
             *(f"{name}: {value}" for name, value in headers)]
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.settimeout(ANSWER_TIMEOUT)
        stream.connect(str(engine.path))
        stream.sendall("\r\n".join([*lines, "", ""]).encode() + content)
        rest = after_head(stream, doing)
        stream.settimeout(None)
        return stream, rest
    except BaseException:
        stream.close()
        raise


def after_head(stream: socket.socket, doing: str) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(CHUNK)
        if not piece:
            raise ConnectionError("closed before the answer")
        data += piece
    head, rest = data.split(b"\r\n\r\n", 1)
    status = int(head.split(b" ", 2)[1])
    if status in (101, 200):
        return rest
    raise refused(status, message_of(rest), doing)


def demultiplex(pieces: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    """(stream, payload) of each frame; a cut last frame is dropped."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= 8:
            kind, size = struct.unpack(">BxxxL", buffer[:8])
            if len(buffer) < 8 + size:
                break
            payload = bytes(buffer[8:8 + size])
            del buffer[:8 + size]
            yield STREAMS.get(kind, "stdout"), payload


class DockerAttachment:
    """See :class:`paas.ports.Attachment`. Sending and reading may happen in two threads; so may close()."""

    def __init__(self, stream: socket.socket, rest: bytes, tty: bool, resize: Callable[[int, int], None]) -> None:
        self._stream, self._rest, self._tty, self._resize = stream, rest, tty, resize

    def send(self, data: bytes) -> None:
        """Data for a program that has ended already is dropped, as a shell drops it on SIGPIPE."""
        with contextlib.suppress(OSError):
            self._stream.sendall(data)

    def close_stdin(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_WR)

    def resize(self, columns: int, rows: int) -> None:
        """A size given before the start takes effect at the start."""
        self._resize(columns, rows)

    def frames(self) -> Iterator[tuple[str, bytes]]:
        if self._tty:
            return (("stdout", piece) for piece in self._pieces())
        return demultiplex(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        if self._rest:
            rest, self._rest = self._rest, b""
            yield rest
        while True:
            try:
                piece = self._stream.recv(CHUNK)
            except OSError:
                return
            if not piece:
                return
            yield piece

    def close(self) -> None:
        cut(self._stream)
        with contextlib.suppress(OSError):
            self._stream.close()


class LogStream:
    """Iterator of a container's LogLines. ``close()`` may be called from another thread and ends a waiting read.

    The engine ends a followed stream whenever the container ends, also when its restart policy starts it again; then
    the stream is opened anew behind the last line seen, until the container stays down or is removed.
    """

    PAUSE = 0.1                          # seconds between two looks at a container that is about to restart

    def __init__(self, engine: Engine, container_id: str, *, tail: int | None, follow: bool,
                 since: datetime | None) -> None:
        self._engine, self._id, self._follow = engine, container_id, follow
        self._closed = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._seen = ""                  # timestamp of the newest line, as the engine writes it
        self._tty = bool(self._inspect()["Config"]["Tty"])
        self._lines = self._all(tail, since)

    def __iter__(self) -> LogStream:
        return self

    def __next__(self) -> LogLine:
        return next(self._lines)

    def close(self) -> None:
        self._closed.set()
        if self._connection is not None:
            cut(self._connection.sock)

    def __del__(self) -> None:
        self.close()

    def _inspect(self) -> dict[str, Any]:
        with asking("read the container's log"):
            return self._engine.api.inspect_container(self._id)

    def _all(self, tail: int | None, since: datetime | None) -> Iterator[LogLine]:
        start = f"{since.timestamp():.6f}" if since else ""
        yield from self._once(self._follow, tail, start)
        while self._follow and not self._closed.is_set():
            alive = self._wait_for_restart()
            yield from self._once(alive, None if self._seen else tail, _seconds(self._seen) or start)
            if not alive:
                return

    def _wait_for_restart(self) -> bool:
        """True once the container runs again; False when it stays down."""
        while not self._closed.wait(self.PAUSE):
            try:
                state = self._inspect()["State"]
            except (NotFound, EngineError):
                return False
            if not state.get("Restarting"):
                return bool(state["Running"])
        return False

    def _once(self, follow: bool, tail: int | None, since: str) -> Iterator[LogLine]:
        seen = self._seen
        lines = _tty_lines(self._pieces(follow, tail, since)) if self._tty \
            else _framed_lines(demultiplex(self._pieces(follow, tail, since)))
        for stream, stamp, text in lines:
            if seen and stamp <= seen:
                continue
            self._seen = max(self._seen, stamp)
            yield LogLine(parsed_time(stamp), stream, text)

    def _pieces(self, follow: bool, tail: int | None, since: str) -> Iterator[bytes]:
        words = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow), "since": since or 0,
                 "tail": "all" if tail is None else tail}
        connection = self._connection = self._engine.connection(ANSWER_TIMEOUT)
        try:
            answer = self._open(connection, f"/containers/{self._id}/logs?{urlencode(words)}")
            if answer is not None:
                if follow and connection.sock is not None:
                    connection.sock.settimeout(None)     # the next line may come in a week
                yield from self._read(answer)
        finally:
            connection.close()

    def _open(self, connection: http.client.HTTPConnection, path: str) -> http.client.HTTPResponse | None:
        """None if close() came first, or if the container has gone since its last line."""
        try:
            with asking("read the container's log"):
                connection.connect()
                if self._closed.is_set():        # close() may have looked for a socket before there was one
                    return None
                connection.request("GET", self._engine.url(path))
                answer = connection.getresponse()
                if answer.status != 200:
                    raise refused(answer.status, message_of(answer.read()), "read the container's log")
                return answer
        except PaasError as error:
            if self._closed.is_set() or (self._seen and isinstance(error, NotFound)):
                return None
            raise

    def _read(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        while not self._closed.is_set():
            try:
                piece = answer.read1(CHUNK)
            except (OSError, ValueError, AttributeError, http.client.HTTPException):
                return                   # the engine went away or close() was called
            if not piece:
                return
            yield piece


def _framed_lines(frames: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, str, bytes]]:
    """(stream, timestamp, line). A frame is one message; the engine cuts a line into messages of 16 KB.

    The ``local`` driver writes no line end behind the last piece of a cut line, which is known by being shorter.
    """
    parts: dict[str, tuple[str, bytes]] = {}
    for stream, payload in frames:
        stamp, _, text = payload.partition(b" ")
        first, begun = parts.pop(stream, (stamp.decode("ascii", "replace"), b""))
        if text.endswith(b"\n") or len(text) != PIECE or len(begun) >= LINE_LIMIT:
            yield stream, first, begun + text.removesuffix(b"\n").removesuffix(b"\r")
        else:
            parts[stream] = (first, begun + text)
    for stream, (stamp_text, text) in parts.items():
        yield stream, stamp_text, text


def _tty_lines(pieces: Iterator[bytes]) -> Iterator[tuple[str, str, bytes]]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield _tty_line(line)
    if rest:
        yield _tty_line(rest)


def _tty_line(line: bytes) -> tuple[str, str, bytes]:
    stamp, _, text = line.partition(b" ")
    return "stdout", stamp.decode("ascii", "replace"), text.removesuffix(b"\r")


def _seconds(stamp: str) -> str:
    """The engine's nine-decimals timestamp as ``seconds.nanoseconds``, which its ``since`` takes."""
    at = parsed_time(stamp)
    return f"{int(at.timestamp())}.{stamp.partition('.')[2].rstrip('Z') or '0'}" if at else ""
