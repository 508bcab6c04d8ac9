"""How far long work is: one line that rewrites itself on a terminal, plain lines now and then elsewhere (CI)."""

import time
from typing import Self

from paas.cli.base import Call

TERMINAL_SECONDS, PLAIN_SECONDS = 0.3, 30.0


class Progress:
    """Called as ``progress(stage, bytes)``, from any thread, as often as one likes. ``with`` ends its line."""

    def __init__(self, call: Call) -> None:
        self._call, self._live = call, call.session.tty is not None
        self._stage, self._began, self._told, self._size = "", 0.0, 0.0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.done()

    def __call__(self, stage: str, size: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self.done()
            self._stage, self._began, self._told = stage, now, now
            if not self._live:
                self._call.say(f"-----> {stage}")
        self._size = size
        if now - self._told >= (TERMINAL_SECONDS if self._live else PLAIN_SECONDS):
            self._told = now
            self._show(now)

    def _show(self, now: float, end: str = "") -> None:
        if self._call.quiet:
            return
        if self._live:
            self._call.session.err(f"\r\x1b[K-----> {self._stage}{self._figures(now)}{end}")
        elif self._size:
            self._call.say(f"       {self._figures(now).strip(' :')}")

    def _figures(self, now: float) -> str:
        if not self._size:
            return ""
        seconds = max(now - self._began, 0.001)
        return f": {self._size / 1e6:,.1f} MB, {self._size / seconds / 1e6:.1f} MB/s, {seconds:.0f} s"

    def done(self) -> None:
        """The last stage is over; whatever is said next begins on a line of its own."""
        if self._stage:
            self._show(time.monotonic(), "\n")
        self._stage, self._size = "", 0
