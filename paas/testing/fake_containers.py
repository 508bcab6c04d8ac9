"""Containers in memory, with scripted behaviour: see :class:`FakeContainers`."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Protocol

from paas.errors import Conflict, EngineError, NotFound, PaasError
from paas.ports import ContainerSpec, ContainerState, Listener, LogLine
from paas.ports_watch import Happening
from paas.secret import Secret
from paas.testing.fake_files import FakeFiles
from paas.testing.fake_networks import FakeNetworks
from paas.testing.faults import Faults, faulty

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
WAIT = 30                                # seconds until a blocked fake gives up: a test that hangs says so


@dataclass(frozen=True)
class Behaviour:
    """What a container does once started. A "look" is a call of state() or listening()."""

    exits: int | None = None             # exit code; None: runs until stopped
    logs: Sequence[str] = ()             # lines to stdout at the start; one that begins with "!" goes to stderr
    listens: Sequence[Listener] | None = None    # None: 0.0.0.0 and $PORT if that is set
    looks: int = 0                       # looks before it listens, exits or changes its health
    health: str = ""                     # in the end; before that "starting"
    oom: bool = False
    echo: bool = False                   # sends its input back and ends when that ends, like cat
    ignores_term: bool = False           # SIGTERM does nothing; stop() then ends it by SIGKILL (137)
    start_error: PaasError | None = None
    exec_exit: int = 0                   # exit code of every exec in it
    user: str = ""                       # whom the image runs as; of names the images know only "app"


class KnownImages(Protocol):
    def has(self, reference: str) -> str | None: ...


@dataclass
class _Container:
    id: str
    spec: ContainerSpec
    labels: dict[str, str]
    behaviour: Behaviour
    image: str
    status: str = "created"              # created, running, exited
    exit_code: int | None = None
    looks: int = 0
    address: str = ""
    log: list[LogLine] = field(default_factory=list)
    started_at: datetime | None = None
    size: tuple[int, int] | None = None


class FakeAttachment:
    """Frames are the container's output from the moment of attaching; with ``echo`` what is sent comes back."""

    def __init__(self, owner: FakeContainers, container: _Container, tty: bool, echo: bool) -> None:
        self._owner, self._container, self._tty, self._echo = owner, container, tty, echo
        self._from = len(container.log)
        self._sent: list[bytes] = []
        self._eof = self._closed = False

    def send(self, data: bytes) -> None:
        with self._owner.changed:
            self._sent.append(data)
            self._owner.changed.notify_all()

    def close_stdin(self) -> None:
        with self._owner.changed:
            self._eof = True
            self._owner.changed.notify_all()
        self._finished()

    def _finished(self) -> None:
        if self._echo and self._container.status == "running":
            self._owner.crash(self._container.id, 0)

    def resize(self, columns: int, rows: int) -> None:
        self._container.size = (columns, rows)

    def frames(self) -> Iterator[tuple[str, bytes]]:
        at = self._from
        while True:
            with self._owner.changed:
                self._owner.changed.wait_for(lambda at=at: self._ready(at), WAIT)
                lines, sent = self._container.log[at:], self._sent if self._echo else []
                self._sent = []
                done = not lines and not sent
            at += len(lines)
            for line in lines:
                yield "stdout" if self._tty else line.stream, line.text + (b"\r\n" if self._tty else b"\n")
            for data in sent:
                yield "stdout", data
            if done:
                return

    def _ready(self, at: int) -> bool:
        return bool(self._closed or len(self._container.log) > at or (self._echo and self._sent)
                    or self._container.status == "exited")

    def close(self) -> None:
        with self._owner.changed:
            self._closed = True
            self._owner.changed.notify_all()


class FakeExec(FakeAttachment):
    """A command in a running container: sends its input back, ends with it."""

    def _finished(self) -> None:
        return

    def _ready(self, at: int) -> bool:
        return bool(self._closed or self._eof or self._sent or self._container.status == "exited")


