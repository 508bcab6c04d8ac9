"""The router's contract over fake and real Caddy; then what only the real proxy can show."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.sync.client import connect as websocket
from websockets.sync.server import serve as serve_websocket

from paas.adapters.caddy_admin import Refused
from paas.adapters.caddy_config import UPSTREAM_HEADER
from paas.errors import ProxyError
from paas.ports import Page, ProxyOptions, Site
from paas.testing.contract_router import PLAIN, RouterContract
from paas.testing.fake_router import FakeRouter, ProxyAnswer
from tests.contract.caddybox import CaddyBox, started
from tests.contract.pems import self_signed


@pytest.fixture
def box():
    with started() as made:
        yield made


class TestCaddyRouter(RouterContract):
    @pytest.fixture
    def world(self, box):
        return box


class TestFakeRouter(RouterContract):
    @pytest.fixture
    def world(self):
        class World:
            def __init__(self) -> None:
                self.gone: set[str] = set()
                self.router = FakeRouter(answers=self.answer)
                self.made = 0

            def answer(self, target: str, host: str, path: str) -> ProxyAnswer:
                if target in self.gone:
                    raise ConnectionError
                return ProxyAnswer(200, target)

            def backend(self) -> str:
                self.made += 1
                return f"192.0.2.{self.made}:5000"

            def dead(self) -> str:
                self.gone.add(target := self.backend())
                return target

            def loads(self) -> int:
                return self.router.loads

            def public(self) -> int:
                self.made += 1
                return 8000 + self.made

            def take(self, number: int):
                self.router.taken_ports.add(number)
                return lambda: self.router.taken_ports.discard(number)

            def beside(self, target: str) -> int:
                return 9000

            def visit(self, number: int, host: str) -> tuple[int, str]:
                answer = self.router.visit(number, host)
                return answer.status, answer.upstream

            def wake_by(self, waker) -> None:
                self.router.waker = waker
        return World()


ONE = Site(1, ("one.test",))
TWO = Site(2, ("two.test",))


def serving(box: CaddyBox, *sites: Site):
    """An app behind each of *sites*, pointed to."""
    assert box.router.apply(sites, PLAIN) == {}
    apps = [box.app() for _ in sites]
    for site, app in zip(sites, apps, strict=True):
        box.router.point(site.app_id, [app.target])
    return apps


# No request is lost


def test_no_request_fails_while_targets_flip(box):
    """Strict clients: kept connections that must never be closed under them, GET and POST, all answered 200."""
    first, second = serving(box, ONE)[0], box.app()
    enough, failures, seen = threading.Event(), [], set()

    def client(number: int) -> int:
        connection, count = box.connect(), 0
        connection.connect()
        kept = connection.sock
        while not enough.is_set():
            method, body = ("POST", b"x" * 1000) if (count + number) % 2 else ("GET", None)
            try:
                connection.request(method, "/", body, {"Host": "one.test"})
                response = connection.getresponse()
                text = response.read().decode()
                assert response.status == 200, response.status
                assert connection.sock is kept, "the proxy closed a kept connection"
                seen.add(text.partition("\n")[0])
            except (OSError, http.client.HTTPException, AssertionError) as error:
                failures.append(repr(error))
                break
            count += 1
        connection.close()
        return count

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(client, number) for number in range(6)]
        for flip in range(300):
            box.router.point(1, [(first, second)[flip % 2].target])
            time.sleep(0.01)
        enough.set()
        counts = [one.result() for one in running]
    assert not failures
    assert seen == {first.target, second.target}
    assert min(counts) > 20
    assert box.loads() == 1


def test_a_slow_request_ends_where_it_began(box):
    old, new = serving(box, ONE)[0], box.app()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(box.request, "one.test", "/slow")
        assert old.arrived.wait(20)
        assert box.router.in_flight() == {old.target: 1}
        box.router.point(1, [new.target])
        assert box.request("one.test")[2].startswith(new.target)
        assert box.router.in_flight() == {old.target: 1}
        old.release.set()
        status, _, body = slow.result(20)
    assert (status, body.partition("\n")[0]) == (200, old.target)
    box.until(lambda: box.router.in_flight() == {})


def test_websockets_outlive_flips_and_new_sites(box):
    serving(box, ONE, TWO)
    server = serve_websocket(lambda peer: [peer.send(message) for message in peer], "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    box.router.point(1, [f"127.0.0.1:{server.socket.getsockname()[1]}"])
    other = box.backend()
    with websocket(f"ws://one.test:{box.settings.http_port}/", proxy=None,
                   sock=socket.create_connection(("127.0.0.1", box.settings.http_port))) as peer:
        for turn in range(10):
            box.router.point(2, [other])
            peer.send(str(turn))
            assert peer.recv(timeout=20) == str(turn)
        before = box.loads()
        assert box.router.apply([ONE, TWO, Site(3, ("three.test",))], PLAIN) == {}
        assert box.loads() == before + 1
        box.router.point(1, [other])
        peer.send("still there")
        assert peer.recv(timeout=20) == "still there"
    server.shutdown()


def test_events_arrive_as_they_are_sent(box):
    [app] = serving(box, ONE)
    connection = box.connect()
    connection.request("GET", "/events", headers={"Host": "one.test"})
    response = connection.getresponse()
    assert response.readline() == b"data: first\n"
    box.router.point(1, [box.backend()])
    app.release.set()
    assert b"data: second" in response.read()
    connection.close()


def test_a_big_upload_is_not_buffered(box):
    """300 MB through; the proxy's memory does not grow by anything near it, its disk not at all."""
    serving(box, ONE)
    data, parts, digest = os.urandom(1 << 20), 300, hashlib.sha256()
    connection = box.connect(timeout=100)
    connection.putrequest("POST", "/", skip_host=True)
    connection.putheader("Host", "one.test")
    connection.putheader("Content-Length", str(len(data) * parts))
    connection.endheaders()
    for _ in range(parts):
        connection.send(data)
        digest.update(data)
    assert connection.getresponse().read().decode().endswith(digest.hexdigest())
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{box.process.pid}/status").read_text())[1])
    assert peak < 200 * 1024                     # kB; the program alone takes some 60 MB
    assert sum(path.stat().st_size for path in box.home.rglob("*") if path.is_file()) < 10 << 20


