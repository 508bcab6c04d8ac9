"""Release tasks and what app.json asks for, over fakes."""

import contextlib
import json

import pytest

from paas.deploy import tasks
from paas.errors import EngineError, PushRefused, TaskFailed
from paas.model.release import ReleaseState
from paas.ops import config, deploys, ps, releases
from paas.ops.reconcile import reconcile
from paas.secret import Secret
from paas.testing.fake_containers import Behaviour
from paas.testing.faults import Crash
from tests.flow.over_fakes import ALICE

PROCFILE = b"web: serve\nrelease: migrate\n"
TASK = "paas.kind=task"


def files(procfile=PROCFILE, **app_json):
    return {"Procfile": procfile, "app.json": json.dumps(app_json).encode()}


def push(flow, **given):
    code = flow.push(flow.commit({**files(**given), "x": str(len(flow.tips)).encode()}))
    flow.settle()
    return code


def live(flow):
    return flow.rt.store.live_release(flow.app().id)


@pytest.fixture(autouse=True)
def tasks_succeed(flow):
    flow.containers.behave(TASK, Behaviour(exits=0, logs=["migrated 3 tables"]))


def task_names(flow):
    release = live(flow)
    return [row.task for _, row in flow.rt.store.task_runs(release.app_id, release.commit)]


def test_the_release_task_runs_once_before_the_switch_with_its_output_in_the_push(flow):
    assert push(flow) == 0, flow.lines.text
    assert "Running the task 'release'" in flow.lines.text
    assert "migrated 3 tables" in flow.lines.text
    assert task_names(flow) == ["release"]
    assert "release" not in {process.type for process in live(flow).formation}
    assert flow.containers.list({"paas.kind": "task"}) == []
    calls = flow.faults.calls
    assert calls.index("containers.wait") < calls.index("router.point")


def test_it_has_the_new_config_and_image(flow):
    flow.rt.store.replace_config(flow.app().id, config_of(A="1"))
    flow.containers.behave(TASK, Behaviour(exits=0))
    made = []
    create = flow.containers.create
    flow.containers.create = lambda spec: made.append(spec) or create(spec)
    assert push(flow) == 0
    spec = next(one for one in made if "task" in one.name)
    assert spec.environment["A"].reveal() == "1"
    assert spec.environment["PAAS_RELEASE"].reveal() == "v1"
    assert spec.image == live(flow).image
    assert spec.command == ("/bin/sh", "-c", "exec migrate")
    assert spec.restart == "no"


def config_of(**given):
    return {key: Secret(value) for key, value in given.items()}


def test_a_failing_task_rejects_the_push_and_nothing_changes(flow):
    flow.deploy("one")
    before = live(flow), flow.router.pointed(flow.app().id), flow.containers.running()
    flow.containers.behave(TASK, Behaviour(exits=3, logs=["no such column"]))
    assert push(flow) == TaskFailed.exit_code
    assert "no such column" in flow.lines.text
    assert "failed with exit code 3" in flow.lines.text
    assert (live(flow), flow.router.pointed(flow.app().id), flow.containers.running()) == before
    failed = flow.rt.store.releases(flow.app().id)[0]
    assert failed.state == ReleaseState.FAILED
    assert "exit code 3" in failed.failure
    assert flow.containers.list({"paas.kind": "task"}) == []


def test_a_task_over_its_time_is_stopped(flow):
    flow.rt.store.set_app_setting(flow.app().id, "ps.task-timeout", "5")
    flow.containers.behave(TASK, Behaviour())
    flow.clock.step = 1.0
    assert push(flow) == TaskFailed.exit_code
    assert "longer than 5 s" in flow.lines.text
    assert flow.containers.list({"paas.kind": "task"}) == []


