"""The waker's end of the proxy's sub-requests: HTTP/1.1 on a unix socket, as little of it as Caddy sends.

Any number of requests wait without a thread each. https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from paas.adapters.caddy_config import TARGET_HEADER
from paas.adapters.caddy_layout import Layout
from paas.ports_sleep import Knock, Verdict
from paas.settings import Settings

if TYPE_CHECKING:
    import asyncio

HEAD_BYTES = 256 * 1024                  # the proxy itself takes 64 KB of a client
BACKLOG = 4096
LOOK_SECONDS = 0.25

Answer = Callable[[Knock, Callable[[Verdict], None]], None]


class WakeDoor:
    """Implements :class:`paas.ports_sleep.Door`."""

    def __init__(self, settings: Settings) -> None:
        self.layout = Layout(settings)
        self.path = settings.waker_socket

    def serve(self, knock: Answer, stop: threading.Event) -> None:
        import asyncio

        asyncio.run(self.listen(knock, stop))

    # Private

    async def listen(self, knock: Answer, stop: threading.Event) -> None:
        import asyncio

        self.layout.prepare()
        self.path.unlink(missing_ok=True)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await attend(reader, writer, knock)

        # Nobody but the proxy's user and root gets into the directory.
        server = await asyncio.start_unix_server(connected, self.path, limit=HEAD_BYTES, backlog=BACKLOG)
        self.path.chmod(0o600)
        if self.layout.proxy_ids:
            os.chown(self.path, *self.layout.proxy_ids)
        while not stop.is_set() and self.path.is_socket():      # gone: somebody has emptied the directory
            await asyncio.sleep(LOOK_SECONDS)
        server.close()                   # what still waits is cut by the end of the loop: 503 with Retry-After


async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, knock: Answer) -> None:
    """One connection: request after request, until the proxy closes it."""
    import asyncio

    loop = asyncio.get_running_loop()
    with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError, OSError):
        while True:
            asked = read_knock(await reader.readuntil(b"\r\n\r\n"))
            decided: asyncio.Future[Verdict] = loop.create_future()
            knock(asked, teller(loop, decided))
            writer.write(written(await decided))
            await writer.drain()
    writer.close()


def teller(loop: asyncio.AbstractEventLoop, decided: asyncio.Future[Verdict]) -> Callable[[Verdict], None]:
    def tell(verdict: Verdict) -> None:
        def settle() -> None:
            if not decided.done():
                decided.set_result(verdict)
        with contextlib.suppress(RuntimeError):          # the loop has ended: the daemon stops
            loop.call_soon_threadsafe(settle)
    return tell


def read_knock(head: bytes) -> Knock:
    """Header fields as the proxy's config sends them; what is missing is empty."""
    fields = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    return Knock(fields.get("x-paas-host", ""), fields.get("x-paas-uri", ""), fields.get("user-agent", ""))


def written(verdict: Verdict) -> bytes:
    if verdict.target:
        return f"HTTP/1.1 204 No Content\r\n{TARGET_HEADER}: {verdict.target}\r\n\r\n".encode()
    return f"HTTP/1.1 {verdict.status} -\r\nContent-Length: 0\r\n\r\n".encode()