class FakeLogs:
    """Iterator with close(), like the real one."""

    def __init__(self, owner: FakeContainers, container: _Container, lines: Sequence[LogLine], follow: bool) -> None:
        self._owner, self._container, self._follow = owner, container, follow
        self._lines, self._at, self._closed = list(lines), len(container.log), False

    def __iter__(self) -> FakeLogs:
        return self

    def __next__(self) -> LogLine:
        if not self._lines and self._follow and not self._closed:
            with self._owner.changed:
                self._owner.changed.wait_for(self._ready, WAIT)
                self._lines = self._container.log[self._at:]
                self._at = len(self._container.log)
        if not self._lines or self._closed:
            raise StopIteration
        return self._lines.pop(0)

    def _ready(self) -> bool:
        return bool(self._closed or len(self._container.log) > self._at or self._container.status != "running")

    def close(self) -> None:
        with self._owner.changed:
            self._closed = True
            self._owner.changed.notify_all()


class FakeContainers(FakeNetworks, FakeFiles):
    """See :class:`paas.ports.Containers`.

    ``behave(key, behaviour)`` scripts containers by image digest, by a label ("paas.process=worker"), or by both joined
    with "&"; the key with most parts that fits wins. Deterministic: ids, addresses and times are counted.

    :param images: a FakeImages, if create() is to refuse unknown images.
    """

    def __init__(self, faults: Faults | None = None, server: str = "server", prefix: str = "paas",
                 images: KnownImages | None = None) -> None:
        super().__init__()
        self.faults = faults or Faults()
        self.server, self.prefix, self.images = server, prefix, images
        self.changed = threading.Condition()
        self.signals: list[tuple[str, str]] = []         # (container id, signal) of every kill and stop
        self.engine_version = "20.10.24"
        self.happenings: list[Happening] = []            # starts and ends, as FakeEngineEvents tells them
        self.owners: dict[str, str] = {}                 # source of a mount → the user that it was given to
        self.used: set[str] = set()                      # sources that hold something
        self._behaviours: dict[frozenset[str], Behaviour] = {}
        self._containers: dict[str, _Container] = {}
        self._execs: dict[str, tuple[FakeAttachment, int]] = {}
        self._ids = itertools.count(1)
        self._ticks = itertools.count(1)

    # script and look inside --------------------------------------------------------------------------------------
    def behave(self, key: str, behaviour: Behaviour) -> None:
        self._behaviours[frozenset(key.split("&"))] = behaviour

    def crash(self, container_id: str, code: int = 1, *, oom: bool = False) -> None:
        """The container ends by itself."""
        container = self._get(container_id)
        with self.changed:
            ran, container.status = container.status == "running", "exited"
            container.exit_code, container.address = code, ""
            if oom:
                container.behaviour = Behaviour(**{**vars(container.behaviour), "oom": True})
            for kind in (["oom"] if oom else []) + ["die"] if ran else []:
                self._tell(container, kind, code if kind == "die" else None)
            self.changed.notify_all()

    def _tell(self, container: _Container, kind: str, code: int | None = None) -> None:
        own = {key: value for key, value in container.labels.items() if key.startswith("paas.")}
        self.happenings.append(Happening(kind, container.id, self.now(), code, own))

    def now(self) -> datetime:
        return datetime.fromtimestamp(EPOCH.timestamp() + next(self._ticks), UTC)

    def say(self, container_id: str, text: str, stream: str = "stdout") -> None:
        """The container writes a line."""
        container = self._get(container_id)
        with self.changed:
            container.log.append(LogLine(self.now(), stream, text.encode()))
            self.changed.notify_all()

    def running(self) -> list[str]:
        """Names of the running containers."""
        return sorted(one.spec.name for one in self._containers.values() if one.status == "running")

    def spec(self, container_id: str) -> ContainerSpec:
        return self._get(container_id).spec

    def answering(self, address: str, port: int) -> str | None:
        """Id of the container that a connection to address:port would reach; for a fake prober or proxy."""
        for one in self._containers.values():
            if one.address == address and any(found.port == port and not found.loopback for found in self._open(one)):
                return one.id
        return None

    def _get(self, key: str) -> _Container:
        found = self._containers.get(key) or next(
            (one for one in self._containers.values() if one.spec.name == key), None)
        if found is None:
            raise NotFound(f"Docker has no container {key}")
        return found

    def _behaviour(self, spec: ContainerSpec, labels: Mapping[str, str]) -> Behaviour:
        facts = {spec.image, *(f"{key}={value}" for key, value in labels.items())}
        fitting = [key for key in self._behaviours if key <= facts]
        return self._behaviours[max(fitting, key=len)] if fitting else Behaviour()

    # life ----------------------------------------------------------------------------------------------------------
    @faulty("containers.create")
    def create(self, spec: ContainerSpec) -> str:
        image = self.images.has(spec.image) if self.images else spec.image
        if image is None:
            raise NotFound(f"Docker could not create the container: no such image {spec.image}")
        if spec.network and spec.network not in self._networks:
            raise NotFound(f"Docker has no network {spec.network}")
        for one in [one for one in self._containers.values() if one.spec.name == spec.name]:
            if one.labels["paas.server"] != self.server:
                raise Conflict(f"a container named {spec.name} exists and is not of this server")
            del self._containers[one.id]
        labels = {**spec.labels, "paas.server": self.server}
        made = _Container(f"{next(self._ids):064x}", spec, labels, self._behaviour(spec, labels), image)
        self._containers[made.id] = made
        return made.id

    @faulty("containers.give_empty_mounts")
    def give_empty_mounts(self, container_id: str, below: Path) -> tuple[list[str], list[str]]:
        container = self._get(container_id)
        user = container.behaviour.user.partition(":")[0]
        new = [] if user in ("", "0", "root") else [
            one for one in container.spec.mounts if not one.read_only and one.source not in {*self.owners, *self.used}
            and (one.source.startswith(f"{self.prefix}-volume-") or below in Path(one.source).parents)]
        if new and not (user.isdigit() or user == "app"):
            return [], [f"the image's user '{user}' is not in its /etc/passwd: "
                        f"{', '.join(one.target for one in new)} stays root's"]
        self.owners.update({one.source: user for one in new})
        return sorted(one.target for one in new), []

    @faulty("containers.start")
    def start(self, container_id: str) -> None:
        container = self._get(container_id)
        if container.status == "running":
            return
        if container.behaviour.start_error:
            raise container.behaviour.start_error
        with self.changed:
            container.address = self._address(container.spec)
            container.status, container.exit_code, container.looks = "running", None, 0
            container.started_at = self.now()
            self._tell(container, "start")
            self.changed.notify_all()
        for line in container.behaviour.logs:
            self.say(container.id, line.removeprefix("!"), "stderr" if line.startswith("!") else "stdout")
        self._settle(container)

    def _address(self, spec: ContainerSpec) -> str:
        if not spec.network:
            return ""
        taken = {one.address for one in self._containers.values()}
        if spec.address:
            if spec.address in taken:
                raise EngineError("Docker could not start the container: Address already in use")
            return spec.address
        _, upper = ip_network(self._networks[spec.network][0]).subnets(prefixlen_diff=1)
        return next(str(one) for one in upper if str(one) not in taken)

    def _settle(self, container: _Container) -> None:
        code = container.behaviour.exits
        if container.status == "running" and code is not None and container.looks >= container.behaviour.looks:
            self.crash(container.id, code, oom=container.behaviour.oom)

    def _look(self, container_id: str) -> _Container:
        container = self._get(container_id)
        self._settle(container)
        container.looks += 1
        return container

    @faulty("containers.set_restart")
    def set_restart(self, container_id: str, policy: str) -> None:
        container = self._get(container_id)
        container.spec = replace(container.spec, restart=policy)

    @faulty("containers.stop")
    def stop(self, container_id: str, timeout: int) -> None:
        container = self._find(container_id)
        if container and container.status == "running":
            self.signals.append((container.id, "SIGTERM"))
            self.crash(container.id, 137 if container.behaviour.ignores_term else 143)

    def _find(self, container_id: str) -> _Container | None:
        try:
            return self._get(container_id)
        except NotFound:
            return None

    @faulty("containers.kill")
    def kill(self, container_id: str, signal: str) -> None:
        container = self._get(container_id)
        if container.status != "running":
            return
        self.signals.append((container.id, signal))
        if signal in ("SIGKILL", "KILL", "9"):
            self.crash(container.id, 137)
        elif signal == "SIGTERM" and not container.behaviour.ignores_term:
            self.crash(container.id, 143)

    @faulty("containers.wait")
    def wait(self, container_id: str) -> int:
        container = self._get(container_id)
        with self.changed:
            self.changed.wait_for(lambda: container.status == "exited", WAIT)
        return container.exit_code or 0

    @faulty("containers.remove")
    def remove(self, container_id: str) -> None:
        container = self._find(container_id)
        if container is None:
            return
        self.crash(container.id, 137 if container.status == "running" else container.exit_code or 0)
        del self._containers[container.id]

    # looking -------------------------------------------------------------------------------------------------------
    @faulty("containers.state")
    def state(self, container_id: str) -> ContainerState:
        return self._state(self._look(container_id))

    def _state(self, one: _Container) -> ContainerState:
        running = one.status == "running"
        early = one.looks <= one.behaviour.looks
        health = ("starting" if early else one.behaviour.health) if running and one.behaviour.health else ""
        return ContainerState(
            id=one.id, name=one.spec.name, labels=one.labels, running=running, exit_code=one.exit_code,
            oom_killed=one.behaviour.oom and one.status == "exited", restarts=0, address=one.address,
            image=one.image, health=health, started_at=one.started_at)

    @faulty("containers.list")
    def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        wanted = {**labels, "paas.server": self.server}.items()
        return [self._state(one) for one in self._containers.values() if wanted <= one.labels.items()]

    @faulty("containers.listening")
    def listening(self, container_id: str) -> list[Listener]:
        return self._open(self._look(container_id))

    def _open(self, one: _Container) -> list[Listener]:
        if one.status != "running" or one.looks < one.behaviour.looks:
            return []
        if one.behaviour.listens is not None:
            return [*one.behaviour.listens]
        port = one.spec.environment.get("PORT")
        return [Listener("0.0.0.0", int(port.reveal()))] if port else []

    @faulty("containers.memory")
    def memory(self, container_id: str) -> int:
        return 50_000_000 if self._get(container_id).status == "running" else 0

    @faulty("containers.logs")
    def logs(self, container_id: str, *, tail: int | None = None, follow: bool = False,
             since: datetime | None = None) -> FakeLogs:
        container = self._get(container_id)
        lines = [line for line in container.log if not since or (line.at and line.at >= since)]
        return FakeLogs(self, container, lines if tail is None else lines[len(lines) - min(tail, len(lines)):], follow)

    @faulty("containers.version")
    def version(self) -> str:
        return self.engine_version

    # streams -------------------------------------------------------------------------------------------------------
    @faulty("containers.attach")
    def attach(self, container_id: str, tty: bool) -> FakeAttachment:
        container = self._get(container_id)
        return FakeAttachment(self, container, tty, container.behaviour.echo)

    @faulty("containers.exec")
    def exec(self, container_id: str, command: Sequence[str], tty: bool,
             environment: Mapping[str, Secret], user: str = "") -> tuple[str, FakeAttachment]:
        container = self._get(container_id)
        if container.status != "running":
            raise Conflict("Docker could not run the command in the container: it is not running")
        made = FakeExec(self, container, tty, echo=True)
        exec_id = f"exec{next(self._ids)}"
        self._execs[exec_id] = (made, container.behaviour.exec_exit)
        return exec_id, made

    @faulty("containers.exec_exit_code")
    def exec_exit_code(self, exec_id: str) -> int | None:
        if exec_id not in self._execs:
            raise NotFound("Docker has no such exec")
        made, code = self._execs[exec_id]
        return code if made._eof or made._closed else None
