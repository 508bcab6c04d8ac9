"""The commands of apps: what they say, change and refuse."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from paas.ops import app_repairs
from paas.ops.reconcile import reconcile


def test_create_says_where_to_push(desk):
    said = desk.ok("apps:create blog")
    assert re.search(r"git remote add production paas@\S+:blog\n", said.text)
    assert "git push production main" in said.text
    assert "http://blog.apps.example.com" in said.text


@pytest.mark.parametrize(("name", "code"), [("hello", 4), ("Bad_Name", 3), ("admin", 3)])
def test_create_refuses(desk, name, code):
    assert desk.run(["apps:create", name]).code == code
    assert [event.result for event in desk.events("apps:create")] == ["failed"]


def test_list_and_info(deployed):
    deployed.ok("apps:create blog")
    rows = deployed.ok("apps:list --format json").json
    assert [(row["name"], row["state"], row["release"]) for row in rows] == [
        ("blog", "not deployed", ""), ("hello", "running", "v1")]
    facts = deployed.ok("apps:info hello --format json").json
    assert (facts["release"], facts["urls"]) == ("v1", ["http://hello.apps.example.com"])
    assert facts["git_remote"].endswith(":hello")
    assert "not deployed" in deployed.ok("apps:info --app blog").text


def test_exists(desk):
    assert desk.run("apps:exists hello").code == 0
    assert desk.run("apps:exists nobody").code == 20


def test_rename_takes_the_default_domain_along(deployed):
    deployed.ok("apps:rename hello greeter")
    assert deployed.ok("url greeter").text == "http://greeter.apps.example.com\n"
    assert deployed.run("apps:info hello").code == 20
    assert deployed.flow.rt.store.live_release(deployed.flow.rt.store.app("greeter").id).version == 1


@pytest.mark.parametrize("words", ["", "--confirm blog", "--confirm yes"])
def test_destroy_needs_the_exact_name(deployed, words):
    said = deployed.run(f"apps:destroy hello {words}", stdin=b"yes\n" * 10)
    assert said.code == 2
    assert "--confirm hello" in said.stderr
    assert deployed.flow.containers.running()


@pytest.mark.parametrize("words", ["--confirm hello", "--force"])
def test_destroy(deployed, words):
    deployed.ok(f"apps:destroy hello {words}")
    assert deployed.flow.rt.store.find_app("hello") is None
    assert deployed.flow.containers.running() == []
    assert deployed.flow.router.known() == []
    assert [(event.app, event.result) for event in deployed.events("apps:destroy")] == [("hello", "ok")]


@pytest.mark.parametrize("words", ["apps:destroy hello --confirm hello", "apps:rename hello greeter"])
def test_a_command_that_meets_reconcile_waits_for_its_end(deployed, monkeypatch, words):
    rt, there, go_on, find = deployed.flow.rt, threading.Event(), threading.Event(), app_repairs.find

    def slow(rt, app):
        there.set()
        assert go_on.wait(30)
        return find(rt, app)

    monkeypatch.setattr(app_repairs, "find", slow)
    with ThreadPoolExecutor(2) as pool:
        looking = pool.submit(reconcile, rt)
        assert there.wait(30)
        said = pool.submit(deployed.run, words)
        with pytest.raises(TimeoutError):
            said.result(0.2)
        assert rt.store.find_app("hello")
        go_on.set()
        assert said.result(30).code == 0, said.result().all
        assert [repair for repair in looking.result(30) if repair.object.startswith("hello")] == []
    assert rt.store.find_app("hello") is None


def test_lock_refuses_deploys_and_says_why(desk):
    desk.ok(["apps:lock", "hello", "--reason", "migration"])
    assert desk.ok("apps:locked hello").text == "migration\n"
    assert desk.flow.push(desk.flow.commit()) == 5
    assert "migration" in desk.flow.lines.text
    desk.ok("apps:unlock hello")
    assert desk.run("apps:locked hello").code == 1
    assert desk.flow.push(desk.flow.commit()) == 0


def test_urls(desk):
    desk.ok("domains:add hello www.example.org")
    assert desk.ok("urls hello").text == "http://hello.apps.example.com\nhttp://www.example.org\n"
    assert desk.ok("urls hello --format json").json[1] == {"url": "http://www.example.org"}
    desk.ok("domains:clear hello")
    assert desk.run("url hello").code == 20
