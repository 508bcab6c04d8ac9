"""The shell of a service's container over the real engine: each way in which a stream ends too early is noticed."""

import io
import threading
import time

import pytest

from paas.adapters.age import AgeSealing
from paas.adapters.docker_containers import DockerContainers
from paas.errors import Forged, PaasError, ServiceError
from paas.secret import Secret
from paas.services import shell as module
from paas.services.shell import ContainerShell
from tests.contract.docker_lab import SOCKET
from tests.fixtures.datastores import Stand

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120), pytest.mark.usefixtures("base_images")]
ENDLESS = ("sh", "-c", "echo $$ >/tmp/pid; while echo 0123456789012345678901234567890123456789; do :; done")


@pytest.fixture(scope="module")
def stand():
    made = Stand()
    yield made
    made.close()


@pytest.fixture
def service(stand):
    made = stand.make("redis")
    yield made
    stand.containers.remove(made.service.container_id)


@pytest.fixture(scope="module")
def shared(stand):
    return stand.make("redis").shell


def read_all(reader):
    size = 0
    while data := reader.read(65536):
        size += len(data)
    return size


@pytest.mark.parametrize("signal", ["TERM", "INT", "KILL", "HUP"])
def test_a_program_that_is_ended_by_a_signal(shared, signal):
    stream = shared.output(("sh", "-c", f"echo some; kill -{signal} $$; sleep 5; echo more"))
    with pytest.raises(ServiceError):
        read_all(stream)


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("way", ["output", "compressed"])
def test_a_container_that_is_ended(stand, service, signal, way):
    stream = getattr(service.shell, way)(ENDLESS)
    assert stream.read(100)
    stand.containers.kill(service.service.container_id, signal)
    with pytest.raises(PaasError):
        read_all(stream)


def test_our_own_end_that_is_cut(shared, monkeypatch):
    monkeypatch.setattr(module, "EXIT_PATIENCE", 1.0)
    stream = shared.output(ENDLESS)
    assert stream.read(100)
    stream._running.attachment.close()
    with pytest.raises(PaasError):
        read_all(stream)
    shared.run(("sh", "-c", "kill -9 $(cat /tmp/pid)"))      # the engine lets it go on: that is what end_stale is for


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
def test_a_program_that_fails_behind_all_its_output(shared, size):
    command = ("sh", "-c", f"head -c {size} /dev/zero; echo sorry >&2; exit 3")
    with pytest.raises(ServiceError, match="exit code 3: sorry"):
        read_all(shared.output(command))
    with pytest.raises(ServiceError):
        read_all(shared.compressed(command))


def test_a_pipe_does_not_hide_that_its_first_part_failed(stand):
    """Where the container has zstd and bash; plain `sh -c 'x | zstd'` would say 0."""
    postgres = stand.make("postgres")
    shell = postgres.shell
    with pytest.raises(ServiceError):
        read_all(shell.compressed(("sh", "-c", "echo half; exit 1")))
    plain = io.BytesIO()
    sink = AgeSealing().decompress(plain)
    reader = shell.compressed(("echo", "whole"))
    while data := reader.read(65536):
        sink.write(data)
    sink.finish()
    assert plain.getvalue() == b"whole\n"


def test_much_of_everything_at_once(shared):
    """Input, output and errors that no pipe holds: nobody waits for the other for ever."""
    block = b"0123456789abcdef" * 65536
    said = shared.feed(("sh", "-c", "tee /dev/stderr | wc -c"), lambda sink: [sink.write(block) for _ in range(20)])
    assert int(said) == 20 * len(block)


def test_input_that_is_cut_fails_even_if_the_program_is_content(shared):
    def write(sink):
        sink.write(b"half a dump")
        raise Forged("the rest is missing")

    with pytest.raises(Forged):
        shared.feed(("sh", "-c", "cat >/tmp/got"), write)
    begun = "until [ -s /tmp/got ]; do sleep 0.1; done; cat /tmp/got"       # the program may start after it was cut
    assert shared.run(("sh", "-c", begun)) == "half a dump"


def test_a_program_that_stops_reading_says_why(shared):
    with pytest.raises(ServiceError, match="exit code 4: table missing"):
        shared.feed(("sh", "-c", "head -c 10 >/dev/null; echo table missing >&2; exit 4"),
                    lambda sink: [sink.write(b"x" * 65536) for _ in range(400)])


def test_a_conversation(shared):
    talk = shared.converse(("cat",))
    for text in ("one\n", "two\nthree\n"):
        talk.send(text)
    assert [talk.line() for _ in range(3)] == ["one", "two", "three"]
    talk.close()
    ends = shared.converse(("sh", "-c", "read x; echo got $x; exit 2"))
    ends.send("it\n")
    assert ends.line() == "got it"
    with pytest.raises(ServiceError, match="exit code 2"):
        ends.line()


def test_a_program_that_says_nothing_is_given_up_and_ends(shared):
    with pytest.raises(ServiceError, match="no data came"):
        shared.run(("sh", "-c", "echo $$ >/tmp/pid; exec sleep 1000"), timeout=0.5)


def test_a_stopped_container_is_said_to_be_one(stand, service):
    stand.containers.stop(service.service.container_id, 10)
    with pytest.raises(PaasError):
        service.shell.run(("true",))
    assert "not running" in str(attempt(service.shell).what)


def attempt(shell):
    try:
        shell.run(("true",))
    except PaasError as error:
        return error
    raise AssertionError("it ran")


def test_secrets_of_a_command_are_no_arguments_in_the_container(shared):
    secret = Secret("a-secret-of-the-command")
    running = threading.Thread(target=lambda: shared.run(("sleep", "2"), environment={"KEY": secret}))
    running.start()
    time.sleep(0.5)
    lines = shared.run(("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"))
    running.join()
    assert "sleep 2" in lines
    assert secret.reveal() not in lines


def test_two_engines_would_do(stand):
    """The shell holds nothing but the container's id: another one can be made of it at any time."""
    made = stand.make("redis")
    engine = DockerContainers(SOCKET, stand.server, stand.prefix)
    again = ContainerShell(engine, made.service.container_id, AgeSealing())
    assert again.run(("echo", "here")) == "here\n"