def test_a_task_over_its_time_that_the_engine_does_not_stop_at_once_is_stopped_later(flow, monkeypatch):
    monkeypatch.setattr(tasks, "RETRY", 0.01)
    flow.rt.store.set_app_setting(flow.app().id, "ps.task-timeout", "5")
    flow.containers.behave(TASK, Behaviour())
    flow.clock.step = 1.0
    flow.faults.fail_on("containers.stop", 1, EngineError("Docker did not answer in time"))
    assert push(flow) == TaskFailed.exit_code
    assert "it could not be stopped: Docker did not answer in time" in flow.lines.text
    assert "longer than 5 s" in flow.lines.text
    assert flow.containers.list({"paas.kind": "task"}) == []


def test_a_cancelled_deploy_ends_its_task(flow):
    flow.containers.behave(TASK, Behaviour())
    original = flow.containers.start

    def start_then_cancel(container):
        original(container)
        if flow.containers.state(container).labels["paas.kind"] == "task":
            deploys.cancel(flow.rt, flow.app())

    flow.containers.start = start_then_cancel
    assert push(flow) == 14
    assert flow.containers.list({"paas.kind": "task"}) == []
    assert live(flow) is None


def test_a_second_run_for_the_same_commit_is_said(flow):
    flow.containers.behave(TASK, Behaviour(exits=3))
    commit = flow.commit(files())
    assert flow.push(commit) == TaskFailed.exit_code
    flow.containers.behave(TASK, Behaviour(exits=0))
    flow.lines.clear()
    assert flow.push(commit) == 0
    assert "It ran for this commit before (v1: ended with 3)" in flow.lines.text


def test_neither_config_nor_scale_nor_rollback_runs_tasks_unless_asked(flow):
    assert push(flow) == 0
    assert push(flow) == 0
    app, said = flow.app(), []
    config.set_vars(flow.rt, app, ALICE, {"A": "1"}, restart=True, say=said.append)
    releases.rollback(flow.rt, app, ALICE, 1, said.append, said.append)
    ps.rebuild(flow.rt, app, ALICE, said.append)
    flow.settle()
    assert not any("Running the task" in line for line in said)
    config.set_vars(flow.rt, app, ALICE, {"A": "2"}, restart=True, say=said.append, tasks=True)
    assert sum("Running the task" in line for line in said) == 1
    releases.rollback(flow.rt, app, ALICE, 2, said.append, said.append, tasks=True)
    ps.rebuild(flow.rt, app, ALICE, said.append, tasks=True)
    assert sum("Running the task" in line for line in said) == 3


def test_scripts_run_in_dokkus_order_and_postdeploy_only_for_the_first_release(flow):
    scripts = {"predeploy": "pre", "postdeploy": "first", "dokku": {"predeploy": "dpre", "postdeploy": "dpost"}}
    assert push(flow, scripts=scripts) == 0, flow.lines.text
    assert task_names(flow) == ["scripts.predeploy", "scripts.dokku.predeploy", "release", "scripts.postdeploy",
                                "scripts.dokku.postdeploy"]
    assert push(flow, scripts=scripts, name="again") == 0
    assert task_names(flow) == ["scripts.predeploy", "scripts.dokku.predeploy", "release", "scripts.dokku.postdeploy"]


def test_postdeploy_runs_behind_the_checks_and_before_the_switch(flow):
    assert push(flow, procfile=b"web: serve\n", scripts={"dokku": {"postdeploy": "warm"}}) == 0
    calls = flow.faults.calls
    first_web = calls.index("containers.listening")
    assert first_web < calls.index("containers.wait") < calls.index("router.point")


def test_a_daemon_that_dies_in_a_task_leaves_a_trace_and_no_container(flow):
    flow.deploy("one")
    flow.containers.behave(TASK, Behaviour())
    flow.faults.clear()
    flow.faults.fail_on("containers.logs", 1, Crash("x"))
    flow.dead_after_crash()
    with contextlib.suppress(Crash):
        flow.push(flow.commit(files()))
    flow.settle()
    flow.faults.clear()
    reborn = flow.restarted()
    reconcile(reborn.rt)
    assert reborn.containers.list({"paas.kind": "task"}) == []
    assert reconcile(reborn.rt) == []
    app = reborn.app()
    assert reborn.rt.store.live_release(app.id).version == 1
    failed = reborn.rt.store.releases(app.id)[0]
    ((version, row),) = reborn.rt.store.task_runs(app.id, failed.commit)
    assert (version, row.exit_code) == (2, None)


