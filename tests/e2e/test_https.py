"""HTTPS as an admin meets it: the whole platform against a real ACME server (Pebble), and certificates of one's own."""

import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from tests.contract.pebblebox import PebbleBox
from tests.contract.pems import self_signed
from tests.e2e.world import World, until
from tests.fixtures import apps

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not PebbleBox.available(), reason="needs the package pebble")]
NOBODYS = ("nobody.test", "paas.test", "a.shop.test", "shop.test.nobody.test", "127.0.0.1", "xn--bcher-kva.test")


@pytest.fixture(scope="module")
def pebble(world, tmp_path_factory):
    """The authority that *world* is told to ask."""
    made = PebbleBox(Path(tmp_path_factory.mktemp("pebble")), world.settings.http_port, world.settings.https_port)
    for name, value in (("acme-email", "admin@example.com"), ("acme-ca-root", str(made.root)),
                        ("acme-directory", made.directory)):
        world.local("server:set", name, value, check=True)
    yield made
    made.close()


@pytest.fixture
def shop(world, pebble):
    """An app with a domain of its own; both its names are served over HTTPS."""
    repo = world.app_repo(apps.web("shop"))
    repo.push()
    world.paas("domains:add", repo.app, "shop.test", check=True)
    for name in ("shop.test", repo.host):
        until(lambda name=name: world.get(name).status == 308, f"plain HTTP of {name} is redirected", 60)
    yield repo
    world.paas("apps:destroy", repo.app, "--confirm", repo.app, check=True)


def over_tls(world: World, host: str, issuer: str) -> tuple[str, str]:
    """GET / as a browser that trusts *issuer* only: (issuer's words, answer)."""
    context = ssl.create_default_context(cadata=issuer)
    address = ("127.0.0.1", world.settings.https_port)
    with socket.create_connection(address, 10) as plain, context.wrap_socket(plain, server_hostname=host) as sock:
        issued_by = str(sock.getpeercert()["issuer"])
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return issued_by, b"".join(iter(lambda: sock.recv(65536), b"")).decode()


def served(world: World, host: str, issuer: str, text: str) -> bool:
    try:
        return over_tls(world, host, issuer)[1].endswith(text)
    except OSError:
        return False


def test_a_certificate_that_cannot_serve_is_refused(world):             # the first: no authority is set yet
    repo = world.app_repo(apps.web("one"))
    repo.push()
    chain, key = self_signed(repo.host)
    _, other = self_signed(repo.host)
    wrong = {chain + other.reveal(): "key", chain: "key", "no PEM": "certificate", "": "certificate"}
    for given, word in wrong.items():
        refused = world.paas("certs:add", repo.app, input=given)
        assert refused.returncode == 3, refused.output
        assert word in refused.stderr
        assert "PRIVATE KEY" not in refused.output
    assert world.get(repo.host).text == "one"
    world.paas("apps:destroy", repo.app, "--confirm", repo.app, check=True)     # no orders for it later


def test_a_domain_gets_https_by_itself_and_keeps_its_certificate(world, pebble, shop):
    for name in ("shop.test", shop.host):
        issued_by, answer = over_tls(world, name, pebble.issuer())
        assert "Pebble" in issued_by
        assert (answer[:12], answer[-4:]) == ("HTTP/1.1 200", "shop")
    for method in ("GET", "POST"):
        answer = world.get("shop.test", "/basket?x=1&y=%20", method=method)
        where = f"https://shop.test:{world.settings.https_port}/basket?x=1&y=%20"
        assert (answer.status, answer.headers["Location"]) == (308, where)
    assert f"https://shop.test:{world.settings.https_port}" in world.paas("urls", shop.app, check=True).stdout
    orders = pebble.orders()
    shop.commit(apps.page("newer"))
    pushed = shop.push()
    assert f"https://shop.test:{world.settings.https_port}" in pushed.output
    world.restart_proxy()
    world.restart_daemon()
    assert over_tls(world, "shop.test", pebble.issuer())[1].endswith("newer")
    assert pebble.orders() == orders


def test_no_certificate_is_asked_for_a_name_that_no_app_owns(world, pebble, shop):
    orders = pebble.orders()
    for host in NOBODYS:
        with pytest.raises((ssl.SSLError, OSError)):
            over_tls(world, host, pebble.issuer())
        for path in ("/", "/.well-known/acme-challenge/x"):
            assert world.get(host, path).status == 404
    with socket.create_connection(("127.0.0.1", world.settings.https_port), 10) as plain:
        with pytest.raises((ssl.SSLError, OSError)):                     # a client that names no host at all
            ssl._create_unverified_context().wrap_socket(plain)
    world.paas("domains:remove", shop.app, "shop.test", check=True)
    assert world.get("shop.test").status == 404
    with contextlib.suppress(OSError):
        assert over_tls(world, "shop.test", pebble.issuer())[1].startswith("HTTP/1.1 404")
    assert pebble.orders() == orders


def test_a_certificate_of_ones_own_goes_first_for_the_names_in_it(world, pebble, shop):
    orders = pebble.orders()
    chain, key = self_signed("shop.test")
    added = world.paas("certs:add", shop.app, input=chain + key.reveal(), check=True)
    assert f"does not cover {shop.host}" in added.output
    until(lambda: served(world, "shop.test", chain, "shop"), "the added certificate is served")
    assert not served(world, "shop.test", pebble.issuer(), "shop")
    assert served(world, shop.host, pebble.issuer(), "shop")
    (report,) = world.paas("certs:report", shop.app, "--format", "json", check=True).json
    assert (report["app"], report["names"], report["not_covered"]) == (shop.app, ["shop.test"], [shop.host])
    assert "PRIVATE KEY" not in world.paas("certs:report", shop.app, check=True).output
    world.restart_proxy()
    assert served(world, "shop.test", chain, "shop")
    newer, its_key = self_signed("shop.test")
    world.paas("certs:add", shop.app, input=newer + its_key.reveal(), check=True)
    until(lambda: served(world, "shop.test", newer, "shop"), "the newer certificate is served")
    world.paas("certs:remove", shop.app, check=True)
    until(lambda: served(world, "shop.test", pebble.issuer(), "shop"), "the automatic one is served again", 60)
    assert world.paas("certs:report", shop.app, "--format", "json", check=True).json == []
    assert world.paas("certs:remove", shop.app).returncode
    assert pebble.orders() == orders                                     # the one from before was kept
