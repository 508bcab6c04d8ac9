"""``ports:…``: what is kept, what the proxy is told, what is refused and leaves everything as it was."""

import pytest

from paas.errors import ProxyError
from paas.model import ports
from paas.model.ports import PublicPort
from paas.ports import Page
from tests.unit.cli.desk import Desk

ADMIN = PublicPort(8080, "http", 5000)


def further(desk: Desk, app: str = "hello") -> str:
    return desk.flow.rt.store.app(app).settings.get(ports.SETTING, "")


def target_of(desk: Desk) -> str:
    (target,) = desk.flow.router.pointed(desk.flow.app().id)
    return target


def test_a_port_is_added_served_listed_and_removed(deployed):
    desk, release = deployed, deployed.flow.rt.store.live_release(deployed.flow.app().id)
    assert "further public ports: http:8080:5000" in desk.ok("ports:add hello http:8080:5000").text
    assert desk.site().ports == (ADMIN,)
    address = target_of(desk).partition(":")[0]
    host = desk.site().hosts[0]
    assert desk.flow.router.visit(8080, host).upstream == f"{address}:5000"
    facts = desk.ok("ports hello --format json").json
    assert (facts["further"], facts["further_urls"]) == (["http:8080:5000"], [f"http://{host}:8080"])
    assert desk.flow.rt.store.live_release(desk.flow.app().id) == release
    assert len(desk.events("ports:add")) == 1
    assert desk.ok("ports:add hello http:8080:5000").text == "Nothing changed.\n"
    assert "ports: none" in desk.ok("ports:remove hello 8080").text
    assert desk.flow.router.visit(8080, host) is None
    assert further(desk) == ""


def test_adding_keeps_the_others_and_setting_does_not(desk):
    desk.ok("ports:add hello http:8080:5000 http:8081")
    desk.ok("ports:add hello http:8082:5002")
    desk.ok("ports:add hello http:8080:6000")
    assert further(desk) == "http:8080:6000 http:8081 http:8082:5002"
    desk.ok("ports:set hello http:80:3000 http:9000:1")
    assert further(desk) == "http:9000:1"
    assert desk.flow.app().settings["proxy.port"] == "3000"
    desk.ok("ports:set hello 4000")
    assert (further(desk), desk.flow.app().settings["proxy.port"]) == ("http:9000:1", "4000")
    desk.ok("ports:clear hello")
    assert (further(desk), "proxy.port" in desk.flow.app().settings) == ("", False)


def test_a_port_of_the_site_can_be_added_as_dokku_does(desk):
    desk.ok("ports:add hello http:80:5000 http:8080:5001")
    assert (further(desk), desk.flow.app().settings["proxy.port"]) == ("http:8080:5001", "5000")


def test_every_domain_that_is_added_later_is_served_there_too(deployed):
    deployed.ok("ports:add hello http:8080")
    deployed.ok("domains:add hello www.example.com")
    assert deployed.flow.router.visit(8080, "www.example.com").upstream == target_of(deployed)
    assert deployed.flow.router.visit(8080, "other.example.com").status == 404


def test_a_port_goes_with_its_app(desk):
    desk.ok("ports:add hello http:8080")
    desk.ok("apps:destroy hello --force")
    assert desk.flow.router.visit(8080, "hello.example.com") is None


@pytest.mark.parametrize("words", [
    "", "8080", "http:8080 5000", "http:8080:0", "tcp:8080:1", "http:80", "http:1023:1", "http:8080:1 http:8080:2",
    "http:8080 https:8080", "http:8080 https:443:70000", "http:22", "https:443:70000"])
def test_words_that_are_refused_change_nothing(desk, words):
    assert desk.run(f"ports:add hello {words}").code in (2, 3)
    assert desk.flow.app().settings == {}
    assert desk.sites == [] or desk.site().ports == ()


def test_numbers_that_others_have(desk):
    desk.ok("server:set prometheus-listen 127.0.0.1:9469")
    assert "Prometheus" in desk.run("ports:add hello http:9469").stderr
    desk.ok("apps:create blog")
    desk.ok("ports:add blog http:8080:1")
    desk.ok("ports:add hello http:8080:2")                       # shared: told apart by the host
    desk.flow.rt.store.set_app_setting(desk.flow.app("blog").id, ports.SETTING, "https:8443")
    said = desk.run("ports:add hello http:8443")
    assert (said.code, "blog has it otherwise" in said.stderr) == (4, True)
    assert further(desk) == "http:8080:2"