# --- app.json's env ---------------------------------------------------------------------------------------------------


def test_defaults_and_generated_secrets_become_config_with_the_release(flow):
    env = {"MODE": "fast", "SECRET_KEY": {"generator": "secret"}, "OPTIONAL": {"required": False}}
    assert push(flow, env=env) == 0, flow.lines.text
    first = {key: value.reveal() for key, value in flow.rt.store.config(flow.app().id).items()}
    assert first["MODE"] == "fast"
    assert len(first["SECRET_KEY"]) == 64
    assert "OPTIONAL" not in first
    assert first["SECRET_KEY"] not in flow.lines.text
    assert push(flow, env=env, name="again") == 0
    assert {key: value.reveal() for key, value in flow.rt.store.config(flow.app().id).items()} == first


def test_what_is_set_wins_over_a_default(flow):
    flow.rt.store.replace_config(flow.app().id, config_of(MODE="mine"))
    assert push(flow, env={"MODE": "fast"}) == 0
    assert flow.rt.store.config(flow.app().id)["MODE"].reveal() == "mine"


def test_a_failed_push_leaves_no_config_behind(flow):
    flow.containers.behave(TASK, Behaviour(exits=1))
    assert push(flow, env={"MODE": "fast"}) == TaskFailed.exit_code
    assert flow.rt.store.config(flow.app().id) == {}


def test_a_required_var_is_asked_for_before_any_build(flow):
    env = {"DATABASE_URL": {"description": "where the data are"}, "KEY": {"required": True}}
    assert push(flow, env=env) == PushRefused.exit_code
    assert "DATABASE_URL (where the data are), KEY" in flow.lines.text
    assert "paas config:set --no-restart hello DATABASE_URL=… KEY=…" in flow.lines.text
    assert flow.images.requests == []


@pytest.mark.parametrize("given", [
    {"env": []}, {"env": {"a b": "1"}}, {"env": {"PAAS_X": "1"}}, {"env": {"A": 1}}, {"env": {"A": {"value": 5}}},
    {"env": {"A": {"generator": "rot13"}}}, {"env": {"A": {"required": "no"}}}, {"env": {"A": "x\0"}},
    {"scripts": []}, {"scripts": {"predeploy": 5}}, {"scripts": {"predeploy": "x" * 5000}}, {"scripts": {"dokku": 1}},
    {"cron": {}}, {"cron": ["x"]}, {"cron": [{"command": "x"}]}, {"formation": {"web": {"quantity": "2"}}}])
def test_a_malformed_app_json_is_refused_before_any_build(flow, given):
    assert push(flow, **given) == PushRefused.exit_code
    assert "app.json" in flow.lines.text
    assert flow.images.requests == []


def test_unknown_keys_are_named_and_not_swallowed(flow):
    given = {"privileged": True, "scripts": {"test": "x"}, "env": {"A": {"value": "1", "color": "red"}},
             "formation": {"web": {"quantity": 1, "size": "L"}, "ghost": {"quantity": 2}}}
    assert push(flow, **given) == 0, flow.lines.text
    for key in ("privileged", "scripts.test", "env.A.color", "formation.web.size"):
        assert f"app.json: '{key}' is not read" in flow.lines.text
    assert "'ghost', which the Procfile does not have" in flow.lines.text


def test_a_new_process_type_at_zero_is_said(flow):
    assert push(flow, procfile=b"web: serve\nworker: work\n") == 0
    assert "worker does not run (0 instances). To start it: paas ps:scale hello worker=1" in flow.lines.text
    flow.lines.clear()
    assert push(flow, procfile=b"web: serve\nworker: work\n", name="again") == 0
    assert "does not run" not in flow.lines.text
