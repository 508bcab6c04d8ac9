"""Deploys under load lose no request of gunicorn, uvicorn and node, and no job of Huey: docs/graceful-stop.md.

All apps share one image; their Procfiles differ.
"""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.e2e import state
from tests.e2e.test_switch import watched
from tests.e2e.world import Repo, World, until

pytestmark = pytest.mark.e2e

# The installed packages come before the source, so that this layer is built once.
DOCKERFILE = """FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends nodejs && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir 'gunicorn>=22' 'uvicorn>=0.30' 'huey>=3.5'
WORKDIR /app
COPY . .
"""
# Each answers with its release: at once on /, after so many seconds on /wait/SECONDS.
WSGI = '''import os, time
def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/wait/"):
        time.sleep(float(environ["PATH_INFO"][6:]))
    body = os.environ["PAAS_RELEASE"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
'''
ASGI = '''import asyncio, os
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"].startswith("/wait/"):
        await asyncio.sleep(float(scope["path"][6:]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": os.environ["PAAS_RELEASE"].encode()})
'''
NODE = '''const server = require("http").createServer((request, response) => {
  const seconds = request.url.startsWith("/wait/") ? Number(request.url.slice(6)) : 0;
  setTimeout(() => response.end(process.env.PAAS_RELEASE), seconds * 1000);
});
server.listen(process.env.PORT, "0.0.0.0");
'''
HANDLER = '''process.on("SIGTERM", () => server.close(() => process.exit(0)));
'''
SOURCE = {"Dockerfile": DOCKERFILE, "wsgi.py": WSGI, "asgi.py": ASGI, "plain.js": NODE, "server.js": NODE + HANDLER}
# name → Procfile line, exit code at SIGTERM, does a request that the server still has survive SIGTERM?
SERVERS = {
    "gunicorn": ("gunicorn --bind 0.0.0.0:$PORT --threads 16 wsgi:app", 0, True),
    "uvicorn": ("uvicorn --host 0.0.0.0 --port $PORT asgi:app", 143, True),
    "node with a handler": ("node server.js", 0, True),
    "node without one": ("node plain.js", 143, False),
}

# Each slow thread begins a request every SLOW_THREADS * SLOW_STEP seconds, which is longer than it lasts.
SLOW_PATH, SLOW_THREADS, SLOW_STEP = "/wait/1.5", 8, 0.25


