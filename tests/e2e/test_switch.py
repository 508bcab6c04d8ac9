"""The switch under load, and what a proxy must do at its edges: draining, streams, strange hosts, one bad site."""

import asyncio
import http.client
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.contract.pems import self_signed
from tests.e2e import state
from tests.e2e.world import SOURCE, Repo, World, run, until
from tests.fixtures import apps, http3

pytestmark = pytest.mark.e2e

SERVER = '''\
import http.server, os, signal, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for number in range(6):
                self.wfile.write(b"data: %d\\n\\n" % number)
                self.wfile.flush()
                time.sleep(0.5)
            return
        self.answer(os.environ["PAAS_RELEASE"].encode())

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        read = 0
        while read < left:
            read += len(self.rfile.read(min(1 << 20, left - read)))
        self.answer(b"%d" % read)

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

signal.signal(signal.SIGTERM, lambda *_: (print("told to stop", flush=True), os._exit(0)))
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
'''
DOCKERFILE = 'FROM python:3.11-slim\nCOPY . /app\nCMD ["python", "-u", "/app/server.py"]\n'


@pytest.fixture(scope="module")
def streams(world):
    repo = world.app_repo({"Dockerfile": DOCKERFILE, "server.py": SERVER})
    repo.push()
    return repo


@pytest.fixture(scope="module")
def echo(world):
    repo = world.app_repo({"Dockerfile": DOCKERFILE, "server.py": (SOURCE / "bench/echo/server.py").read_text()})
    repo.push()
    return repo


