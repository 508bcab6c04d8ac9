"""ps, ps:scale/restart/rebuild/stop/start, over the flow with fakes."""

import pytest

from paas.model.release import InstanceState
from paas.ports import Page
from paas.testing.fake_containers import Behaviour

PROCFILE = b"web: serve\nworker: work\nclock: tick\n"


@pytest.fixture
def pair(desk):
    """hello, v1, with web=1 and worker=1."""
    flow = desk.flow
    commit = flow.commit({"Procfile": PROCFILE})
    assert flow.push(commit) == 0, flow.lines.text
    flow.settle()
    desk.ok("ps:scale hello worker=1")
    return desk


def store(desk):
    return desk.flow.rt.store


def rows(desk):
    return store(desk).instances(desk.flow.app().id)


def live(desk):
    return store(desk).live_release(desk.flow.app().id)


def quantities(desk):
    return {process.type: process.quantity for process in live(desk).formation}


def test_ps_lists_what_runs(pair):
    found = pair.ok("ps hello --format json").json
    assert [(one["instance"], one["state"], one["release"], one["restarts"]) for one in found] == [
        ("web.1", "healthy", "v2", 0), ("worker.1", "healthy", "v2", 0)]
    assert all(one["memory"] == 50_000_000 for one in found)
    assert "48 MB" in pair.ok("ps").text


def test_ps_tells_how_an_instance_ended(pair):
    worker = rows(pair)[-1]
    pair.flow.containers.crash(worker.container_id, 3)
    assert "exited 3" in pair.ok("ps hello").text
    pair.flow.containers.crash(worker.container_id, 137, oom=True)
    assert "out of memory" in pair.ok("ps hello").text
    pair.flow.containers.remove(worker.container_id)
    assert "missing" in pair.ok("ps hello").text
    assert pair.ok("ps:report hello --format json").json["not_running"] == ["worker.1 (missing)"]


def test_scale_is_a_release_that_starts_the_instances(pair):
    said = pair.ok("ps:scale hello web=3")
    assert "hello runs web=3." in said.text
    assert quantities(pair) == {"web": 3, "worker": 1, "clock": 0}
    assert [row.name for row in rows(pair) if row.process_type == "web"] == ["web.1", "web.2", "web.3"]
    assert len(pair.flow.router.pointed(1)) == 3
    assert live(pair).version == 3
    assert pair.ok("ps:scale hello --format json").json == [
        {"process": "web", "quantity": 3}, {"process": "worker", "quantity": 1}, {"process": "clock", "quantity": 0}]


def containers(desk, kind):
    return [row.container_id for row in rows(desk) if row.process_type == kind]


def test_scale_touches_only_what_changes(pair):
    web, worker = containers(pair, "web"), containers(pair, "worker")
    pair.ok("ps:scale hello web=2")
    assert containers(pair, "web")[:1] == web
    assert containers(pair, "worker") == worker
    two = containers(pair, "web")
    pair.ok("ps:scale hello worker=0")
    assert (containers(pair, "web"), containers(pair, "worker")) == (two, [])
    pair.ok("ps:scale hello web=1")
    assert containers(pair, "web") == web
    assert len(pair.flow.containers.running()) == 1
    assert {row.release_id for row in rows(pair)} == {live(pair).id}


def test_scale_replaces_an_instance_that_does_not_run(pair):
    dead = containers(pair, "worker")[0]
    pair.flow.containers.crash(dead, 3)
    pair.ok("ps:scale hello worker=2")
    assert dead not in containers(pair, "worker")
    assert len(containers(pair, "worker")) == 2


def test_scale_leaves_config_and_scale_that_wait(pair):
    pair.ok("config:set --no-restart hello A=1")
    pair.ok("ps:set hello stop-timeout 42")
    pair.ok("ps:scale hello web=2")
    assert "A" not in live(pair).config
    assert live(pair).process("web").stop_timeout == 10
    pair.ok("ps:rebuild hello")
    assert live(pair).config["A"].reveal() == "1"
    assert live(pair).process("web").stop_timeout == 42


def test_scale_without_a_difference_does_nothing(pair):
    assert "Nothing changed." in pair.ok("ps:scale hello web=1 worker=1").text
    assert live(pair).version == 2


def test_a_scale_that_fails_leaves_the_old_quantities(pair):
    before = pair.flow.containers.running()
    pair.flow.containers.behave("paas.process=clock", Behaviour(exits=1))
    said = pair.run("ps:scale hello clock=1")
    assert said.code == 12
    assert pair.flow.containers.running() == before
    assert quantities(pair)["clock"] == 0
    assert "clock" not in store(pair).scale(1) or store(pair).scale(1)["clock"] == 0


def test_a_later_push_keeps_the_scale(pair):
    pair.ok("ps:scale hello web=2")
    commit = pair.flow.commit({"Procfile": PROCFILE, "x": b"y"})
    assert pair.flow.push(commit) == 0
    pair.flow.settle()
    assert quantities(pair) == {"web": 2, "worker": 1, "clock": 0}


@pytest.mark.parametrize(("words", "part"), [
    ("web", "not TYPE=QUANTITY"), ("web=x", "not TYPE=QUANTITY"), ("web=-1", "not TYPE=QUANTITY"),
    ("web=13", "at most 12"), ("worker=51", "at most 50"), ("web=1 web=2", "twice"), ("Web=1", "cannot name"),
    ("nope=1", "no process type 'nope'"),
])
def test_scale_refuses(pair, words, part):
    said = pair.run(f"ps:scale hello {words}")
    assert (said.code, part in said.stderr) == (3, True), said.stderr
    assert live(pair).version == 2


