"""The only door for plugins: what is not here is not theirs.

A plugin is a directory in ``plugins/`` with ``plugin.toml`` (``name``, ``api = 1``, ``summary``) and ``plugin.py``,
which offers ``datastore``, a :class:`Datastore`. From it the platform makes the whole family of commands
(``postgres:create``, ``postgres:link``, ``postgres:backup``, …): a plugin says only what is particular to its program.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from paas.errors import BadInput, Forged, ServiceError
from paas.model.backup import Contents, Table
from paas.model.service import Service
from paas.ports_backup import Conversation, Reader, Shell, Writer
from paas.secret import Secret

__all__ = ["BadInput", "Contents", "Conversation", "Datastore", "Forged", "LogState", "Plan", "PointInTime", "Program",
           "Reader", "Secret", "Service", "ServiceError", "Shell", "Snapshot", "Table", "Writer", "differences"]

API = 1


@dataclass(frozen=True)
class Plan:
    """How the container of a service runs. Volume, network, limits, labels and posture are the platform's."""

    data: str                            # where the volume is mounted
    environment: Mapping[str, Secret] = field(default_factory=dict)
    command: tuple[str, ...] = ()        # instead of the image's; empty: the image's
    shm: int = 0                         # bytes of /dev/shm; 0: the engine's default


@dataclass(frozen=True)
class Program:
    command: tuple[str, ...]
    environment: Mapping[str, Secret] = field(default_factory=dict)


class Snapshot(Protocol):
    """One consistent state of the data, held until its context ends."""

    def dump(self) -> Reader:
        """All of it as a stream of zstd frames (see :meth:`Shell.compressed`), to be read to its end once."""

    def contents(self) -> Contents:
        """What that same state holds. Called after the dump was read."""


@dataclass(frozen=True)
class LogState:
    """What the datastore says of its log, and of the slot that keeps it for the receiver."""

    position: int                        # bytes from the log's beginning that are safely written (LSN)
    timeline: int
    segment_size: int                    # bytes
    system: str                          # names these very data; another one after each initdb
    slot: str                            # "reserved", "extended", "unreserved", "lost" (as wal_status), "missing"
    held: int                            # bytes of log that the slot keeps
    streaming: bool                      # the receiver is connected
    received: int = 0                    # position up to which it says that it has written


class PointInTime(ABC):
    """What a datastore offers so that it can be restored to any time: whole copies, and its log as it is written.

    The receiver is a container of the platform's from the same image, in the service's own network, with an empty
    directory at ``SPOOL``; see :mod:`paas.backups.pitr_receiver`. A restore unpacks a base into a new volume and lets
    the datastore apply the log, which it asks for by a program at ``FEED``; see :mod:`paas.backups.pitr_feed`.
    """

    SPOOL, FEED = "/paas/spool", "/paas/feed/fetch"

    @abstractmethod
    def begin(self, shell: Shell, service: Service) -> None:
        """A fresh slot, and whom the receiver comes as (secret "replication-password"). Idempotent."""

    @abstractmethod
    def end(self, shell: Shell, service: Service) -> None:
        """Take away what `begin` made, also where it came along with restored data. Idempotent."""

    @abstractmethod
    def state(self, shell: Shell, service: Service) -> LogState: ...

    @abstractmethod
    def receiver(self, service: Service, host: str, most: int) -> Program:
        """Keeps receiving into SPOOL, reconnects, and pauses while *most* files lie there. Runs as `user`."""

    @abstractmethod
    def owner(self, shell: Shell) -> tuple[int, int]:
        """(user, group) that the datastore's programs run as, as numbers."""

    @abstractmethod
    def kept(self, service: Service) -> Mapping[str, str]:
        """Settings that a copy of the data needs, whatever the copy is called."""

    @abstractmethod
    def base(self, shell: Shell, service: Service, label: str) -> Reader:
        """A whole copy while it works, as zstd frames."""

    @abstractmethod
    def unpack(self, shell: Shell, write: Callable[[Writer], None]) -> None:
        """Into the empty volume; *write* gives the base, decompressed. ServiceError: it is not whole."""

    @abstractmethod
    def recovery(self, service: Service, at: datetime | None) -> Plan:
        """The server that applies the log: up to and with the last commit not later than *at*, or all of it."""

    @abstractmethod
    def recovered(self, shell: Shell) -> bool:
        """Has it applied the log, and is it ready? ServiceError counts as no."""

    @abstractmethod
    def ended_early(self, words: str) -> bool:
        """Do its last words say that the log ended, and no commit later than the wanted time was in it?"""

    @abstractmethod
    def inspect(self, shell: Shell) -> tuple[str, ...]:
        """Look for damage in the volume while no server runs on it: one line for each."""


