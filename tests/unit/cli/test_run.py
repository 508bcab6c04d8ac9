"""run, run:…, enter, over fakes."""

import queue
import threading
import time
from dataclasses import dataclass

import pytest

from paas import cli
from paas.errors import BadInput, EngineError
from paas.model.access import Actor
from paas.ops import reconcile, runs, terminal
from paas.testing.fake_containers import Behaviour

RUN = "paas.kind=run"


@dataclass
class Terminal:
    columns: int = 100
    rows: int = 30
    term: str = "xterm-256color"


class Person:
    """A session that reads and can vanish; the command runs in a thread of its own."""

    def __init__(self, desk, words, *, tty=None, actor=None):
        self.tty, self.patience, self.busy, self.quiet = tty, 5.0, False, False
        self.stdout, self.stderr, self.raw, self.code = b"", b"", [], None
        self.typed: queue.Queue[bytes] = queue.Queue()
        self.gone = threading.Event()
        self.resize = self.interrupt = None
        self.thread = threading.Thread(target=self._run, args=(desk, words, actor or Actor("root")))
        self.thread.start()

    def _run(self, desk, words, actor):
        self.code = cli.dispatch(desk.flow.rt, self, actor, words)

    @property
    def alive(self):
        return not self.gone.is_set()

    def out(self, data):
        self.stdout += data.encode() if isinstance(data, str) else data

    def err(self, data):
        self.stderr += data.encode() if isinstance(data, str) else data

    def read(self, size):
        try:
            return self.typed.get(timeout=20)
        except queue.Empty:              # the test is over
            return b""

    def raw_mode(self, on):
        self.raw.append(on)

    def wait_gone(self, timeout=None):
        return self.gone.wait(timeout)

    def on_resize(self, callback):
        self.resize = callback

    def on_interrupt(self, callback):
        self.interrupt = callback

    def end(self):
        self.typed.put(b"")
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.code


def eventually(question):
    until = time.monotonic() + 20
    while not question():
        assert time.monotonic() < until
        time.sleep(0.01)


def one_off(desk):
    return desk.flow.containers.list({"paas.kind": "run"})


def left_over(desk):
    return one_off(desk) or desk.flow.rt.store.runs()


def test_run_gives_output_and_exit_code_and_leaves_nothing(deployed):
    deployed.flow.containers.behave(RUN, Behaviour(logs=("out", "!err"), exits=42))
    person = Person(deployed, ["run", "hello", "ls", "-l", "--help"])
    assert person.end() == 42
    assert (person.stdout, person.stderr) == (b"out\n", b"err\n")
    assert not left_over(deployed)
    assert person.raw == []
    (event,) = deployed.events("run")
    assert (event.result, event.detail["command"]) == ("failed", "ls -l --help")


def test_the_container_is_the_live_release_with_its_config(deployed):
    deployed.ok("config:set hello GREETING=hi A=1")
    deployed.ok("resource:limit --memory 64m --process-type run hello")
    deployed.ok("storage:mount hello data:/data")
    deployed.flow.containers.behave(RUN, Behaviour(echo=True))
    person = Person(deployed, ["run", "--env", "A=2", "hello", "-e", "B=a b", "cat", "a b", "-e", "x"])
    eventually(lambda: one_off(deployed) and one_off(deployed)[0].running)
    (state,) = one_off(deployed)
    spec = deployed.flow.containers.spec(state.id)
    live = deployed.flow.rt.store.live_release(1)
    assert (spec.image, spec.command) == (live.image, ("cat", "a b", "-e", "x"))
    assert (spec.network, spec.address, spec.restart, spec.tty, spec.stdin) == ("paas-app-1", "", "no", False, True)
    assert spec.memory == 64 * 1024**2
    assert [mount.target for mount in spec.mounts] == ["/data"]
    found = {key: value.reveal() for key, value in spec.environment.items()}
    assert (found["GREETING"], found["A"], found["B"], found["PAAS_PROCESS"]) == ("hi", "2", "a b", "run.1")
    assert "TERM" not in found
    person.typed.put(b"echo me\n")
    eventually(lambda: person.stdout)
    assert person.end() == 0
    assert person.stdout == b"echo me\n"
    assert "a b" not in str(deployed.events("run")[0].detail).replace("cat 'a b'", "")


