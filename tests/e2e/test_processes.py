"""Procfile, app.json, tasks, scaling and strategies on the real platform."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.world import until
from tests.fixtures import apps

DOCKERFILE = 'FROM busybox:latest\nCOPY . /app\nWORKDIR /app\nCMD ["sh"]\n'
SERVE = "httpd -f -p $PORT -h /app/www"
# Alone or not at all: two at once leave a line in /data/overlap.
BEAT = """mkdir /data/lock 2>/dev/null || echo overlap >>/data/overlap
trap 'rmdir /data/lock; exit 0' TERM
echo started >>/data/starts
while true; do sleep 0.1; done
"""


def source(procfile: str = f"web: {SERVE}\n", files: dict | None = None, **app_json) -> dict:
    described = {"app.json": json.dumps(app_json)} if app_json else {}
    return {"Dockerfile": DOCKERFILE, "Procfile": procfile, "www/index.html": "one", **described, **(files or {})}


def ids(world, app: str, kind: str) -> dict[str, str]:
    """instance → container id, of what runs."""
    return {one["Config"]["Labels"]["paas.instance"]: one["Id"] for one in world.containers(app)
            if one["Config"]["Labels"].get("paas.process") == kind and one["State"]["Running"]}


def live(world, app: str) -> dict:
    return world.local("releases:info", app, "--format", "json", check=True).json


@contextmanager
def load(world, repo) -> Iterator[list[object]]:
    """Requests one after the other, twice at once; what was not a 200 is in the list when the block is left."""
    ended, wrong, count = threading.Event(), [], []

    def ask() -> None:
        while not ended.is_set():
            try:
                status = world.get(repo.host).status
            except OSError as error:
                status = error
            count.append(1)
            if status != 200:
                wrong.append(status)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert len(count) > 20


class Most:
    """The most containers of a process type that ran at the same time, by the engine's own events."""

    def __init__(self, world, app: str, kind: str) -> None:
        self.world, self.app, self.kind = world, app, kind

    def __enter__(self) -> "Most":
        self.before = len(ids(self.world, self.app, self.kind))
        self.since = time.time()
        return self

    def __exit__(self, *_: object) -> None:
        words = ["docker", "events", "--since", f"{self.since:.3f}", "--until", f"{time.time():.3f}",
                 "--filter", f"label=paas.app-name={self.app}", "--filter", f"label=paas.process={self.kind}",
                 "--filter", "event=start", "--filter", "event=die", "--format", "{{.Action}}"]
        now = self.most = self.before
        for action in subprocess.run(words, capture_output=True, text=True, check=True).stdout.split():
            now += 1 if action == "start" else -1
            self.most = max(self.most, now)


# Procfile


def test_a_procfile_as_people_write_it(world):
    lines = ("# what runs\r\n\r\nweb:   httpd -f -p $PORT -h /app/www\r\n"
             "worker: echo \"it's $GREETING, $(hostname | wc -c) $USER_HOME\" > /tmp/said; sleep 3600\r\n")
    repo = world.app_repo(source(lines))
    world.local("apps:create", repo.app, check=True)
    world.local("config:set", "--no-restart", repo.app, "GREETING=two  words $HOME `id`", check=True)
    said = repo.push().output
    assert f"worker does not run (0 instances). To start it: paas ps:scale {repo.app} worker=1" in said
    world.local("ps:scale", repo.app, "worker=1", check=True)
    (worker,) = ids(world, repo.app, "worker").values()
    told = ["docker", "exec", worker, "cat", "/tmp/said"]
    until(lambda: subprocess.run(told, capture_output=True, check=False).stdout, "the worker has written")
    text = subprocess.run(told, capture_output=True, text=True, check=True).stdout
    assert text == "it's two  words $HOME `id`, 13 \n"


# The release phase


MIGRATE = "release: sh /app/migrate\n"


@pytest.fixture(scope="module")
def migrated(world):
    repo = world.app_repo(source(f"web: {SERVE}\n{MIGRATE}", {"migrate": "echo migrated as $DYNO, MODE=$MODE\n"}))
    repo.push()
    return repo


