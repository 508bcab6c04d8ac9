"""What Prometheus gets, over a real socket: the format, the token, clients that behave badly."""

import re
import socket
import threading
from dataclasses import replace

import pytest

from paas.daemon import prometheus
from paas.errors import BadInput
from paas.model import app_settings
from paas.model.traffic import BOUNDS
from paas.ops import apps, exposition, settings
from paas.ports_watch import Load
from paas.testing.fake_loads import FakeLoads
from paas.testing.fake_traffic import FakeTraffic
from tests.contract.caddybox import free_port
from tests.contract.container_rig import until
from tests.flow.over_fakes import ALICE

HOST = "hello.apps.example.com"
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="[^"\\]*",?)*)\})? (\d+(?:\.\d+)?)')


@pytest.fixture
def metered(flow):
    flow.traffic, flow.loads = FakeTraffic(), FakeLoads()
    flow.rt = replace(flow.rt, traffic=flow.traffic, loads=flow.loads)
    flow.deploy()
    [row] = flow.rt.store.instances(flow.app().id)
    flow.loads.of[row.container_id] = Load(1.0, 1000, 0)
    flow.rt.metering.tick(flow.rt)
    flow.loads.of[row.container_id] = Load(3.5, 2000, 1)
    return flow


@pytest.fixture
def door(metered):
    """Served on a loopback port; `ask` gives the whole answer."""
    port, stop = free_port(), threading.Event()
    settings.set_server(metered.rt, "prometheus-listen", f"127.0.0.1:{port}")
    thread = threading.Thread(target=prometheus.serve, args=(metered.rt, stop))
    thread.start()
    metered.port = port
    until(lambda: listens(port), "it listens")
    yield metered
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def scrape(port: int, token: str = "") -> tuple[int, str]:
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    head, _, body = ask(port, f"GET /metrics HTTP/1.1\r\nHost: x\r\n{bearer}\r\n".encode()).partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def samples(text: str) -> dict[tuple[str, str], float]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert (match[1], match[2] or "") not in found, "twice"
            found[match[1], match[2] or ""] = float(match[3])
    return found


def test_every_sample_has_its_family_and_the_figures_are_right(metered):
    metered.traffic.request(HOST, 200, 0.003, times=3)
    metered.traffic.request(HOST, 500, 0.3)
    apps.create(metered.rt, ALICE, "idle")
    text = exposition.text(metered.rt)
    found = samples(text)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    assert set(types) == set(re.findall(r"^# HELP (\S+) .", text, re.M))
    assert {name.removesuffix("_bucket").removesuffix("_count") if "duration" in name else name
            for name, _ in found} == set(types)
    assert found["paas_app_requests_total", 'app="hello",code="2xx"'] == 3
    assert found["paas_app_requests_total", 'app="hello",code="5xx"'] == 1
    assert found["paas_app_requests_total", 'app="idle",code="2xx"'] == 0
    buckets = [found["paas_app_request_duration_seconds_bucket", f'app="hello",le="{bound}"']
               for bound in (*BOUNDS, "+Inf")]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-1]) == (3, 4)
    assert found["paas_app_request_duration_seconds_count", 'app="hello"'] == 4
    assert found["paas_app_cpu_seconds_total", 'app="hello"'] == 3.5
    assert found["paas_app_memory_bytes", 'app="hello"'] == 2000
    assert found["paas_app_restarts_total", 'app="hello"'] == 1
    assert found["paas_app_instances", 'app="idle"'] == 0
    assert found["process_resident_memory_bytes", ""] > 1e6


def test_loopback_without_a_token_answers_anybody(door):
    status, text = scrape(door.port)
    assert status == 200
    assert "paas_app_requests_total" in text


def test_a_token_is_wanted_where_there_is_one(door):
    first = exposition.new_token(door.rt).reveal()
    assert [scrape(door.port)[0], scrape(door.port, "wrong")[0], scrape(door.port, first)[0]] == [401, 401, 200]
    second = exposition.new_token(door.rt).reveal()
    assert [scrape(door.port, first)[0], scrape(door.port, second)[0]] == [401, 200]
    assert exposition.no_token(door.rt)
    assert not exposition.no_token(door.rt)
    assert scrape(door.port)[0] == 200


def test_other_addresses_answer_to_the_token_only(metered):
    assert not exposition.admits(metered.rt, "", "192.0.2.1")
    token = exposition.new_token(metered.rt).reveal()
    assert exposition.admits(metered.rt, f"Bearer {token}", "192.0.2.1")
    assert not exposition.admits(metered.rt, f"Basic {token}", "192.0.2.1")
    assert not exposition.admits(metered.rt, "", "192.0.2.1")


def test_a_refusal_shows_nothing_of_the_apps(door):
    exposition.new_token(door.rt)
    assert b"hello" not in ask(door.port, b"GET /metrics HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(("request_", "status"), [
    (b"POST /metrics HTTP/1.1\r\n\r\n", 405), (b"GET / HTTP/1.1\r\n\r\n", 404), (b"nonsense\r\n\r\n", 400),
    (b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", 400), (b"\x00\xff\r\n\r\n", 400),
    (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", 200), (b"HEAD /metrics HTTP/1.1\r\n\r\n", 200)])
def test_only_a_scrape_is_answered(door, request_, status):
    try:
        found = ask(door.port, request_)
    except ConnectionResetError:         # it said no while we were still talking
        assert status == 400
        return
    assert found.startswith(b"HTTP/1.1 %d " % status)
    if request_.startswith(b"HEAD"):
        assert found.endswith(b"\r\n\r\n")


def test_a_silent_client_delays_the_next_and_no_more(door, monkeypatch):
    monkeypatch.setattr(prometheus, "CLIENT_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", door.port)) as silent:
        silent.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert scrape(door.port)[0] == 200


def test_it_moves_and_ends_with_its_setting(door):
    other = free_port()
    settings.set_server(door.rt, "prometheus-listen", f"127.0.0.1:{other}")
    until(lambda: listens(other) and not listens(door.port), "it has moved")
    settings.set_server(door.rt, "prometheus-listen", "")
    until(lambda: not listens(other), "it has ended")


def test_a_port_that_is_taken_is_tried_again(door):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = taken.getsockname()[1]
        settings.set_server(door.rt, "prometheus-listen", f"127.0.0.1:{other}")
        until(lambda: not listens(door.port), "it has left the first")
    until(lambda: listens(other), "it has the other")


@pytest.mark.parametrize("value", ["9469", "127.0.0.1", "localhost:9469", "127.0.0.1:0", "127.0.0.1:70000", "::1:9469",
                                   "[127.0.0.1]:9469", "127.0.0.1:94 69", "[::1:9469"])
def test_what_is_no_address_and_port(value):
    with pytest.raises(BadInput):
        app_settings.SERVER["prometheus-listen"].check(value)


@pytest.mark.parametrize("value", ["127.0.0.1:9469", "0.0.0.0:80", "[::1]:9469"])
def test_what_is_one(value):
    assert app_settings.SERVER["prometheus-listen"].check(value) == value
