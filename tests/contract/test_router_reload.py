"""A new app, domain or certificate loads another config: no client of another app may notice."""

import asyncio
import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
from websockets.sync.client import connect as websocket
from websockets.sync.server import serve as serve_websocket

from paas.adapters import caddy_reload
from paas.adapters.caddy_config import make_config
from paas.ports import Page, Site
from paas.testing.contract_router import PLAIN
from tests.contract.caddybox import CaddyBox, started
from tests.contract.pems import self_signed
from tests.contract.test_router import ONE, TWO, serving
from tests.fixtures import http3

OVERLAP = 1000                           # milliseconds; clients below take up to a tenth of it to send their request
CHAIN, KEY = self_signed("own.test")
OWN = Site(1, ("own.test", "one.test"), CHAIN, KEY)
WHOLE = re.compile(rb"(?s)HTTP/1.1 .*?\r\nContent-Length: (\d+)\r\n.*?\r\n\r\n")
SENT = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n"


@pytest.fixture
def box():
    with started(reload_overlap_ms=OVERLAP) as made:
        yield made


def head(sock: socket.socket) -> bytes:
    """The head of an answer with a length, which is received whole."""
    data = b""
    while not (found := WHOLE.match(data)) or len(data) < found.end() + int(found[1]):
        more = sock.recv(65536)
        if not more:
            raise ConnectionError(f"closed after {data[:60]!r}")
        data += more
    return data[:found.end()]


@dataclass
class Clients:
    """Strict ones: whatever is no answer with the status that they expect is a failure."""

    box: CaddyBox
    ended: threading.Event = field(default_factory=threading.Event)
    failures: list[str] = field(default_factory=list)
    answers: int = 0
    least: int = 1_000_000

    def run(self, host: str, expected: int, pause: float, keep: bool, secure: bool) -> None:
        kept, count = None, 0
        while not self.ended.is_set():
            try:
                sock = kept or self.open(host, secure)
                time.sleep(pause)
                sock.sendall(SENT % host.encode())
                got = head(sock)
            except OSError as error:
                self.failures.append(f"{host} {keep=} {secure=} reused={bool(kept)}: {error!r}")
                kept = None
                continue
            if not got.startswith(b"HTTP/1.1 %d " % expected):
                self.failures.append(f"{host} {keep=} {secure=} reused={bool(kept)}: {got[:60]!r}")
            count += 1
            kept = sock if keep and b"\r\nConnection: close\r\n" not in got else None
            if kept is None:
                sock.close()
        self.answers += count
        self.least = min(self.least, count)

    def open(self, host: str, secure: bool) -> socket.socket:
        settings = self.box.settings
        sock = socket.create_connection(("127.0.0.1", settings.https_port if secure else settings.http_port), 20)
        return ssl.create_default_context(cadata=CHAIN).wrap_socket(sock, server_hostname=host) if secure else sock

    @contextlib.contextmanager
    def asking(self, kinds: Sequence[tuple]) -> Iterator[None]:
        with ThreadPoolExecutor(len(kinds)) as pool:
            running = [pool.submit(self.run, *kind) for kind in kinds]
            try:
                yield
            finally:
                self.ended.set()
            for one in running:
                one.result()


def test_no_request_fails_while_apps_come_and_go(box):
    """Over TLS too, of slow clients too, at the platform's own pages too."""
    serving(box, OWN, TWO)
    box.router.point(2, Page.MAINTENANCE)
    clients, before = Clients(box), box.loads()
    with clients.asking([(host, expected, pause, keep, host == "own.test")
                         for host, expected in (("own.test", 200), ("one.test", 200), ("two.test", 503))
                         for pause, keep in ((0.0, False), (0.02, False), (OVERLAP / 10_000, False), (0.02, True))]):
        for turn in range(10):
            new = Site(10 + turn, (f"new-{turn}.test",))
            assert box.router.apply([OWN, TWO, new], PLAIN) == {}
            assert box.router.ask(new.hosts[0], "/", 5).status == 503          # no release yet: the new config serves
            assert box.request(new.hosts[0])[0] == 503
    assert box.loads() == before + 10
    assert clients.failures == []
    assert clients.least > 20


def test_the_platforms_own_pages_lose_no_request_either():
    """Their servers are behind the same sockets before and after, on which the old one still accepts to its end."""
    with started(reload_overlap_ms=20) as box:
        serving(box, ONE, TWO)
        box.router.point(1, Page.MAINTENANCE)
        clients = Clients(box)
        with clients.asking([("one.test", 503, 0.0, True, False)] * 8):
            for turn in range(30):
                box.router.apply([ONE, TWO, Site(10 + turn, (f"new-{turn}.test",))], PLAIN)
    assert [one for one in clients.failures if "502" in one] == []


