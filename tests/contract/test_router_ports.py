"""Further public ports of apps, as only the real proxy can show them; the rest is in the router's contract."""

import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from paas.model.ports import PublicPort, requests_at
from paas.ports import Page, Site
from paas.testing.contract_router import PLAIN
from tests.contract.caddybox import public_port, started
from tests.contract.pems import self_signed


@pytest.fixture
def box():
    with started() as made:
        yield made


def test_no_request_fails_on_either_port_while_targets_flip(box):
    """Both are one target's: what a port answers is never behind what the other has answered before."""
    main, beside, number = public_port(), public_port(), public_port()
    for address in ("127.0.0.2", "127.0.0.3"):
        for port in (main, beside):
            box.app(address, port)
    box.router.apply([Site(1, ("one.test",), ports=(PublicPort(number, "http", beside),))], PLAIN)
    box.router.point(1, [f"127.0.0.2:{main}"])
    enough, failures, seen = threading.Event(), [], set()

    def client(port: int) -> int:
        connection, count = box.connect(port=port), 0
        while not enough.is_set():
            connection.request("POST", "/", b"x" * 1000, {"Host": "one.test"})
            response = connection.getresponse()
            text = response.read().decode()
            if response.status != 200:
                failures.append(response.status)
            seen.add(text.partition("\n")[0])
            count += 1
        connection.close()
        return count

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(client, port) for port in (0, number, 0, number)]
        for flip in range(200):
            box.router.point(1, [f"127.0.0.{2 + flip % 2}:{main}"])
            time.sleep(0.01)
        enough.set()
        counts = [one.result() for one in running]
    assert not failures
    assert seen == {f"127.0.0.{last}:{port}" for last in (2, 3) for port in (main, beside)}
    assert min(counts) > 20


def test_a_switch_is_one_instant_for_all_ports(box):
    main, beside, number = public_port(), public_port(), public_port()
    for address in ("127.0.0.2", "127.0.0.3"):
        for port in (main, beside):
            box.app(address, port)
    box.router.apply([Site(1, ("one.test",), ports=(PublicPort(number, "http", beside),))], PLAIN)
    for last in (2, 3, 2):
        box.router.point(1, [f"127.0.0.{last}:{main}"])
        assert box.request("one.test")[2].startswith(f"127.0.0.{last}:{main}\n")
        assert box.visit(number, "one.test") == (200, f"127.0.0.{last}:{beside}")
    box.router.point(1, [f"127.0.0.{last}:{main}" for last in (2, 3)])
    answers = {box.visit(number, "one.test") for _ in range(60)}
    assert answers == {(200, f"127.0.0.{last}:{beside}") for last in (2, 3)}


def test_requests_of_a_further_port_are_in_flight_at_the_same_address(box):
    main, number = box.app("127.0.0.2"), public_port()
    beside = box.app("127.0.0.2")
    container = int(beside.target.partition(":")[2])
    box.router.apply([Site(1, ("one.test",), ports=(PublicPort(number, "http", container),))], PLAIN)
    box.router.point(1, [main.target])
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(box.request, "one.test", "/slow", port=number)
        assert beside.arrived.wait(30)
        assert box.router.in_flight() == {beside.target: 1}
        assert requests_at(box.router.in_flight(), main.target) == 1
        box.router.point(1, [box.app("127.0.0.3").target])
        assert requests_at(box.router.in_flight(), main.target) == 1
        beside.release.set()
        assert slow.result()[0] == 200
    box.until(lambda: box.router.in_flight() == {})


def test_a_further_port_is_as_safe_as_the_site(box):
    app, number = box.app(), public_port()
    container = int(app.target.partition(":")[2])
    box.router.apply([Site(1, ("one.test",), ports=(PublicPort(number, "http", container),))], PLAIN)
    box.router.point(1, ["127.0.0.1:9"])
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Port": "1", "X-Real-Ip": "6.6.6.6", "Forwarded": "for=6.6.6.6"}
    status, _, body = box.request("one.test", headers=forged, port=number)
    assert status == 200
    assert "6.6.6.6" not in body
    assert f"X-Forwarded-Port: {number}" in body
    assert "X-Forwarded-Host: one.test" in body
    box.router.point(1, Page.PARK)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(box.request, "one.test", port=number)
        time.sleep(0.3)
        assert not held.done()
        box.router.point(1, ["127.0.0.1:9"])
        assert held.result(60)[0] == 200
    box.router.apply([Site(1, ("one.test",), ports=(PublicPort(number, "http", public_port()),))], PLAIN)
    assert box.request("one.test", port=number)[0] == 503


def test_a_request_to_a_further_port_wakes_the_app_and_goes_there(box):
    main, beside, number, same = box.app(), box.app(), public_port(), public_port()
    container = int(beside.target.partition(":")[2])
    ports = (PublicPort(number, "http", container), PublicPort(same, "http"))
    box.router.apply([Site(1, ("one.test",), ports=ports)], PLAIN)
    box.router.point(1, Page.ASLEEP)
    box.wake_by(lambda host, path: main.target)
    assert box.visit(number, "one.test") == (200, beside.target)
    assert box.visit(same, "one.test") == (200, main.target)
    assert box.request("one.test")[2].startswith(main.target)


def test_a_further_port_with_tls_has_the_certificate_of_the_site(box):
    chain, key = self_signed("one.test")
    app, number = box.app(), public_port()
    container = int(app.target.partition(":")[2])
    site = Site(1, ("one.test",), chain, key, (PublicPort(number, "https", container),))
    assert box.router.apply([site], PLAIN) == {}
    box.router.point(1, ["127.0.0.1:9"])
    context = ssl.create_default_context(cadata=chain)
    with socket.create_connection(("127.0.0.1", number), 30) as plain, \
            context.wrap_socket(plain, server_hostname="one.test") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 200")
    assert f"\r\n\r\n{app.target}\n" in answer
    assert "X-Forwarded-Proto: https" in answer
    assert "alt-svc" not in answer.lower()       # HTTP/3 is the site's alone


def test_the_proxy_starts_without_a_port_that_was_taken_meanwhile(box):
    app, kept, lost = box.app(), public_port(), public_port()
    sites = [Site(1, ("one.test",), ports=(PublicPort(kept, "http"),)),
             Site(2, ("two.test",), ports=(PublicPort(lost, "http", 9000),))]
    box.router.apply(sites, PLAIN)
    for app_id in (1, 2):
        box.router.point(app_id, [app.target])
    box.stop()
    give_back = box.take(lost)
    box.start()
    assert [box.request(host)[0] for host in ("one.test", "two.test")] == [200, 200]
    assert box.visit(kept, "one.test") == (200, app.target)
    assert box.router.current(sites, PLAIN)                      # nothing that reconcile could mend
    assert box.router.taken([kept, lost]) == {lost}
    box.stop()
    box.start()
    give_back()
    assert not box.router.current(sites, PLAIN)
    box.router.apply(sites, PLAIN)
    assert box.visit(lost, "two.test")[0] in (200, 503)          # served again; nothing listens on port 9000
    assert box.router.current(sites, PLAIN)
