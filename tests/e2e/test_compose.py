"""A compose file, given over SSH, becomes an app that a push then brings up: its processes, config and volume."""

import json

import pytest

from tests.e2e import state
from tests.e2e.world import until
from tests.unit.cli.test_compose import HOSTILE

NAME = "composed"
COMPOSE = """\
services:
  web:
    build: {context: ./site, args: {GREETING: hello}}
    command: sh -c "env >www/env && exec httpd -f -p 8123 -h www"
    ports: ["127.0.0.1:80:8123"]
    environment: {MOTTO: "two $$words", REDIS_URL: "redis://cache:6379/0"}
    volumes: [state:/state, ./site:/app]
    healthcheck: {test: ["CMD", "wget", "-q", "-O-", "http://localhost:8123/up.html"]}
  worker:
    build: {context: site, args: {GREETING: hello}}
    command: [sh, -c, "date >/state/worker && exec sleep 3600"]
    mem_limit: 64m
  migrate:
    build: {context: site, args: {GREETING: hello}}
    command: touch /state/migrated
  cache: {image: "redis:7"}
volumes: {state: }
"""
DOCKERFILE = """\
FROM busybox:latest
ARG GREETING
COPY . /app
WORKDIR /app
RUN echo "$GREETING" >www/index.html && echo up >www/up.html
"""


@pytest.fixture(scope="module")
def imported(world, base_images):
    return world.paas("apps:import-compose", "-", "--app", NAME, "--yes", input=COMPOSE, check=True)


@pytest.mark.docker
def test_what_was_imported_runs_after_a_push(world, imported):
    plan = world.paas("apps:import-compose", "--app", "other", "--dry-run", "--format", "json", input=COMPOSE,
                      check=True).json
    procfile = plan["apps"][0]["procfile"]
    repo = world.app_repo({"site/Dockerfile": DOCKERFILE, "site/www/keep": "", "site/Procfile": procfile}, NAME)
    said = repo.push()
    assert "release: " not in said.output.partition("Release v1")[2]
    assert world.get(repo.host).text == "hello\n"
    environment = world.get(repo.host, "/env").text.splitlines()
    assert "MOTTO=two $words" in environment
    assert any(line.startswith("REDIS_URL=redis://:") for line in environment)      # of the service, made and linked
    assert world.paas("redis:connect", f"{NAME}-cache", input="PING\n", check=True).stdout.strip() == "PONG"
    assert world.paas("redis:links", f"{NAME}-cache", "--format", "json", check=True).json == [
        {"app": NAME, "variable": "REDIS_URL"}]
    rows = {row["instance"].partition(".")[0] for row in world.paas("ps", NAME, "--format", "json", check=True).json}
    assert rows == {"web", "worker"}
    until(lambda: world.paas("run", NAME, "cat", "/state/worker").returncode == 0, "the worker has written")
    assert world.paas("run", NAME, "ls", "/state/migrated").returncode == 0
    worker, = (one for one in world.containers(NAME) if one["HostConfig"]["Memory"])
    assert worker["HostConfig"]["Memory"] == 64 * 1024**2
    checks = world.paas("checks", NAME, "--format", "json", check=True).json
    assert next(one["path"] for one in checks["processes"] if one["process"] == "web") == "/up.html"


def test_the_plan_says_what_is_left_out(imported):
    for line in ("paas redis:create composed-cache --version 7", f"sets REDIS_URL of {NAME}", "web.volumes[1]:",
                 "for development", "release: touch /state/migrated", "git push production main",
                 "paas redis:import composed-cache <dump"):
        assert line in imported.output, line
    assert "to set" not in imported.output
    assert "To do when" not in imported.output


def test_the_second_time_it_is_refused_and_changes_nothing(world, imported):
    before = state.fingerprint(world)
    again = world.paas("apps:import-compose", "--app", NAME, "--yes", input=COMPOSE)
    assert (again.returncode, "exists already" in again.stderr) == (4, True)
    assert state.difference(before, state.fingerprint(world)) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_change_nothing(world, name):
    before = state.fingerprint(world)
    said = world.paas("apps:import-compose", "--app", "hostile", "--yes", input=HOSTILE[name], timeout=30)
    assert said.returncode in (2, 3), said.output[:500]
    assert " !     " in said.stderr
    assert state.difference(before, state.fingerprint(world)) == []


def test_no_secret_is_in_the_events(world):
    given = "services: {web: {build: ., environment: {TOKEN: tiptop}}}"
    said = world.paas("apps:import-compose", "--app", "quiet", "--yes", input=given, check=True)
    events = world.paas("events", "--format", "json", check=True).stdout
    assert "tiptop" not in said.output + events
    assert any(one["verb"] == "apps:import-compose" for one in json.loads(events))
    assert world.paas("config:get", "quiet", "TOKEN", check=True).stdout == "tiptop\n"
