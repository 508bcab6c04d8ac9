"""An app that sleeps, behind the real proxy: what wakes it goes on to it untouched."""

import hashlib
import os
import re
import socket
import threading

import pytest
from websockets.sync.client import connect as websocket
from websockets.sync.server import serve as serve_websocket

from paas.adapters.caddy_config import TARGET_HEADER
from paas.adapters.wake_door import WakeDoor
from paas.ports import Page
from paas.ports_sleep import Knock, Verdict
from tests.contract.caddybox import CaddyBox, started
from tests.contract.test_router import ONE, serving


@pytest.fixture
def box():
    with started() as made:
        yield made


def awake_as(box: CaddyBox, target: str) -> list[Knock]:
    """From now on the waker sends everything to *target*; what it was asked."""
    knocks: list[Knock] = []
    box.open_door(lambda knock, tell: (knocks.append(knock), tell(Verdict(target))))
    box.router.point(1, Page.ASLEEP)
    return knocks


FORGED = {"X-Forwarded-For": "203.0.113.66", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.test",
          "X-Real-Ip": "203.0.113.66", "Forwarded": "for=203.0.113.66", "X-Request-Id": "forged",
          TARGET_HEADER: "203.0.113.66:80", "X-Paas-Host": "two.test", "X-Paas-Uri": "/forged"}


def test_a_woken_app_sees_the_request_as_it_always_does(box):
    """Every field, and nothing that a client forges; the answer has no second trace of the proxy."""
    [app] = serving(box, ONE)

    def seen() -> tuple[list, list]:
        sent = {**FORGED, "Cookie": "a=b", "Via": "1.0 x"}
        status, headers, body = box.request("one.test", "/a%20b?c=%7B", headers=sent)
        assert status == 200
        given = body.replace("Via: 1.0 x\nVia: 1.1 Caddy", "Via: 1.0 x,1.1 Caddy")      # the same list, RFC 9110
        return ([re.sub(r"(X-Request-Id: ).*", r"\1…", line) for line in given.splitlines()],
                sorted(name for name, _ in headers.items()))

    before = seen()
    assert not [line for line in before[0] if "203.0.113.66" in line and not line.startswith(TARGET_HEADER)]
    knocks = awake_as(box, app.target)
    assert seen() == before
    assert knocks == [Knock("one.test", "/a%20b?c=%7B", "")]


def test_a_body_goes_to_the_woken_app_whole_and_not_to_the_waker(box):
    [app] = serving(box, ONE)
    awake_as(box, app.target)
    body = os.urandom(5 << 20)
    status, _, text = box.request("one.test", "/", "POST", body)
    assert (status, text.split("\n")[1]) == (200, hashlib.sha256(body).hexdigest())


def test_a_websocket_wakes_and_is_counted_as_long_as_it_is_open(box):
    serving(box, ONE)
    server = serve_websocket(lambda peer: [peer.send(message) for message in peer], "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = f"127.0.0.1:{server.socket.getsockname()[1]}"
    box.router.point(1, [target])
    for _ in range(2):                           # awake, then asleep
        with websocket(f"ws://one.test:{box.settings.http_port}/", proxy=None,
                       sock=socket.create_connection(("127.0.0.1", box.settings.http_port))) as peer:
            peer.send("one")
            assert peer.recv(timeout=20) == "one"
            assert box.router.in_flight() == {target: 1}
            box.router.point(1, [target])
            peer.send("two")
            assert peer.recv(timeout=20) == "two"
        box.until(lambda: box.router.in_flight() == {})
        if box.router.pointed(1) != Page.ASLEEP and not box.settings.waker_socket.exists():
            awake_as(box, target)
    server.shutdown()


def test_events_of_a_woken_app_arrive_as_they_are_sent(box):
    [app] = serving(box, ONE)
    awake_as(box, app.target)
    connection = box.connect()
    connection.request("GET", "/events", headers={"Host": "one.test"})
    response = connection.getresponse()
    assert response.readline() == b"data: first\n"
    app.release.set()
    assert b"data: second" in response.read()
    connection.close()


def test_a_woken_app_that_breaks_off_is_not_blamed_on_the_waker(box):
    serving(box, ONE)
    awake_as(box, box.dead())
    status, headers, text = box.request("one.test")
    assert (status, "does not answer" in text) == (503, True)
    assert headers["Retry-After"]


def test_a_waker_that_loses_its_socket_makes_another(box):
    [app] = serving(box, ONE)
    stop, door, served = threading.Event(), WakeDoor(box.settings), []

    def serve() -> None:
        while not stop.is_set():
            served.append(1)
            door.serve(lambda knock, tell: tell(Verdict(app.target)), stop)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    box.until(box.settings.waker_socket.exists)
    box.router.point(1, Page.ASLEEP)
    assert box.request("one.test")[0] == 200
    box.settings.waker_socket.unlink()
    box.until(lambda: len(served) == 2 and box.settings.waker_socket.exists())
    assert box.request("one.test")[0] == 200
    assert box.settings.waker_socket.stat().st_mode & 0o777 == 0o600
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
