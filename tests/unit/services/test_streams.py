"""The watchdog of a stream: a program that says nothing is ended, a reader that takes its time is waited for."""

import threading
import time

import pytest

from paas.errors import ServiceError
from paas.services.shell import Output

IDLE = 0.4


class Program:
    """What `Output` needs of a running program; it says *words*, then nothing until it is closed."""

    def __init__(self, *words, ends):
        self.words, self.ends, self.quiet_since, self.closed = words, ends, time.monotonic(), threading.Event()

    def pieces(self):
        yield from self.words
        if not self.ends:
            assert self.closed.wait(10)
            raise ServiceError("it was cut")

    def close(self):
        self.closed.set()


def test_a_reader_that_takes_its_time_is_waited_for():
    output = Output(Program(b"one", b"two", ends=True), IDLE)
    assert output.read(10) == b"one"
    time.sleep(3 * IDLE)
    assert [output.read(10), output.read(10)] == [b"two", b""]


def test_a_program_that_says_nothing_is_ended():
    program = Program(b"one", ends=False)
    output = Output(program, IDLE)
    assert output.read(10) == b"one"
    with pytest.raises(ServiceError, match="no data came"):
        output.read(10)
    assert program.closed.is_set()
