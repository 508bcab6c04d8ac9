"""The proxy's config as data, and the words of its refusals."""

import json
from pathlib import Path

import pytest

from paas.adapters.caddy_admin import message
from paas.adapters.caddy_config import make_config
from paas.adapters.caddy_layout import SLOTS, Layout
from paas.adapters.caddy_targets import Targets
from paas.adapters.caddy_tls import covers, issuer_key, wants_acme
from paas.adapters.templates import PAGES, page_html
from paas.errors import BadInput, ProxyError
from paas.model.ports import PublicPort
from paas.ports import Page, ProxyOptions, Site
from paas.settings import Settings

SETTINGS = Settings(state_dir=Path("/s"), run_dir=Path("/r"))
ACME = ProxyOptions(acme_directory="https://ca.internal:14000/dir")


def config(*sites: Site, options: ProxyOptions | None = None) -> dict:
    return make_config(sites, options or ProxyOptions(), SETTINGS)


def the_map(made: dict, server: str = "web") -> dict:
    [found] = [handler for route in made["apps"]["http"]["servers"][server]["routes"] for handler in route["handle"]
               if handler["handler"] == "map"]
    return found


def automated(made: dict) -> list[str]:
    return made["apps"]["tls"].get("certificates", {}).get("automate", [])


def test_hosts_are_one_map_to_files():
    made = config(Site(7, ("a.example.com", "b.example.com")), Site(8, ("c.example.com",)))
    found = the_map(made)
    assert [one["input"] for one in found["mappings"]] == ["a.example.com", "b.example.com", "c.example.com"]
    assert found["mappings"][0]["outputs"][:SLOTS] == [f"{{file./s/proxy/up/7/{slot}}}" for slot in range(SLOTS)]
    assert set(found["defaults"][:SLOTS]) == {"unix//r/proxy/page-unknown-host.sock"}
    assert the_map(made, "ask") == found
    lengths = {len(one["outputs"]) for one in found["mappings"]}
    assert lengths == {len(found["destinations"])} == {len(found["defaults"])}


def test_equal_sites_give_equal_configs_in_any_order():
    sites = [Site(2, ("b.example.com", "a.example.com")), Site(1, ("c.example.com",))]
    made = config(*sites)
    assert config(Site(1, ("c.example.com",)), Site(2, ("a.example.com", "b.example.com"))) == made
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize("host", [
    "a.com; location /pwn{…}", "a.com {", '"', "a.com\nb.com", "_", "*", "*.com", "192.0.2.1", "a.com:8080", "http://a.com",
    "a" * 63 + "." + "b" * 200 + ".com", "a..com", "{env.HOME}.com", "{http.request.host}", "a.com\\", "a.c{om"])
def test_nothing_but_a_host_name_gets_in(host):
    with pytest.raises(BadInput):
        config(Site(1, (host,)))


@pytest.mark.parametrize("options", [
    ProxyOptions(acme_email="{env.HOME}@a.com"), ProxyOptions(acme_directory="https://{env.HOME}/"),
    ProxyOptions(acme_ca_root="/{env.HOME}")])
def test_options_cannot_hold_placeholders(options):
    with pytest.raises(ProxyError):
        config(options=options)


def test_the_upstream_is_named_on_the_internal_listener_only():
    made = config(Site(1, ("a.example.com",)))["apps"]["http"]["servers"]
    naming = [name for name, server in made.items() if "X-Paas-Upstream" in json.dumps(server)]
    assert naming == ["ask"]
    assert made["ask"]["listen"] == ["unix//r/proxy/ask-0.sock|0600"]
    assert made["web"]["listen"] == [":80", ":443", "udp/:443"]


PORTS = (PublicPort(8080, "http", 5000), PublicPort(8443, "https"))


