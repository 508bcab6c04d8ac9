"""What befalls this server's containers, from the engine's own stream of events (Engine API, "Monitor events").

Asked in HTTP/1.0, so that the answer is not chunked and its lines can be read from the socket with a time-out.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from paas.adapters.docker_client import ANSWER_TIMEOUT, Engine, asking
from paas.adapters.docker_streams import CHUNK, after_head
from paas.errors import EngineError
from paas.ports_watch import Happening

DOING = "tell what happens to containers"
KINDS = ("start", "die", "oom")
LOOK = 0.5                               # seconds between two questions whether anybody still watches
OWN = "paas."                            # the engine gives a container's labels beside words of its own


class DockerEvents:
    """See :class:`paas.ports_watch.EngineEvents`. The engine keeps the last 256 events for those who come back.

    :param socket: the engine's unix socket.
    :param server: id of this installation, the value of the label ``paas.server``.
    """

    def __init__(self, socket: Path, server: str) -> None:
        self._engine = Engine(socket, server, "")

    def follow(self, since: datetime | None, watching: Callable[[], bool]) -> Iterator[Happening]:
        stream = None
        try:
            with asking(DOING):
                stream, rest = self._open(since)
            for line in _lines(stream, rest, watching):
                found = happening(json.loads(line))
                if found and (since is None or found.at > since):
                    yield found
        finally:
            if stream is not None:
                stream.close()

    def _open(self, since: datetime | None) -> tuple[socket.socket, bytes]:
        filters = {**self._engine.filters({}), "type": ["container"], "event": list(KINDS)}
        words = {"filters": json.dumps(filters), **({"since": f"{since.timestamp():.6f}"} if since else {})}
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.settimeout(ANSWER_TIMEOUT)
            stream.connect(str(self._engine.path))
            stream.sendall(f"GET {self._engine.url('/events')}?{urlencode(words)} HTTP/1.0\r\n\r\n".encode())
            return stream, after_head(stream, DOING)
        except BaseException:
            stream.close()
            raise


def _lines(stream: socket.socket, rest: bytes, watching: Callable[[], bool]) -> Iterator[bytes]:
    stream.settimeout(LOOK)
    while watching():
        *whole, rest = rest.split(b"\n")
        yield from filter(None, whole)
        piece = None
        with asking(DOING), contextlib.suppress(TimeoutError):
            piece = stream.recv(CHUNK)
        if piece == b"":
            raise EngineError("Docker ended its stream of events", "Is it being restarted?")
        rest += piece or b""


def happening(event: Mapping[str, Any]) -> Happening | None:
    """An event as the engine writes it; None: one of another kind."""
    attributes = event["Actor"]["Attributes"]
    if event["Action"] not in KINDS:
        return None
    code = attributes.get("exitCode") if event["Action"] == "die" else None
    return Happening(
        event["Action"], event["Actor"]["ID"], datetime.fromtimestamp(event["timeNano"] // 1000 / 1e6, UTC),
        None if code is None else int(code), {key: value for key, value in attributes.items() if key.startswith(OWN)})