def test_a_parked_app_holds_its_requests(box):
    serving(box, ONE)
    late = box.app()
    box.router.point(1, Page.PARK)
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(box.request, "one.test"), pool.submit(box.request, "one.test", "/", "POST", b"x" * 100_000)]
        time.sleep(0.5)
        assert not any(one.done() for one in held)
        box.router.point(1, [late.target])
        answers = [one.result(30) for one in held]
    assert [status for status, _, _ in answers] == [200, 200]
    assert answers[1][2] == f"{late.target}\n{hashlib.sha256(b'x' * 100_000).hexdigest()}"


def test_a_parked_app_holds_beyond_the_wait_for_a_dead_one(box):
    serving(box, ONE)
    late = box.app()
    box.router.point(1, Page.PARK)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(box.request, "one.test", "/", "POST", b"x" * 100_000)
        time.sleep(6.5)                          # the first stage ends after 5 s
        assert not held.done()
        box.router.point(1, [late.target])
        status, _, body = held.result(30)
    assert (status, body.partition("\n")[0]) == (200, late.target)


# What visitors see


def test_unknown_hosts_never_reach_an_app(box):
    serving(box, ONE, Site(2, ("*.two.test",)))
    for host in ("nobody.test", f"127.0.0.1:{box.settings.http_port}", "192.0.2.1", "*", "..", "one.test.",
                 "a.b.two.test"):
        status, headers, body = box.request(host)
        assert status == 404, host
        assert "No such site" in body
        assert "Alt-Svc" not in headers
    for placeholder in ("{env.PATH}", "{file./etc/passwd}"):
        status, _, body = box.request(placeholder)
        assert status == 400
        assert "root" not in body


