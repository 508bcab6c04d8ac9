"""Commands as an admin types them over SSH, on a real app: its life, domains, processes, storage, logs, listings."""

import json
import subprocess
import threading

import click
import pytest

from paas.cli import load_commands
from paas.cli.base import COMMANDS
from tests.e2e import state
from tests.e2e.world import run, until
from tests.fixtures import apps

load_commands()


@pytest.fixture(scope="module")
def repo(world):
    made = world.app_repo(apps.with_worker("one", "while true; do echo tick >&2; sleep 0.1; done"))
    made.push()
    return made


@pytest.fixture
def fresh(world):
    made = world.app_repo(apps.web("one"))
    made.push()
    return made


def codes(world, *commands):
    return [world.paas(*words).returncode for words in commands]


# --- apps ------------------------------------------------------------------------------------------------------------


def test_create_exists_and_destroy(world):
    name = "short-lived"
    created = world.paas("apps:create", name, check=True)
    assert "git remote add production" in created.output
    assert codes(world, ["apps:exists", name], ["apps:exists", "nobody"], ["apps:create", name]) == [0, 20, 4]
    assert name in world.paas("apps:list", check=True).stdout
    assert codes(world, ["apps:destroy", name], ["apps:destroy", name, "--confirm", "other"]) == [2, 2]
    assert codes(world, ["apps:destroy", name, "--confirm", name], ["apps:exists", name]) == [0, 20]


@pytest.mark.parametrize("name", ["Upper", "-dash", "a/b", "..", "x" * 64, "a b", "ünï", "git-receive-pack;id", ""])
def test_bad_names_are_refused(world, name):
    before = state.fingerprint(world)
    refused = world.paas("apps:create", name)
    assert refused.returncode in (2, 3), refused.output
    assert state.difference(before, state.fingerprint(world)) == []


def test_destroy_takes_everything_of_the_app_and_nothing_else(world, repo, fresh):
    world.paas("config:set", fresh.app, "A=1", check=True)
    app = state.query(world, "select id from apps where name = ?", fresh.app)[0]["id"]
    state.come_to_rest(world)
    others = [one["Id"] for one in world.containers(repo.app)]
    world.paas("apps:destroy", fresh.app, "--confirm", fresh.app, check=True)
    assert world.containers(fresh.app) == []
    assert world.get(fresh.host).status == 404
    assert not (world.settings.repos_dir / f"{app}.git").exists()
    assert f"{world.settings.prefix}-app-{app} " not in run(["docker", "network", "ls"]).stdout
    assert run(["docker", "images", "-q", "--filter", f"label=paas.app={app}",
                "--filter", f"reference={world.settings.prefix}-*"]).stdout == ""
    assert [one["Id"] for one in world.containers(repo.app)] == others
    assert "Nothing to repair." in world.local("reconcile", check=True).output


def test_rename_moves_the_url_and_the_remote(world, fresh):
    old, new = fresh.app, f"{fresh.app}-new"
    world.paas("apps:rename", old, new, check=True)
    assert world.get(f"{new}.paas.test").text == "one"
    fresh.app = new
    fresh.commit(apps.page("two"))
    fresh.push()
    assert world.get(f"{new}.paas.test").text == "two"
    assert codes(world, ["apps:exists", old], ["apps:exists", new]) == [20, 0]


def test_a_locked_app_refuses_pushes_and_changes(world, fresh):
    world.paas("apps:lock", fresh.app, "--reason", "inventory", check=True)
    fresh.commit(apps.page("two"))
    refused = fresh.push(check=False)
    assert refused.returncode != 0
    assert "locked" in refused.output
    assert "inventory" in refused.output
    assert world.paas("config:set", fresh.app, "A=1").returncode != 0
    world.paas("apps:unlock", fresh.app, check=True)
    fresh.push()
    assert world.get(fresh.host).text == "two"


def test_the_app_may_be_named_in_three_ways(world, fresh):
    said = [world.local(*words, check=True).stdout for words in (
        ("url", fresh.app), ("url", "--app", fresh.app), ("--app", fresh.app, "url"))]
    assert len(set(said)) == 1
    assert fresh.host in said[0]


# --- domains, maintenance, ports -------------------------------------------------------------------------------------