def test_a_port_of_another_program(desk):
    desk.flow.router.taken_ports = {8080}
    said = desk.run("ports:add hello http:8080")
    assert (said.code, "ss -tanp" in said.stderr, further(desk)) == (3, True, "")


def test_a_port_that_is_taken_later_is_told_and_the_rest_serves(deployed):
    deployed.ok("ports:add hello http:8080 http:8081")
    deployed.flow.router.taken_ports = {8080}
    assert deployed.ok("ports hello --format json").json["taken_by_others"] == [8080]
    findings = {row["id"]: row for row in deployed.run("doctor --format json").json}
    assert findings["port-taken"]["object"] == "port 8080"
    assert "hello" in findings["port-taken"]["expected"]
    deployed.ok("ports:remove hello 8080")
    assert "port-taken" not in {row["id"] for row in deployed.run("doctor --format json").json}


def test_prometheus_does_not_get_the_port_of_an_app(desk):
    desk.ok("ports:add hello http:9469:5000")
    said = desk.run("server:set prometheus-listen 127.0.0.1:9469")
    assert (said.code, "the port 9469 is a public port of hello" in said.stderr) == (3, True)
    desk.ok("server:set prometheus-listen 127.0.0.1:9470")


def test_no_more_than_the_limits(desk):
    desk.ok("ports:add hello " + " ".join(f"http:{8000 + n}" for n in range(ports.PER_APP)))
    assert "9 further public ports" in desk.run("ports:add hello http:9000").stderr
    for app in range(1, ports.PER_SERVER // ports.PER_APP):
        desk.ok(f"apps:create app{app}")
        desk.ok(f"ports:add app{app} " + " ".join(f"http:{8000 + 100 * app + n}" for n in range(ports.PER_APP)))
    desk.ok("apps:create last")
    assert "limit" in desk.run("ports:add last http:9000").stderr
    desk.ok("ports:add last http:8000")
    desk.ok("ports:remove hello 8001")


def test_https_needs_a_certificate(desk):
    assert "no certificate" in desk.run("ports:add hello https:8443").stderr
    desk.ok("domains:set hello www.example.com")
    desk.flow.router.held = {"www.example.com": desk.flow.rt.clock.now()}
    desk.ok("ports:add hello https:8443:5000")
    assert desk.site().ports == (PublicPort(8443, "https", 5000),)


@pytest.mark.parametrize("refused", ["the proxy is down", "the site is refused"])
def test_what_the_proxy_does_not_take_is_put_back(desk, refused):
    desk.ok("ports:add hello http:8081")
    if refused == "the proxy is down":
        apply, desk.flow.router.apply = desk.flow.router.apply, raising
    else:
        desk.flow.router.refuse(desk.flow.app().id, "not like this")
    said = desk.run("ports:add hello http:8080")
    assert (said.code, "as they were" in said.stderr) == (ProxyError.exit_code, True)
    assert further(desk) == "http:8081"
    if refused == "the proxy is down":
        desk.flow.router.apply = apply
    desk.flow.router.refusing.clear()
    desk.ok("ports:add hello http:8080")


def raising(*_: object) -> dict[int, str]:
    raise ProxyError("the proxy does not answer", "Look.")


def test_a_removal_of_what_is_not_there(desk):
    assert desk.run("ports:remove hello 8080").code == 3


def test_requests_of_a_further_port_count_as_the_apps(deployed):
    target = target_of(deployed)
    deployed.flow.router.serving = {f"{target.partition(':')[0]}:5000": 2, target: 1, "10.0.0.1:1": 5}
    assert deployed.ok("proxy:report hello --format json").json["requests_in_flight"] == 3


def test_a_page_is_shown_on_every_port(deployed):
    deployed.ok("ports:add hello http:8080")
    deployed.ok("maintenance:on hello")
    assert deployed.flow.router.pointed(deployed.flow.app().id) == Page.MAINTENANCE
    assert deployed.flow.router.visit(8080, deployed.site().hosts[0]).status == 503