def test_no_host_or_garbage_is_refused(box):
    serving(box, ONE)
    for raw in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
                b"some nonsense that is longer than this\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: one.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: one.test\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", box.settings.http_port), 30) as sock:
            sock.sendall(raw)
            assert re.match(rb"HTTP/1\.[01] 4\d\d ", sock.recv(4096)), raw[:60]
    assert box.request("one.test")[0] == 200


def test_pages_say_what_is_the_matter(box):
    serving(box, ONE)
    for page, words in ((Page.MAINTENANCE, "Back soon"), (Page.STOPPED, "stopped"), (Page.NO_RELEASE, "Nothing here")):
        box.router.point(1, page)
        for method in ("GET", "POST"):
            status, headers, body = box.request("one.test", method=method, body=b"x" if method == "POST" else None)
            assert (status, headers["Content-Type"]) == (503, "text/html; charset=utf-8")
            assert int(headers["Retry-After"]) > 0
            assert words in body
            assert "color-scheme: light dark; }" in body      # the braces of the style survived


def test_an_app_that_is_down_gets_the_platforms_page(box):
    serving(box, ONE)
    box.router.point(1, [box.dead()])
    status, headers, body = box.request("one.test")
    assert (status, headers["Cache-Control"], headers["Retry-After"]) == (503, "no-store", "10")
    assert "does not answer" in body
    assert "127.0.0.1" not in body


def silent(stack: contextlib.ExitStack) -> str:
    """A target that neither takes nor refuses a connection, like the address of a container that is gone."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(4):
        filler = stack.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    time.sleep(0.1)
    with pytest.raises(TimeoutError):
        socket.create_connection(listener.getsockname(), 0.5)
    return "127.0.0.1:{1}".format(*listener.getsockname())


def test_instances_that_are_gone_are_passed_over(box):
    """One refuses, one is silent, one lives: each request finds the one that lives."""
    alive = serving(box, ONE)[0]
    with contextlib.ExitStack() as stack:
        box.router.point(1, [box.dead(), silent(stack), alive.target])
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda _: box.request("one.test")[0], range(60)))
    assert answers == [200] * 60


def test_a_request_that_an_app_has_seen_is_not_sent_again(box):
    """An app that breaks off every GET is asked once per visitor, not every 50 ms."""
    seen = []
    listener = socket.create_server(("127.0.0.1", 0))

    def breaking() -> None:
        with contextlib.suppress(OSError):                       # the listener is closed: the end
            while True:
                connection, _ = listener.accept()
                with connection:
                    seen.append(connection.recv(1000))
    threading.Thread(target=breaking, daemon=True).start()
    box.router.apply([ONE], PLAIN)
    box.router.point(1, [f"127.0.0.1:{listener.getsockname()[1]}"])
    assert box.request("one.test")[0] == 502
    assert len(seen) == 1
    listener.close()


def test_clients_cannot_forge_what_the_proxy_says(box):
    serving(box, ONE)
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.test",
              "X-Forwarded-Ssl": "on", "Forwarded": "for=6.6.6.6", "X-Real-IP": "6.6.6.6", "X-Request-Id": "6",
              UPSTREAM_HEADER: "6.6.6.6:6"}
    status, headers, body = box.request("one.test", headers=forged)
    assert status == 200
    assert UPSTREAM_HEADER not in headers
    for line in ("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: one.test",
                 "X-Real-Ip: 127.0.0.1", f"X-Forwarded-Port: {box.settings.http_port}"):
        assert line in body.splitlines(), body
    assert body.count("6.6.6.6") == 1            # only the header that means nothing to anybody
    assert "X-Forwarded-Ssl" not in body


# Configuration


def test_a_restart_of_the_proxy_alone_comes_up_right(box):
    [app] = serving(box, ONE)
    for how in (signal.SIGKILL, signal.SIGTERM):
        box.stop(how)
        assert not box.router.healthy()
        with pytest.raises(ProxyError):
            box.router.apply([ONE, TWO], PLAIN)
        box.start()
        assert box.request("one.test")[2].startswith(app.target)
        assert box.request("two.test")[0] == 404         # never accepted, so never started from
    before = box.loads()
    box.router.apply([ONE], PLAIN)
    assert box.loads() == before


def test_a_load_that_was_cut_before_it_was_written_is_healed(box):
    serving(box, ONE)
    box.router.layout.config.write_text("{}")
    assert not box.router.current([ONE], PLAIN)
    box.router.apply([ONE], PLAIN)
    assert json.loads(box.router.layout.config.read_text()) == box.router.admin.running()


def test_what_the_proxy_refuses_is_found_and_left_out(box, monkeypatch):
    """A certificate that passed our own check but not the proxy's: here, one it cannot read."""
    keep, (chain, key) = box.app(), self_signed("own.test")
    write = box.router.write

    def spoilt(path, data):
        write(path, b"spoilt" if path.suffix == ".crt" else data)
    monkeypatch.setattr(box.router, "write", spoilt)
    sites = [ONE, Site(2, ("own.test",), chain, key), Site(3, ("three.test",)), Site(4, ("four.test",))]
    refused = box.router.apply(sites, PLAIN)
    assert list(refused) == [2]
    assert "refused" in refused[2]
    assert str(box.home) not in refused[2]
    assert box.router.current(sites, PLAIN)
    assert not box.router.current(sites[:1], PLAIN)
    assert box.router.refused(sites) == refused
    box.router.point(1, [keep.target])
    assert box.request("one.test")[0] == 200
    assert box.request("own.test")[0] == 404
    assert box.request("four.test")[0] == 503