def test_domains_come_and_go(world, fresh):
    other = world.app_repo(apps.web("other"))
    other.push()
    world.paas("domains:add", fresh.app, "www.shop.example", "*.wild.example", check=True)
    assert {world.get(host).text for host in ("www.shop.example", "WWW.Shop.Example", "a.wild.example")} == {"one"}
    taken = world.paas("domains:add", other.app, "www.shop.example")
    assert (taken.returncode, fresh.app in taken.stderr) == (4, True)
    world.paas("domains:remove", fresh.app, "www.shop.example", check=True)
    world.paas("domains:add", other.app, "www.shop.example", check=True)
    assert world.get("www.shop.example").text == "other"
    world.paas("domains:set", fresh.app, "only.example", check=True)
    assert (world.get("only.example").text, world.get(fresh.host).status, world.get("a.wild.example").status) == (
        "one", 404, 404)
    world.paas("domains:clear", fresh.app, check=True)
    assert world.get("only.example").status == 404
    for bad in ("not a host", "{file./etc/passwd}", "a..b", "-a.example"):
        assert world.paas("domains:add", fresh.app, bad).returncode in (2, 3)


def test_the_global_domain_names_new_apps(own_world):
    own_world.paas("domains:set-global", "apps.example.com", check=True)
    repo = own_world.app_repo(apps.web("one"))
    repo.push()
    assert own_world.get(f"{repo.app}.apps.example.com").text == "one"
    assert "apps.example.com" in own_world.paas("domains:report", "--global", check=True).stdout
    assert own_world.paas("urls", repo.app, check=True).stdout.strip().endswith(
        f"{repo.app}.apps.example.com:{own_world.settings.http_port}")


def test_the_maintenance_page(world, fresh):
    world.paas("maintenance:on", fresh.app, check=True)
    shown = world.get(fresh.host)
    assert (shown.status, shown.text != "one") == (503, True)
    fresh.commit(apps.page("two"))
    fresh.push()
    assert world.get(fresh.host).status == 503
    world.paas("maintenance:off", fresh.app, check=True)
    assert world.get(fresh.host).text == "two"


# --- processes -------------------------------------------------------------------------------------------------------


def test_stop_start_and_restart(world, fresh):
    world.paas("ps:stop", fresh.app, check=True)
    state.come_to_rest(world)
    assert (world.containers(fresh.app), world.get(fresh.host).status) == ([], 503)
    world.paas("ps:start", fresh.app, check=True)
    assert world.get(fresh.host).text == "one"
    state.come_to_rest(world)
    before = world.containers(fresh.app)[0]["Id"]
    world.paas("ps:restart", fresh.app, check=True)
    state.come_to_rest(world)
    assert world.containers(fresh.app)[0]["Id"] != before
    assert "web.1" in world.paas("ps", fresh.app, check=True).stdout
    assert codes(world, ["ps:scale", fresh.app, "web=99"], ["ps:scale", fresh.app, "nobody=1"],
                 ["ps:scale", fresh.app, "web=-1"]) == [3, 3, 3]


def test_storage_outlives_deploys(world, fresh):
    world.paas("storage:mount", fresh.app, "notes:/notes", check=True)
    world.paas("ps:rebuild", fresh.app, check=True)
    state.come_to_rest(world)
    run(["docker", "exec", world.containers(fresh.app)[0]["Id"], "sh", "-c", "echo kept >/notes/file"], check=True)
    fresh.commit(apps.page("two"))
    fresh.push()
    assert world.paas("run", fresh.app, "cat", "/notes/file", check=True).stdout == "kept\n"
    assert "/notes" in world.paas("storage:list", fresh.app, check=True).stdout
    assert codes(world, ["storage:mount", fresh.app, "/etc:/etc"], ["storage:mount", fresh.app, "../up:/x"],
                 ["storage:mount", fresh.app, "/var/run/docker.sock:/s"]) == [3, 3, 6]
    world.paas("storage:unmount", fresh.app, "notes:/notes", check=True)


def test_run_passes_input_output_and_exit_code_through(world, repo):
    ended = world.paas("run", repo.app, "sh", "-c", "cat; echo err >&2; exit 42", input=b"\x00binary")
    assert (ended.returncode, ended.stdout, ended.stderr) == (42, "\x00binary", "err\n")
    whole = subprocess.run([*world.ssh_argv(), "paas@127.0.0.1", f"run {repo.app} cat"], input=bytes(range(256)) * 400,
                           capture_output=True, check=True)
    assert whole.stdout == bytes(range(256)) * 400
    detached = world.paas("run", "--detach", repo.app, "sh", "-c", "echo from afar; sleep 30", check=True)
    assert "run." in detached.output
    listed = world.paas("run:list", repo.app, "--format", "json", check=True).json
    assert len(listed) == 1
    number = str(listed[0].get("run") or listed[0].get("name"))
    until(lambda: "from afar" in world.paas("run:logs", repo.app, number).stdout, "its log is there")
    world.paas("run:stop", repo.app, "--all", check=True)