def test_a_terminal_is_raw_and_follows_the_window(deployed):
    deployed.flow.containers.behave(RUN, Behaviour(echo=True))
    person = Person(deployed, ["run", "hello", "-it", "sh"], tty=Terminal())
    eventually(lambda: one_off(deployed) and one_off(deployed)[0].running and person.raw)
    (state,) = one_off(deployed)
    container = deployed.flow.containers._get(state.id)
    assert (container.spec.tty, container.size) == (True, (100, 30))
    assert container.spec.environment["TERM"].reveal() == "xterm-256color"
    assert not {"COLUMNS", "LINES"} & set(container.spec.environment)    # they would freeze the size
    person.resize(120, 40)
    assert container.size == (120, 40)
    assert person.end() == 0
    assert person.raw == [True, False]


def test_no_tty_uses_pipes_at_a_terminal(deployed):
    deployed.flow.containers.behave(RUN, Behaviour(exits=0))
    person = Person(deployed, ["run", "-T", "hello", "ls"], tty=Terminal())
    assert (person.end(), person.raw) == (0, [])


def test_asking_for_a_terminal_without_one_is_said(deployed):
    deployed.flow.containers.behave(RUN, Behaviour(exits=0))
    person = Person(deployed, ["run", "hello", "-t", "ls"])
    assert person.end() == 0
    assert b"pipes are used" in person.stderr


def test_a_vanished_caller_ends_the_container(deployed):
    person = Person(deployed, ["run", "hello", "sleep", "999"])
    eventually(lambda: one_off(deployed) and one_off(deployed)[0].running)
    (state,) = one_off(deployed)
    person.gone.set()
    eventually(lambda: not left_over(deployed))
    assert (state.id, "SIGTERM") in deployed.flow.containers.signals
    person.end()


def test_what_the_engine_did_not_end_for_a_vanished_caller_is_ended_later(deployed, monkeypatch):
    monkeypatch.setattr(terminal, "LOST_SECONDS", 0.01)
    person = Person(deployed, ["run", "hello", "sleep", "999"])
    eventually(lambda: one_off(deployed) and one_off(deployed)[0].running)
    deployed.flow.faults.fail_on("containers.stop", 1, EngineError("Docker did not answer in time"))
    person.gone.set()
    eventually(lambda: not left_over(deployed))
    person.end()


def test_an_interrupt_is_the_programs(deployed):
    person = Person(deployed, ["run", "hello", "sleep", "999"])
    eventually(lambda: one_off(deployed) and one_off(deployed)[0].running)
    (state,) = one_off(deployed)
    person.interrupt()
    eventually(lambda: (state.id, "SIGINT") in deployed.flow.containers.signals)
    deployed.flow.containers.crash(state.id, 130)
    assert person.end() == 130


@pytest.mark.parametrize("where", ["containers.create", "containers.attach", "containers.start"])
def test_an_engine_that_fails_leaves_nothing(deployed, where):
    deployed.flow.faults.fail_on(where, 1, EngineError("Docker is unwell"))
    assert Person(deployed, ["run", "hello", "ls"]).end() == 30
    assert not left_over(deployed)


def test_run_refuses(deployed):
    assert deployed.run("run hello").code == 2
    assert deployed.run("run hello -e NOPE ls").code == 3
    assert deployed.run("run hello --nope ls").code == 2
    deployed.flow.app("empty")
    assert deployed.run("run empty ls").code == 3
    assert not left_over(deployed)


def test_a_detached_run_goes_on_and_is_listed(deployed):
    deployed.flow.containers.behave(RUN, Behaviour(logs=("working",)))
    said = deployed.ok("run --detach hello work hard")
    assert said.text.startswith("run.1\n")
    (line,) = deployed.ok("run:list --format json").json
    assert (line["app"], line["run"], line["state"], line["mode"], line["command"]) == (
        "hello", "run.1", "running", "detached", "work hard")
    assert deployed.ok("run:logs hello run.1").text == "run.1 | working\n"
    assert deployed.run("run:logs hello run.9").code == 20
    deployed.ok("run:stop hello run.1")
    assert not left_over(deployed)


