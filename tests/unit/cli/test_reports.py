"""Settings, events, maintenance, proxy, ports, network, builder, git, server: set, shown, refused."""

import json
import re
from datetime import UTC, datetime

import pytest

from paas.cli import COMMANDS, load_commands
from paas.model.access import Actor, Grant
from paas.model.rights import Role
from paas.ops import events
from paas.ports import Page
from tests.flow.over_fakes import DOCKERFILE


@pytest.mark.parametrize(("command", "words", "key", "value"), [
    ("git:set", "deploy-branch production", "git.deploy-branch", "production"),
    ("builder:set", "dockerfile-path docker/Dockerfile", "builder.dockerfile-path", "docker/Dockerfile"),
    ("builder:set", "no-cache yes", "builder.no-cache", "true"),
    ("proxy:set", "drain-timeout 5", "proxy.drain-timeout", "5"),
    ("ports:set", "8000", "proxy.port", "8000"),
    ("ports:set", "http:80:8000 https:443:8000", "proxy.port", "8000"),
])
def test_a_setting_is_set_and_unset(desk, command, words, key, value):
    desk.ok(f"{command} hello {words}")
    assert desk.flow.app().settings[key] == value
    assert desk.ok(f"{command} hello {words}").text == "Nothing changed.\n"
    desk.ok("ports:clear hello" if command == "ports:set" else f"{command} hello {words.split()[0]}")
    assert key not in desk.flow.app().settings


@pytest.mark.parametrize("words", [
    "git:set hello deploy-branch ../x", "git:set hello nothing x", "builder:set hello dockerfile-path /etc/passwd",
    "proxy:set hello drain-timeout -1", "proxy:set hello drain-timeout 1e9", "ports:set hello 70000",
    "ports:set hello http:80:5000 6000", "ports:set hello 1 2", "server:set nothing 1", "server:set max-builds 0",
    "server:set server-id x"])
def test_a_setting_that_is_refused(desk, words):
    assert desk.run(["--quiet", *words.split()]).code in (2, 3)
    assert desk.flow.app().settings == {}


def test_unknown_keys_are_answered_with_the_known_ones(desk):
    known = "Known: dockerfile-path, selected, buildpack, build-dir, no-cache."
    assert known in desk.run("builder:set hello nothing x").stderr


def test_server_settings(desk):
    desk.ok("server:set keep-releases 9")
    rows = {row["key"]: row for row in desk.ok("server:report --format json").json}
    assert (rows["keep-releases"]["value"], rows["keep-releases"]["set"]) == ("9", True)
    assert (rows["max-builds"]["value"], rows["max-builds"]["set"]) == ("2", False)
    assert "server-id" not in rows
    desk.ok("server:set keep-releases")
    assert "keep-releases" not in desk.flow.rt.store.settings()


def test_proxy_settings_of_the_server_reach_the_proxy(desk):
    desk.ok("server:set https false")
    assert desk.flow.router.options.https is False


def test_a_setting_that_the_proxy_does_not_take_is_put_back(desk):
    desk.flow.router.up = False
    assert "acme-directory is as it was" in desk.run("server:set acme-directory https://nowhere.example").stderr
    assert "acme-directory" not in desk.flow.rt.store.settings()


def test_build_arguments_are_set_shown_and_unset(deployed):
    deployed.ok("builder:arg hello COLOUR=red EMPTY=")
    assert deployed.ok("builder:report hello --format json").json[-2:] == [
        {"key": "arg COLOUR", "value": "red", "set": True, "meaning": "build argument"},
        {"key": "arg EMPTY", "value": "", "set": True, "meaning": "build argument"}]
    deployed.ok("builder:arg hello --unset COLOUR --unset EMPTY")
    assert deployed.flow.app().settings.keys() == {"git.deploy-branch"}
    assert deployed.run("builder:arg hello --unset COLOUR").code == 20


def test_the_same_tree_with_other_build_arguments_is_built_again(deployed):
    deployed.ok("builder:arg hello COLOUR=red")
    same = {"Dockerfile": DOCKERFILE, "index.html": b"one"}
    again = deployed.flow.repos.commit(deployed.flow.app().id, same, subject="Other words")
    built = len(deployed.flow.images.requests)
    assert deployed.flow.push(again) == 0, deployed.flow.lines.text
    deployed.flow.settle()
    assert len(deployed.flow.images.requests) == built + 1
    assert deployed.flow.images.requests[-1].arguments == {"COLOUR": "red"}


@pytest.mark.parametrize("words", ["1A=x", "A-B=x", "word", "", "'A=x\ny'"])
def test_build_arguments_that_are_refused(desk, words):
    assert desk.run(f"builder:arg hello {words}").code in (2, 3)
    assert desk.flow.app().settings == {}


def test_build_secrets_are_names_of_config_vars(desk):
    assert "NPM_TOKEN is not set yet" in desk.ok("builder:secret hello NPM_TOKEN").stderr
    desk.ok("config:set hello NPM_TOKEN=s3cr3t")
    assert desk.ok("builder:secret hello NPM_TOKEN").stderr == ""
    report = desk.ok("builder:report hello").text
    assert "secret NPM_TOKEN" in report
    assert "s3cr3t" not in report
    desk.ok("builder:secret hello --unset NPM_TOKEN")
    assert desk.run("builder:secret hello lower").code == 3