def test_the_release_task_runs_once_before_the_switch(world, migrated):
    commit = migrated.commit({"migrate": "echo second migration; sleep 0.2; echo done\n"})
    said = migrated.push().output
    assert "Running the task 'release'" in said
    assert said.index("second migration") < said.index("Starting web.1")
    assert world.local("releases:info", migrated.app, "--format", "json").json["commit"] == commit
    assert [one for one in world.containers(migrated.app) if one["Config"]["Labels"]["paas.kind"] == "task"] == []


def test_a_config_change_and_a_rollback_run_no_task_unless_asked(world, migrated):
    assert "Running the task" not in world.local("config:set", migrated.app, "MODE=a", check=True).output
    assert "Running the task" not in world.local("rollback", migrated.app, check=True).output
    said = world.local("config:set", "--run-tasks", migrated.app, "MODE=b", check=True).output
    assert "Running the task 'release'" in said
    assert "It ran for this commit before" in said


def test_a_failing_task_rejects_the_push_with_its_output(world, migrated):
    before = live(world, migrated.app), ids(world, migrated.app, "web")
    migrated.commit({"migrate": "echo 'relation users does not exist' >&2; exit 9\n"})
    refused = migrated.push(check=False)
    assert refused.returncode != 0
    for words in ("relation users does not exist", "the task 'release' failed with exit code 9",
                  "the old release keeps serving"):
        assert words in refused.output
    assert (live(world, migrated.app), ids(world, migrated.app, "web")) == before
    assert world.get(migrated.host).status == 200


def test_a_task_over_its_time_rejects_the_push(world, migrated):
    world.local("ps:set", migrated.app, "task-timeout", "1", check=True)
    migrated.commit({"migrate": "echo waiting; trap 'exit 0' TERM; while true; do sleep 0.1; done\n"})
    refused = migrated.push(check=False)
    assert refused.returncode != 0
    assert "took longer than 1 s and was stopped" in refused.output
    world.local("ps:set", migrated.app, "task-timeout", check=True)


def test_scripts_of_app_json_run_in_order(world):
    scripts = {"dokku": {"predeploy": "echo pre-deploy", "postdeploy": "echo post-deploy"},
               "postdeploy": "echo first-time", "test": "make test"}
    repo = world.app_repo(source(f"web: {SERVE}\nrelease: echo migrating\n", scripts=scripts))
    said = repo.push().output
    order = [said.index(words) for words in ("pre-deploy", "migrating", "Starting web.1", "post-deploy")]
    assert order == sorted(order)
    assert "first-time" in said
    assert "app.json: 'scripts.test' is not read" in said
    repo.commit({"www/index.html": "two"})
    assert "first-time" not in repo.push().output


# app.json


def test_env_of_app_json(world):
    env = {"GREETING": "hello", "SECRET_KEY": {"generator": "secret"},
           "API_KEY": {"description": "from the provider", "required": True}, "OPTIONAL": {"required": False}}
    repo = world.app_repo({**apps.environment(), "app.json": json.dumps({"env": env})})
    refused = repo.push(check=False)
    assert refused.returncode != 0
    assert "app.json requires config vars that are not set: API_KEY (from the provider)" in refused.output
    world.local("config:set", "--no-restart", repo.app, "API_KEY=k", check=True)
    said = repo.push().output
    served = dict(line.partition("=")[::2] for line in world.get(repo.host, "/env").text.splitlines())
    assert (served["GREETING"], served["API_KEY"], "OPTIONAL" in served) == ("hello", "k", False)
    assert len(served["SECRET_KEY"]) == 64
    assert served["SECRET_KEY"] not in said
    repo.commit({"www/index.html": "two"})
    repo.push()
    assert f"SECRET_KEY={served['SECRET_KEY']}" in world.get(repo.host, "/env").text


def test_formation_of_app_json_and_what_is_not_read(world):
    lines = f"web: {SERVE}\nworker: sleep 3600\n"
    repo = world.app_repo(source(lines, formation={"web": {"quantity": 2}, "worker": {"quantity": 1}}, buildpacks=[],
                                 stack="heroku-24"))
    said = repo.push().output
    assert (len(ids(world, repo.app, "web")), len(ids(world, repo.app, "worker"))) == (2, 1)
    assert "app.json: 'buildpacks' is not read" in said
    assert "app.json: 'stack' is not read" in said


