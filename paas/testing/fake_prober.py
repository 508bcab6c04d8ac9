"""A fake of :class:`paas.ports.Prober`: probes that answer from a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from paas.ports import Answer
from paas.testing.faults import Faults

BODY_LIMIT = 64 * 1024
REFUSED = Answer(0, "connection refused")
NO_ANSWER = Answer(0, "not an HTTP answer")
NO_TLS = Answer(0, "no TLS is spoken there")


class FakeProber:
    """``answers[port]``, or ``pages[port, path]``, is what is answered there; else ``default``.

    ``secure``: the ports where TLS is spoken, and nothing else.
    ``asked``: (address, port, path, host) of each call; ``sent``: its header fields and its limit on the body.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.default = Answer(200)
        self.answers: dict[int, Answer] = {}
        self.pages: dict[tuple[int, str], Answer] = {}
        self.secure: set[int] = set()
        self.asked: list[tuple[str, int, str, str]] = []
        self.sent: list[tuple[dict[str, str], int | None]] = []

    def get(self, address: str, port: int, path: str, host: str, timeout: float,
            headers: Sequence[tuple[str, str]] = (), body_limit: int | None = None, tls: bool = False) -> Answer:
        self.faults.call("prober.get")
        self.asked.append((address, port, path, host))
        self.sent.append((dict(headers), body_limit))
        found = self.pages.get((port, path)) or self.answers.get(port, self.default)
        if found.status and tls != (port in self.secure):
            return NO_TLS if tls else NO_ANSWER
        return replace(found, body=found.body[:BODY_LIMIT if body_limit is None else body_limit])