def test_git_report_and_remote(deployed):
    facts = deployed.ok("git:report hello --format json").json
    assert facts["deploy_branch"] == "main"
    assert facts["branches"][0].startswith("main ")
    assert deployed.ok("git:remote hello").text.strip() == facts["remote"]


def test_maintenance_at_once_and_kept_by_a_deploy(deployed):
    app_id, router = deployed.flow.app().id, deployed.flow.router
    targets = router.pointed(app_id)
    deployed.ok("maintenance:on hello")
    assert router.pointed(app_id) == Page.MAINTENANCE
    assert deployed.ok("maintenance:on hello").text == "Nothing changed.\n"
    assert deployed.ok("maintenance hello --format json").json["maintenance"] is True
    assert deployed.ok("proxy:report hello --format json").json["page"] == "maintenance"
    deployed.flow.deploy("two")
    assert router.pointed(app_id) == Page.MAINTENANCE
    deployed.ok("maintenance:off hello")
    assert router.pointed(app_id) not in (Page.MAINTENANCE, targets)


def test_proxy_ports_and_network_reports(deployed):
    (target,) = deployed.flow.router.pointed(deployed.flow.app().id)
    deployed.flow.router.serving = {target: 3, "10.0.0.1:1": 5}
    facts = deployed.ok("proxy:report hello --format json").json
    assert (facts["targets"], facts["requests_in_flight"], facts["as_wanted"]) == ([target], 3, True)
    ports = deployed.ok("ports hello --format json").json
    assert (ports["exposed"], ports["listening"], ports["set"], ports["served_on"]) == ([8080], [8080], "", [80, 443])
    network = deployed.ok("network:report hello --format json").json
    assert (network["network"], network["present"]) == ("paas-app-1", True)
    assert network["addresses"] == [f"web.1 (healthy) {target.partition(':')[0]}"]


def test_events(desk):
    desk.ok("apps:create blog")
    desk.ok("config:set blog A=1")
    rows = desk.ok("events --app blog --format json").json
    assert [(row["verb"], row["app"], row["result"]) for row in rows][-1] == ("config:set", "blog", "ok")
    assert len(desk.ok("events -n 1").text.splitlines()) == 2
    assert desk.run("events -n 0").code == 3
    assert desk.run(["events", "--app", "a; b"]).code == 3


def test_events_as_json_have_every_field(desk):
    desk.actor = Actor("ann laptop", 3, "192.0.2.7", "ann", "SHA256:abc",
                       (Grant(1, "ann", Role.ADMIN, None, None, datetime(2026, 1, 1, tzinfo=UTC), "root"),))
    desk.ok("config:set hello A=1")
    (made,) = desk.events("config:set")
    (row,) = desk.ok("events --app hello -n 1 --format json").json
    assert list(row) == ["id", "at", "actor", "user", "key", "address", "verb", "app", "object", "result", "detail",
                         "hash"]
    assert (row["actor"], row["user"], row["key"], row["address"]) == ("ann laptop", "ann", "SHA256:abc", "192.0.2.7")
    assert (row["verb"], row["object"], row["result"], row["hash"]) == ("config:set", "hello", "ok", made.hash)
    assert re.fullmatch(r"[0-9a-f]{64}", row["hash"])


def test_what_was_begun_and_has_not_ended(desk):
    assert desk.ok("events --open --format json").json == []
    store = desk.flow.rt.store
    for app in ("blog", "hello"):
        store.begin_intent(Actor("ann"), "config:set", app, {"words": f"{app} A=1"})
    rows = desk.ok("events --open --format json").json
    assert [(row["verb"], row["app"], row["actor"]) for row in rows] == [
        ("config:set", "blog", "ann"), ("config:set", "hello", "ann")]
    assert [row["app"] for row in desk.ok("events --open --app hello --format json").json] == ["hello"]
    assert "config:set" in desk.ok("events --open").text
    assert desk.ok("status --format json").json["changes"] == ["config:set blog by ann", "config:set hello by ann"]
    store.add_event(Actor("ann"), "config:set", "blog", "ok", {}, intent=rows[0]["id"])
    assert [row["app"] for row in desk.ok("events --open --format json").json] == ["hello"]


def test_events_are_followed_until_the_session_ends(desk):
    class Looks:
        """Alive for two looks; between them something happens."""

        def __init__(self):
            self.count = 0

        def __call__(self):
            self.count += 1
            desk.flow.rt.store.add_event(desk.actor, "test", "", "ok", {"n": str(self.count)})
            return self.count <= 2

    assert [one.detail["n"] for one in events.follow(desk.flow.rt, "", 0, Looks())] == ["1", "2"]


def test_every_command_of_these_modules_has_an_example():
    load_commands()
    mine = ("apps", "config", "domains", "certs", "releases", "git", "builder", "builds", "server", "events",
            "maintenance", "proxy", "ports", "network", "rollback", "url", "urls")
    for name, command in COMMANDS.items():
        if name.partition(":")[0] in mine:
            assert "Example: " in command.help, name


def test_json_of_every_list_is_json(deployed):
    for words in ("apps", "domains", "certs", "builds", "events", "server:report", "releases hello", "config hello",
                  "builder:report hello", "urls hello"):
        assert isinstance(json.loads(deployed.ok(f"{words} --format json").text), list), words
