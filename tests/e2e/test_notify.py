"""It tells its owner: a real app that dies, a real webhook, a watcher outside, and channels that fail."""

import signal
import time

import pytest

from tests.e2e.world import World, run, until
from tests.fixtures import apps
from tests.fixtures.hooks import Hook

TOLD = 90.0                              # seconds; it is to be under 30, which is measured and printed, not asserted


@pytest.fixture(scope="module")
def world(mine) -> World:
    mine.local("server:set", "uptime-interval", "10", check=True)
    return mine


@pytest.fixture(scope="module")
def hook():
    made = Hook()
    yield made
    made.close()


@pytest.fixture(scope="module")
def repo(world, hook):
    made = world.app_repo(apps.web("one"), "told")
    made.push()
    secrets = f"{hook.url('/T0SECRET')}\nkey\n"
    world.local("notify:add", "ops", "webhook", "--url-stdin", "--secret-stdin", input=secrets, check=True)
    return made


def told(hook, **wanted):
    """(event, object) of each message, but tests'."""
    return [(one.json["event"], one.json["object"]) for one in hook.received
            if one.json["event"] != "test" and all(one.json[key] == value for key, value in wanted.items())]


def kill(world):
    for one in world.containers("told"):
        if one["State"]["Running"]:
            run(["docker", "kill", one["Id"]])


def state(world, app):
    rows = world.local("uptime", "--format", "json", check=True).json
    return next(row["state"] for row in rows if row["app"] == app)


def test_a_channel_is_tried_and_its_secret_is_never_shown(world, hook, repo):
    said = world.local("notify:test", "ops", check=True)
    assert said.stdout == "200 ok\n"
    assert hook.received[-1].json["event"] == "test"
    shown = world.local("notify:list", check=True).output + world.local("notify:info", "ops", check=True).output \
        + world.local("events", check=True).output
    assert f"127.0.0.1:{hook.port}" in shown
    assert "T0SECRET" not in shown
    hook.status = 500
    failed = world.local("notify:test", "ops")
    hook.status = 200
    assert (failed.returncode, "500" in failed.stderr) == (1, True)


def test_a_dead_app_is_told_exactly_once_and_so_is_its_return(world, hook, repo, capsys):
    """Killed, and again whenever somebody starts it, until the message is there."""
    until(lambda: state(world, "told") == "up", "it is checked", TOLD)
    began = time.monotonic()
    until(lambda: kill(world) or told(hook, kind="app-down"), "a message", TOLD)
    with capsys.disabled():
        print(f"\ndown to message: {time.monotonic() - began:.1f} s")
    message = next(one for one in hook.received if one.json.get("kind") == "app-down")
    assert (message.path, message.json["object"], message.json["app"]) == ("/T0SECRET", "told", "told")
    assert message.headers["webhook-signature"].startswith("v1,")
    assert "paas logs told" in message.json["text"]
    rows = world.local("incidents", "--format", "json", check=True).json
    assert [row["object"] for row in rows if row["kind"] == "app-down"] == ["told"]
    world.local("reconcile", timeout=110)
    until(lambda: len(told(hook, kind="app-down")) > 1, "a message of its end", TOLD)
    assert world.get(repo.host).text == "one"
    assert told(hook, kind="app-down") == [("opened", "told"), ("closed", "told")]


def test_the_channel_that_fails_is_told_to_the_others_and_hurts_nobody(world, hook, repo):
    gone = Hook()
    other = gone.url()
    gone.close()
    world.local("notify:add", "gone", "webhook", other, check=True)
    repo.commit({**apps.web("two"), "Dockerfile": "FROM busybox:latest\nRUN exit 3\n"})
    assert repo.push(check=False).returncode != 0
    until(lambda: ("opened", "told") in told(hook, kind="deploy-failed"), "the deploy's message", TOLD)
    until(lambda: ("opened", "gone") in told(hook, kind="channel"), "the channel's message", TOLD)
    rows = {row["channel"]: row for row in world.local("notify:list", "--format", "json", check=True).json}
    assert (rows["ops"]["state"], rows["gone"]["state"]) == ("fine", "failing")
    assert "channel-failing" in world.local("doctor").stdout
    repo.commit(apps.web("three"))
    repo.push()
    until(lambda: ("closed", "told") in told(hook, kind="deploy-failed"), "that the next one was good", TOLD)
    world.local("notify:remove", "gone", check=True)
    until(lambda: ("closed", "gone") in told(hook, kind="channel"), "its end", TOLD)


def test_a_daemon_that_was_killed_says_so_and_forgets_no_message(world, hook, repo):
    hook.status = 503
    repo.commit({**apps.web("four"), "Dockerfile": "FROM busybox:latest\nRUN exit 4\n"})
    assert repo.push(check=False).returncode != 0
    until(lambda: hook.received[-1].json.get("kind") == "deploy-failed", "an attempt", TOLD)
    world.kill_daemon()
    hook.status, at = 200, len(hook.received)
    world.start_daemon()
    both = {("daemon-restarted", "opened"), ("deploy-failed", "opened")}
    until(lambda: both <= after(hook, at), "both messages", TOLD)
    world.restart_daemon()
    repo.commit(apps.web("five"))
    repo.push()
    until(lambda: ("deploy-failed", "closed") in after(hook, at), "of the next good deploy", TOLD)
    assert [one.json["kind"] for one in hook.received[at:]].count("daemon-restarted") == 1


def after(hook, at):
    return {(one.json.get("kind"), one.json["event"]) for one in hook.received[at:]}


def test_a_heartbeat_goes_on_while_the_proxy_answers(world):
    watcher = Hook()
    try:
        world.local("heartbeat:set", watcher.url("/ping/uuid"), "--every", "10s", check=True)
        until(lambda: watcher.received, "a sign of life", TOLD)
        assert watcher.received[0].path == "/ping/uuid"
        world.proxy.stop(signal.SIGKILL)
        until(lambda: world.local("heartbeat", "--format", "json", check=True).json["state"] == "failing", "silence",
              TOLD)
        heard = len(watcher.received)
        assert "heartbeat-failing" in world.local("doctor").stdout
        assert len(watcher.received) == heard
        world.proxy.start()
        until(lambda: len(watcher.received) > heard, "a sign of life again", TOLD)
        assert "uuid" not in world.local("heartbeat", check=True).output
        world.local("heartbeat:unset", check=True)
    finally:
        watcher.close()


def test_uptime_is_kept(world, repo):
    found = {row["span"]: row for row in world.local("uptime", "told", "--format", "json", check=True).json}
    assert found["day"]["checks"] >= 3
    assert found["day"]["failures"] >= 2
    assert found["day"]["availability"] < 100
    assert found["month"]["p95_ms"] > 0