def test_apps_without_further_ports_are_not_concerned_by_those_of_others():
    alone, beside = config(Site(1, ("a.example.com",))), config(Site(1, ("a.example.com",), ports=PORTS))
    servers, more = alone["apps"]["http"]["servers"], beside["apps"]["http"]["servers"]
    assert more.keys() - servers.keys() == {"port-8080", "port-8443", "page-asleep-5000"}
    assert json.dumps({name: more[name] for name in servers}) == json.dumps(servers)
    assert {**beside, "apps": None} == {**alone, "apps": None}


def test_a_further_port_has_the_limits_of_the_site():
    servers = config(Site(1, ("a.example.com",), ports=PORTS))["apps"]["http"]["servers"]
    for name, protocols in (("port-8080", ["h1"]), ("port-8443", ["h1", "h2"])):
        for limit in ("read_header_timeout", "max_header_bytes", "logs", "automatic_https"):
            assert servers[name][limit] == servers["web"][limit]
        assert servers[name]["protocols"] == protocols
        assert ("tls_connection_policies" in servers[name]) == ("https" in str(PORTS[name == "port-8443"]))
    assert servers["port-8080"]["listen"] == [":8080"]


def test_a_taken_port_has_no_server():
    site = Site(1, ("a.example.com",), ports=PORTS)
    whole, without = (make_config([site], ProxyOptions(), SETTINGS, taken) for taken in ((), (8080,)))
    del whole["apps"]["http"]["servers"]["port-8080"]
    assert json.dumps(whole) == json.dumps(without)          # as the proxy's start leaves it out of the file


@pytest.mark.parametrize(("host", "public", "with_directory"), [
    ("www.example.com", True, True), ("example.com", True, True), ("latest.com", True, True),
    ("localhost", False, False), ("app.localhost", False, False), ("shop.test", False, True),
    ("db.internal", False, True), ("printer.local", False, True), ("a.example", False, True),
    ("a.invalid", False, True), ("app.192.0.2.1.sslip.io", False, True), ("app.192-0-2-1.nip.io", False, True),
    ("nip.io.example.com", True, True), ("*.example.com", False, False)])
def test_who_gets_an_acme_certificate(host, public, with_directory):
    assert wants_acme(host, ProxyOptions()) == public
    assert wants_acme(host, ACME) == with_directory
    assert not wants_acme(host, ProxyOptions(https=False))
    if host != "localhost":              # not a name that an app may have
        assert (host in automated(config(Site(1, (host,))))) == public


def test_no_certificate_on_demand_and_none_without_https():
    made = config(Site(1, ("www.example.com",)), options=ProxyOptions(https=False))
    assert automated(made) == []
    assert "on_demand" not in json.dumps(made)
    assert all(server["automatic_https"] == {"disable": True}
               for server in made["apps"]["http"]["servers"].values())


def test_the_acme_issuer_is_told_everything(tmp_path):
    made = make_config([], ProxyOptions("me@example.com", "https://ca.internal/dir", "/etc/root.pem"), SETTINGS)
    [policy] = made["apps"]["tls"]["automation"]["policies"]
    [issuer] = policy["issuers"]
    assert (issuer["ca"], issuer["email"]) == ("https://ca.internal/dir", "me@example.com")
    assert issuer["trusted_roots_pem_files"][0].startswith("/s/proxy/certs/acme-root-")
    assert issuer["challenges"]["http"]["alternate_port"] == 80


def test_the_stores_directory_of_an_authority():
    assert issuer_key(ProxyOptions()) == "acme-v02.api.letsencrypt.org-directory"
    assert issuer_key(ACME) == "ca.internal-14000-dir"


def test_a_wildcard_covers_one_label():
    assert covers(("*.example.com",), "a.example.com")
    assert covers(("*.example.com",), "*.example.com")
    assert not covers(("*.example.com",), "example.com")
    assert not covers(("*.example.com",), "a.b.example.com")


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_whole_and_need_nothing_from_elsewhere(name):
    text = page_html(name)
    assert text.startswith("<!doctype html>")
    assert PAGES[name].title in text
    assert "http" not in text
    assert "<script" not in text


