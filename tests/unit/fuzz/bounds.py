"""What every reader of a stranger's bytes must keep: an answer or a foreseen error, soon, in little memory."""

import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from paas.errors import PaasError

T = TypeVar("T")

CPU_SECONDS = 5                          # of this process, so that a busy machine is no failure
MEMORY = 96 * 1024**2
MESSAGE = 2_000                          # characters


class Hang(BaseException):
    """Not an Exception: nothing that is tested may catch it."""


@contextmanager
def soon(seconds: float = CPU_SECONDS) -> Iterator[None]:
    """Raise :class:`Hang` when the work takes more processor time than that."""

    def late(*_: object) -> None:
        raise Hang(f"more than {seconds:g} s of processor time")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def small(limit: int = MEMORY) -> Iterator[None]:
    """The work never holds more than *limit* bytes of Python's memory."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak / 1024**2:.0f} MB held"


def answer(work: Callable[..., T], *given: object, also: tuple[type[Exception], ...] = ()) -> T | None:
    """What *work* returns; None where it refused by a foreseen error (or one of *also*), whose words are sound."""
    try:
        with soon():
            return work(*given)
    except also:
        return None
    except PaasError as error:
        check_words(error)
        return None


def check_words(error: PaasError) -> None:
    """Fit for a terminal: no control characters, not endless, no trace of Python."""
    text = f"{error.what} {error.hint}"
    assert error.what
    assert len(text) < MESSAGE, len(text)
    assert text.isprintable(), ascii(text)
    assert "Traceback" not in text
    assert "object at 0x" not in text
