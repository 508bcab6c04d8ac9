"""Roles, limits of keys, and CI over a real sshd: who may do what, and nobody else anything."""

import json
import os
import re
import subprocess
import time

import pytest
import yaml

from tests.e2e import state
from tests.e2e.world import run, until
from tests.fixtures import apps

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def hello(world):
    repo = world.app_repo(apps.web("one"), "hello")
    repo.push()
    world.paas("config:set", "hello", "TOKEN=topsecret", check=True)
    return repo


@pytest.fixture(scope="module")
def other(world):
    repo = world.app_repo(apps.web("other"), "other")
    repo.push()
    return repo


def key(world, name, *words):
    path = world.new_key(name, add=False)
    world.local("ssh-keys:add", name, *words, input=path.with_suffix(".pub").read_text(), check=True)
    return path


@pytest.fixture(scope="module")
def keys(world, hello, other):
    return {role: key(world, f"key-{role}", "--role", role, "--app", "hello")
            for role in ("owner", "operate", "deploy", "ci", "read")}


ABSENT = re.compile(r"there is no app '(other|nothing)'")


@pytest.mark.parametrize("role", ["owner", "operate", "deploy", "ci", "read"])
def test_what_is_not_yours_is_as_if_it_were_not_there(world, keys, role):
    for words in (["apps:info"], ["logs"], ["config:get", "TOKEN"], ["apps:destroy"], ["ps:scale", "web=1"]):
        said = [world.paas(words[0], app, *words[1:], key=keys[role]) for app in ("other", "nothing")]
        assert [one.returncode for one in said] == [20, 20]
        assert ABSENT.sub("", said[0].stderr) == ABSENT.sub("", said[1].stderr)
    cloned = [run(["git", "clone", world.remote(app), str(world.root / "client" / f"clone-{role}-{app}")],
                  env=world.git_environment(keys[role])) for app in ("other", "nothing")]
    assert all(one.returncode for one in cloned)
    assert ABSENT.sub("", cloned[0].stderr.split("!")[-1]) == ABSENT.sub("", cloned[1].stderr.split("!")[-1])


@pytest.mark.parametrize(("role", "may", "may_not"), [
    ("owner", ["domains:add hello x.example.com", "domains:remove hello x.example.com", "config:get hello TOKEN"],
     ["ssh-keys:list", "server:report", "doctor", "backups:kit", "status", "apps:create new"]),
    ("operate", ["config:get hello TOKEN", "ps:restart hello", "logs hello"],
     ["domains:add hello x.example.com", "apps:destroy hello --confirm hello", "ssh-keys:list"]),
    ("deploy", ["logs hello", "apps:info hello", "releases hello"],
     ["config:get hello TOKEN", "config:show hello", "run hello env", "ps:scale hello web=0", "rollback hello"]),
    ("ci", ["help"], ["logs hello", "apps:info hello", "config:get hello TOKEN", "run hello env", "events"]),
    ("read", ["logs hello", "ps hello", "config hello"],
     ["config:get hello TOKEN", "run hello env", "enter hello", "maintenance:on hello", "builds:cancel hello"]),
])
def test_a_role_is_what_the_table_says(world, keys, role, may, may_not):
    for line in may:
        assert world.paas(*line.split(), key=keys[role]).returncode == 0, line
    before = state.fingerprint(world)
    for line in may_not:
        said = world.paas(*line.split(), key=keys[role])
        assert said.returncode == 6, (line, said.output)
        assert "topsecret" not in said.output
    assert state.difference(before, state.fingerprint(world)) == []


def test_lists_show_only_what_is_permitted(world, keys):
    for role in ("owner", "operate", "deploy", "read"):
        listed = json.loads(world.paas("apps:list", "--format", "json", key=keys[role], check=True).stdout)
        assert [one["name"] for one in listed] == ["hello"]
        for line in ("urls", "builds:list", "domains:report", "events", "ps:report"):
            assert "other" not in world.paas(*line.split(), key=keys[role]).output, (role, line)


def push(world, repo, app, key):
    return run(["git", "push", world.remote(app), "main"], cwd=repo.path, env=world.git_environment(key))


def test_who_may_push(world, keys, hello):
    for role, code in (("read", 1), ("operate", 1), ("ci", 0), ("deploy", 0), ("owner", 0)):
        hello.commit({"turn": role})
        done = push(world, hello, "hello", keys[role])
        assert (done.returncode != 0) == bool(code), (role, done.stderr)
    refused = push(world, hello, "new", keys["owner"])
    assert refused.returncode != 0
    assert world.paas("apps:exists", "new").returncode == 20


