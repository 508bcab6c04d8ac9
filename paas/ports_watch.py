"""Ports of the night watch: what the engine reports, what the proxy counted, where messages go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from paas.model.drain import Drain, DrainLine
from paas.model.incident import Address, ChannelType
from paas.model.message import Message
from paas.model.traffic import Traffic
from paas.secret import Secret


@dataclass(frozen=True)
class Happening:
    """Something that befell one of this server's containers."""

    kind: str                            # "start", "die", "oom"
    container_id: str
    at: datetime
    exit_code: int | None = None         # of a "die"
    labels: Mapping[str, str] = field(default_factory=dict)


class EngineEvents(Protocol):
    def follow(self, since: datetime | None, watching: Callable[[], bool]) -> Iterator[Happening]:
        """Happenings as they come, those after *since* first, until nobody is *watching* (asked once a second or more).

        :raises EngineError: the engine went away; follow again from the last happening's time on.
        """


class PublicPorts(Protocol):
    """What :class:`paas.ports.Router` can do beside. Its `apply` leaves out, as if they were not in the sites, public
    ports that another program holds; and `current` says no once one of them is free."""

    def taken(self, numbers: Iterable[int]) -> frozenset[int]:
        """Which of these ports another program listens on. ProxyError: the proxy does not answer."""


class TrafficCounters(Protocol):
    def read(self) -> Mapping[str, Traffic]:
        """Host (as its :class:`paas.ports.Site` has it) → what clients asked of it since the last `settle` before this
        process; only grows. Hosts of nobody are left out, and so is what the platform itself asks by `Router.ask`.

        Of an answer with 5xx that the proxy gave itself, the time is what passed until it gave up. A switch to another
        protocol (a websocket) has a status, but no time.

        :raises ProxyError: the counts cannot be read, or the proxy does not count (server setting `metrics`).
        """

    def settle(self) -> None:
        """What was read is stored: a process that is started later counts from here on."""


@dataclass(frozen=True)
class Load:
    """What one running container uses."""

    cpu: float                           # seconds of processor time since it started
    memory: int                          # bytes, without cache that can be dropped
    restarts: int                        # by the engine, since it was made


class Loads(Protocol):
    def read(self, container_ids: Iterable[str]) -> Mapping[str, Load]:
        """Of those that run. :raises EngineError: the engine does not answer."""


class Tried(Protocol):
    def on(self, lines: Sequence[bytes]) -> list[bool]:
        """Which of them it matches somewhere. BadInput: it took more processor time than a search may."""


class Patterns(Protocol):
    def tried(self, pattern: str, ignore_case: bool) -> AbstractContextManager[Tried]:
        """A regular expression of a user's, in Python's form, over bytes; it can hold up nobody but its caller.

        :raises BadInput: it is none, or too long.
        """


class Databases(Protocol):
    def count(self, path: Path) -> tuple[int, int] | None:
        """Tables of the app's own, and rows in all of them, of a SQLite database without a log beside it. It can hold
        up nobody but its caller, for a minute. None: it is too large for that, or SQLite cannot say."""


class Messengers(Protocol):
    """Ways out of this machine. TLS is verified, redirects are not followed, and each call ends within a minute."""

    def send(self, type: ChannelType, address: Address, message: Message) -> str:
        """What the other side answered, in a line. PaasError: it cannot be reached, or did not take it."""

    def ping(self, url: Secret) -> None:
        """One GET. PaasError: no answer, or none of 2xx."""


class LogSink(Protocol):
    def send(self, lines: Sequence[DrainLine]) -> None:
        """All of them, in this order; what was sent and not taken may come again.

        :raises BadInput: they will never be taken (too old, not understood); the next ones may be.
        :raises PaasError: not now.
        """

    def close(self) -> None: ...


class LogSinks(Protocol):
    def open(self, drain: Drain, host: str) -> LogSink:
        """Where *drain* leads (any kind but CloudWatch). Nothing is connected yet.

        :param host: this server's name, for the lines.
        """


@dataclass(frozen=True)
class Used:
    """What one object of the engine takes on the disk."""

    name: str
    labels: Mapping[str, str]
    size: int                            # bytes: of an image what no other shares, of a container what it has written
    log: int = 0                         # bytes of a container's kept log


@dataclass(frozen=True)
class EngineUse:
    """Images and containers of this server; volumes of everybody, since apps' own have no labels."""

    images: tuple[Used, ...]
    containers: tuple[Used, ...]
    volumes: tuple[Used, ...]
    layers: int                          # bytes of all layers of all images on the engine
    cache: int                           # bytes of the build cache


class EngineDisk(Protocol):
    def use(self) -> EngineUse:
        """Takes seconds where there is much. :raises EngineError: no answer."""

    def root(self) -> Path:
        """The engine's data directory."""


class DiskFiles(Protocol):
    """Files, and the one that holds a place. :raises NoSpace: of `hold`; nothing else raises but bugs."""

    def below(self, path: Path) -> int:
        """Bytes that a file, or all in a directory, takes on its disk; mounts and symbolic links are not followed. What
        cannot be read, or is not there, is 0."""

    def same_disk(self, one: Path, other: Path) -> bool: ...
    def held(self, path: Path) -> int:
        """Bytes of the file at *path*; 0: there is none."""

    def hold(self, path: Path, size: int) -> None:
        """Make a file of that size there, its blocks allocated. NoSpace: and then there is none."""

    def let_go(self, path: Path) -> None:
        """Remove it, without needing any space."""
