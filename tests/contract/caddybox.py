"""A real Caddy with its own directories and ports, and small apps behind it."""

import contextlib
import hashlib
import http.client
import http.server
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from paas.adapters.caddy import CaddyRouter
from paas.adapters.caddy_ports import free
from paas.adapters.caddy_process import caddy_argv, caddy_environment, leave_out_taken
from paas.adapters.wake_door import WakeDoor
from paas.ports_sleep import Knock, Verdict
from paas.settings import Settings

CADDY = Path(__file__).parents[2] / ".venv/bin/caddy"


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def public_port() -> int:
    """One that nobody listens on, below those that outgoing connections take."""
    while True:
        number = random.randrange(20_000, 32_000)
        if free(number):
            return number


def caddy_program() -> Path:
    found = CADDY if CADDY.exists() else shutil.which("caddy")
    assert found, "the proxy's program is missing: install the locked dependencies"
    return Path(found)


def unprivileged() -> str:
    """A user for the proxy other than ours, where the tests run as root."""
    with contextlib.suppress(KeyError):
        if os.geteuid() == 0:
            return pwd.getpwnam("nobody").pw_name
    return "-"


class App(http.server.ThreadingHTTPServer):
    """Answers with its own target, the request's headers and the digest of its body; some paths are special."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((address, port), Handler)
        self.target = f"{address}:{self.server_address[1]}"
        self.release = threading.Event()         # lets `/slow` and the second event of `/events` go on
        self.arrived = threading.Event()         # somebody asked for `/slow`
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """A client that broke off is no news."""

    def close(self) -> None:
        self.release.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1                                # header and body in one packet: no wait for a delayed ACK
    server: App
    status = 200

    def do_GET(self) -> None:
        if self.path == "/events":
            return self.events()
        if self.path == "/slow":
            self.server.arrived.set()
            self.server.release.wait(60)
        if self.path.startswith("/status/"):
            self.status = int(self.path.removeprefix("/status/"))
        self.answer(f"{self.server.target}\n{self.headers}".encode())
        return None

    def do_POST(self) -> None:
        digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left:
            data = self.rfile.read(min(left, 1 << 20))
            digest.update(data)
            left -= len(data)
        self.answer(f"{self.server.target}\n{digest.hexdigest()}".encode())

    def answer(self, body: bytes) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def events(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        self.wfile.flush()
        self.server.release.wait(60)
        self.wfile.write(b"data: second\n\n")

    def log_message(self, *_: object) -> None:
        pass


class CaddyBox:
    def __init__(self, reload_overlap_ms: int = 100) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="paas-proxy-"))
        self.home.chmod(0o755)
        self.settings = Settings(state_dir=self.home / "state", run_dir=self.home / "run", caddy=caddy_program(),
                                 http_port=free_port(), https_port=free_port(), proxy_user=unprivileged(),
                                 reload_overlap_ms=reload_overlap_ms)
        self.router = CaddyRouter(self.settings)
        self.apps: list[App] = []
        self.process: subprocess.Popen | None = None
        self.loaded = 0
        self.ended = threading.Event()
        load = self.router.admin.load

        def counted(config: dict, serves: Callable[[], bool]) -> None:
            load(config, serves)
            self.loaded += 1
        self.router.admin.load = counted

    # The world of the contract

    def backend(self) -> str:
        return self.app().target

    def dead(self) -> str:
        return f"127.0.0.1:{free_port()}"

    def loads(self) -> int:
        return self.loaded

    def wake_by(self, waker) -> None:
        def knock(asked: Knock, tell) -> None:
            said = waker(asked.host, asked.path)
            tell(Verdict(said) if isinstance(said, str) else Verdict(status=said))
        self.open_door(knock)

    def open_door(self, knock) -> None:
        """The waker's real end of the proxy's requests."""
        door = WakeDoor(self.settings)
        threading.Thread(target=door.serve, args=(knock, self.ended), daemon=True).start()
        self.until(self.settings.waker_socket.exists)

    def take(self, number: int) -> Callable[[], None]:
        """Another program listens on a port, until what is returned is called."""
        sock = socket.create_server(("127.0.0.1", number))
        return sock.close

    def public(self) -> int:
        return public_port()

    def beside(self, target: str) -> int:
        address, _, _ = target.partition(":")
        return int(self.app(address).target.partition(":")[2])

    def visit(self, number: int, host: str) -> tuple[int, str]:
        status, _, body = self.request(host, port=number)
        return status, body.partition("\n")[0] if status == 200 else ""

    # The proxy's process

    def start(self) -> None:
        argv = caddy_argv(self.settings)
        leave_out_taken(self.settings)
        ids = self.router.layout.proxy_ids
        user = {"user": ids[0], "group": ids[1], "extra_groups": []} if ids else {}
        with open(self.home / "caddy.log", "ab") as log:
            self.process = subprocess.Popen(argv, env=caddy_environment(self.settings), stderr=log, cwd="/", **user)
        self.until(self.router.healthy)

    def stop(self, how: int = signal.SIGKILL) -> None:
        if self.process:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def until(self, ready, seconds: float = 30) -> None:
        ends = time.monotonic() + seconds
        while not ready():
            assert self.process is None or self.process.poll() is None, self.log()
            assert time.monotonic() < ends, f"it never came to be\n{self.log()}"
            time.sleep(0.02)

    def log(self) -> str:
        return (self.home / "caddy.log").read_text()[-3000:]

    def close(self) -> None:
        self.ended.set()
        self.stop()
        for app in self.apps:
            app.close()
        shutil.rmtree(self.home)

    # Clients

    def app(self, address: str = "127.0.0.1", port: int = 0) -> App:
        self.apps.append(App(address, port))
        return self.apps[-1]

    def connect(self, timeout: float = 30, port: int = 0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", port or self.settings.http_port, timeout=timeout)

    def request(self, host: str, path: str = "/", method: str = "GET", body: bytes | None = None,
                headers: dict[str, str] | None = None, port: int = 0) -> tuple[int, http.client.HTTPMessage, str]:
        """As a visitor: (status, headers, body)."""
        connection = self.connect(port=port)
        try:
            connection.request(method, path, body, {"Host": host, **(headers or {})})
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()


@contextlib.contextmanager
def started(**changes: int) -> Iterator[CaddyBox]:
    made = CaddyBox(**changes)
    try:
        made.start()
        yield made
    finally:
        made.close()
