"""The platform over fakes: only the store is real (SQLite in memory)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from paas.adapters.sealing import Sealer
from paas.jobs import Jobs
from paas.model.access import Actor, Grant
from paas.model.app import App
from paas.model.rights import Role
from paas.ops import apps, pushes
from paas.runtime import Runtime
from paas.settings import Settings
from paas.store import open_store
from paas.testing.fake_buildpacks import FakeBuildpacks
from paas.testing.fake_containers import FakeContainers
from paas.testing.fake_events import FakeEngineEvents
from paas.testing.fake_images import FakeImages
from paas.testing.fake_keys import FakeAuthorizedKeys
from paas.testing.fake_prober import FakeProber
from paas.testing.fake_repos import FakeRepos
from paas.testing.fake_router import FakeRouter
from paas.testing.faults import Crash, Faults

ZERO = "0" * 40
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ALICE = Actor("alice", 1, "203.0.113.9", "alice",
              grants=(Grant(1, "alice", Role.ADMIN, None, None, EPOCH, "root"),))
DOCKERFILE = b'FROM busybox\nEXPOSE 8080\nCMD ["httpd"]\n'


class FastClock:
    """Time that passes only while somebody sleeps, and by *step* with every look at it."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.step = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        self.passed += self.step
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


class Lines(list):
    """An Output, and the lines of a followed job."""

    def stage(self, text: str) -> None:
        self.append(f"-----> {text}")

    heading = detail = stage

    def warn(self, text: str) -> None:
        self.append(f" !     {text}")

    @property
    def text(self) -> str:
        return "\n".join(self)


@dataclass
class Flow:
    rt: Runtime
    faults: Faults
    containers: FakeContainers
    images: FakeImages
    repos: FakeRepos
    router: FakeRouter
    prober: FakeProber
    clock: FastClock
    lines: Lines = field(default_factory=Lines)
    tips: dict[tuple[int, str], str] = field(default_factory=dict)
    crash: Crash | None = None

    def app(self, name: str = "hello") -> App:
        return self.rt.store.find_app(name) or apps.create(self.rt, ALICE, name)

    def commit(self, files: dict[str, bytes] | None = None, app: str = "hello") -> str:
        return self.repos.commit(self.app(app).id, {"Dockerfile": DOCKERFILE, **(files or {})})

    def push(self, commit: str, branch: str = "main", old: str | None = None, app: str = "hello") -> int:
        """What pre-receive does. The ref moves by settle_ref, as after a git that died behind the hook's yes."""
        app_id = self.app(app).id
        old = old if old is not None else self.tips.get((app_id, branch), ZERO)
        code = pushes.receive(self.rt, self.lines, ALICE, app_id, [(old, commit, f"refs/heads/{branch}")], None,
                              lambda: True, self.lines.append)
        if code == 0:
            self.tips[app_id, branch] = commit
        return code

    def deploy(self, text: str = "one", app: str = "hello") -> str:
        commit = self.commit({"index.html": text.encode()}, app)
        assert self.push(commit, app=app) == 0, self.lines.text
        self.settle()
        return commit

    def settle(self) -> None:
        """Wait for every job thread, retiring included."""
        import threading

        for thread in threading.enumerate():
            if thread.name.startswith("job-"):
                thread.join(10)
                assert not thread.is_alive()

    def dead_after_crash(self) -> None:
        """From the first Crash on every call of a port or of the store raises it too: a dead process does nothing."""
        for port in ("containers", "images", "repos", "router", "prober", "store"):
            object.__setattr__(self.rt, port, Mortal(getattr(self.rt, port), self))

    def restarted(self) -> Flow:
        """The same world with a new daemon."""
        alive = {name: port.wrapped for name, port in vars(self.rt).items() if isinstance(port, Mortal)}
        rt = replace(self.rt, **alive, jobs=Jobs(self.rt.settings.state_dir / "logs"))
        return replace(self, rt=rt, crash=None)


class Mortal:
    """A port that stops working for good once anybody's call crashed."""

    def __init__(self, wrapped: object, flow: Flow) -> None:
        self.wrapped, self.flow = wrapped, flow

    def __getattr__(self, name: str) -> object:
        method = getattr(self.wrapped, name)

        def call(*args: object, **kwargs: object) -> object:
            if self.flow.crash:
                raise self.flow.crash
            try:
                return method(*args, **kwargs)
            except Crash as crash:
                self.flow.crash = crash
                raise
        return call


def make_flow(tmp_path: Path) -> Flow:
    faults = Faults()
    containers, images = FakeContainers(faults), FakeImages(faults)
    router, repos, clock = FakeRouter(faults), FakeRepos(faults), FastClock()
    prober = FakeProber(faults)
    store = open_store(None, Sealer(b"k" * 32), clock.now)
    store.set_setting("global-domain", "apps.example.com")
    store.set_setting("watch-seconds", "0")
    rt = Runtime(
        settings=Settings(state_dir=tmp_path), store=store, containers=containers, images=images, repos=repos,
        router=router, prober=prober, buildpacks=FakeBuildpacks(faults),
        keys=FakeAuthorizedKeys(), clock=clock, jobs=Jobs(tmp_path / "logs"),
        engine_events=FakeEngineEvents(containers))
    return Flow(rt, faults, containers, images, repos, router, prober, clock)
