"""The contract of the request counters over fake and real Caddy; then what only the real log can show."""

import json
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from paas.adapters import caddy_traffic
from paas.adapters.caddy_traffic import CaddyTraffic, Log, Sampling
from paas.errors import ProxyError
from paas.model.traffic import BOUNDS
from paas.ports import Page, ProxyOptions, Site
from paas.testing.contract_router import PLAIN
from paas.testing.contract_traffic import SITES, TrafficContract
from paas.testing.fake_traffic import FakeTraffic
from tests.contract.caddybox import CaddyBox, started
from tests.contract.pems import self_signed


class CaddyWorld:
    def __init__(self, box: CaddyBox) -> None:
        self.box = box
        self.counters = CaddyTraffic(box.settings)
        box.router.apply([Site(1, SITES[:2]), Site(2, SITES[2:])], PLAIN)
        for app_id in (1, 2):
            box.router.point(app_id, [box.backend()])

    def visit(self, host: str, status: int = 200, times: int = 1) -> None:
        before = self.lines()
        for _ in range(times):
            assert self.box.request(host, f"/status/{status}")[0] == status
        self.box.until(lambda: self.lines() == before + times)   # written when the client has its answer

    def lines(self) -> int:
        path = self.box.router.layout.requests
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def platform_asks(self, host: str) -> None:
        assert self.box.router.ask(host, "/", 10).status == 200

    def restart_proxy(self) -> None:
        self.box.stop()
        self.box.start()

    def later(self) -> CaddyTraffic:
        return CaddyTraffic(self.box.settings)

    def break_off(self) -> None:
        path = self.box.router.layout.requests
        self.box.stop()
        path.unlink()
        path.mkdir()


class TestCaddyTraffic(TrafficContract):
    @pytest.fixture
    def world(self):
        with started() as box:
            yield CaddyWorld(box)


class TestFakeTraffic(TrafficContract):
    @pytest.fixture
    def world(self):
        class World:
            def __init__(self) -> None:
                self.counters = FakeTraffic(hosts=SITES)

            def visit(self, host: str, status: int = 200, times: int = 1) -> None:
                self.counters.request(host.partition(":")[0], status, times=times)

            def platform_asks(self, host: str) -> None:
                pass

            def restart_proxy(self) -> None:
                pass

            def later(self) -> FakeTraffic:
                return self.counters.restarted()

            def break_off(self) -> None:
                self.counters.up = False
        return World()


@pytest.fixture
def world():
    with started() as box:
        yield CaddyWorld(box)


def test_a_proxy_that_does_not_count_says_so(world):
    world.visit("one.test")
    world.box.router.apply([Site(1, SITES[:2])], ProxyOptions(https=False, counted=False))
    assert world.box.request("one.test")[0] == 200
    with pytest.raises(ProxyError, match="does not count"):
        world.counters.read()
    world.box.router.apply([Site(1, SITES[:2])], PLAIN)
    world.visit("one.test")
    assert world.counters.read()["one.test"].requests == 2


def test_the_log_holds_nothing_of_the_visitor(world):
    world.box.request("one.test", "/status/200?token=secret", headers={"Cookie": "secret", "Authorization": "secret"})
    world.box.until(lambda: world.lines() == 1)
    [line] = world.box.router.layout.requests.read_text().splitlines()
    assert set(json.loads(line)) == {"ts", "duration", "status", "h"}
    assert "secret" not in line
    assert world.box.router.layout.requests.stat().st_mode & 0o077 == 0


def test_pages_of_the_platform_count_with_their_status(world):
    """The page of a stopped app, one that does not answer, and one that is held while parked: 503, 503, 200."""
    router, late = world.box.router, world.box.app()
    router.point(1, Page.STOPPED)
    assert world.box.request("one.test")[0] == 503
    router.point(1, [world.box.dead()])
    assert world.box.request("one.test")[0] == 503
    router.point(1, Page.PARK)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(world.box.request, "one.test")
        router.point(1, [late.target])
        assert held.result(60)[0] == 200
    world.box.until(lambda: world.lines() == 3)
    assert world.counters.read()["one.test"].statuses == (0, 1, 0, 0, 2)


