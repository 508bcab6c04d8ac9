"""Just enough of a runtime to open the front door in a test: keys, apps, events, repositories."""

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from paas import client
from paas.adapters.clock import SystemClock
from paas.errors import Conflict, NotFound
from paas.jobs import Jobs
from paas.model.access import Actor, Event, Grant, Key
from paas.model.app import App
from paas.model.rights import Role
from paas.ops.night_watch import Vigil
from paas.ops.sessions import Sessions
from paas.services.turns import Turns
from paas.settings import Settings
from paas.testing.fake_keys import FakeAuthorizedKeys

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class DoorStore:
    """Apps, keys and events of :class:`paas.ports_store.Store`, in memory."""

    def __init__(self) -> None:
        self._apps: dict[str, App] = {}
        self._keys: list[Key] = []
        self.recorded: list[Event] = []

    def create_app(self, name: str, subnet: str = "10.89.0.0/25", actor: Actor | None = None) -> App:
        if name in self._apps:
            raise Conflict(f"the app {name} exists already")
        self._apps[name] = App(len(self._apps) + 1, name, NOW, actor.name if actor else "root", subnet)
        return self._apps[name]

    def app(self, name: str) -> App:
        if name not in self._apps:
            raise NotFound(f"there is no app '{name}'", "List them with: apps:list")
        return self._apps[name]

    def find_app(self, name: str) -> App | None:
        return self._apps.get(name)

    def apps(self) -> list[App]:
        return [self._apps[name] for name in sorted(self._apps)]

    def keys(self) -> list[Key]:
        return list(self._keys)

    def add_key(self, name: str, type: str, blob: str, fingerprint: str, *, user: str = "",
                sources: Sequence[str] = (), expires_at: datetime | None = None) -> Key:
        number = max((key.id for key in self._keys), default=0) + 1
        self._keys.append(Key(number, name, type, blob, fingerprint, NOW, user or name, tuple(sources), expires_at))
        return self._keys[-1]

    def grants(self, *, user: str = "", app_id: int | None = None, service_id: int | None = None) -> list[Grant]:
        """Everybody is an admin here."""
        return [Grant(1, user, Role.ADMIN, None, None, NOW, "root")]

    def begin_intent(self, actor: Actor, verb: str, app: str, detail: dict[str, str]) -> int:
        return 1

    def intents(self) -> list:
        return []

    def set_setting(self, key: str, value: str | None) -> None:
        """Nobody asks for any."""

    def remove_key(self, key_id: int) -> None:
        self._keys = [key for key in self._keys if key.id != key_id]

    def add_event(self, actor: Actor, verb: str, app: str, result: str, detail: dict[str, str], *,
                  intent: int | None = None) -> Event:
        self.recorded.append(Event(len(self.recorded) + 1, NOW, actor.name, verb, app, result,
                                   {**detail, **actor.traits}))
        return self.recorded[-1]


@dataclass
class DoorRepos:
    """``ensure`` gives a directory per app; *make* prepares it (``git init`` in an e2e test)."""

    home: Path
    make: Any = None

    def ensure(self, app_id: int) -> Path:
        path = self.home / f"{app_id}.git"
        if not path.exists():
            path.mkdir(parents=True)
            if self.make:
                self.make(path)
        return path


@dataclass
class DoorPushes:
    """``paas.ops.pushes`` for a test: remembers what was asked; *work* is the deploy."""

    work: Any = None                     # (output, say, alive) -> exit code
    received: list[dict[str, Any]] = field(default_factory=list)

    def admit(self, rt: Any, actor: Actor, name: str) -> App:
        return rt.store.find_app(name) or rt.store.create_app(name, actor=actor)

    def receive(self, rt: Any, output: Any, actor: Actor, app_id: int, updates: Any, quarantine: Any,
                alive: Any, say: Any) -> int:
        self.received.append({"actor": actor, "app": app_id, "updates": updates, "quarantine": quarantine,
                              "alive": alive})
        return self.work(output, say, alive) if self.work else 0


class DoorHost:
    """A machine with room."""

    def disk(self, path: Path) -> tuple[int, int]:
        return 10**12, 10**12


class DoorOlder:
    """A database as young as what runs."""

    def require_none(self) -> None:
        """Nothing is refused."""


def door_runtime(home: Path, *, ssh_user: str = "nobody", lib_dir: Path | None = None) -> Any:
    """A stub runtime that lives below *home*."""
    settings = replace(Settings(), state_dir=home / "state", run_dir=home / "run", config_dir=home / "etc",
                       lib_dir=lib_dir or Settings().lib_dir, ssh_user=ssh_user)
    return SimpleNamespace(settings=settings, store=DoorStore(), keys=FakeAuthorizedKeys(),
                           repos=DoorRepos(home / "state" / "repos"), jobs=Jobs(home / "state"), clock=SystemClock(),
                           sessions=Sessions(), turns=Turns(), host=DoorHost(), older=DoorOlder(), vigil=Vigil(),
                           reopening=SimpleNamespace(), drains=SimpleNamespace(end=lambda: None))


class Wire:
    """Frames by hand."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._frames, self._waiting = client.Frames(), []

    def hello(self, *pairs, protocol: str = "1") -> "Wire":
        self.sock.sendall(client.frame(client.HELLO, client.fields([("protocol", protocol), *pairs])))
        return self

    def next(self) -> tuple[bytes, bytes] | None:
        while not self._waiting:
            data = self.sock.recv(65536)
            if not data:
                return None
            self._waiting += self._frames.feed(data)
        return self._waiting.pop(0)

    def until(self, kind: bytes) -> bytes:
        while (found := self.next()) is not None:
            if found[0] == kind:
                return found[1]
        raise AssertionError(f"closed before {kind}")

    def all(self) -> dict[bytes, bytes]:
        """Everything to the end, payloads joined by kind."""
        joined: dict[bytes, bytes] = {}
        with contextlib.suppress(ConnectionResetError):
            while (found := self.next()) is not None:
                joined[found[0]] = joined.get(found[0], b"") + found[1]
        return joined
