"""Hostile words at the front door, over real ssh, generated from the commands' own schema, so that a new command is
covered at once. After each: a clear refusal, no canary, and a fingerprint of the whole state that did not change."""

import json
import random
import secrets
import subprocess
from pathlib import Path

import click
import pytest

from paas.cli import load_commands
from paas.cli.base import COMMANDS
from tests.e2e import state
from tests.e2e.world import run
from tests.fixtures import apps

load_commands()
MARK = f"paas-canary-{secrets.token_hex(4)}"
TOUCH = f"touch /tmp/{MARK} /run/{MARK} {MARK}"
HOSTILE = [f"x;{TOUCH}", f"$({TOUCH})", f"`{TOUCH}`", f"x|{TOUCH}", f"x&&{TOUCH}", ">out", "*", "~root", "{a,b}", "\\",
           "#x", "'", '"', "\t", "x" * 300, "../../etc/passwd", "/etc/passwd", "@/etc/passwd", "-oProxyCommand=id",
           "--no-such-option", "\x1b]0;owned\x07", "x\n2026-01-01 admin apps:destroy ok", "é", "{file./etc/passwd}",
           "%s%n", "a b", "..", "\u202egpj.exe", "0x1", "1e9", "-1", "null"]
# What takes any words as data, or shows the same whatever is said.
FREE = {"help", "run", "run:detached", "enter", "completion", ":complete"}
TRACES = ("Traceback", "File \"/", "sqlalchemy", "SELECT ", "internal error", "/site-packages/")


@pytest.fixture(scope="module")
def victim(world):
    made = world.app_repo(apps.web("safe"))
    made.push()
    world.paas("config:set", made.app, "SECRET=topsecret-4711", check=True)
    state.come_to_rest(world)
    return made


@pytest.fixture(scope="module", autouse=True)
def no_canary(world, victim):
    yield
    places = [Path("/tmp"), Path("/run"), Path("/"), Path("/root"), Path.cwd(), *world.root.rglob("*")]
    assert [place for place in places if place.is_dir() and (place / MARK).exists()] == []
    assert state.strange_processes(world) == []
    assert world.get(victim.host).text == "safe"
    assert world.paas("apps:exists", victim.app).returncode == 0


def attempts(name, app):
    """One line of words per argument and option, each with hostile content; the others as they should be."""
    command, chance = COMMANDS[name], random.Random(name)
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    options = [param for param in command.params if isinstance(param, click.Option) and not param.is_flag
               and param.name not in ("app", "quiet")]
    good = [app if param.name == "app" else "x" for param in arguments]
    for place in range(len(arguments)):
        for payload in chance.sample(HOSTILE, 2 if command.traits.mutates else 1):
            yield [*good[:place], payload, *good[place + 1:]]
    for option in options:
        yield [*good, option.opts[0], chance.choice(HOSTILE)]
    yield [*good, chance.choice(HOSTILE), chance.choice(HOSTILE)]


# A hostile word may be a legitimate value of these: a search that finds nothing, a text, a value.
TEXTS = {"apps:lock", "config:set", "server:set", "builder:arg", "ps:autosleep"}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - FREE))
def test_hostile_words(world, victim, name):
    """A01, A03, A13, A16, A17."""
    mutates = COMMANDS[name].traits.mutates and name not in TEXTS
    before = state.fingerprint(world) if mutates else {}
    for words in attempts(name, victim.app):
        done = world.paas(name, *words, input="", timeout=60)
        assert not [trace for trace in TRACES if trace in done.output], (words, done.output)
        assert "root:x:0" not in done.output
        assert "topsecret" not in done.stderr
        assert "\x1b" not in done.stderr
        if mutates and done.returncode == 0:
            assert state.difference(before, state.fingerprint(world)) == [], (words, done.output)
        assert done.returncode in (0, 1, 2, 3, 4, 5, 6, 14, 20, 30), (words, done.output)
    if mutates:
        assert state.difference(before, state.fingerprint(world)) == []


@pytest.mark.parametrize("line", [
    "apps:list\napps:destroy {app} --confirm {app}", "apps:list\r\napps:destroy {app} --confirm {app}",
    "apps:exists '{app}", 'apps:exists "{app}', "apps:exists {app} \\",
    "apps:list; apps:destroy {app} --confirm {app}", "apps:list && id", "apps:list | sh", "apps:list > /tmp/x",
    "sh -c id", "git-shell", "git upload-pack --exec=id {app}", "git-receive-pack '../{app}'",
    "git-receive-pack '/etc/passwd'", "git-receive-pack '{app}.git/hooks'", "git-upload-pack '~{app}'",
    "git-receive-pack '--help'", "git-upload-archive '{app}'", "git-lfs-authenticate {app} upload",
    "scp -f /etc/passwd",
    "rsync --server --sender . /etc", "internal-sftp", "/usr/lib/openssh/sftp-server", "paas", "$(id)", "`id`",
    "git-upload-pack '{app}' '{app}'", "git-receive-pack '{app}%2f..'", "git-receive-pack", "\x00id"])