class Datastore(ABC):
    """One kind of data service. Instances hold no state; all methods get the service that they are about."""

    name: str                            # "postgres": first word of the commands, also of host names
    title: str                           # "PostgreSQL"
    image: str                           # official image, "postgres"
    versions: tuple[str, ...]            # tags offered, oldest first
    default: str                         # taken where no other is asked for
    port: int
    variable: str                        # "DATABASE" → DATABASE_URL
    kind: str                            # of its backups: "logical", "rdb"
    unit: str = "rows"                   # what `Table.rows` counts
    stop_timeout: int = 60               # seconds from the stop signal to SIGKILL
    by_hand: tuple[str, ...] = ()        # the program that reads a dump, for people who restore without paas
    settings: Mapping[str, tuple[str, ...]] = MappingProxyType({})   # its own, for `set`: key → values, default first
    pitr: PointInTime | None = None      # None: it cannot be restored to a time between two backups

    @abstractmethod
    def plan(self, service: Service) -> Plan: ...

    @abstractmethod
    def ready(self, shell: Shell, service: Service) -> bool:
        """Does it answer? Asked a few times a second; ServiceError counts as no."""

    def prepare(self, shell: Shell, service: Service) -> None:
        """Once, when an empty service has become ready: roles, databases."""
        return

    def rekey(self, shell: Shell, service: Service) -> None:
        """The data came from elsewhere (a restore): give this service's users this service's passwords."""
        return

    @abstractmethod
    def url(self, service: Service, host: str, port: int) -> str:
        """What goes into ``<ALIAS>_URL``, password included, percent-encoded."""

    @abstractmethod
    def console(self, service: Service) -> Program:
        """The interactive client, as the application's user."""

    @abstractmethod
    def facts(self, shell: Shell, service: Service) -> dict[str, object]:
        """For ``info``: at the least "version", "size" (bytes) and "connections"."""

    @abstractmethod
    def snapshot(self, shell: Shell, service: Service, label: str) -> contextmanager[Snapshot]:
        """Hold one state of the data. *label* is given to sessions, so that :meth:`end_stale` finds them."""

    def end_stale(self, shell: Shell, label: str) -> None:
        """End sessions whose label begins with *label*: their backup died."""
        return

    @abstractmethod
    def load(self, shell: Shell, service: Service, write: Callable[[Writer], None]) -> None:
        """Fill an empty, prepared service. *write* gives the dump, decompressed. ServiceError at the first error."""

    @abstractmethod
    def contents(self, shell: Shell, service: Service) -> Contents:
        """What it holds now, by the same method as a snapshot's."""

    def inspect(self, shell: Shell, service: Service) -> tuple[str, ...]:
        """Look for damage after a restore (amcheck, …): one line for each; empty: sound."""
        return ()

    def same(self, before: Contents, after: Contents) -> tuple[str, ...]:
        """What differs, one line each; empty: the restored data are those of the snapshot."""
        return differences(before, after)


def differences(before: Contents, after: Contents) -> tuple[str, ...]:
    """Tables by name, rows and digest, then facts."""
    if before.method != after.method:
        return (f"taken by another method: {before.method}, not {after.method}",)
    return (*table_differences(before, after),
            *(f"{name}: {before.facts.get(name, 'nothing')} became {after.facts.get(name, 'nothing')}"
              for name in sorted(before.facts.keys() | after.facts.keys())
              if before.facts.get(name) != after.facts.get(name)))


def table_differences(before: Contents, after: Contents) -> Iterator[str]:
    then, now = ({table.name: table for table in one.tables} for one in (before, after))
    for name in sorted(then.keys() | now.keys()):
        if name not in now:
            yield f"{name} is missing"
        elif name not in then:
            yield f"{name} should not be there"
        elif then[name].rows != now[name].rows:
            yield f"{name} has {now[name].rows:,} rows instead of {then[name].rows:,}"
        elif then[name].digest != now[name].digest:
            yield f"{name} has other content in its {now[name].rows:,} rows"