def test_logs(world, repo):
    world.paas("ps:scale", repo.app, "worker=1", check=True)
    until(lambda: "tick" in world.paas("logs", repo.app, "-p", "worker").stdout, "the worker has spoken")
    lines = world.paas("logs", repo.app, "-n", "2", "-p", "worker", check=True).stdout.splitlines()
    assert len(lines) == 2
    assert all("worker.1" in line and "tick" in line for line in lines)
    assert "tick" not in world.paas("logs", repo.app, "-p", "web", check=True).stdout
    assert world.paas("logs", repo.app, "-p", "worker", "--since", "1s", check=True).stdout
    follow = subprocess.Popen([*world.ssh_argv(), "paas@127.0.0.1", f"logs {repo.app} -f -n 0 -p worker"],
                              stdout=subprocess.PIPE, text=True)
    ending = threading.Timer(30, follow.kill)
    ending.start()
    assert "tick" in follow.stdout.readline()
    ending.cancel()
    follow.kill()
    follow.wait()
    follow.stdout.close()


# --- keys, events, listings ------------------------------------------------------------------------------------------


def test_a_key_works_until_it_is_removed(world):
    key = world.new_key("guest", add=False)
    assert world.paas("apps:list", key=key).returncode == 255
    world.paas("ssh-keys:add", "guest", input=key.with_suffix(".pub").read_text(), check=True)
    assert world.paas("apps:list", key=key).returncode == 0
    assert "guest" in world.paas("ssh-keys:list", check=True).stdout
    assert world.paas("ssh-keys:add", "other", input=key.with_suffix(".pub").read_text()).returncode == 4
    world.paas("ssh-keys:remove", "guest", check=True)
    assert world.paas("apps:list", key=key).returncode == 255
    for bad in ("no key at all", key.read_text(), 'command="sh" ' + key.with_suffix(".pub").read_text()):
        assert world.paas("ssh-keys:add", "bad", input=bad).returncode == 3, bad


def test_every_change_leaves_an_event(world, fresh):
    world.paas("config:set", fresh.app, "COLOUR=red", check=True)
    world.paas("config:set", fresh.app, "9=bad")
    rows = world.paas("events", "--app", fresh.app, "--format", "json", check=True).json
    done = [row for row in rows if "config:set" in row.values()]
    assert len(done) == 2
    assert all("admin" in row.values() for row in done)


def test_config_survives_export_and_import(world, fresh):
    world.paas("config:set", "--no-restart", fresh.app, "A=it's $5", 'B="quoted"', "C=", check=True)
    world.local("config:set", "--no-restart", fresh.app, "D", "--stdin", input="two\nlines", check=True)
    shown = world.paas("config:show", fresh.app, "--format", "json", check=True).json
    saved = world.paas("config:export", "--format", "envfile", fresh.app, check=True).stdout
    world.paas("config:clear", "--no-restart", fresh.app, check=True)
    world.paas("config:import", "--no-restart", fresh.app, input=saved, check=True)
    assert world.paas("config:show", fresh.app, "--format", "json", check=True).json == shown


WORDS = {"releases:diff": ["v1", "v1"], "releases:info": ["v1"], "ssh-keys:info": ["admin"]}


def wants_another_object(name: str, command: click.Command) -> bool:
    """A service, a backup, a streamed file: their tests read the JSON of these."""
    return name not in WORDS and any(isinstance(param, click.Argument) and param.required and param.name != "app"
                                     for param in command.params)


LISTINGS = [name for name, command in sorted(load_commands().items()) for param in command.params
            if isinstance(param, click.Option) and "--format" in param.opts and "json" in param.type.choices
            and not command.traits.hidden and not command.traits.mutates and not wants_another_object(name, command)]


@pytest.mark.parametrize("name", LISTINGS)
def test_every_listing_speaks_json(world, repo, name):
    """Where a command lists for an app or for all, both; an empty list is a list too."""
    command = COMMANDS[name]
    words = WORDS.get(name, [])
    takes = command.takes_app or name == "reconcile"
    app = [repo.app] if takes else []
    said = world.paas(name, *app, *words, "--format", "json")
    assert said.returncode in (0, 1), said.output
    found = [json.loads(line) for line in said.stdout.splitlines()] if name == "logs" else said.json
    assert isinstance(found, list | dict)


def test_the_platform_tells_its_own_state(world):
    assert world.paas("version", check=True).stdout.strip()
    assert "paasd" in world.paas("status", check=True).stdout.lower() or world.paas("status").stdout
    typo = world.paas("app:lst")
    assert (typo.returncode, "apps:list" in typo.stderr) == (2, True)


def test_bash_completes_a_word(world, tmp_path):
    script = tmp_path / "completion"
    script.write_text(world.paas("completion", "bash", check=True).stdout)
    run(["bash", "-n", str(script)], check=True)
    for shell in ("zsh", "fish"):
        assert "paas" in world.paas("completion", shell, check=True).stdout
    assert world.paas("completion", "tcsh").returncode in (2, 3)