@dataclass
class Answers:
    """What clients got, as it came: (release, slow?) and, word for word, what failed."""

    good: list[tuple[int, bool]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def outlasting(self) -> set[int]:
        """Releases that answered a slow request after a newer one had begun to answer."""
        newest, found = 0, set()
        for release, slow in self.good:
            found |= {release} if slow and release < newest else set()
            newest = max(newest, release)
        return found


def pause(number: int) -> float:
    """Until a slow thread's next request. In step, all could be between two requests at the moment of a switch; so
    one of them begins each SLOW_STEP, however long answers take."""
    return (number * SLOW_STEP - time.monotonic()) % (SLOW_THREADS * SLOW_STEP)


@contextmanager
def load(world: World, host: str) -> Iterator[Answers]:
    """Quick and slow requests, each on kept and on new connections; nothing is tried again."""
    answers, ended = Answers(), threading.Event()

    def ask(path: str, number: int) -> None:
        connection, slow, keep = None, path == SLOW_PATH, number % 2 == 0
        while not ended.wait(pause(number) if slow else 0.01):
            connection = connection or http.client.HTTPConnection("127.0.0.1", world.settings.http_port, timeout=30)
            try:
                connection.request("GET", path, headers={"Host": host})
                answer = connection.getresponse()
                text = answer.read().decode()
                if answer.status == 200:
                    answers.good.append((int(text.removeprefix("v")), slow))
                else:
                    answers.failures.append(f"{path}: status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                answers.failures.append(f"{path}: {error!r}")
                connection = None
            if connection and not keep:
                connection.close()
                connection = None

    threads = [threading.Thread(target=ask, args=(path, number))
               for path, count in (("/", 4), (SLOW_PATH, SLOW_THREADS)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module", params=SERVERS)
def served(request, world) -> tuple[Repo, int, bool]:
    line, code, survives = SERVERS[request.param]
    repo = world.app_repo({**SOURCE, "Procfile": f"web: {line}\n"})
    repo.push()
    return repo, code, survives


def push(repo: Repo) -> None:
    repo.commit({"turn": str(time.time_ns())})
    repo.push()


def test_two_deploys_under_load_fail_no_request(world, served, tmp_path):
    """Also the server that knows nothing of SIGTERM: an old instance is told to stop when its requests are answered."""
    repo, code, _ = served
    with load(world, repo.host) as answers:
        with watched(world, repo.app, tmp_path) as end:
            push(repo)
            assert end.wait() == ["kill 15", f"die {code}"]
        push(repo)
        state.come_to_rest(world)
    assert answers.failures == []
    releases = sorted({release for release, _ in answers.good})
    assert len(releases) == 3
    # Each deploy met slow requests: they were answered by the old release when the new one had begun to answer.
    assert answers.outlasting() == set(releases[:2])


def test_who_finishes_a_request_after_sigterm(world, served, tmp_path):
    """Without the platform's waiting (drain-timeout 0), only the server's own graceful stop saves a POST.
    (The proxy may ask for a GET again.)"""
    repo, code, survives = served
    world.paas("proxy:set", repo.app, "drain-timeout", "0", check=True)
    got = []
    asking = threading.Thread(target=lambda: got.append(world.get(repo.host, "/wait/7", method="POST")))
    with watched(world, repo.app, tmp_path) as end:
        asking.start()
        time.sleep(0.3)
        world.paas("ps:restart", repo.app, check=True)
        assert end.wait() == ["kill 15", f"die {code}"]
    asking.join()
    assert got[0].status == (200 if survives else 502)
    world.paas("proxy:set", repo.app, "drain-timeout", check=True)


# Huey

TASKS = '''import os, sqlite3, time
from huey import SqliteHuey
huey = SqliteHuey(filename="/data/queue.db")

def query(words, *values):
    with sqlite3.connect("/data/effects.db", timeout=30) as database:
        database.execute("create table if not exists effects (job, event, release)")
        return database.execute(words, values).fetchall()

def note(job, event):
    query("insert into effects values (?, ?, ?)", job, event, os.environ["PAAS_RELEASE"])

@huey.task()
def work(job, seconds):
    note(job, "begun")
    time.sleep(seconds)
    note(job, "done")
'''
WEB = '''import json
from tasks import query, work
def app(environ, start_response):
    words = environ["PATH_INFO"].split("/")
    if words[1] == "jobs":
        work(int(words[2]), int(words[3]))
    rows = query("select * from effects") if words[1] == "effects" else []
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(rows).encode()]
'''
CONSUMER = "huey_consumer tasks.huey --workers 4 --quiet"
# The second is for versions of Huey without the option: the shell turns the SIGTERM of the platform into a SIGINT.
GRACEFUL = {
    "option": f"{CONSUMER} --graceful-signal TERM",
    "trap": f"trap 'kill -INT $pid' TERM; {CONSUMER} & pid=$!; wait $pid; wait $pid",
}


def queue(world: World, line: str) -> Repo:
    web = "gunicorn --bind 0.0.0.0:$PORT --threads 4 web:app"
    repo = world.app_repo({"Dockerfile": DOCKERFILE, "tasks.py": TASKS, "web.py": WEB,
                           "Procfile": f"web: {web}\nworker: {line}\n"})
    world.paas("apps:create", repo.app, check=True)
    world.paas("storage:mount", repo.app, "data:/data", check=True)
    repo.push()
    world.paas("ps:scale", repo.app, "worker=1", check=True)
    return repo


def rows(world: World, repo: Repo) -> list[list]:
    """(job, event, release)"""
    return json.loads(world.get(repo.host, "/effects").text)


def effects(world: World, repo: Repo, event: str) -> Counter[int]:
    """How often each job did *event*."""
    return Counter(job for job, what, _ in rows(world, repo) if what == event)


@pytest.mark.parametrize("way", GRACEFUL)
def test_every_job_of_huey_is_done_exactly_once_over_two_deploys(world, way):
    repo = queue(world, GRACEFUL[way])
    ended, given, failures = threading.Event(), [], []

    def enqueue() -> None:
        while not ended.wait(0.25):
            given.append(len(given))
            answer = world.get(repo.host, f"/jobs/{given[-1]}/1")
            failures.extend([answer.status] if answer.status != 200 else [])

    giving = threading.Thread(target=enqueue)
    giving.start()
    try:
        until(lambda: len(given) > 4, "jobs are given")
        push(repo)
        push(repo)
        more = len(given) + 4
        until(lambda: len(given) > more, "jobs are given after the deploys")
    finally:
        ended.set()
        giving.join()
    assert failures == []
    until(lambda: set(effects(world, repo, "done")) >= set(given), "every job is done")
    state.come_to_rest(world)
    once = Counter(given)
    assert (effects(world, repo, "begun"), effects(world, repo, "done")) == (once, once)
    assert len({release for _, _, release in rows(world, repo)}) == 3


def test_huey_as_it_comes_drops_the_jobs_it_is_doing_at_sigterm(world):
    """The reason for the lines above; if this fails, Huey has changed, and docs/graceful-stop.md with it."""
    repo = queue(world, CONSUMER)
    for job in range(4):
        world.get(repo.host, f"/jobs/{job}/20")
    until(lambda: len(effects(world, repo, "begun")) == 4, "the jobs have begun")
    world.paas("ps:restart", repo.app, "worker", check=True)
    state.come_to_rest(world)
    world.get(repo.host, "/jobs/4/0")
    until(lambda: effects(world, repo, "done"), "the new worker works")
    assert (effects(world, repo, "begun"), effects(world, repo, "done")) == (Counter(range(5)), Counter([4]))
