"""Apps that sleep, over real parts: what puts one to sleep, what wakes it, what does not, and what goes wrong."""

import hashlib
import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from websockets.sync.client import connect as websocket

from tests.e2e import state
from tests.e2e.test_reboot import make_run_dirs, proxy_answers
from tests.e2e.world import SOURCE, Repo, World, run, until
from tests.fixtures import apps

ECHO = {"Dockerfile": 'FROM python:3.11-slim\nCOPY . /app\nCMD ["python", "-u", "/app/server.py"]\n',
        "server.py": (SOURCE / "bench/echo/server.py").read_text()}
# Cannot start while /data/broken is there.
FRAGILE = apps.script("[ -e /data/broken ] && exit 3\nexec httpd -f -p $PORT -h /app/www\n", "fragile")
PATIENCE = 90


@pytest.fixture(scope="module")
def echo(mine: World) -> Repo:
    made = mine.app_repo(ECHO, "echo")
    made.push()
    state.come_to_rest(mine)
    return made


@pytest.fixture(scope="module")
def page(mine: World) -> Repo:
    made = mine.app_repo(apps.web("page"), "page")
    made.push()
    state.come_to_rest(mine)
    return made


def put_to_sleep(repo: Repo) -> None:
    repo.world.local("ps:sleep", repo.app, check=True)
    assert sleeps(repo)


def sleeps(repo: Repo) -> bool:
    """As told, and as the engine has it."""
    [told] = repo.world.local("ps", repo.app, "--format", "json", check=True).json
    [container] = repo.world.containers(repo.app)
    stays = container["HostConfig"]["RestartPolicy"]["Name"] == "no"
    return (told["state"], container["State"]["Running"], stays) == ("asleep", False, True)


@contextmanager
def starts(repo: Repo) -> Iterator[list[str]]:
    """What the engine says meanwhile of starts of the app's container: a line each, when the block is over."""
    argv = ["docker", "events", "--since", f"{time.time():.3f}", "--filter", "event=start", "--filter",
            f"container={repo.world.containers(repo.app)[0]['Id']}", "--format", "{{.ID}}"]
    lines: list[str] = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        reader = threading.Thread(target=lambda: lines.extend(process.stdout))
        reader.start()
        yield lines
        process.terminate()
        reader.join()


def wakes(repo: Repo) -> int:
    rows = repo.world.local("events", "--app", repo.app, "--format", "json", check=True).json
    return sum(one["verb"] == "wake" for one in rows)


def test_an_idle_app_falls_asleep_by_itself_and_answers_the_first_request(mine, page):
    mine.local("ps:autosleep", page.app, "--after", "10s", check=True)
    assert mine.get(page.host).text == "page"
    until(lambda: sleeps(page), "it sleeps", PATIENCE)
    assert mine.local("apps:info", page.app, "--format", "json", check=True).json["state"] == "asleep"
    assert "Nothing to repair" in mine.local("reconcile", check=True).output
    assert mine.get(page.host).text == "page"
    assert not sleeps(page)
    told = mine.local("ps:autosleep", page.app, "--format", "json", check=True).json
    assert (told["after"], told["asleep"], told["kept_awake_by"]) == (10, False, "")
    mine.local("ps:autosleep", page.app, "--off", check=True)


def test_a_body_and_a_websocket_wake_it(mine, echo):
    put_to_sleep(echo)
    body = os.urandom(3 << 20)
    answer = mine.get(echo.host, "/upload", method="POST", body=body)
    assert (answer.status, answer.text) == (200, hashlib.sha256(body).hexdigest())
    put_to_sleep(echo)
    with websocket(f"ws://{echo.host}:{mine.settings.http_port}/", proxy=None, open_timeout=60,
                   sock=socket.create_connection(("127.0.0.1", mine.settings.http_port))) as peer:
        peer.send("woken")
        assert peer.recv(timeout=30) == "woken"
        assert not sleeps(echo)


def test_two_hundred_at_once_are_answered_by_one_start(mine, echo):
    put_to_sleep(echo)
    before = wakes(echo)
    with starts(echo) as seen, ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda number: mine.get(echo.host, f"/{number}", timeout=110), range(200)))
        until(lambda: seen, "the engine tells of a start")
        until(lambda: wakes(echo) > before, "the waking is recorded")
    assert {one.status for one in answers} == {200}
    assert (len(seen), wakes(echo)) == (1, before + 1)


