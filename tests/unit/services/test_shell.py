"""The shell of a service's container over a scripted engine: what counts as a whole stream, and what does not."""

import threading
from collections.abc import Iterator

import pytest

from paas.adapters.age import AgeSealing
from paas.errors import EngineError, Forged, ServiceError
from paas.secret import Secret
from paas.services import shell as module
from paas.services.shell import ContainerShell

PASSWORD = Secret("hunter2hunter2")


class Script:
    """One exec: the frames that come (an exception is raised), its exit code, and what becomes of its input."""

    def __init__(self, *frames, code=0, waits=False, send_error=None):
        self.planned, self.code, self.waits, self.send_error = frames, code, waits, send_error
        self.got, self.eof, self.closed = b"", threading.Event(), threading.Event()
        self.asked = 0

    # Containers
    def exec(self, container_id, command, tty, environment, user=""):
        self.command, self.environment = command, environment
        return "exec", self

    def exec_exit_code(self, exec_id):
        self.asked += 1
        return self.code

    # Attachment
    def send(self, data):
        if self.send_error:
            raise self.send_error
        self.got += data

    def close_stdin(self):
        self.eof.set()

    def close(self):
        self.closed.set()

    def frames(self) -> Iterator[tuple[str, bytes]]:
        if self.waits:
            assert self.eof.wait(5) or self.closed.is_set()
        for frame in self.planned:
            if isinstance(frame, BaseException):
                raise frame
            if frame == "stall":
                self.closed.wait(5)
                return
            yield frame


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "EXIT_PATIENCE", 0.2)


def shell(script, *secrets):
    return ContainerShell(script, "container", AgeSealing(), secrets)


def read_all(reader):
    while reader.read(4):
        continue


def out(*texts):
    return [("stdout", text.encode()) for text in texts]


def test_what_it_says_is_whole_when_the_engine_says_so():
    assert shell(Script(*out("a", "b"))).run(("x",)) == "ab"


@pytest.mark.parametrize("code", [1, 137, 143, None])
def test_an_end_of_the_stream_alone_is_none(code):
    """A killed program, a stopped container, a cut socket: all look like the end."""
    whole = out("as if", " all was well")
    with pytest.raises(ServiceError):
        shell(Script(*whole, code=code)).run(("x",))
    stream = shell(Script(*whole, code=code)).output(("x",))
    with pytest.raises(ServiceError):
        read_all(stream)
    packed = shell(Script(*whole, code=code))
    packed._compresses = False
    with pytest.raises(ServiceError):
        read_all(packed.compressed(("x",)))
    talk = shell(Script(*out("line\n"), code=code)).converse(("x",))
    assert talk.line() == "line"
    with pytest.raises(ServiceError):
        talk.line()


def test_the_engine_may_take_a_moment_to_know_the_exit_code():
    class Slow(Script):
        def exec_exit_code(self, exec_id):
            self.asked += 1
            return 0 if self.asked > 3 else None

    assert shell(Slow(*out("ok"))).run(("x",)) == "ok"


def test_an_error_of_the_engine_is_the_error():
    with pytest.raises(EngineError, match="gone"):
        shell(Script(*out("half"), EngineError("gone"))).run(("x",))


def test_it_says_what_the_program_said_without_secrets():
    said = b"one\ntwo\nthree\nfour\nfive\nbad password hunter2hunter2 and sesame-open\x1b[2J\n"
    script = Script(("stderr", said), code=3)
    with pytest.raises(ServiceError) as caught:
        shell(script, PASSWORD).run(("pg_dump", "--x"), environment={"KEY": Secret("sesame-open")})
    assert caught.value.what.startswith("pg_dump failed with exit code 3: two / three / four / five / bad password")
    assert "hunter2" not in caught.value.what
    assert "sesame" not in caught.value.what
    assert "\x1b" not in caught.value.what


def test_a_secret_at_the_edge_of_what_is_kept_is_not_shown_by_half():
    """Only the end of a long complaint is kept; it may begin in the middle of a secret."""
    for extra in range(len(PASSWORD) + 1):
        line = b"x" * 50 + PASSWORD.reveal().encode() + b"y" * (module.COMPLAINT - extra)
        with pytest.raises(ServiceError) as caught:
            shell(Script(("stderr", line), code=1), PASSWORD).run(("x",))
        shown = caught.value.what
        assert not any(PASSWORD.reveal()[at:at + 3] in shown for at in range(len(PASSWORD) - 2)), shown[:80]


def test_input_is_given_whole_and_then_ended():
    script = Script(*out("thanks"), waits=True)
    assert shell(script).feed(("load",), lambda sink: [sink.write(b"one"), sink.write(b"two")]) == "thanks"
    assert script.got == b"onetwo"


def test_half_an_input_is_never_taken_for_a_whole_one():
    """The program may end well on what it got: a dump of text does."""
    script = Script(*out("fine"), waits=True)

    def write(sink):
        sink.write(b"half")
        raise Forged("the rest is somebody else's")

    with pytest.raises(Forged):
        shell(script).feed(("load",), write)
    assert script.closed.is_set()


def test_a_program_that_stops_reading_is_quoted_not_the_broken_pipe():
    script = Script(("stderr", b"no such table\n"), code=1, send_error=EngineError("the connection broke"))
    with pytest.raises(ServiceError, match="no such table"):
        shell(script).feed(("load",), lambda sink: sink.write(b"data"))


def test_a_program_that_ended_well_without_its_input_has_failed():
    script = Script(*out("bye"), send_error=EngineError("the connection broke"))
    with pytest.raises(EngineError):
        shell(script).feed(("load",), lambda sink: sink.write(b"data"))


def test_a_program_that_falls_silent_is_given_up():
    script = Script(*out("begin"), "stall")
    with pytest.raises(ServiceError, match="no data came"):
        shell(script).run(("x",), timeout=0.2)
    stream = shell(Script(*out("begin"), "stall")).output(("x",), idle=0.2)
    with pytest.raises(ServiceError, match="no data came"):
        read_all(stream)


def test_what_is_kept_in_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_OUTPUT", 1000)
    made = []

    def endless():
        while len(made) < 100_000:
            made.append(1)
            yield "stdout", b"x" * 100

    script = Script()
    script.frames = endless
    with pytest.raises(ServiceError, match="too much"):
        shell(script).run(("x",))
    assert len(made) < 50
    with pytest.raises(ServiceError, match="too much"):
        shell(Script(*out(*["y" * 100] * 100))).converse(("x",)).line()


def test_a_conversation_that_is_not_answered_ends(monkeypatch):
    monkeypatch.setattr(module, "TALK_IDLE", 0.1)
    script = Script(*out("one\n"), "stall")
    talk = shell(script).converse(("psql",))
    assert talk.line() == "one"
    with pytest.raises(ServiceError, match="no data came"):
        talk.line()
    assert script.closed.is_set()


def test_streams_that_were_left_are_ended():
    script = Script(*out("a"), "stall")
    one = shell(script)
    assert one.output(("x",)).read(1) == b"a"
    one.close()
    assert script.closed.is_set()


def test_secrets_are_in_the_environment_only():
    script = Script(*out("ok"))
    shell(script).run(("x",), environment={"PGPASSWORD": PASSWORD})
    assert "hunter2" not in " ".join(script.command)
    assert script.environment == {"PGPASSWORD": PASSWORD}
