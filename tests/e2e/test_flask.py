"""A real app: Flask behind gunicorn, installed from PyPI in its Dockerfile's build, with a worker beside it."""

import http.client
import threading

import pytest

from tests.e2e import state
from tests.fixtures import apps


@pytest.fixture(scope="module")
def repo(world):
    made = world.app_repo(apps.flask("hello"))
    made.push()
    return made


def test_it_serves(world, repo):
    answer = world.get(repo.host)
    assert (answer.text, answer.headers["Server"]) == ("hello", "gunicorn")
    assert world.get(repo.host, "/missing").status == 404


class Client:
    """Asks again and again, on two kept connections and on new ones; nothing is tried again."""

    def __init__(self, world, host):
        self.port, self.host = world.settings.http_port, host
        self.seen, self.failures, self.ending = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(keep,)) for keep in (True, True, False)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def ask(self, keep):
        connection = None
        while not self.ending.is_set():
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.request("GET", "/", headers={"Host": self.host})
                answer = connection.getresponse()
                self.seen.append(answer.read().decode())
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = None
            if connection and not keep:
                connection.close()
                connection = None


def test_a_changed_line_goes_live_without_a_failed_request(world, repo):
    with Client(world, repo.host) as client:
        for turn in range(3):
            repo.commit({"app.py": apps.flask(f"turn {turn}")["app.py"]})
            repo.push()
            assert world.get(repo.host).text == f"turn {turn}"
    assert client.failures == []
    assert set(client.seen) == {"hello", "turn 0", "turn 1", "turn 2"}
    state.come_to_rest(world)


def test_a_broken_line_stays_out_and_its_traceback_is_shown(world, repo):
    repo.commit({"app.py": "import flask\n\napp = flask.Flask(__name__)\nraise RuntimeError('no DATABASE_URL')\n"})
    refused = repo.push(check=False)
    assert refused.returncode != 0
    assert "RuntimeError: no DATABASE_URL" in refused.output
    assert world.get(repo.host).text == "turn 2"
    repo.git("reset", "--quiet", "--hard", "HEAD~1")


def test_a_worker_from_the_procfile_and_a_one_off(world, repo):
    repo.commit({"Procfile": "web: gunicorn --bind 0.0.0.0:$PORT app:app\nworker: python -u worker.py\n",
                 "worker.py": "import time\nwhile True:\n    print('working', flush=True)\n    time.sleep(0.2)\n"})
    repo.push(force=True)
    world.paas("ps:scale", repo.app, "worker=1", check=True)
    assert "working" in world.paas("logs", repo.app, "-p", "worker", "-n", "20", check=True).stdout
    ran = world.paas("run", repo.app, "python", "-c", "import flask, sys; print(flask.__name__); sys.exit(7)")
    assert (ran.stdout.strip(), ran.returncode) == ("flask", 7)
    assert world.get(repo.host).text == "turn 2"
