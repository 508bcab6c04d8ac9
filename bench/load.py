"""A strict HTTP client under load: ``load.py PORT HOST STILL_HOST``; ends when its standard input is closed.

Nothing is tried again. A failure is every refused, reset or silent connection, a reused connection that is closed
under a request, a status other than 200, a wrong body, a websocket that ends without a goodbye or loses a message,
and any end of the websockets to STILL_HOST, which nobody deploys. Prints counts as one JSON object.
"""

import asyncio
import base64
import collections
import hashlib
import json
import os
import sys
import time

PATIENCE = 60.0                          # seconds for any answer
KEPT, FRESH, SLOW, UPLOADS, SHORT_SOCKETS, LONG_SOCKETS, STILL_SOCKETS = 16, 8, 4, 2, 4, 4, 4
PAUSE = 0.03                             # seconds between two requests of a worker
SLOW_SECONDS = 10
counts: collections.Counter[str] = collections.Counter()
failures: collections.Counter[str] = collections.Counter()
longest: dict[str, float] = collections.defaultdict(float)
ending = asyncio.Event()


class Failure(Exception):
    """What went wrong, in a few words."""


class Connection:
    def __init__(self, port: int, host: str) -> None:
        self.port, self.host = port, host
        self.reader = self.writer = None
        self.used = 0

    async def open(self) -> None:
        try:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError as error:
            raise Failure(f"connect: {error.strerror}") from None

    def close(self) -> None:
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None
        self.used = 0

    async def request(self, method: str, target: str, body: bytes = b"", *, keep: bool = True,
                      pieces: int = 1, pause: float = 0.0) -> bytes:
        """The body of a 200; the body of the request goes out in *pieces* with a *pause* after each."""
        if not self.writer:
            await self.open()
        state = "on a reused connection" if self.used else "on a new connection"
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._exchange(method, target, body, keep, pieces, pause)
        except asyncio.IncompleteReadError as error:
            raise Failure(f"closed {state}, {'no answer' if not error.partial else 'answer cut'}") from None
        except OSError as error:
            raise Failure(f"{type(error).__name__} {state}") from None

    async def _exchange(self, method, target, body, keep, pieces, pause) -> bytes:
        length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        end = "" if keep else "Connection: close\r\n"
        self.writer.write(f"{method} {target} HTTP/1.1\r\nHost: {self.host}\r\n{length}{end}\r\n".encode())
        size = -(-len(body) // pieces) or 1
        for begin in range(0, len(body), size):
            self.writer.write(body[begin:begin + size])
            await self.writer.drain()
            if pause:
                await asyncio.sleep(pause)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        found = dict(line.split(": ", 1) for line in head.rstrip().split("\r\n")[1:])
        answer = await self.reader.readexactly(int(found["content-length"]))
        self.used += 1
        if not keep or found.get("connection") == "close":
            self.close()
        status = head.split(" ")[1]
        if status != "200":
            raise Failure(f"status {status}")
        return answer


def token() -> str:
    return os.urandom(8).hex()


async def counted(kind: str, connection: Connection, wanted: bytes, *words, **options) -> None:
    begin = time.monotonic()
    try:
        answer = await connection.request(*words, **options)
        if answer != wanted:
            raise Failure("wrong body")
    except Failure as error:
        failures[f"{kind}: {error}"] += 1
        connection.close()
    counts[kind] += 1
    longest[kind] = max(longest[kind], time.monotonic() - begin)


async def quick(kind: str, port: int, host: str, keep: bool) -> None:
    """GET and POST in turn."""
    connection = Connection(port, host)
    while not ending.is_set():
        said = token()
        await counted(kind, connection, said.encode(), "GET", f"/echo?say={said}", keep=keep)
        said = os.urandom(700).hex()
        await counted(kind, connection, said.encode(), "POST", "/echo", said.encode(), keep=keep)
        await asyncio.sleep(PAUSE)
    connection.close()


async def slow(port: int, host: str) -> None:
    connection = Connection(port, host)
    while not ending.is_set():
        said = token()
        await counted("slow", connection, said.encode(), "GET", f"/slow?seconds={SLOW_SECONDS}&say={said}")


async def upload(port: int, host: str) -> None:
    connection = Connection(port, host)
    while not ending.is_set():
        data = os.urandom(65536) * 64
        wanted = hashlib.sha256(data).hexdigest().encode()
        await counted("upload", connection, wanted, "POST", "/upload", data, pieces=50, pause=0.1)


# websockets (RFC 6455) ----------------------------------------------------------------------------------------------


async def open_socket(port: int, host: str) -> Connection:
    connection = Connection(port, host)
    await connection.open()
    connection.writer.write((f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Version: 13\r\n"
                             f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n").encode())
    async with asyncio.timeout(PATIENCE):
        head = await connection.reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101"):
        raise Failure(f"status {head[9:12].decode()}")
    return connection


def write(connection: Connection, opcode: int, data: bytes) -> None:
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
    connection.writer.write(bytes([0x80 | opcode, 0x80 | len(data)]) + mask + masked)


async def read(connection: Connection) -> tuple[int, bytes]:
    async with asyncio.timeout(PATIENCE):
        opcode, size = await connection.reader.readexactly(2)
        return opcode & 15, await connection.reader.readexactly(size & 127)


async def talk(connection: Connection, seconds: float) -> bool:
    """Send and get back a message ten times a second; True: the server said goodbye first."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not ending.is_set():
        said = token().encode()
        write(connection, 1, said)
        opcode, data = await read(connection)
        if opcode == 8:
            write(connection, 8, data)
            return True
        if data != said:
            raise Failure("wrong message")
        counts["messages"] += 1
        await asyncio.sleep(0.1)
    write(connection, 8, (1000).to_bytes(2, "big"))
    if (await read(connection))[0] != 8:
        raise Failure("no goodbye")
    return False


async def websocket(kind: str, port: int, host: str, seconds: float, still: bool = False) -> None:
    while not ending.is_set():
        counts[kind] += 1
        connection = None
        try:
            connection = await open_socket(port, host)
            if await talk(connection, seconds):
                if still:
                    raise Failure("closed although nothing of this app changed")
                counts["goodbyes"] += 1
        except (Failure, asyncio.IncompleteReadError, OSError) as error:
            failures[f"{kind}: {error if isinstance(error, Failure) else type(error).__name__}"] += 1
        if connection:
            connection.close()


async def main(port: int, host: str, still: str) -> None:
    work = [*(quick("kept", port, host, True) for _ in range(KEPT)),
            *(quick("fresh", port, host, False) for _ in range(FRESH)),
            *(slow(port, host) for _ in range(SLOW)), *(upload(port, host) for _ in range(UPLOADS)),
            *(websocket("short websocket", port, host, 3) for _ in range(SHORT_SOCKETS)),
            *(websocket("long websocket", port, host, 3600) for _ in range(LONG_SOCKETS)),
            *(websocket("still websocket", port, still, 3600, True) for _ in range(STILL_SOCKETS)),
            quick("still", port, still, True)]
    tasks = [asyncio.create_task(one) for one in work]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    ending.set()
    await asyncio.gather(*tasks)
    print(json.dumps({"counts": counts, "failures": failures, "longest": longest}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:4]))