def test_a_grant_counts_at_once_and_a_revocation_ends_open_sessions(world, keys, hello):
    world.paas("access:grant", "key-read", "operate", "hello", check=True)
    assert world.paas("config:get", "hello", "TOKEN", key=keys["read"]).stdout == "topsecret\n"
    assert world.paas("access:check", "key-read", "config:get", "hello").returncode == 0
    following = subprocess.Popen([*world.ssh_argv(keys["read"]), "paas@127.0.0.1", "logs hello -t"],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(1)
    assert following.poll() is None
    world.paas("access:revoke", "key-read", "operate", "hello", check=True)
    assert following.wait(20) != 0
    assert world.paas("config:get", "hello", "TOKEN", key=keys["read"]).returncode == 6
    assert world.paas("access:check", "key-read", "config:get", "hello").returncode == 6


def test_owners_give_roles_on_what_is_theirs_and_nothing_more(world, keys):
    owner = keys["owner"]
    world.paas("access:grant", "key-ci", "read", "hello", key=owner, check=True)
    world.paas("access:revoke", "key-ci", "read", "hello", key=owner, check=True)
    for words, code in ((["key-ci", "read", "other"], 20), (["key-ci", "admin"], 6), (["key-owner", "admin"], 6),
                        (["key-owner", "owner"], 6)):
        assert world.paas("access:grant", *words, key=owner).returncode == code, words
    assert world.paas("access:grant", "key-ci", "read", "hello", key=keys["operate"]).returncode == 6


def test_limits_of_a_key(world, hello):
    away = key(world, "away", "--from", "192.0.2.0/24")
    here = key(world, "here", "--from", "192.0.2.0/24", "--from", "127.0.0.0/8")
    assert "may not be used from your address" in world.paas("apps:list", key=away).stderr
    assert world.paas("apps:list", key=here).returncode == 0
    assert world.local("ssh-keys:add", "late", "--expires", "2020-01-01", input="x").returncode == 3
    soon = key(world, "soon", "--expires", "1m")
    assert world.paas("apps:list", key=soon).returncode == 0
    with_time_gone(world, "soon")
    said = world.paas("apps:list", key=soon)
    assert (said.returncode, "expired" in said.stderr) == (6, True)


def with_time_gone(world, name):
    """The key's end is put into the past by hand: a minute is long for a test."""
    world.daemon.stop()
    state.alter(world, f"update keys set expires_at = '2026-01-01T00:00:00.000000Z' where name = '{name}'")
    world.start_daemon()


def test_a_rotated_key_is_out_at_once_and_the_new_one_has_its_rights(world, keys):
    new = world.new_key("key-read-2", add=False)
    world.local("ssh-keys:rotate", "key-read", input=new.with_suffix(".pub").read_text(), check=True)
    assert world.paas("ps", "hello", key=keys["read"]).returncode == 255
    assert world.paas("ps", "hello", key=new).returncode == 0
    keys["read"] = new


# --- CI --------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["github", "gitlab"])
def ci(world, hello, tmp_path, request):
    """What `ci:setup` printed, put where a runner would put it."""
    said = world.paas("ci:setup", "hello", "--system", request.param, check=True).stdout
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    private = re.search(r"-----BEGIN OPENSSH PRIVATE KEY-----.*?-----END OPENSSH PRIVATE KEY-----\n", said, re.S)[0]
    known = re.search(r"KNOWN_HOSTS:\n\n(.*?)\n\n3\.", said, re.S)[1]
    return {"KNOWN_HOSTS": known, "DEPLOY_KEY": private, "HOME": str(home),
            "GIT_DEPTH": {"github": "1", "gitlab": "20"}[request.param]}, steps(request.param, said)


def steps(system, said):
    """What the runner runs, but for GitLab's installation of git and ssh."""
    workflow = yaml.safe_load(said[re.search(r"^(name: )?deploy:?\n", said, re.M).start():])
    if system == "gitlab":
        return "".join(line + "\n" for line in workflow["deploy"]["script"])
    return workflow["jobs"]["deploy"]["steps"][1]["run"]


def runner(world, repo, ci, tmp_path, name):
    """The runner's checkout with its depth and a detached HEAD, then the workflow's own step, word for word."""
    secrets, script = ci
    work = tmp_path / name
    run(["git", "clone", "--quiet", f"--depth={secrets['GIT_DEPTH']}", f"file://{repo.path}", str(work)], check=True)
    run(["git", "checkout", "--quiet", "--detach"], cwd=work, check=True)
    home = secrets["HOME"]
    script = script.replace("git push", f"git -c core.sshCommand='ssh -F none -o IdentitiesOnly=yes "
                            f"-i {home}/.ssh/id_ed25519 -o UserKnownHostsFile={home}/.ssh/known_hosts' push")
    script = script.replace("~/.ssh", f"{home}/.ssh")
    return run(["bash", "-eo", "pipefail", "-c", script], cwd=work, env={**secrets, "PATH": os.environ["PATH"],
                                                            "GIT_CONFIG_NOSYSTEM": "1"})


def test_a_workflow_step_by_step(world, hello, other, ci, tmp_path):
    hello.commit({"www/index.html": "from ci"})
    first = runner(world, hello, ci, tmp_path, "first")
    assert first.returncode == 0, first.output
    assert "Live:" in first.stderr
    hello.commit({"www/index.html": "from ci again"})
    assert runner(world, hello, ci, tmp_path, "again").returncode == 0
    until(lambda: "again" in world.get(hello.host).text, "the second deploy serves")

    hello.commit({"Dockerfile": "FROM busybox:latest\nRUN exit 7\n"})
    broken = runner(world, hello, ci, tmp_path, "broken")
    assert broken.returncode != 0
    assert "exit code 7" in broken.stderr
    hello.git("reset", "--hard", "HEAD~1")

    secrets, script = ci
    elsewhere = runner(world, hello, (secrets, script.replace("refs/heads/main", "refs/heads/feature")), tmp_path, "b")
    assert elsewhere.returncode != 0
    assert "deploys from the branch" in elsewhere.stderr
    foreign = runner(world, other, (secrets, script.replace(":hello", ":other").replace("/hello", "/other")), tmp_path,
                     "foreign")
    assert foreign.returncode != 0
    assert "there is no app" in foreign.stderr


def test_setting_ci_up_again_puts_the_old_key_out(world, hello, ci, tmp_path):
    world.paas("ci:setup", "hello", "--system", "gitlab", check=True)
    hello.commit({"turn": "late"})
    assert runner(world, hello, ci, tmp_path, "late").returncode != 0


def test_ci_setup_never_takes_over_somebodys_key(world, hello, keys):
    key(world, "ci-other")                       # an admin who is called so
    world.paas("access:grant", "key-owner", "owner", "other", check=True)
    said = world.paas("ci:setup", "other", key=keys["owner"])
    world.paas("access:revoke", "key-owner", "owner", "other", check=True)
    assert (said.returncode, "PRIVATE" in said.output) == (4, False)


# --- the trail -----------------------------------------------------------------------------------------------------


def test_the_trail_says_who_what_and_with_what_result(world, keys):
    world.paas("domains:add", "hello", "y.example.com", key=keys["operate"])
    world.paas("config:set", "hello", "SECRET=geheim", key=keys["operate"], check=True)
    lines = json.loads(world.paas("events", "--format", "json", check=True).stdout)
    refused = [one for one in lines if one["verb"] == "domains:add"][-1]
    assert (refused["actor"], refused["result"], refused["app"]) == ("key-operate", "refused", "hello")
    assert refused["detail"]["key"].startswith("SHA256:")
    assert refused["detail"]["address"] == "127.0.0.1"
    assert "geheim" not in json.dumps(lines)


def test_a_command_that_dies_with_the_daemon_leaves_a_trace(world, hello):
    asked = subprocess.Popen([*world.ssh_argv(), "paas@127.0.0.1", "ps:rebuild hello"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: state.query(world, "select * from intents"), "the command has begun")
    world.kill_daemon()
    world.start_daemon()
    asked.wait(30)
    lines = json.loads(world.paas("events", "--format", "json", check=True).stdout)
    assert ("ps:rebuild", "interrupted") in {(one["verb"], one["result"]) for one in lines}
    assert not state.query(world, "select * from intents")


def test_a_trail_that_was_tampered_with_is_noticed(world):
    assert "audit-broken" not in world.paas("doctor").output
    world.daemon.stop()
    state.alter(world, "drop trigger events_unaltered; "
                "update events set actor = 'nobody' where id = (select max(id) - 3 from events)")
    world.start_daemon()
    assert "audit-broken" in world.paas("doctor").output
