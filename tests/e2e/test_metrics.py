"""Requests that were really made are what `metrics` and Prometheus show; containers have OpenTelemetry's variables."""

import re
import socket

import pytest

from tests.e2e.world import free_port, run, until
from tests.fixtures import apps

FAIL = "#!/bin/sh\nprintf 'Status: 500 Oops\\r\\nContent-Type: text/plain\\r\\n\\r\\nno'\n"
APP = {**apps.web("one"), "www/cgi-bin/fail": FAIL,
       "Dockerfile": "FROM busybox:latest\nCOPY www /www\n"
                     "CMD chmod +x /www/cgi-bin/fail && exec httpd -f -p ${PORT:-5000} -h /www\n"}
ASKED = {"/": (200, 12), "/missing": (404, 5), "/cgi-bin/fail": (500, 3)}


@pytest.fixture(scope="module")
def repo(mine):
    made = mine.app_repo(APP, "counted")
    made.push()
    return made


@pytest.fixture(scope="module")
def asked(mine, repo):
    """After the requests, and requests to another app and to nobody."""
    mine.app_repo(apps.web("other"), "other").push()
    for path, (status, times) in ASKED.items():
        for _ in range(times):
            assert mine.get(repo.host, path).status == status
    assert mine.get("other.paas.test").status == 200
    assert mine.get("nobody.paas.test").status == 404
    until(lambda: shown(mine)["requests"] >= 20, "all are counted")
    return repo


def shown(world, app: str = "counted", *words: str) -> dict:
    return world.paas("metrics", app, *words, "--format", "json", check=True).json


def test_requests_are_what_was_asked(mine, asked):
    found = shown(mine)
    assert {name: found[name] for name in ("requests", "1xx", "2xx", "3xx", "4xx", "5xx")} == {
        "requests": 20, "1xx": 0, "2xx": 12, "3xx": 0, "4xx": 5, "5xx": 3}
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]
    assert shown(mine, "other")["requests"] == 1
    until(lambda: shown(mine)["memory"] > 0, "its memory is measured")
    assert shown(mine)["instances"] == 1
    assert shown(mine)["cpu_seconds"] > 0


def test_people_see_the_same(mine, asked):
    rows = {row["app"]: row for row in mine.paas("metrics", "--format", "json", check=True).json}
    assert {name: row["requests"] for name, row in rows.items()} == {"counted": 20, "other": 1}
    table = mine.paas("metrics", check=True).stdout.splitlines()
    assert re.search(r"^counted +20 ", "\n".join(table), re.M)
    assert re.search(r"^5xx: +3$", mine.paas("metrics", "counted", "--since", "30d", check=True).stdout, re.M)
    assert mine.paas("metrics", "counted", "--since", "yesterday").returncode == 3


def test_somebody_else_sees_only_what_may_be_seen(mine, asked):
    key = mine.new_key("reader", add=False)
    mine.local("ssh-keys:add", "reader", "--role", "read", "--app", "other",
               input=key.with_suffix(".pub").read_text(), check=True)
    rows = mine.paas("metrics", "--format", "json", key=key, check=True).json
    assert [(row["app"], row["requests"]) for row in rows] == [("other", 1)]
    assert mine.paas("metrics", "counted", key=key).returncode == 20
    assert mine.paas("metrics:token", key=key).returncode in (6, 20)


def test_a_restart_of_daemon_or_proxy_loses_no_request(mine, asked):
    before = shown(mine)["requests"]
    assert mine.get(asked.host).status == 200
    mine.kill_daemon()
    assert mine.get(asked.host).status == 200
    mine.start_daemon()
    until(lambda: shown(mine)["requests"] == before + 2, "what was asked meanwhile is counted, nothing twice")
    mine.restart_proxy()
    assert mine.get(asked.host).status == 200
    until(lambda: shown(mine)["requests"] == before + 3, "so it is after a restart of the proxy")


def scrape(port: int, *headers: str) -> str:
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        lines = ("GET /metrics HTTP/1.1", "Host: localhost", *headers, "", "")
        sock.sendall("\r\n".join(lines).encode())
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode()


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_prometheus_scrapes_with_the_token(mine, asked):
    port = free_port()
    mine.local("server:set", "prometheus-listen", f"127.0.0.1:{port}", check=True)
    until(lambda: listens(port), "it listens")
    assert 'paas_app_requests_total{app="counted",code="5xx"}' in scrape(port)
    token = mine.local("metrics:token", check=True).stdout.strip()
    assert scrape(port).startswith("HTTP/1.1 401 ")
    assert "counted" not in scrape(port, "Authorization: Bearer nonsense")
    assert 'paas_app_instances{app="counted"} 1' in scrape(port, f"Authorization: Bearer {token}")
    assert token not in mine.paas("events", check=True).output + mine.local("server:report", check=True).output
    mine.local("server:set", "prometheus-listen", "", check=True)
    until(lambda: not listens(port), "it has ended")


def test_the_proxy_can_stop_counting(mine, asked):
    before = shown(mine)["requests"]
    mine.local("server:set", "metrics", "false", check=True)
    for _ in range(3):
        assert mine.get(asked.host).status == 200
    assert mine.local("reconcile", "--dry-run", check=True).output.strip() == "Nothing to repair."
    mine.local("server:set", "metrics", "true", check=True)
    assert mine.get(asked.host).status == 200
    until(lambda: shown(mine)["requests"] == before + 1, "only the last is counted")


# OpenTelemetry


def variables(world, app: str) -> dict[str, str]:
    [container] = world.containers(app)
    found = dict(line.split("=", 1) for line in container["Config"]["Env"])
    return {name: value for name, value in found.items() if name.startswith("OTEL_")}


def test_a_container_is_told_of_its_collector(mine, repo):
    words = ("otel:set", repo.app, "http://collector.test:4318", "--headers-stdin")
    mine.local(*words, input="Authorization: Bearer s3cret\n", check=True)
    until(lambda: len(mine.containers(repo.app)) == 1, "the old instance is gone")
    found = variables(mine, repo.app)
    assert found.pop("OTEL_RESOURCE_ATTRIBUTES").startswith("service.version=v1,service.instance.id=counted.web.1.v1")
    assert found == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.test:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20s3cret", "OTEL_SERVICE_NAME": "counted"}
    inside = mine.paas("run", repo.app, "env", check=True).stdout
    assert "OTEL_SERVICE_NAME=counted" in inside
    shows = (("otel:report",), ("events",), ("config:show", repo.app))
    said = [mine.paas(*words, check=True).output for words in shows]
    assert "s3cret" not in "".join(said)
    assert "http://collector.test:4318" in said[0]
    assert run(["grep", "-r", "s3cret", str(mine.root)]).stdout == ""
    mine.local("otel:unset", repo.app, check=True)
    until(lambda: len(mine.containers(repo.app)) == 1, "the old instance is gone")
    assert variables(mine, repo.app) == {}