# Scaling


@pytest.fixture(scope="module")
def three(world):
    repo = world.app_repo(source(f"web: {SERVE}\nworker: sleep 3600\nbeat: sh /app/beat\n", {"beat": BEAT}))
    repo.push()
    world.local("ps:scale", repo.app, "web=3", "worker=1", check=True)
    return repo


def test_scaling_touches_only_what_changes(world, three):
    web, worker = ids(world, three.app, "web"), ids(world, three.app, "worker")
    with load(world, three) as wrong:
        world.local("ps:scale", three.app, "worker=2", check=True)
        assert ids(world, three.app, "web") == web
        assert worker.items() < ids(world, three.app, "worker").items()
        world.local("ps:scale", three.app, "web=4", "worker=1", check=True)
        assert web.items() < ids(world, three.app, "web").items()
        world.local("ps:scale", three.app, "web=3", check=True)
    assert wrong == []
    until(lambda: (ids(world, three.app, "web"), ids(world, three.app, "worker")) == (web, worker),
          "those that are too many are gone, and no other")


def test_the_proxy_balances_and_passes_over_a_dead_instance(world, three):
    """Killed by its admin, so that Docker does not start it again."""
    victim = next(iter(ids(world, three.app, "web").values()))
    subprocess.run(["docker", "stop", "--time", "0", victim], check=True, capture_output=True)
    assert {world.get(three.host).status for _ in range(60)} == {200}
    world.local("reconcile", three.app)
    until(lambda: len(ids(world, three.app, "web")) == 3, "the dead instance is started again")


# Strategies


def test_rolling_needs_one_more_at_most_and_loses_no_request(world, three):
    world.local("ps:strategy", three.app, "web=rolling", check=True)
    three.commit({"www/index.html": "rolled"})
    three.push()
    three.commit({"www/index.html": "rolled again"})
    with load(world, three) as wrong, Most(world, three.app, "web") as seen:
        three.push()
    assert wrong == []
    assert (seen.before, seen.most) == (3, 4)
    assert world.get(three.host).text == "rolled again"


def test_a_rolling_deploy_that_fails_brings_the_old_ones_back(world, three):
    web = ids(world, three.app, "web")
    # One instance comes up; the second finds the mark that the first has left.
    world.local("storage:mount", three.app, "marks:/marks", check=True)
    others = "worker: sleep 3600\nbeat: sh /app/beat\n"
    three.commit({"Procfile": f"web: mkdir /marks/$PAAS_RELEASE && exec {SERVE}\n{others}"})
    with load(world, three) as wrong:
        refused = three.push(check=False)
    assert refused.returncode != 0
    assert "Starting the old web.1 again" in refused.output
    assert wrong == []
    assert ids(world, three.app, "web") == web
    assert {world.get(three.host).text for _ in range(20)} == {"rolled again"}
    three.commit({"Procfile": f"web: {SERVE}\n{others}"})


def test_a_stop_first_scheduler_never_runs_twice(world, three):
    world.local("storage:mount", three.app, "beat:/data", check=True)
    world.local("ps:strategy", three.app, "beat=stop-first", check=True)
    world.local("ps:scale", "--skip-deploy", three.app, "beat=1", check=True)
    for text in ("a", "b", "c"):
        three.commit({"www/index.html": text})
        with Most(world, three.app, "beat") as seen:
            three.push()
        assert seen.most == 1
    (beat,) = ids(world, three.app, "beat").values()
    said = subprocess.run(["docker", "exec", beat, "sh", "-c", "cat /data/starts; ls /data"], capture_output=True,
                          text=True, check=True).stdout.split()
    assert said == ["started"] * 3 + ["lock", "starts"]


def test_a_stop_first_web_holds_its_requests(world):
    repo = world.app_repo(apps.slow_start(0.5, "one"))
    repo.push()
    world.local("ps:strategy", repo.app, "web=stop-first", check=True)
    repo.commit({"www/index.html": "two"})
    repo.push()
    repo.commit({"www/index.html": "three"})
    with load(world, repo) as wrong, Most(world, repo.app, "web") as seen:
        repo.push()
    assert (wrong, seen.most) == ([], 1)
    assert world.get(repo.host).text == "three"
