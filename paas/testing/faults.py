"""Faults on demand in the fakes: fail the n-th call of a method, before or after it did its work.

Every fake announces its calls as ``<port>.<method>``, e.g. ``containers.start``: by the decorator :func:`faulty`, or by
``faults.call(name)`` as its first statement. A test runs a flow once without faults, reads ``faults.points()``, and
runs it again with a fault at each of them.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any


class Crash(BaseException):
    """The process dies here: no handler of foreseen errors catches it."""


class Faults:
    """Shared by all fakes of one test. Thread-safe."""

    def __init__(self) -> None:
        self.calls: list[str] = []       # names, in order of the calls
        self._planned: dict[tuple[str, int, bool], BaseException] = {}
        self._count: Counter[str] = Counter()
        self._lock = threading.Lock()

    def fail_on(self, name: str, nth: int = 1, error: BaseException | None = None, *, after: bool = False) -> None:
        """The *nth* call of *name* from now on raises *error* (default: Crash).

        :param after: raise when the work is done, as when the answer got lost.
        """
        with self._lock:
            self._planned[(name, self._count[name] + nth, after)] = error or Crash(f"{name} #{nth}")

    def plan(self, name: str, error: BaseException, nth: int = 1) -> None:
        """``fail_on`` with the words in another order."""
        self.fail_on(name, nth, error)

    def call(self, name: str) -> None:
        """Record a call of *name*; raise what is planned for it."""
        self.before(name)

    def clear(self) -> None:
        """Forget plans and calls."""
        with self._lock:
            self._planned.clear()
            self.calls.clear()
            self._count.clear()

    def points(self) -> list[tuple[str, int]]:
        """(name, nth) of every call so far: what to hand to fail_on in a fresh run."""
        seen: Counter[str] = Counter()
        points = []
        for name in self.calls:
            seen[name] += 1
            points.append((name, seen[name]))
        return points

    @property
    def pending(self) -> list[str]:
        """Planned faults that did not happen (a test may want none)."""
        return [name for name, _, _ in self._planned]

    def before(self, name: str) -> int:
        with self._lock:
            self.calls.append(name)
            self._count[name] += 1
            nth = self._count[name]
        self._raise(name, nth, after=False)
        return nth

    def after(self, name: str, nth: int) -> None:
        self._raise(name, nth, after=True)

    def _raise(self, name: str, nth: int, *, after: bool) -> None:
        error = self._planned.pop((name, nth, after), None)
        if error is not None:
            raise error


def faulty(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a method of a fake that has a ``faults`` attribute."""
    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            nth = self.faults.before(name)
            result = method(self, *args, **kwargs)
            self.faults.after(name, nth)
            return result
        return call
    return decorate
