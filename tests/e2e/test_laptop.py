"""`paas` as a developer installs it: in an empty environment, in a clone with a remote, over a real sshd."""

import contextlib
import os
import pty
import select
import shutil
import sys
import time

import pytest

from tests.e2e.world import SOURCE, run, until
from tests.fixtures import apps

pytestmark = pytest.mark.e2e

LARGEST = 1_000_000                      # bytes that a laptop gets besides this program, pip and setuptools


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment's bin directory after `pip install .`, as pipx would do it."""
    place = tmp_path_factory.mktemp("laptop")
    source = place / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy2(SOURCE / name, source)
    shutil.copytree(SOURCE / "paas", source / "paas", ignore=shutil.ignore_patterns("__pycache__"))
    run([getattr(sys, "_base_executable", sys.executable), "-m", "venv", str(place / "venv")], check=True)
    pip = [str(place / "venv/bin/python"), "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", str(source)], env=dict(os.environ), check=True)
    names = {line.split("==")[0] for line in run([*pip, "list", "--format", "freeze"]).stdout.split()}
    assert names - {"pip", "setuptools", "wheel"} == {"paas"}
    return place / "venv/bin"


@pytest.fixture(scope="module")
def hello(world):
    repo = world.app_repo(apps.script("echo started\nexec httpd -f -p $PORT -h /app/www\n"))
    repo.push()
    world.paas("config:set", repo.app, "A=1", check=True)
    return repo


@pytest.fixture
def laptop(world, installed, hello):
    def paas(*words, cwd=None, input=None, **environment):
        env = {**world.git_environment(), **environment}
        return run([str(installed / "paas"), *words], cwd=cwd or hello.path, env=env, input=input)
    return paas


def test_it_needs_nothing_but_itself(installed):
    site = next((installed.parent / "lib").glob("python*/site-packages"))
    usual = ("paas", "pip", "setuptools", "wheel", "pkg_resources", "_distutils", "distutils")
    strange = [path for path in site.iterdir() if not path.name.startswith(usual)]
    assert sum(file.stat().st_size for path in strange for file in path.rglob("*") if file.is_file()) < LARGEST
    assert not (installed / "paasd").exists()


def test_app_and_server_come_from_the_remote(laptop, hello):
    assert "started" in laptop("logs").stdout
    done = laptop("config:set", "A=1", "B=two words 'n \"quotes\" $HOME")
    assert done.returncode == 0, done.output
    assert laptop("config:get", "B").stdout == "two words 'n \"quotes\" $HOME\n"
    assert laptop("config:get", hello.app, "A").stdout == "1\n"
    assert laptop("apps:info", "--format", "json").json["name"] == hello.app
    assert hello.app in laptop("apps:list").stdout          # takes no app: is not told of one
    assert laptop("releases", cwd=hello.path / "www").returncode == 0


def test_input_output_and_exit_codes_go_through(laptop, hello):
    assert laptop("run", "sh", "-c", "exit 37").returncode == 37
    assert laptop("run", "-T", "cat", input=b"\x00\xff\n").returncode == 0
    split = laptop("run", "sh", "-c", "echo out; echo err >&2")
    assert (split.stdout, "err" in split.stderr) == ("out\n", True)
    assert laptop("config:import", input="C=3\n").returncode == 0
    assert laptop("config:get", "C").stdout == "3\n"
    for words, code in ((["logs", "--app", "nope"], 20), (["config:set"], 2), (["ps:scale", "web=x"], 3)):
        assert laptop(*words).returncode == code, words
    assert laptop("releases", "--app", "nope").stderr.startswith(" !     there is no app 'nope'")