def test_a_refused_whole_leaves_the_last_good_config(box, monkeypatch):
    [app] = serving(box, ONE)
    before = box.router.layout.config.read_bytes()

    def refuse(config, serves):
        raise Refused("no")
    monkeypatch.setattr(box.router.admin, "load", refuse)
    with pytest.raises(ProxyError):
        box.router.apply([ONE, TWO], PLAIN)
    assert box.router.layout.config.read_bytes() == before
    assert box.request("one.test")[2].startswith(app.target)


def test_options_with_braces_are_refused(box):
    with pytest.raises(ProxyError):
        box.router.apply([ONE], ProxyOptions(acme_email="{env.PATH}@one.test"))


def test_files_are_the_proxys_to_read_and_nobody_elses(box):
    chain, key = self_signed("own.test")
    box.router.apply([Site(1, ("own.test",), chain, key)], PLAIN)
    box.router.point(1, [box.backend()])
    layout = box.router.layout
    files = [path for top in (layout.upstreams, layout.certificates) for path in top.rglob("*") if path.is_file()]
    assert len(files) == 12 + 2
    assert {path.stat().st_mode & 0o777 for path in [*files, layout.config]} == {0o640}
    assert layout.admin.stat().st_mode & 0o077 == 0


# TLS with own certificates


def handshake(box: CaddyBox, host: str, chain: str) -> str:
    """GET / over TLS that trusts only *chain*; the answer's first line."""
    context = ssl.create_default_context(cadata=chain)
    with socket.create_connection(("127.0.0.1", box.settings.https_port), 30) as plain:
        with context.wrap_socket(plain, server_hostname=host) as sock:
            sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()


def test_an_own_certificate_is_served_and_replaced(box):
    app = box.app()
    for _ in range(2):                           # the second with other bytes for the same names
        chain, key = self_signed("own.test", "*.own.test")
        sites = [Site(1, ("own.test", "*.own.test", "other.test"), chain, key), TWO]
        assert box.router.apply(sites, PLAIN) == {}
        box.router.point(1, [app.target])
        for host in ("own.test", "any.own.test"):
            answer = handshake(box, host, chain)
            assert "200 OK" in answer
            assert "X-Forwarded-Proto: https" in answer
            status, headers, _ = box.request(host, "/path?q=1")
            assert (status, headers["Location"]) == (308, f"https://{host}:{box.settings.https_port}/path?q=1")
        assert box.request("other.test")[0] == 200       # not in the certificate: stays on plain HTTP
        assert len(list(box.router.layout.certificates.iterdir())) == 2
    box.router.apply([Site(1, ("own.test",)), TWO], PLAIN)
    assert box.request("own.test")[0] == 200
    assert list(box.router.layout.certificates.iterdir()) == []
