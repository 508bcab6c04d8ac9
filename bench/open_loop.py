"""An open-loop HTTP client: ``open_loop.py``, with a plan as JSON on standard input prints times as JSON.

Requests start at a constant rate, whatever became of the earlier ones, and each one's time counts from the moment it
was meant to start: a server that falls behind cannot hide it ("coordinated omission"). One thread, plain sockets and
``select``, whose timeout counts microseconds; a request takes an idle connection or opens a new one. Nothing is tried
again: a connection that is refused, reset or closed under a request, a status other than 200, a wrong body and an
answer that does not come are errors.

The plan: ``address``, ``port``, ``host``, ``rate`` (requests per second), ``count``, ``requests`` (a list of path and
token, used in turn, from ``first`` on), ``begin`` (what each body begins with), ``connect`` (seconds that a connection
may take; all else waits meanwhile, which its times show).
"""

import collections
import json
import os
import select
import socket
import sys
import time

PATIENCE = 60.0          # seconds for the last answers
MOST = 900               # waiting at once; select knows 1,024 files
IDLE = 1.0               # seconds; an older idle connection is closed by us, before any server would


class Connection:
    def __init__(self, address: tuple[str, int], patience: float) -> None:
        self.socket = socket.create_connection(address, timeout=patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.used, self.idle_since = 0, 0.0

    def fileno(self) -> int:
        return self.socket.fileno()

    def begin(self, request: bytes, meant: float) -> None:
        self.meant, self.parts, self.missing = meant, b"", None
        self.socket.sendall(request)     # smaller than the socket's buffer

    def read(self) -> bytes | None:
        """The answer's status line and body when it is complete. Raises OSError, ValueError."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError(f"closed on a {'reused' if self.used else 'new'} connection")
        self.parts += data
        head, found, body = self.parts.partition(b"\r\n\r\n")
        if not found:
            return None
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) < length:
            return None
        self.used += 1
        return head[9:12] + body


class Client:
    def __init__(self, plan: dict) -> None:
        self.plan, self.address = plan, (plan["address"], plan["port"])
        self.begin_of_body = plan["begin"].encode()
        head = f"HTTP/1.1\r\nHost: {plan['host']}\r\nAuthorization: Bearer"
        self.requests = [f"GET {path} {head} {token}\r\n\r\n".encode() for path, token in plan["requests"]]
        self.idle: list[Connection] = []
        self.busy: set[Connection] = set()
        self.times: list[float] = []
        self.errors: collections.Counter[str] = collections.Counter()
        self.opened = self.late = 0

    def run(self) -> None:
        start, rate, count = time.monotonic() + 0.05, self.plan["rate"], self.plan["count"]
        for number in range(count):
            meant = start + number / rate
            while (left := meant - time.monotonic()) > 0:
                self.wait(left)
            self.late = max(self.late, time.monotonic() - meant)
            self.send(self.requests[(self.plan["first"] + number) % len(self.requests)], meant)
        until = time.monotonic() + PATIENCE
        while self.busy and time.monotonic() < until:
            self.wait(0.1)
        self.errors.update({"no answer": len(self.busy)} if self.busy else {})

    def send(self, request: bytes, meant: float) -> None:
        if len(self.busy) >= MOST:
            self.errors[f"{MOST} requests wait already"] += 1
            return
        try:
            connection = self.take()
            connection.begin(request, meant)
        except OSError as error:
            self.failed(error)
            return
        self.busy.add(connection)

    def take(self) -> Connection:
        while self.idle:
            connection = self.idle.pop()
            if time.monotonic() - connection.idle_since < IDLE:
                return connection
            connection.socket.close()
        self.opened += 1
        return Connection(self.address, self.plan["connect"])

    def wait(self, seconds: float) -> None:
        for connection in select.select([*self.busy], [], [], seconds)[0]:
            try:
                answer = connection.read()
            except (OSError, ValueError, StopIteration) as error:
                self.busy.discard(connection)
                connection.socket.close()
                self.failed(error)
                continue
            if answer is not None:
                self.done(connection, answer)

    def done(self, connection: Connection, answer: bytes) -> None:
        now = time.monotonic()
        self.busy.discard(connection)
        if answer[:3] != b"200":
            self.errors[f"status {answer[:3].decode()}"] += 1
        elif not answer[3:].startswith(self.begin_of_body) or not answer.endswith(b"]}"):
            self.errors["wrong body"] += 1
        else:
            self.times.append(now - connection.meant)
        connection.idle_since = now
        self.idle.append(connection)

    def failed(self, error: Exception) -> None:
        self.errors[str(error) or type(error).__name__] += 1


def main() -> None:
    client = Client(json.load(sys.stdin))
    begin = time.monotonic()
    client.run()
    spent = os.times()
    print(json.dumps({"times": client.times, "errors": client.errors, "opened": client.opened, "late": client.late,
                      "seconds": time.monotonic() - begin, "cpu": spent.user + spent.system}))


if __name__ == "__main__":
    main()