def test_another_app_and_several_remotes(world, laptop, hello):
    other = f"{hello.app}-b"
    world.paas("apps:create", other, check=True)
    assert laptop("config:set", "--app", other, "WHO=other").returncode == 0
    assert laptop("config:get", "WHO", PAAS_APP=other).stdout == "other\n"
    assert laptop("apps:info", other).stdout.count(other) > 0
    guess = laptop("config:unset", other, "A")
    assert (guess.returncode, f"'{other}' is an app, too" in guess.stderr) == (2, True)

    clone = world.root / "client" / f"{hello.app}-clone"
    hello.git("clone", "--quiet", "--origin", "github", str(hello.path), str(clone))
    lost = laptop("logs", cwd=clone)
    assert (lost.returncode, "no git remote here is an app's" in lost.stderr) == (2, True)
    url = f"ssh://{world.settings.ssh_user}@127.0.0.1:{world.settings.ssh_port}/"
    run(["git", "remote", "add", "staging", url + other], cwd=clone, check=True)
    assert laptop("config:get", "WHO", cwd=clone).stdout == "other\n"
    run(["git", "remote", "add", "live", url + hello.app], cwd=clone, check=True)
    lost = laptop("config:get", "WHO", cwd=clone)
    assert (lost.returncode, "live, staging" in lost.stderr) == (2, True)
    assert laptop("--remote", "staging", "config:get", "WHO", cwd=clone).stdout == "other\n"
    assert laptop("apps:info", "--remote", "live", "--format", "json", cwd=clone).json["name"] == hello.app


def test_anywhere_by_the_environment(world, laptop, hello, tmp_path):
    lost = laptop("logs", cwd=tmp_path)
    assert (lost.returncode, "not a git repository" in lost.stderr) == (2, True)
    host = f"127.0.0.1:{world.settings.ssh_port}"
    assert "started" in laptop("logs", cwd=tmp_path, PAAS_HOST=host, PAAS_APP=hello.app).stdout
    assert laptop("logs", cwd=tmp_path, PAAS_HOST=host).returncode == 2
    assert laptop(cwd=tmp_path, PAAS_HOST=host).stdout.startswith("You are admin")


class Terminal:
    """A program at a pseudo-terminal."""

    def __init__(self, argv, cwd, env):
        self.pid, self.master = pty.fork()
        if not self.pid:
            os.chdir(cwd)
            os.execve(argv[0], argv, env)
        self.seen = b""

    def type(self, text):
        os.write(self.master, text.encode())

    def read_until(self, text):
        end = time.monotonic() + 60
        while text.encode() not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.master], [], [], 0.5)[0]:
                self.seen += os.read(self.master, 4096)

    def code(self):
        with contextlib.suppress(OSError):
            while piece := os.read(self.master, 4096):
                self.seen += piece
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(world, installed, hello):
    def start(*words):
        return Terminal([str(installed / "paas"), *words], hello.path, {**world.git_environment(), "TERM": "xterm"})
    return start


def test_a_shell_in_a_container_at_a_terminal(terminal):
    shell = terminal("run", "-it", "sh")
    shell.read_until("# ")
    shell.type("tty; echo A is $A; stty size\n")
    shell.read_until("/dev/pts/")
    shell.read_until("A is 1")
    shell.type("sleep 4321\n")
    until(lambda: "sleep 4321" in run(["ps", "-eo", "args"]).stdout.splitlines(), "the program runs")
    shell.seen = b""
    shell.type("\x03")                   # reaches the program there, ends nothing here
    shell.read_until("# ")
    shell.type("exit 5\n")
    assert shell.code() == 5
    assert b"Connection to" not in shell.seen


def test_interrupting_a_follow(terminal, world, hello):
    following = terminal("logs", "-f")
    following.read_until("started")
    following.type("\x03")
    assert following.code() == 130
    until(lambda: not sessions(world, hello), "the session there has ended")


def sessions(world, hello):
    """The processes of this world's sshd that speak for a command about that app."""
    lines = run(["ps", "-eo", "args"]).stdout.splitlines()
    return [line for line in lines if str(world.settings.lib_dir) in line and "ssh-entry" in line]
