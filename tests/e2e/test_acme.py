"""HTTPS by itself: a real Caddy gets real certificates from a real ACME server (Pebble), for apps' names only."""

import contextlib
import secrets
import socket
import ssl
from datetime import UTC, datetime

import pytest

from paas.ports import ProxyOptions, Site
from tests.contract.caddybox import CaddyBox, started
from tests.contract.pebblebox import PebbleBox

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not PebbleBox.available(), reason="needs the package pebble")]


@pytest.fixture
def box():
    with started() as made:
        yield made


@pytest.fixture
def pebble(box, tmp_path):
    made = PebbleBox(tmp_path, box.settings.http_port, box.settings.https_port)
    yield made
    made.close()


def options(pebble: PebbleBox) -> ProxyOptions:
    return ProxyOptions("admin@example.com", pebble.directory, str(pebble.root))


def over_tls(box: CaddyBox, host: str, issuer: str) -> str:
    """GET / as a browser that trusts *issuer* only; the whole answer."""
    context = ssl.create_default_context(cadata=issuer)
    with socket.create_connection(("127.0.0.1", box.settings.https_port), 30) as plain:
        with context.wrap_socket(plain, server_hostname=host) as sock:
            sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()


def test_a_new_site_gets_its_certificate_and_nobody_else_does(box, pebble):
    app = box.app()
    assert box.router.apply([Site(1, ("shop.test",)), Site(2, ("*.wild.test", "app.localhost"))], options(pebble)) == {}
    box.router.point(1, [app.target])
    box.until(lambda: "shop.test" in box.router.certificates(), 60)
    assert box.router.certificates()["shop.test"] > datetime.now(UTC)
    box.until(lambda: box.request("shop.test")[0] == 308)
    answer = over_tls(box, "shop.test", pebble.issuer())
    assert app.target in answer
    assert "h3=" in answer
    assert box.request("a.wild.test")[0] == 503          # no certificate can come for it: plain HTTP goes on
    assert pebble.orders() == 1

    for _ in range(300):
        with contextlib.suppress(ssl.SSLError, OSError):
            over_tls(box, f"{secrets.token_hex(6)}.test", pebble.issuer())
            pytest.fail("a name of nobody's was served over TLS")
    with contextlib.suppress(ssl.SSLError, OSError):
        over_tls(box, "a.wild.test", pebble.issuer())
    assert pebble.orders() == 1
    assert list(box.router.certificates()) == ["shop.test"]


def test_certificates_outlive_a_restart_and_a_second_app_gets_its_own(box, pebble):
    first, second = box.app(), box.app()
    box.router.apply([Site(1, ("shop.test",))], options(pebble))
    box.router.point(1, [first.target])
    box.until(lambda: "shop.test" in box.router.certificates(), 60)
    box.stop()
    box.start()
    assert first.target in over_tls(box, "shop.test", pebble.issuer())
    assert pebble.orders() == 1
    box.router.apply([Site(1, ("shop.test",)), Site(2, ("blog.test",))], options(pebble))
    box.router.point(2, [second.target])
    box.until(lambda: "blog.test" in box.router.certificates(), 60)
    box.until(lambda: box.request("blog.test")[0] == 308)
    assert second.target in over_tls(box, "blog.test", pebble.issuer())
    assert pebble.orders() == 2
    box.router.apply([Site(1, ("shop.test",))], ProxyOptions(https=False))
    assert box.request("shop.test")[0] == 200
    assert box.router.certificates() == {}