def test_a_refusal_is_told_without_paths():
    body = json.dumps({"error": "loading config: loading certificates: open /s/proxy/certs/7-ab.crt: no such file"})
    assert message(body.encode()) == "open …: no such file"
    assert message(b"2026 log\nError: load: bad thing") == "load: bad thing"


# Upstream files


@pytest.fixture
def targets(tmp_path):
    return Targets(Layout(Settings(state_dir=tmp_path, run_dir=Path("/r"))))


def test_slots_are_filled_round_robin(targets, tmp_path):
    targets.write(3, ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"])
    files = sorted((tmp_path / "proxy/up/3").iterdir(), key=lambda path: int(path.name))
    assert [path.read_text() for path in files] == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"] * 4
    targets.write(3, Page.MAINTENANCE)
    assert {path.read_text() for path in files} == {"unix//r/proxy/page-maintenance.sock"}
    assert len(list((tmp_path / "proxy/up/3").iterdir())) == SLOTS


def test_what_is_already_so_is_not_written(targets, tmp_path):
    targets.write(3, ["10.0.0.1:80"])
    before = [path.stat().st_ino for path in sorted((tmp_path / "proxy/up/3").iterdir())]
    targets.write(3, ["10.0.0.1:80"])
    assert [path.stat().st_ino for path in sorted((tmp_path / "proxy/up/3").iterdir())] == before


@pytest.mark.parametrize("bad", ["app:80", "10.0.0.1", "unix//etc/x", "{env.A}:80", "10.0.0.1:80\n", "1.1.1.1:8 x", ""])
def test_only_addresses_are_targets(targets, bad):
    with pytest.raises(ProxyError):
        targets.write(3, [bad])
    assert targets.read(3) is None


def test_a_lost_slot_counts_as_no_files(targets, tmp_path):
    targets.write(3, ["10.0.0.1:80"])
    (tmp_path / "proxy/up/3/5").unlink()
    assert targets.read(3) is None
    targets.write(3, ["10.0.0.1:80"])
    assert targets.read(3) == ("10.0.0.1:80",)


def test_only_the_server_of_sleeping_apps_knows_the_waker():
    """An app that is awake costs nothing more; the waker is told a host, a path and an agent, and no secret."""
    made = config(Site(1, ("a.example.com",)))["apps"]["http"]["servers"]
    assert [name for name, server in made.items() if "waker.sock" in json.dumps(server)] == ["page-asleep"]
    assert made["page-asleep"]["listen"] == ["unix//r/proxy/page-asleep.sock|0600"]
    [asking] = made["page-asleep"]["routes"][0]["handle"]
    assert asking["rewrite"] == {"method": "GET", "uri": "/"}
    assert asking["headers"]["request"]["delete"] == ["*"]
    assert set(asking["headers"]["request"]["set"]) == {"X-Paas-Host", "X-Paas-Uri", "User-Agent"}


def test_a_sleeping_app_costs_the_same_config_however_many_there_are():
    few, many = (config(*(Site(n, (f"a{n}.example.com",)) for n in range(1, count))) for count in (2, 50))
    assert few["apps"]["http"]["servers"]["page-asleep"] == many["apps"]["http"]["servers"]["page-asleep"]


def test_requests_are_counted_or_nothing_of_it_is_there():
    counted, plain = config(options=ProxyOptions()), config(options=ProxyOptions(counted=False))
    assert "logs" in counted["apps"]["http"]["servers"]["web"]
    assert counted["logging"]["logs"]["count"]["writer"]["filename"] == "/r/proxy/requests.log"
    assert "logs" not in counted["apps"]["http"]["servers"]["ask"]
    assert list(plain["logging"]["logs"]) == ["default"]
    assert not {"log_append", "requests.log"} & set(json.dumps(plain).replace('"', " ").split())