@pytest.mark.parametrize(("path", "agent", "status"), [
    ("/.env", "curl/8.5", 404), ("/wp-login.php", "Mozilla/5.0", 404), ("/", "UptimeRobot/2.0", 503),
    ("/", "paas-check", 503), ("/.well-known/acme-challenge/x", "", 404)])
def test_scanners_and_probes_do_not_wake_it(mine, page, path, agent, status):
    put_to_sleep(page)
    answer = mine.get(page.host, path, headers={"User-Agent": agent})
    assert answer.status == status
    assert (answer.headers["Retry-After"] is not None) == (status == 503)
    assert sleeps(page)


def test_the_platforms_own_looks_do_not_wake_it(mine, page):
    put_to_sleep(page)
    for words in (["doctor"], ["status"], ["reconcile"], ["proxy:report", page.app], ["apps:report", page.app]):
        assert mine.local(*words).returncode in (0, 1)
    assert sleeps(page)


def test_a_reboot_leaves_it_asleep_and_no_host_answers_for_another(mine, page, echo):
    put_to_sleep(page)
    mine.get(echo.host)
    mine.kill_daemon()
    mine.proxy.stop(signal.SIGKILL)
    ids = [one["Id"] for one in mine.containers()]
    run(["docker", "stop", "--time", "0", *ids], check=True)
    run(["rm", "-r", str(mine.settings.run_dir / "proxy")], check=True)
    mine.settings.socket.unlink()
    make_run_dirs(mine)
    mine.proxy.start()
    until(lambda: proxy_answers(mine), "Caddy listens")
    answer = mine.get(page.host)
    assert (answer.status, answer.headers["Retry-After"] is not None) == (503, True)
    mine.start_daemon()
    until(lambda: "Nothing to repair" in mine.local("reconcile").output, "it is at rest", PATIENCE)
    assert sleeps(page)
    assert mine.get(page.host).text == "page"
    assert mine.get("nobody.example").status == 404


def test_a_container_that_is_started_by_hand_is_stopped_again(mine, page):
    put_to_sleep(page)
    run(["docker", "start", mine.containers(page.app)[0]["Id"]], check=True)
    mine.local("reconcile", check=True)
    until(lambda: sleeps(page), "it sleeps", PATIENCE)


def test_a_start_that_fails_is_said_and_tried_again(mine):
    repo = mine.app_repo(FRAGILE, "fragile")
    repo.push()
    mine.local("storage:mount", repo.app, "data:/data", check=True)
    mine.local("ps:rebuild", repo.app, check=True)
    state.come_to_rest(mine)
    run(["docker", "exec", mine.containers(repo.app)[0]["Id"], "touch", "/data/broken"], check=True)
    [mount] = [one for one in mine.containers(repo.app)[0]["Mounts"] if one["Destination"] == "/data"]
    put_to_sleep(repo)
    answer = mine.get(repo.host, timeout=100)
    assert (answer.status, answer.headers["Retry-After"] is not None) == (503, True)
    assert sleeps(repo)
    os.unlink(f"{mount['Source']}/broken")
    until(lambda: mine.get(repo.host, timeout=100).text == "fragile", "it is tried again", PATIENCE)
    mine.local("apps:destroy", repo.app, "--confirm", repo.app, check=True)


def test_a_deploy_of_one_that_sleeps(mine, page):
    put_to_sleep(page)
    page.commit(apps.page("two"))
    page.push()
    assert mine.get(page.host).text == "two"
    state.come_to_rest(mine)
    assert not sleeps(page)
    mine.local("ps:sleep", page.app, check=True)
    mine.local("ps:stop", page.app, check=True)
    assert mine.get(page.host).status == 503
    mine.local("ps:start", page.app, check=True)
    assert mine.get(page.host).text == "two"


def test_without_the_daemon_it_is_held_and_then_told_to_come_later(mine, page):
    state.come_to_rest(mine)
    put_to_sleep(page)
    mine.kill_daemon()
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(mine.get, page.host, timeout=100)
        mine.start_daemon()
        assert early.result().status in (200, 503)
    assert mine.get(page.host).text == "two"


def test_kept_connections_survive_the_way_there_and_back(mine, page):
    """A client that keeps its connection open notices nothing but the time."""
    connection = http.client.HTTPConnection("127.0.0.1", mine.settings.http_port, timeout=100)
    connection.connect()
    kept = connection.sock
    for _ in range(3):
        put_to_sleep(page)
        for _ in range(2):
            connection.request("GET", "/", headers={"Host": page.host})
            assert connection.getresponse().read() == b"two"
            assert connection.sock is kept
    connection.close()
