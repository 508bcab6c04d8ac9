"""Ports of scale to zero: who asks for an app that sleeps, and a container that stays stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Knock:
    """A request to an app that sleeps, held by the proxy; only what is needed to decide."""

    host: str                            # as the client wrote it, without a port
    path: str                            # with the query
    agent: str                           # User-Agent; empty: none


@dataclass(frozen=True)
class Verdict:
    """What the proxy does with the request: to *target* (``ip:port``), or the platform's page with *status*."""

    target: str = ""
    status: int = 503                    # where there is no target: 404, or 503 with Retry-After


class Door(Protocol):
    """Where the proxy asks about requests to apps that sleep."""

    def serve(self, knock: Callable[[Knock, Callable[[Verdict], None]], None], stop: threading.Event) -> None:
        """Until *stop*. *knock* never waits; its second argument is called once, by any thread, now or later.

        A client that leaves meanwhile is not told of. OSError: the socket cannot be made.
        """


class Restarts(Protocol):
    """What adapters of :class:`paas.ports.Containers` also do."""

    def set_restart(self, container_id: str, policy: str) -> None:
        """When the engine starts it by itself, from now on: "no", "always", "on-failure:10". NotFound, EngineError."""
