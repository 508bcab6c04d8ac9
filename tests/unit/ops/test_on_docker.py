"""run, enter, logs and ps with real containers, at the real door: the thin client as a process, with pipes and in a
terminal."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import replace
from pathlib import Path

import pytest

from paas.adapters.clock import SystemClock
from paas.adapters.docker_containers import DockerContainers
from paas.daemon.server import Server
from paas.deploy import Work, bring_up
from paas.deploy.plan import Plan
from paas.jobs import Job
from paas.model.build import Image
from paas.model.release import Check, CheckKind, Process
from paas.ops import apps, runs
from paas.secret import Secret
from tests.contract.docker_lab import SOCKET, open_lab
from tests.flow.over_fakes import ALICE, make_flow

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[3]
CLIENT = [sys.executable, "-IS", "-c",
          f"import sys; sys.path.append({str(ROOT)!r}); from paas.client import main; main()"]
QUICK = Check(CheckKind.UPTIME, uptime=0.2)
TALK = ("/bin/sh", "-c", "echo hello from $PAAS_PROCESS; echo oops >&2; exec sleep 600")


@pytest.fixture(scope="module")
def lab():
    yield from open_lab()


class Place:
    def __init__(self, lab, home: Path) -> None:
        flow = make_flow(home)
        # Not the pool of a real installation on this engine.
        settings = replace(flow.rt.settings, run_dir=home / "run", ssh_user="nobody", network_pool="10.213.0.0/16",
                           prefix=lab.server)
        containers = DockerContainers(SOCKET, lab.server, lab.server)
        self.rt = replace(flow.rt, settings=settings, containers=containers, clock=SystemClock())
        self.flow = flow
        self.app = apps.create(self.rt, ALICE, "hello")
        self.image = Image(digest=lab.digest, size=1, exposed=(), command=("sh",), healthcheck=False)
        self.server = Server(self.rt)
        self.server.start()
        self.environment = {"PAAS_SOCKET": str(settings.socket), "TERM": "vt100"}

    def release(self, *processes: Process, config: dict[str, str] | None = None) -> None:
        secrets = {key: Secret(value) for key, value in (config or {}).items()}
        self.rt.store.replace_config(self.app.id, secrets)
        bring_up(Work(self.rt, self.app, ALICE, Job(self.app.id, "test")),
                 Plan(self.image, None, "", "", "", secrets, processes, "test"))

    def start(self, *words: str, **options) -> subprocess.Popen:
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([*CLIENT, *words], env=self.environment, **options)

    def paas(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess:
        return subprocess.run([*CLIENT, *words], env=self.environment, input=stdin, capture_output=True, timeout=60)

    def one_offs(self) -> list:
        return self.rt.containers.list({"paas.kind": "run"})


@pytest.fixture
def place(lab):
    if os.geteuid():
        pytest.skip("the door tells its peers apart by uid: needs root")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
        made = Place(lab, Path(home))
        yield made
        made.server.stop(grace=2)
        lab.clean()


@pytest.fixture
def live(place):
    """One worker that prints and sleeps."""
    place.release(Process("worker", TALK, 1, check=QUICK, stop_timeout=1), config={"GREETING": "hi\n'there'"})
    return place


def eventually(question, seconds: float = 30):
    until = time.monotonic() + seconds
    while not (found := question()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def test_output_error_config_and_exit_code(live):
    done = live.paas("run", "hello", "sh", "-c", 'printf %s "$GREETING"; echo "$PAAS_PROCESS" >&2; exit 42')
    assert (done.returncode, done.stdout, done.stderr) == (42, b"hi\n'there'", b"run.1\n")
    assert (live.one_offs(), live.rt.store.runs()) == ([], [])


def test_words_are_argv_exactly(live):
    done = live.paas("run", "hello", "-e", "X=$(id)", "echo", "a  b", "$HOME", ";", "--help", "'")
    assert done.stdout == b"a  b $HOME ; --help '\n"


def test_input_goes_in_to_its_end(live):
    data = os.urandom(3_000_000)
    done = live.paas("run", "hello", "cat", stdin=data)
    assert (done.returncode, done.stdout == data) == (0, True)


def test_a_program_that_is_not_there(live):
    done = live.paas("run", "hello", "no-such-program")
    assert done.returncode == 127
    assert live.one_offs() == []


def test_killed_by_a_signal(live):
    assert live.paas("run", "hello", "sh", "-c", "kill -9 $$").returncode == 137


def test_a_vanished_client_ends_the_container(live):
    client = live.start("run", "hello", "sleep", "600")
    eventually(lambda: live.one_offs() and live.one_offs()[0].running)
    client.kill()
    client.communicate()
    eventually(lambda: not live.one_offs() and not live.rt.store.runs())


def test_interrupt_without_a_terminal(live):
    client = live.start("run", "hello", "sh", "-c", "trap 'exit 9' INT; echo ready; while :; do sleep 0.1; done")
    assert client.stdout.readline() == b"ready\n"
    client.send_signal(2)
    assert client.wait(30) == 9
    client.communicate()


class Terminal:
    """The client on a pseudo-terminal of its own."""

    def __init__(self, place: Place, *words: str, rows: int = 33, columns: int = 101) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.seen = b""
        self.client = place.start(*words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.slave = slave

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def wait_for(self, text: bytes) -> None:
        os.set_blocking(self.master, False)

        def found() -> bool:
            with contextlib.suppress(BlockingIOError):
                self.seen += os.read(self.master, 65536)
            return text in self.seen

        try:
            eventually(found)
        except AssertionError:
            raise AssertionError(self.seen) from None

    def leave(self) -> int:
        code = self.client.wait(30)
        self.cooked = bool(termios.tcgetattr(self.slave)[3] & termios.ICANON)
        os.close(self.slave)
        os.close(self.master)
        return code


def test_a_terminal(live):
    terminal = Terminal(live, "run", "hello", "-it", "sh")
    terminal.wait_for(b"# ")             # what is typed earlier is dropped as the terminal turns raw
    terminal.type(b"stty size; echo term=$TERM\n")
    terminal.wait_for(b"33 101")
    terminal.wait_for(b"term=vt100")
    terminal.resize(40, 120)
    terminal.type(b"while ! stty size | grep '40 1[2]0'; do sleep 0.1; done\n")
    terminal.wait_for(b"40 120")
    terminal.type(b"sleep 600\n")
    terminal.wait_for(b"sleep 600")
    time.sleep(0.3)                      # the shell must have begun to sleep: ^C is a byte to it, not our end
    terminal.type(b"\x03")
    terminal.type(b"echo still $((1+1)); exit 5\n")
    terminal.wait_for(b"still 2")
    assert terminal.leave() == 5
    assert terminal.cooked
    assert live.one_offs() == []


def test_detached(live):
    done = live.paas("run", "--detach", "hello", "sh", "-c", "echo working; exec sleep 600")
    assert done.stdout.startswith(b"run.1\n")
    assert live.one_offs()[0].running
    eventually(lambda: live.paas("run:logs", "hello", "run.1").stdout == b"run.1 | working\n")
    assert b"run.1" in live.paas("run:list", "hello").stdout
    assert live.paas("run:stop", "hello", "run.1").returncode == 0
    assert (live.one_offs(), live.rt.store.runs()) == ([], [])


def test_time_to_live(live):
    live.paas("run", "-d", "--ttl-seconds", "1", "hello", "sleep", "600")
    eventually(lambda: runs.sweep(live.rt))
    assert live.one_offs() == []


def test_enter(live):
    done = live.paas("enter", "hello", "worker.1", "sh", "-c", "cat; echo $PAAS_PROCESS; exit 3", stdin=b"in\n")
    assert (done.returncode, done.stdout) == (3, b"in\nworker.1\n")
    terminal = Terminal(live, "enter", "hello", "worker")
    terminal.wait_for(b"# ")
    terminal.type(b"stty size; exit 4\n")
    terminal.wait_for(b"33 101")
    assert terminal.leave() == 4


def test_ps_counts_memory(live):
    (line,) = live.rt.store.instances(live.app.id)
    shown = live.paas("ps", "hello", "--format", "json").stdout
    assert b'"worker.1"' in shown
    assert 10_000 < live.rt.containers.memory(line.container_id) < 100_000_000
    live.rt.containers.stop(line.container_id, 1)
    assert live.rt.containers.memory(line.container_id) == 0


def test_logs_of_running_and_stopped_containers(live):
    shown = live.paas("logs", "hello").stdout
    assert sorted(shown.splitlines()) == [b"worker.1 | hello from worker.1", b"worker.1 | oops"]
    (row,) = live.rt.store.instances(live.app.id)
    live.rt.containers.stop(row.container_id, 1)
    assert b"hello from worker.1" in live.paas("logs", "hello", "--timestamps").stdout


def test_logs_follow_over_a_restart_and_a_release(live):
    client = live.start("logs", "hello", "-t", "-p", "worker")
    lines = {client.stdout.readline(), client.stdout.readline()}
    assert b"worker.1 | hello from worker.1\n" in lines
    assert live.paas("ps:restart", "hello", "worker").returncode == 0
    again = {client.stdout.readline(), client.stdout.readline()}
    assert b"worker.1 | hello from worker.1\n" in again
    client.send_signal(2)
    assert client.wait(30) == 130
    client.communicate()


def test_restart_of_one_type_and_stop(live):
    live.release(Process("worker", TALK, 1, check=QUICK, stop_timeout=1),
                 Process("clock", ("sleep", "600"), 1, check=QUICK, stop_timeout=1))
    before = {row.name: row for row in live.rt.store.instances(live.app.id)}
    assert live.paas("ps:restart", "hello", "worker").returncode == 0
    after = {row.name: row for row in live.rt.store.instances(live.app.id)}
    assert after["clock.1"] == before["clock.1"]
    assert after["worker.1"].container_id != before["worker.1"].container_id
    assert live.rt.containers.state(after["worker.1"].container_id).running
    assert live.paas("ps:stop", "hello").returncode == 0
    assert live.rt.containers.list({"paas.kind": "instance"}) == []