def test_a_slow_answer_is_in_its_class(world):
    app = world.box.app()
    world.box.router.point(1, [app.target])
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(world.box.request, "one.test", "/slow")
        assert app.arrived.wait(30)
        threading.Event().wait(BOUNDS[5] + 0.05)
        app.release.set()
        assert slow.result(30)[0] == 200
    world.box.until(lambda: world.lines() == 1)
    assert sum(world.counters.read()["one.test"].durations[6:]) == 1


def test_a_client_with_tls_cannot_invent_hosts(world):
    """The name of the handshake is one of the server's, the Host header anything."""
    chain, key = self_signed("one.test")
    world.box.router.apply([Site(1, SITES[:2], chain, key)], PLAIN)
    context = ssl.create_default_context(cadata=chain)
    with socket.create_connection(("127.0.0.1", world.box.settings.https_port), 30) as plain, \
            context.wrap_socket(plain, server_hostname="one.test") as sock:
        for number in range(30):
            sock.sendall(f"GET / HTTP/1.1\r\nHost: x{number}.evil.test\r\n\r\n".encode())
            answer = b""
            while b"</html>" not in answer:
                answer += sock.recv(65536)
            assert answer.startswith(b"HTTP/1.1 404")
        sock.sendall(b"GET / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
    world.box.until(lambda: world.lines() == 31)
    assert {host: one.requests for host, one in world.counters.read().items()} == {"one.test": 1}


def test_above_the_rate_a_sample_is_written_and_weighed(world, monkeypatch):
    monkeypatch.setattr(caddy_traffic, "FIRST", 10)
    monkeypatch.setattr(caddy_traffic, "THEREAFTER", 5)
    world.box.router.apply([Site(1, SITES[:2]), Site(2, ("other.test",))], PLAIN)
    asked = 400

    def ask(_):
        return world.box.request("one.test")[0]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(asked))) == {200}
    assert world.box.request("one.test", "/status/500")[0] == 500
    world.box.until(lambda: b'"status":500' in world.box.router.layout.requests.read_bytes())
    found = world.counters.read()["one.test"]
    assert world.lines() < asked
    assert found.failures == 1
    assert asked * 0.7 < found.requests - 1 <= asked * 1.3


# The log's files


def line(number: int) -> bytes:
    return b'{"ts":%d.5,"duration":0.001,"status":200,"h":"one.test"}\n' % number


def test_a_log_is_read_across_its_files(tmp_path):
    path = tmp_path / "requests.log"
    log = Log(path, tmp_path / "place")
    assert list(log.new()) == []
    path.write_bytes(line(1) + line(2)[:20])
    assert b"".join(log.new()) == line(1)
    with path.open("ab") as file:
        file.write(line(2)[20:] + line(3))
    path.rename(tmp_path / "requests-2026-01-01T00-00-00.000-size.log")
    path.write_bytes(line(4))
    assert b"".join(log.new()) == line(2) + line(3) + line(4)
    assert list(log.new()) == []
    path.rename(tmp_path / "requests-2026-01-02T00-00-00.000-size.log")
    path.write_bytes(line(5))
    assert b"".join(log.new()) == line(5)


def test_a_log_that_went_on_without_a_reader_is_read_from_what_is_left(tmp_path):
    path, place = tmp_path / "requests.log", tmp_path / "place"
    path.write_bytes(line(1))
    log = Log(path, place)
    assert b"".join(log.new()) == line(1)
    log.keep()
    keep_inode = path.rename(tmp_path / "away")                  # so that its inode is not used again
    (tmp_path / "requests-2026-01-01T00-00-00.000-size.log").write_bytes(line(2))
    path.write_bytes(line(3))
    assert keep_inode.exists()
    assert b"".join(Log(path, place).new()) == line(2) + line(3)


def test_a_place_that_is_garbage_is_the_beginning(tmp_path):
    path, place = tmp_path / "requests.log", tmp_path / "place"
    path.write_bytes(line(1))
    place.write_text("nonsense")
    assert b"".join(Log(path, place).new()) == line(1)


def test_a_line_beyond_the_rate_stands_for_many(monkeypatch):
    monkeypatch.setattr(caddy_traffic, "FIRST", 3)
    monkeypatch.setattr(caddy_traffic, "THEREAFTER", 10)
    sampling = Sampling()
    assert [sampling.weight(at) for at in (5.0, 5.1, 5.2, 5.3, 5.9)] == [1, 1, 1, 10, 10]
    assert [sampling.weight(at) for at in (6.0, 6.1)] == [1, 1]
