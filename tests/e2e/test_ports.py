"""An app on two ports, from the outside: nothing lost in a deploy, nobody else's, a port that another program has."""

import http.client
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.caddybox import public_port
from tests.e2e import state
from tests.e2e.world import Repo, World, listens, run, until
from tests.fixtures import apps

pytestmark = pytest.mark.e2e

ADMIN = 9100
SLOW = "#!/bin/sh\nuntil [ -e /tmp/go ]; do sleep 0.1; done\necho\necho whole\n"
STARTS = f"""\
mkdir -p admin/cgi-bin
cp slow admin/cgi-bin
chmod +x admin/cgi-bin/slow
echo admin $(cat www/index.html) >admin/index.html
httpd -p {ADMIN} -h /app/admin
exec httpd -f -p $PORT -h /app/www
"""
CHECK = {"name": "admin", "listening": True, "port": ADMIN}


@pytest.fixture
def number() -> int:
    return public_port()


@pytest.fixture
def two_ports(mine, number):
    repo = mine.app_repo({**apps.script(STARTS, "one"), "slow": SLOW,
                          "app.json": json.dumps({"healthchecks": {"web": [CHECK]}})})
    repo.push()
    mine.paas("ports:add", repo.app, f"http:{number}:{ADMIN}", check=True)
    yield repo
    mine.paas("apps:destroy", repo.app, "--force", check=True)


def ask(number: int, host: str, path: str = "/", timeout: float = 30) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": f"{host}:{number}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode().strip()
    finally:
        connection.close()


class Visitors:
    """Two at each port, until the end; what they were answered."""

    def __init__(self, world: World, host: str, number: int) -> None:
        self.places = [(world.settings.http_port, host), (number, host)] * 2
        self.over, self.answers = threading.Event(), []
        self.pool = ThreadPoolExecutor(4)

    def __enter__(self) -> "Visitors":
        self.running = [self.pool.submit(self.visit, *place) for place in self.places]
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.pool.shutdown()
        for one in self.running:
            one.result()

    def visit(self, number: int, host: str) -> None:
        while not self.over.is_set():
            self.answers.append(ask(number, host))


def test_a_deploy_loses_no_request_on_either_port(mine, two_ports, number):
    repo: Repo = two_ports
    assert ask(number, repo.host) == (200, "admin one")
    assert mine.get(repo.host).text == "one"
    with Visitors(mine, repo.host, number) as visitors:
        for text in ("two", "three"):
            repo.commit(apps.page(text))
            repo.push()
            assert ask(number, repo.host) == (200, f"admin {text}")
            assert mine.get(repo.host).text == text
        mine.paas("ps:scale", repo.app, "web=2", check=True)
        mine.paas("rollback", repo.app, check=True)
    assert {status for status, _ in visitors.answers} == {200}
    assert {text for _, text in visitors.answers} == {f"{kind}{text}" for kind in ("", "admin ")
                                                      for text in ("one", "two", "three")}
    state.come_to_rest(mine)


def test_a_deploy_waits_for_requests_of_a_further_port(mine, two_ports, number):
    mine.paas("proxy:set", two_ports.app, "drain-timeout", "300", check=True)
    state.come_to_rest(mine)
    [old] = mine.containers(two_ports.app)

    def busy() -> int:
        return mine.paas("proxy:report", two_ports.app, "--format", "json").json["requests_in_flight"]

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(ask, number, two_ports.host, "/cgi-bin/slow", 600)
        until(lambda: busy() == 1, "the request is served", 60)
        two_ports.commit(apps.page("two"))
        push = pool.submit(two_ports.push)
        until(lambda: ask(number, two_ports.host) == (200, "admin two"), "the new release serves", 120)
        run(["docker", "exec", old["Id"], "touch", "/tmp/go"], check=True)
        assert slow.result() == (200, "whole")
        push.result()
    state.come_to_rest(mine)
    assert old["Id"] not in {one["Id"] for one in mine.containers(two_ports.app)}


def test_others_are_not_served_there(mine, two_ports, number):
    other = mine.app_repo(apps.web("other"))
    other.push()
    assert mine.get(other.host).text == "other"
    assert [ask(number, host)[0] for host in (other.host, "127.0.0.1", "nobody.test")] == [404] * 3
    mine.paas("ports:add", other.app, f"http:{number}", check=True)
    assert (ask(number, other.host), ask(number, two_ports.host)) == ((200, "other"), (200, "admin one"))
    refused = mine.paas("ports:add", other.app, f"https:{number}")
    assert refused.returncode in (3, 4)
    mine.paas("ports:remove", two_ports.app, str(number), check=True)
    assert [ask(number, one.host)[0] for one in (other, two_ports)] == [200, 404]
    mine.paas("ports:clear", other.app, check=True)
    until(lambda: not listens(number), "nobody has the port any more")


def test_a_taken_port_is_refused_and_one_that_is_taken_later_holds_nobody_up(mine, two_ports, number):
    with socket.create_server(("127.0.0.1", taken := public_port())):
        said = mine.paas("ports:add", two_ports.app, f"http:{taken}")
        assert (said.returncode, f"ss -tanp 'sport = :{taken}'" in said.stderr) == (3, True)
    assert mine.paas("ports", two_ports.app, "--format", "json").json["further"] == [f"http:{number}:{ADMIN}"]
    mine.proxy.stop()
    with socket.create_server(("127.0.0.1", number)):
        mine.restart_proxy()
        assert mine.get(two_ports.host).text == "one"
        findings = mine.paas("doctor", "--format", "json").json
        assert [(one["object"], two_ports.app in one["expected"]) for one in findings if one["id"] == "port-taken"] == [
            (f"port {number}", True)]
        mine.paas("maintenance:on", two_ports.app, check=True)
        mine.paas("maintenance:off", two_ports.app, check=True)
    mine.paas("reconcile", check=True)
    assert ask(number, two_ports.host) == (200, "admin one")
    assert "port-taken" not in {one["id"] for one in mine.paas("doctor", "--format", "json").json}


def test_ports_of_the_platform_are_kept(mine, two_ports):
    for number in (mine.settings.ssh_port, mine.settings.http_port, mine.settings.https_port):
        assert "is for" in mine.paas("ports:add", two_ports.app, f"http:{number}").stderr