def test_a_load_is_over_when_the_new_config_serves(box):
    """And not when the old one has ended; what it holds back, the next load waits for."""
    serving(box, OWN, TWO)
    box.until(lambda: box.router.current([OWN, TWO], PLAIN))
    began = time.monotonic()
    box.router.apply([OWN, TWO, Site(3, ("three.test",))], PLAIN)
    assert box.request("three.test")[0] == 503
    assert time.monotonic() - began < OVERLAP / 1000
    box.router.apply([OWN, TWO], PLAIN)
    assert time.monotonic() - began > OVERLAP / 1000
    assert box.request("three.test")[0] == 404


def test_a_replaced_certificate_is_served_at_once(box):
    serving(box, OWN)
    chain, key = self_signed("own.test")
    box.router.apply([replace(OWN, certificate=chain, key=key)], PLAIN)
    context = ssl.create_default_context(cadata=chain)
    with socket.create_connection(("127.0.0.1", box.settings.https_port), 20) as sock:
        with context.wrap_socket(sock, server_hostname="own.test"):
            pass


def test_a_websocket_can_begin_while_the_old_config_leaves(box):
    """Any other request on a connection to it is answered with `Connection: close`."""
    serving(box, ONE, TWO)
    server = serve_websocket(lambda peer: [peer.send(message) for message in peer], "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    box.router.point(2, [f"127.0.0.1:{server.socket.getsockname()[1]}"])
    port = box.settings.http_port
    kept, upgraded = (socket.create_connection(("127.0.0.1", port), 20) for _ in range(2))
    box.router.apply([ONE], PLAIN)                       # of which the old config knows nothing yet
    with kept, websocket(f"ws://two.test:{port}/", proxy=None, sock=upgraded) as peer:
        peer.send("still here")
        assert peer.recv(20) == "still here"
        kept.sendall(SENT % b"one.test")
        assert b"\r\nConnection: close\r\n" in head(kept)
        time.sleep(2 * OVERLAP / 1000)
        peer.send("and after it")
        assert peer.recv(20) == "and after it"
    server.shutdown()


def test_without_the_kernels_help_it_is_said_and_done(box, monkeypatch, caplog):
    def forbidden(path):
        raise PermissionError(1, "Operation not permitted")
    serving(box, ONE)
    monkeypatch.setattr(caddy_reload, "proxy_process", forbidden)
    box.router.apply([ONE, TWO], PLAIN)
    assert "may be lost: Operation not permitted" in caplog.text
    assert {box.request("two.test")[0] for _ in range(20)} == {503}


def test_the_proxys_program_of_before_is_followed(box):
    """A config of an older paas: other addresses, no overlap."""
    old = make_config([ONE], PLAIN, box.settings)
    del old["apps"]["http"]["shutdown_delay"]
    old["apps"]["http"]["servers"]["ask"]["listen"] = [f"unix/{box.router.layout.sockets}/ask.sock|0600"]
    old["apps"]["http"]["servers"]["ask"]["routes"].pop(0)
    box.router.admin.load(old, lambda: False)
    serving(box, ONE, TWO)
    assert box.router.ask("one.test", "/", 5).status == 200
    assert box.request("one.test")[0] == 200


def test_the_proxy_comes_up_alone_with_either_generation(box):
    for sites in ([ONE], [ONE, TWO]):
        serving(box, *sites)
        box.stop()
        box.start()
        assert box.router.current(sites, PLAIN)
        assert box.router.ask("one.test", "/", 5).status == 200


def test_http3_goes_on(box):
    """As a browser: what the server rejects because it goes away is asked for again on another connection."""
    serving(box, OWN)
    port, ended, rejected = box.settings.https_port, threading.Event(), []

    async def client(requests: int) -> list[http3.Answer]:
        """With so many *requests* on a connection, as long as the server keeps it."""
        found = []
        while not ended.is_set():
            async with http3.connected(port, "own.test", CHAIN) as connection:
                try:
                    for _ in range(requests):
                        found.append(await connection.get("own.test"))
                except http3.Rejected as error:
                    rejected.append(error)
        return found

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(asyncio.run, client(requests)) for requests in (1, 100)]
        for turn in range(5):
            box.router.apply([OWN, Site(10 + turn, (f"new-{turn}.test",))], PLAIN)
        ended.set()
        answers = [one for work in running for one in work.result(60)]
    assert {one.status for one in answers} == {200}
    assert not any("connection" in one.headers for one in answers)
    assert len(rejected) <= 2 * 5
