"""Storage and extra hosts on their way into containers, over fakes."""

import json

import pytest

from paas.errors import EngineError
from paas.ops import settings, storage
from paas.ops.reconcile import reconcile
from paas.testing.fake_containers import Behaviour

VOLUME = "paas-volume-1-data"


@pytest.fixture
def app(flow):
    """Runs as a user; has a release task, a volume and a directory."""
    flow.containers.behave("paas.kind=task", Behaviour(exits=0, user="app"))
    flow.containers.behave("paas.kind=instance", Behaviour(user="app"))
    made = flow.app()
    storage.mount(flow.rt, made, "data:/data", local=False)
    storage.mount(flow.rt, made, f"{flow.rt.settings.storage_dir}/hello:/files", local=False)
    return made


def push(flow, **app_json):
    files = {"Procfile": b"web: serve\nrelease: migrate\n", "app.json": json.dumps(app_json).encode()}
    code = flow.push(flow.commit(files))
    flow.settle()
    assert code == 0, flow.lines.text


def test_new_storage_is_the_users_before_the_first_container_starts(flow, app):
    push(flow)
    assert set(flow.containers.owners.values()) == {"app"}
    assert set(flow.containers.owners) == {VOLUME, f"{flow.rt.settings.storage_dir}/hello"}
    assert "Given to the image's user: /data, /files" in flow.lines.text
    calls = [one for one in flow.faults.calls if one.startswith("containers.")]
    assert calls.index("containers.give_empty_mounts") < calls.index("containers.start")


def test_an_instance_gives_what_was_mounted_since(flow, app):
    push(flow)
    flow.containers.owners.clear()
    storage.mount(flow.rt, app, "more:/more", local=False)
    flow.containers.used.update({VOLUME, f"{flow.rt.settings.storage_dir}/hello"})
    flow.deploy("two")                   # no Procfile, so no task
    assert flow.containers.owners == {"paas-volume-1-more": "app"}


def test_a_repaired_instance_gives_it_too(flow, app):
    """The container and its volume are gone: both are made again."""
    flow.deploy("one")
    (row,) = flow.rt.store.instances(app.id)
    flow.containers.remove(row.container_id)
    flow.containers.owners.clear()
    reconcile(flow.rt)
    assert flow.containers.running() != []
    assert flow.containers.owners[VOLUME] == "app"


def test_an_unknown_user_is_a_warning_and_no_failure(flow, app):
    flow.containers.behave("paas.kind=instance", Behaviour(user="ghost"))
    flow.deploy("one")
    assert " !     the image's user 'ghost' is not in its /etc/passwd" in flow.lines.text


def test_an_engine_that_cannot_tell_is_a_warning_and_no_failure(flow, app):
    flow.faults.fail_on("containers.give_empty_mounts", error=EngineError("Docker is tired"))
    flow.deploy("one")
    assert "could not be given to the image's user: Docker is tired" in flow.lines.text


def test_an_app_without_mounts_asks_nothing(flow):
    flow.deploy("one")
    assert "containers.give_empty_mounts" not in flow.faults.calls


def test_extra_hosts_reach_instances_and_tasks_from_the_next_release_on(flow, app):
    made = []
    create = flow.containers.create
    flow.containers.create = lambda spec: made.append(spec) or create(spec)
    push(flow)
    assert {one.hosts for one in made} == {()}
    settings.set_app(flow.rt, app, "network", "extra-hosts", "db:10.0.0.5,api:192.0.2.7")
    made.clear()
    flow.commit({"x": b"2"})
    push(flow, description="changed")
    assert {one.labels["paas.kind"] for one in made} == {"task", "instance"}
    assert {one.hosts for one in made} == {("db:10.0.0.5", "api:192.0.2.7")}
