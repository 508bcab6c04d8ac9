"""The app of bench/swap, standard library only: echo, slow answers, uploads and websockets over HTTP/1.1 keep-alive.

On SIGTERM it bids its websockets goodbye (RFC 6455, 1001 "going away") and exits at once: a request that is still in
flight then is lost, so that every gap in the platform's draining shows.
"""

import asyncio
import base64
import hashlib
import os
import signal
import urllib.parse

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
websockets: set[asyncio.StreamWriter] = set()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            request, *lines = head.decode("latin-1").rstrip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            method, target, _ = request.split(" ")
            if "upgrade" in headers.get("connection", "").lower():
                await echo_messages(reader, writer, headers)
                return
            body = await answer(reader, method, target, headers)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader, method: str, target: str, headers: dict[str, str]) -> bytes:
    path, _, query = target.partition("?")
    words = dict(urllib.parse.parse_qsl(query))
    if path == "/slow":
        await asyncio.sleep(float(words["seconds"]))
    if method == "POST":
        data = await read_body(reader, headers)
        return hashlib.sha256(data).hexdigest().encode() if path == "/upload" else data
    return words.get("say", os.environ.get("PAAS_RELEASE", "")).encode()


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """Caddy sends a body on as it came: with its length, or in chunks (RFC 9112, section 7.1)."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


async def echo_messages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
    accept = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + GUID).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    websockets.add(writer)
    try:
        while True:
            opcode, size = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            data = bytes(byte ^ mask[n % 4] for n, byte in enumerate(await reader.readexactly(size & 127)))
            if opcode & 15 == 8:
                if writer in websockets:         # the client begins the goodbye: answer it
                    writer.write(bytes([0x88, len(data)]) + data)
                return
            writer.write(bytes([0x81, len(data)]) + data)
    finally:
        websockets.discard(writer)


async def leave() -> None:
    going = set(websockets)
    for writer in going:
        websockets.discard(writer)
        writer.write(b"\x88\x02" + (1001).to_bytes(2, "big"))
    for _ in range(200):
        if all(writer.is_closing() for writer in going):
            break
        await asyncio.sleep(0.01)
    os._exit(0)


async def main() -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: loop.create_task(leave()))
    server = await asyncio.start_server(serve, "0.0.0.0", int(os.environ["PORT"]), limit=2**20, backlog=512)
    await server.serve_forever()


asyncio.run(main())
