"""Regular expressions of users, tried where they can do no harm: see :mod:`paas.adapters.patterns_child`."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from paas.adapters import confined
from paas.adapters.patterns_child import ASK
from paas.errors import BadInput

PROGRAM = Path(__file__).with_name("patterns_child.py")
LIMIT = 1000                             # bytes of a pattern


class Tried:
    """See :class:`paas.ports_watch.Tried`."""

    def __init__(self, pattern: bytes, ignore_case: bool) -> None:
        self._process = confined.start(PROGRAM)
        try:
            self._begin((b"i" if ignore_case else b"-") + pattern)
        except BaseException:
            self.close()
            raise

    def _begin(self, words: bytes) -> None:
        self._send([words])
        first = self._process.stdout.read(1)
        if first != b"+":
            said = self._process.stdout.read().decode("utf-8", "replace") if first == b"!" else "it is too large"
            raise BadInput(f"the regular expression is not right: {said}",
                           "Its form is Python's (re); or give plain text with --search.")

    def _send(self, frames: Sequence[bytes], end: bytes = b"") -> None:
        with contextlib.suppress(BrokenPipeError):       # it has ended: what is read next says so
            self._process.stdin.write(b"".join(struct.pack(">L", len(one)) + one for one in frames) + end)
            self._process.stdin.flush()

    def on(self, lines: Sequence[bytes]) -> list[bool]:
        self._send(lines, struct.pack(">L", ASK))
        answers = self._process.stdout.read(len(lines))
        if len(answers) != len(lines):
            raise BadInput(f"the regular expression took more than {confined.CPU_SECONDS} s of processor time, and was "
                           "stopped",
                           "Make it simpler (nested repetitions like (a+)+ take ages), narrow it with --since or "
                           "--last, or give plain text with --search.")
        return [one == 49 for one in answers]

    def close(self) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        self._process.wait()


class ChildPatterns:
    """See :class:`paas.ports_watch.Patterns`."""

    @contextlib.contextmanager
    def tried(self, pattern: str, ignore_case: bool) -> Iterator[Tried]:
        words = pattern.encode("utf-8", "surrogateescape")
        if len(words) > LIMIT:
            raise BadInput(f"the regular expression has {len(words):,} bytes; {LIMIT:,} are allowed")
        made = Tried(words, ignore_case)
        try:
            yield made
        finally:
            made.close()