def test_hostile_lines(world, victim, line):
    """A02, A03, A05 to A07: one string, sent as it is."""
    before = state.fingerprint(world)
    done = subprocess.run([*world.ssh_argv(), "paas@127.0.0.1", line.replace("\x00", "").format(app=victim.app)],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "uid=" not in said
    assert "root:x" not in said
    assert not [trace for trace in TRACES if trace in said], said
    assert state.difference(before, state.fingerprint(world)) == []


def test_names_of_repositories_are_exact(world, victim):
    for name in (victim.app.upper(), f"{victim.app}.git1", f"{victim.app}/", f"./{victim.app}", f"x/../{victim.app}"):
        done = run(["git", "ls-remote", world.remote(name)], env=world.git_environment())
        assert done.returncode != 0 or name == f"{victim.app}/", name


def test_destroying_needs_the_exact_name(world, victim):
    """A14."""
    before = state.fingerprint(world)
    for words, given in ((), ""), ((), "y\n" * 100), (("--confirm", ""), ""), (("--confirm", f"{victim.app}x"), ""), (
            ("--confirm", "beta"), victim.app):
        assert world.paas("apps:destroy", victim.app, *words, input=given).returncode == 2
    assert state.difference(before, state.fingerprint(world)) == []


@pytest.mark.parametrize("pair", ["A B=1", "=1", "1A=1", "A\n=1", "A-B=1", "x" * 300 + "=1", "PAAS_APP=1", "PAAS_X=1",
                                  "ünï=1"])
def test_config_names(world, victim, pair):
    """B02."""
    before = state.fingerprint(world)
    refused = world.paas("config:set", victim.app, pair)
    assert refused.returncode in (2, 3), refused.output
    assert state.difference(before, state.fingerprint(world)) == []


@pytest.mark.parametrize("name", ["a.com; location /pwn{}", "a.com {", '"', "a\nb.com", "_", "*", "*.com", "127.0.0.1",
                                  "::1", "localhost", "a.com:8080", "http://a.com", "a." * 130 + "com", "a..com",
                                  "-a.com", "xn--"])
def test_domains(world, victim, name):
    """B05."""
    before = state.fingerprint(world)
    refused = world.paas("domains:add", victim.app, name)
    assert refused.returncode in (2, 3, 4), (name, refused.output)
    assert state.difference(before, state.fingerprint(world)) == []


def test_an_attack_leaves_one_escaped_event(world, victim):
    """A17, UP5: the newest events are whole JSON, and the injected line is inside one of them."""
    world.paas("apps:create", "x\n2026-01-01 admin apps:destroy ok\x1b[2J")
    rows = world.local("events", "-n", "5", "--format", "json", check=True).json
    assert rows
    shown = world.local("events", "-n", "5", check=True).stdout
    assert "\x1b" not in shown
    assert not [line for line in shown.splitlines() if line.startswith("2026-01-01 admin")]
    assert "apps:create" in json.dumps(rows)


def test_hostile_refs_and_push_options(world, victim):
    """C08, C09: at most one deploy, and no word of the pusher's runs."""
    before = state.fingerprint(world)
    url = world.remote(victim.app)
    head = victim.git("rev-parse", "HEAD").stdout.strip()
    for ref in ("refs/heads/$(id)", "refs/heads/`id`", "refs/heads/a;id", "refs/heads/x|id", "refs/heads/'x'"):
        refused = victim.git("push", url, f"{head}:{ref}", check=False)
        assert refused.returncode != 0
        assert "uid=" not in refused.output
    victim.commit({}, "another")
    for words in (["--push-option", f"x;{TOUCH}", url, "HEAD:main"], ["--mirror", url], [url, ":main"],
                  ["--atomic", url, "HEAD:main", "HEAD:other"]):
        refused = victim.git("push", *words, check=False)
        assert refused.returncode != 0, words
    assert state.difference(before, state.fingerprint(world)) == []
    program = f"git-receive-pack --x; {TOUCH};"
    assert victim.git("push", "--receive-pack", program, url, "HEAD:main", check=False).returncode != 0
    assert state.difference(before, state.fingerprint(world)) == []


def test_hostile_commit_words_are_escaped(world):
    """C13."""
    repo = world.app_repo(apps.web("one"))
    repo.git("commit", "--quiet", "--allow-empty", "--message", "\x1b]0;owned\x07 title " + "long " * 20_000)
    output = repo.push().output
    assert "\x1b]0" not in output
    assert "\x1b]0" not in world.paas("releases", repo.app, check=True).stdout
    assert len(world.paas("releases", repo.app, check=True).stdout) < 5000