def test_scale_of_an_app_without_a_release_is_stored(desk):
    assert "Stored" in desk.ok("ps:scale hello web=2").text
    desk.flow.deploy()
    assert quantities(desk) == {"web": 2}


def test_skip_deploy_waits_for_the_next_release(pair):
    assert "Stored" in pair.ok("ps:scale hello web=2 --skip-deploy").text
    assert quantities(pair)["web"] == 1
    pair.ok("ps:rebuild hello")
    assert quantities(pair)["web"] == 2


def test_restart_replaces_all_without_a_new_release(pair):
    before = {row.container_id for row in rows(pair)}
    pair.ok("ps:restart hello")
    after = rows(pair)
    assert live(pair).version == 2
    assert not before & {row.container_id for row in after}
    assert [row.state for row in after] == [InstanceState.HEALTHY] * 2
    assert pair.flow.router.pointed(1) == (after[0].target,)


@pytest.mark.parametrize("kind", ["web", "worker"])
def test_restart_of_one_type_leaves_the_others(pair, kind):
    before = {row.process_type: row for row in rows(pair)}
    pair.ok(f"ps:restart hello {kind}")
    after = {row.process_type: row for row in rows(pair)}
    other = "worker" if kind == "web" else "web"
    assert after[other] == before[other]
    assert after[kind].container_id != before[kind].container_id
    assert after[kind].state == InstanceState.HEALTHY
    assert pair.flow.router.pointed(1) == (after["web"].target,)
    assert len(pair.flow.containers.running()) == 2


@pytest.mark.parametrize("kind", ["", "web", "worker"])
def test_a_restart_that_fails_leaves_what_runs(pair, kind):
    before, pointed = rows(pair), pair.flow.router.pointed(1)
    pair.flow.containers.behave(f"paas.process={kind or 'web'}", Behaviour(exits=1))
    assert pair.run(f"ps:restart hello {kind}").code == 12
    assert rows(pair) == before
    assert pair.flow.router.pointed(1) == pointed
    assert len(pair.flow.containers.running()) == 2


def test_restart_refuses(pair):
    assert "no process type 'nope'" in pair.run("ps:restart hello nope").stderr
    assert "scaled to 0" in pair.run("ps:restart hello clock").stderr
    pair.ok("ps:stop hello")
    assert "ps:start" in pair.run("ps:restart hello").stderr


def test_restart_says_what_waits(pair):
    pair.ok("config:set --no-restart hello A=b")
    said = pair.ok("ps:restart hello")
    assert "config    + A" in said.text
    assert "A" not in live(pair).config


def test_stop_and_start(pair):
    said = pair.ok("ps:stop hello")
    assert "hello is stopped." in said.text
    assert (rows(pair), pair.flow.containers.running()) == ([], [])
    assert pair.flow.router.pointed(1) == Page.STOPPED
    assert "Nothing changed" in pair.ok("ps:stop hello").text
    assert pair.ok("ps:report hello --format json").json["stopped"] is True

    pair.ok("ps:start hello")
    assert live(pair).version == 2
    assert [row.state for row in rows(pair)] == [InstanceState.HEALTHY] * 2
    assert pair.flow.router.pointed(1) == (rows(pair)[0].target,)
    assert not store(pair).app("hello").stopped
    assert "Nothing changed" in pair.ok("ps:start hello").text


def test_start_brings_what_was_changed_meanwhile(pair):
    pair.ok("ps:stop hello")
    pair.ok("config:set hello A=b")
    assert "Stored" in pair.ok("ps:scale hello web=2").text
    assert rows(pair) == []
    pair.ok("ps:start hello")
    assert (live(pair).version, live(pair).config["A"].reveal(), quantities(pair)["web"]) == (3, "b", 2)


def test_a_start_that_fails_leaves_it_stopped(pair):
    pair.ok("ps:stop hello")
    pair.flow.containers.behave("paas.process=web", Behaviour(exits=1))
    assert pair.run("ps:start hello").code == 12
    assert store(pair).app("hello").stopped
    assert (rows(pair), pair.flow.router.pointed(1)) == ([], Page.STOPPED)


def test_stop_keeps_the_maintenance_page(pair):
    pair.ok("maintenance:on hello")
    pair.ok("ps:stop hello")
    assert pair.flow.router.pointed(1) == Page.MAINTENANCE


def test_stop_takes_the_traffic_away_first(pair):
    seen = []
    stop = pair.flow.containers.stop
    pair.flow.containers.stop = lambda *words: (seen.append(pair.flow.router.pointed(1)), stop(*words))
    pair.ok("ps:stop hello")
    assert seen == [Page.STOPPED, Page.STOPPED]


def test_start_without_a_release(desk):
    desk.ok("ps:stop hello")
    desk.ok("ps:start hello")
    assert desk.flow.router.pointed(1) == Page.NO_RELEASE


def test_set(pair):
    pair.ok("ps:set hello stop-timeout 42")
    pair.ok("ps:rebuild hello")
    assert {process.stop_timeout for process in live(pair).formation} == {42}
    settings = {one["key"]: one["value"] for one in pair.ok("ps:settings hello --format json").json}
    assert settings == {"stop-timeout": "42", "task-timeout": "1800", "restart-policy": "on-failure:10"}