def test_the_log_of_a_detached_run_stays_for_its_time(deployed):
    deployed.flow.containers.behave(RUN, Behaviour(logs=("done",), exits=3))
    deployed.ok("run:detached --ttl-seconds 600 hello work")
    deployed.flow.clock.passed += 500
    assert [one.kind for one in reconcile.reconcile(deployed.flow.rt)] == []
    assert runs.sweep(deployed.flow.rt) == []
    assert deployed.ok("run:logs hello 1 -t").text == "run.1 | done\n"
    assert deployed.ok("run:list hello --format json").json[0]["exit_code"] == 3
    deployed.flow.clock.passed += 200
    assert len(runs.sweep(deployed.flow.rt)) == 1
    assert not left_over(deployed)


def test_every_run_ends_after_its_time(deployed):
    person = Person(deployed, ["run", "--ttl-seconds", "60", "hello", "sleep"])
    eventually(lambda: one_off(deployed) and one_off(deployed)[0].running)
    assert runs.sweep(deployed.flow.rt) == []
    deployed.flow.clock.passed += 100
    runs.sweep(deployed.flow.rt)
    assert person.end() == 143
    assert not left_over(deployed)


def test_a_run_whose_daemon_died_is_swept(deployed):
    person = Person(deployed, ["run", "hello", "sleep"])
    eventually(lambda: one_off(deployed) and one_off(deployed)[0].running)
    deployed.flow.clock.passed += 40
    assert runs.sweep(deployed.flow.rt) == []
    runs.attended.clear()                # what a new daemon knows
    assert len(runs.sweep(deployed.flow.rt)) == 1
    person.end()
    assert not left_over(deployed)


def test_reconcile_leaves_an_attended_run_to_its_session(deployed):
    deployed.flow.containers.behave(RUN, Behaviour(echo=True))
    person = Person(deployed, ["run", "hello", "cat"])
    eventually(lambda: one_off(deployed) and one_off(deployed)[0].running)
    deployed.flow.clock.passed += 100
    assert reconcile.reconcile(deployed.flow.rt) == []
    assert person.end() == 0


def test_stop_all(deployed):
    deployed.ok("run -d hello one")
    deployed.ok("run -d hello two")
    assert deployed.run("run:stop hello").code == 2
    deployed.ok("run:stop hello --all")
    assert not left_over(deployed)


def test_enter_runs_in_the_instance_and_passes_its_code(deployed):
    deployed.flow.containers.behave("paas.process=web", Behaviour(exec_exit=7))
    deployed.ok("ps:restart hello")
    person = Person(deployed, ["enter", "hello", "web", "cat"])
    person.typed.put(b"hi\n")
    eventually(lambda: person.stdout == b"hi\n")
    assert person.end() == 7
    (event,) = deployed.events("enter")
    assert event.detail["instance"] == "web.1"


def test_enter_finds_the_instance(deployed):
    rt, app = deployed.flow.rt, deployed.flow.app()
    (web,) = rt.store.instances(1)
    assert runs.choose(rt, app, ["web.1", "ls"]) == (web, ("ls",))
    assert runs.choose(rt, app, ["ls", "web"]) == (web, ("ls", "web"))
    assert runs.choose(rt, app, []) == (web, ("/bin/sh",))
    deployed.ok("ps:stop hello")
    assert deployed.run("enter hello ls").code == 20


def test_env_is_parsed_without_telling_values():
    assert {key: value.reveal() for key, value in runs.parse_environment(["A=b=c", "http_proxy="]).items()} == {
        "A": "b=c", "http_proxy": ""}
    with pytest.raises(BadInput) as caught:
        runs.parse_environment(["OK=1", "secret"])
    assert "secret" not in caught.value.what