class End:
    """How a container ends, by the engine's own events: ``["kill 15", "die 0"]``."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self) -> list[str]:
        events = [json.loads(line) for line in self.log.read_text().splitlines()]
        attributes = [(one["Action"], one["Actor"]["Attributes"]) for one in events]
        return [f"{action} {of.get('signal') or of.get('exitCode')}" for action, of in attributes]

    def wait(self) -> list[str]:
        until(lambda: self()[-1:] and self()[-1].startswith("die"), "the old container has ended", 60)
        return self()


@contextmanager
def watched(world: World, app: str, directory: Path) -> Iterator[End]:
    """The end of the container that serves *app* now."""
    state.come_to_rest(world)
    container, = world.containers(app)
    log = directory / "ends"
    words = ["docker", "events", "--since", str(int(time.time()) - 5), "--filter", f"container={container['Id']}",
             "--filter", "event=kill", "--filter", "event=die", "--format", "{{json .}}"]
    with log.open("wb") as file:
        events = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file)
    try:
        yield End(log)
    finally:
        events.kill()
        events.wait()


def deploy(world: World, repo: Repo) -> None:
    """A new release is live when this returns; the old instances may still have requests."""
    before = world.get(repo.host).text
    world.paas("config:set", repo.app, f"TURN={time.time()}", check=True)
    assert world.get(repo.host).text != before


@pytest.mark.timeout(300)
def test_no_request_fails_while_apps_are_deployed():
    """Pushes, config changes and restarts under GETs, POSTs, slow answers, uploads and websockets, strictly counted;
    the same client must count failures when the live container is killed."""
    done = subprocess.run([sys.executable, SOURCE / "bench/swap", "--quick"], capture_output=True, text=True,
                          check=False)
    closing = done.stdout.splitlines()[-1:]
    assert done.returncode == 0, done.stdout + done.stderr
    found = dict(re.findall(r"(\w+)=(\S+)", closing[0]))
    assert (found["failed"], found["failed_reverse"]) == ("0", "0")
    assert int(found["control_failed"]) > 0
    assert int(found["requests"]) > 1000


def test_an_event_stream_and_its_order_survive_a_deploy(world, streams, tmp_path):
    connection = http.client.HTTPConnection("127.0.0.1", world.settings.http_port, timeout=30)
    with watched(world, streams.app, tmp_path) as end:
        connection.request("GET", "/events", headers={"Host": streams.host})
        answer = connection.getresponse()
        assert answer.readline() == b"data: 0\n"
        deploy(world, streams)
        assert answer.read() == b"\n" + b"".join(b"data: %d\n\n" % number for number in range(1, 6))
        assert end.wait() == ["kill 15", "die 0"]
    connection.close()


def test_an_upload_of_a_gigabyte_is_not_cut_by_a_deploy_in_its_middle(world, streams, tmp_path):
    """The app exits at SIGTERM without looking at its requests: so it gets none before the upload is answered."""
    chunk, pieces = bytes(1 << 20), 1024
    connection = http.client.HTTPConnection("127.0.0.1", world.settings.http_port, timeout=60)
    with watched(world, streams.app, tmp_path) as end:
        connection.putrequest("PUT", "/upload", skip_host=True)
        connection.putheader("Host", streams.host)
        connection.putheader("Content-Length", str(pieces * len(chunk)))
        connection.endheaders()
        for number in range(pieces):
            if number == pieces // 2:
                deploy(world, streams)
                time.sleep(1)            # in which it would be told to stop
                assert end() == []
            connection.send(chunk)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"%d" % (pieces * len(chunk)))
        assert end.wait() == ["kill 15", "die 0"]
    connection.close()


def test_websockets_outlive_all_that_happens_to_other_apps_and_may_finish_when_their_own_is_deployed(
        world, echo, tmp_path):
    def answers(message: str) -> bool:
        peer.send(message)
        return peer.recv(10) == message

    address = f"ws://{echo.host}:{world.settings.http_port}/ws"
    with watched(world, echo.app, tmp_path) as end:
        with socket.create_connection(("127.0.0.1", world.settings.http_port)) as plain:
            with connect(address, sock=plain, proxy=None, ping_interval=None) as peer:
                other = world.app_repo(apps.web("one"))
                other.push()
                other.commit(apps.page("two"))
                other.push()
                world.paas("domains:add", other.app, f"{other.app}.example", check=True)
                world.paas("apps:destroy", other.app, "--confirm", other.app, check=True)
                assert answers("still there")
                deploy(world, echo)
                time.sleep(1)
                assert answers("still the old one")
                assert end() == []
        assert end.wait() == ["kill 15", "die 0"]


@pytest.mark.parametrize(("limit", "ends"), [("1", ["kill 15", "kill 9", "die 137"]), ("60", ["kill 15", "die 0"])])
def test_an_app_that_does_not_stop_is_killed_after_its_stop_timeout(world, tmp_path, limit, ends):
    """It takes five seconds to stop."""
    slow = "trap 'sleep 5; exit 0' TERM\nhttpd -f -p $PORT -h /app/www &\nwhile true; do wait; done\n"
    repo = world.app_repo(apps.script(slow, "old"))
    world.paas("apps:create", repo.app, check=True)
    world.paas("ps:set", repo.app, "stop-timeout", limit, check=True)
    repo.push()
    with watched(world, repo.app, tmp_path) as end:
        repo.commit(apps.page("new"))
        repo.push()
        assert world.get(repo.host).text == "new"
        assert end.wait() == ends
    state.come_to_rest(world)
    assert len(world.containers(repo.app)) == 1


def test_the_drain_limit_cuts_what_never_ends(world):
    repo = world.app_repo(apps.cgi("sleep 20\nprintf '\\r\\nlate'\n", "old"))
    repo.push()
    world.paas("proxy:set", repo.app, "drain-timeout", "1", check=True)
    answers = []
    hanging = threading.Thread(target=lambda: answers.append(world.get(repo.host, "/cgi-bin/run", timeout=50)))
    hanging.start()
    time.sleep(0.3)
    repo.commit(apps.page("new"))
    repo.push()
    hanging.join()
    assert [one.status for one in answers] == [502]
    state.come_to_rest(world)
    assert world.get(repo.host).text == "new"
    assert len(world.containers(repo.app)) == 1


def test_a_restart_of_the_proxy_alone_comes_up_right(own_world):
    repo = own_world.app_repo(apps.web("one"))
    repo.push()
    repo.commit(apps.page("two"))
    repo.push()
    own_world.kill_daemon()
    own_world.restart_proxy(signal.SIGKILL)
    assert own_world.get(repo.host).text == "two"
    assert own_world.get("nobody.example").status == 404


@pytest.mark.parametrize(("head", "status"), [
    ("Host: nobody.example", 404), ("Host: 127.0.0.1", 404), ("Host: 127.0.0.1:80", 404), ("Host: [::1]", 404),
    ("Host: paas.test", 404), ("Host: a.b.paas.test", 404), ("Host:", 404), (f"Host: {'x' * 300}", 404),
    ("Host: {http.request.uuid}", 400), ("Host: a\r\nHost: b", 400), ("X-Nothing: 1", 400),
])
def test_an_unknown_host_gets_the_platforms_page_and_never_an_app(world, streams, head, status):
    with socket.create_connection(("127.0.0.1", world.settings.http_port)) as sock:
        sock.sendall(f"GET / HTTP/1.1\r\n{head}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"No such site" in answer) == (status == 404)


def test_one_bad_site_is_left_out_and_the_others_are_served(own_world):
    """Put past every check, straight into the database: quarantined, told by doctor, and no other app's trouble."""
    world, name = own_world, "{file./etc/passwd} bad"
    bad, good = world.app_repo(apps.web("bad")), world.app_repo(apps.web("good"))
    bad.push()
    app = state.query(world, "select id from apps where name = ?", bad.app)[0]["id"]
    with sqlite3.connect(world.settings.database, timeout=10) as database:
        database.execute("insert into domains (app_id, name, generated) values (?, ?, 0)", (app, name))
    good.push()
    assert world.get(good.host).text == "good"
    assert world.get(bad.host).status == 404
    for restart in (world.restart_proxy, world.restart_daemon):
        good.commit(apps.page(restart.__name__))
        good.push()
        restart()
        assert world.get(good.host).text == restart.__name__
    findings = world.local("doctor", "--format", "json").json
    assert [(one["object"], one["severity"]) for one in findings if one["id"] == "site-refused"] == [(bad.app, "error")]
    bad.commit(apps.page("newer"))
    refused = bad.push(check=False)
    assert refused.returncode
    assert "leaves this app out" in refused.output
    assert "is not a host name" in refused.output
    world.paas("domains:clear", bad.app, check=True)
    world.paas("domains:add", bad.app, bad.host, check=True)
    bad.push()
    assert world.get(bad.host).text == "newer"
    state.come_to_rest(world)
    assert state.faults(world) == []


def test_http2_and_http3_over_tls(own_world):
    repo = own_world.app_repo(apps.web("secure"))
    repo.push()
    chain, key = self_signed(repo.host)
    own_world.paas("certs:add", repo.app, input=chain + key.reveal(), check=True)
    port = own_world.settings.https_port
    words = ["curl", "--silent", "--insecure", "--http2", "--resolve", f"{repo.host}:{port}:127.0.0.1", "--include",
             f"https://{repo.host}:{port}/"]
    said = run(words, check=True).stdout
    assert said.startswith("HTTP/2 200")
    assert f'h3=":{port}"' in said
    assert "secure" in said
    answer = asyncio.run(http3.get(port, repo.host, chain))
    assert (answer.status, answer.body.decode().strip()) == (200, "secure")
