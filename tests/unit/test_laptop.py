"""The client for a laptop: which server and app it finds, and what it hands to ssh."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from paas import laptop
from paas.daemon.protocol import split_command
from paas.laptop import Lost, Target

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty repository to stand in, and nothing of the machine's own settings."""
    for name in list(os.environ):
        if name.startswith(("GIT_", "PAAS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    git("init", "--quiet")
    return tmp_path / "checkout"


def git(*words):
    subprocess.run(["git", *words], check=True)


def remotes(**urls):
    for name, url in urls.items():
        git("remote", "add", name, url)


OURS, GITHUB = "paas@server.example.com:hello", "git@github.com:me/hello.git"


@pytest.mark.parametrize(("url", "target"), [
    (OURS, Target("paas", "server.example.com", "", "hello")),
    ("ssh://paas@server:2222/hello", Target("paas", "server", "2222", "hello")),
    ("ssh://paas@[::1]:2222/hello.git", Target("paas", "::1", "2222", "hello")),
    ("paas@[::1]:hello", Target("paas", "::1", "", "hello")),
    ("deploy@10.0.0.1:/hello", Target("deploy", "10.0.0.1", "", "hello")),
    ("server:hello", Target("", "server", "", "hello")),
    (GITHUB, None), ("https://server/hello", None), ("file:///srv/hello", None), ("/srv/hello", None), ("", None),
    ("paas@server:Hello", None), ("paas@server:", None), ("ssh://paas@server/a/b", None), ("C:\\hello", None),
])
def test_urls(url, target):
    assert laptop.parse(url) == target


def test_the_only_remote_that_is_ours(checkout):
    remotes(origin=GITHUB, heroku="https://git.heroku.com/hello.git", live=OURS)
    assert laptop.choose("") == Target("paas", "server.example.com", "", "hello")


def test_two_names_of_one_place_are_no_question(checkout):
    remotes(live=OURS, also=OURS)
    assert laptop.choose("").app == "hello"


def test_several_remotes_are_a_question(checkout):
    remotes(one="paas@server:one", two="paas@server:two")
    with pytest.raises(Lost, match="several git remotes are apps': one, two"):
        laptop.choose("")
    assert laptop.choose("two").app == "two"
    git("config", "paas.remote", "one")
    assert laptop.choose("").app == "one"


def test_the_names_that_go_first(checkout):
    remotes(staging="paas@server:staging", production="paas@server:live", origin=GITHUB)
    assert laptop.choose("").app == "live"
    remotes(paas="paas@server:first")
    assert laptop.choose("").app == "first"


def test_a_preferred_name_that_is_not_ours_counts_nothing(checkout):
    remotes(production=GITHUB, staging="paas@server:staging")
    assert laptop.choose("").app == "staging"


def test_the_environment_goes_before_the_remotes(checkout, monkeypatch):
    remotes(production=OURS)
    monkeypatch.setenv("PAAS_APP", "other")
    assert laptop.choose("") == Target("paas", "server.example.com", "", "other")
    monkeypatch.setenv("PAAS_APP", "")
    assert laptop.choose("").app == ""
    monkeypatch.setenv("PAAS_HOST", "elsewhere:2222")
    assert laptop.choose("") == Target("paas", "elsewhere", "2222", "")
    monkeypatch.setenv("PAAS_HOST", "ops@[2001:db8::1]")
    assert laptop.choose("") == Target("ops", "2001:db8::1", "", "")
    assert laptop.choose("production") == Target("paas", "server.example.com", "", "hello")
    monkeypatch.setenv("PAAS_HOST", "no host")
    with pytest.raises(Lost, match="PAAS_HOST"):
        laptop.choose("")


def test_the_url_is_the_one_that_git_pushes_to(checkout):
    git("config", "url.paas@server:.insteadOf", "box:")
    remotes(live="box:hello", mirror=GITHUB)
    git("remote", "set-url", "--push", "mirror", "paas@server:hello")
    assert set(laptop.candidates()) == {"live", "mirror"}


def test_nothing_to_find(checkout, monkeypatch):
    with pytest.raises(Lost, match="no git remote here is an app's"):
        laptop.choose("")
    remotes(origin=GITHUB)
    with pytest.raises(Lost, match="'origin' is not an app's"):
        laptop.choose("origin")
    with pytest.raises(Lost, match="there is no git remote 'gone'"):
        laptop.choose("gone")
    monkeypatch.chdir(checkout.parent)
    for name in ("", "gone"):
        with pytest.raises(Lost, match="not a git repository"):
            laptop.choose(name)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Lost, match="git was not found"):
        laptop.choose("")


@pytest.mark.parametrize(("line", "remote", "rest"), [
    ("--remote staging logs -t", "staging", "logs -t"), ("logs --remote=staging -t", "staging", "logs -t"),
    ("logs -t --remote staging", "staging", "logs -t"), ("--quiet --app x logs", "", "--quiet --app x logs"),
    ("--app x logs --remote y", "y", "--app x logs"),
    ("run ls --remote staging", "", "run ls --remote staging"), ("run -- --remote x", "", "run -- --remote x"),
    ("", "", ""),
])
def test_remote_is_taken_out_of_the_words_before_the_first_argument(line, remote, rest):
    assert laptop.take_remote(line.split()) == (remote, rest.split())


def test_remote_without_a_name():
    with pytest.raises(Lost, match="--remote needs"):
        laptop.take_remote(["logs", "--remote"])


@pytest.mark.parametrize("words", [
    ["logs"], ["config:set", "A=a b", "B='\"$HOME`id`;|&", "C=\\", "D=ü"], ["run", "sh", "-c", "echo $HOME\nexit 3"],
    ["config:set", "EMPTY="], ["run", "printf", ""],
])
def test_words_arrive_as_they_were_given(words):
    line = laptop.command_line(Target("paas", "server", "", "hello"), words)
    assert split_command(line.encode()) == ["--default-app", "hello", *words]
    assert split_command(laptop.command_line(Target("paas", "server"), words).encode()) == words


def fake_ssh(tmp_path):
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 7\n")
    program.chmod(0o755)
    return program


def start(cwd, *words, **environment):
    return subprocess.run([sys.executable, "-m", "paas", *words], cwd=cwd, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, stdin=subprocess.DEVNULL)


def test_ssh_takes_the_place_of_the_process(checkout, tmp_path):
    remotes(production="ssh://paas@server:2222/hello")
    fake_ssh(tmp_path)
    done = start(checkout, "run", "ls", "-l", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.stdout.splitlines() == ["-l", "paas", "-p", "2222", "--", "server", "--default-app hello run ls -l"]
    assert done.returncode == 7


def test_it_is_the_ssh_that_git_uses(checkout, tmp_path):
    remotes(production=OURS)
    program = shlex.quote(str(fake_ssh(tmp_path)))
    for environment in ({"GIT_SSH_COMMAND": f"{program} -i 'my key'"}, {"GIT_SSH": str(tmp_path / "ssh")}):
        done = start(checkout, "logs", **environment)
        expected = ["-i", "my key"] if "GIT_SSH_COMMAND" in environment else []
        assert done.stdout.splitlines() == [*expected, "-l", "paas", "--", "server.example.com",
                                            "--default-app hello logs"]
    git("config", "core.sshCommand", f"{program} -v")
    assert start(checkout, "logs").stdout.splitlines()[0] == "-v"
    broken = start(checkout, "logs", GIT_SSH_COMMAND="ssh 'x")
    assert (broken.returncode, "cannot be read" in broken.stderr) == (2, True)


def test_a_host_is_never_an_option_of_ssh(checkout, tmp_path):
    fake_ssh(tmp_path)
    done = start(checkout, "logs", PATH=f"{tmp_path}:{os.environ['PATH']}", PAAS_HOST="-oProxyCommand=id")
    words = done.stdout.splitlines()
    assert words.index("--") < words.index("-oProxyCommand=id")


def test_without_ssh_and_with_too_much_to_say(checkout):
    remotes(production=OURS)
    done = start(checkout, "logs", GIT_SSH="/nonexistent/ssh")
    assert (done.returncode, done.stderr) == (2, " !     /nonexistent/ssh could not be started\n"
                                                 "       Install the OpenSSH client.\n")
    done = start(checkout, "config:set", "A=" + "x" * 70_000)
    assert (done.returncode, "longer than 64 KB" in done.stderr) == (2, True)


def test_on_the_server_it_is_the_client_of_the_socket(checkout):
    remotes(production=OURS)
    done = start(checkout, "logs", PAAS_SOCKET="/nonexistent/paas.sock")
    assert (done.returncode, "paasd is not running" in done.stderr) == (69, True)
