"""A server with an app and two services, its target, and an empty machine that becomes it; over fakes, with real files,
SQLite, age and zstd."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from paas.adapters.age import AgeSealing
from paas.adapters.installation import ThisInstallation
from paas.adapters.sealing import load_or_create
from paas.backups import keyring, platform
from paas.jobs import Jobs
from paas.model.backup import Target, Trigger
from paas.model.service import ServiceState
from paas.ops import backup_due, config, guarded, server_backup, server_restore
from paas.plugin import Plugins
from paas.runtime import Reopening, Runtime
from paas.secret import Secret
from paas.services import engine
from paas.services.turns import Turns
from paas.store import open_store
from paas.testing.fake_objects import FakeTargets
from tests.flow.backup_world import Memory, MortalTargets
from tests.flow.over_fakes import ALICE, Flow, make_flow

URL = "s3://bucket/paas"
KEY = base64.b64encode(b"k" * 32)


def silent(*_: object) -> None:
    """Progress that nobody wants."""


@dataclass
class Machine:
    flow: Flow
    memory: Memory
    said: list[str] = field(default_factory=list)

    @property
    def rt(self) -> Runtime:
        return self.flow.rt

    def take(self, rt: Runtime) -> None:
        self.flow = replace(self.flow, rt=rt)

    def restore(self, identity: Secret, backup: str = "", **given: object):
        words = {"unproven": False, "confirmed": False, **given}
        return server_restore.restore(self.rt, ALICE, Target(URL), backup, identity, progress=silent,
                                      say=self.said.append, take=self.take, **words)

    def restarted(self) -> Machine:
        """A new daemon on the same disk and engine."""
        raw = self.flow.restarted()
        targets = raw.rt.targets.wrapped if isinstance(raw.rt.targets, MortalTargets) else raw.rt.targets
        rt = reopened(replace(raw.rt, targets=targets, turns=Turns(), heavy=threading.RLock()))
        made = Machine(replace(raw, rt=rt), self.memory)
        rt.reopening.by = lambda swap: by(made, swap)
        return made


def by(machine: Machine, swap) -> Runtime:
    """As the daemon does."""
    machine.rt.store.close()
    try:
        swap()
    finally:
        rt = reopened(machine.rt)
        rt.reopening.by, machine.rt.reopening.now = machine.rt.reopening.by, rt
    return rt


def reopened(rt: Runtime) -> Runtime:
    rt.installation.swap()
    return replace(rt, store=rt.open_at(rt.settings.database, rt.settings.master_key), reopening=Reopening(),
                   jobs=Jobs(rt.settings.state_dir / "logs"))


def opened_by(clock):
    return lambda database, key: open_store(database, load_or_create(key, may_create=False), clock.now)


def machine(path: Path, memory: Memory | None = None, targets: FakeTargets | None = None, repos=None) -> Machine:
    """An empty one, after an installation."""
    path.mkdir(parents=True)
    flow = make_flow(path)
    flow.rt.store.close()
    memory = memory or Memory(flow.faults)
    memory.faults, memory.padding = flow.faults, 1000
    settings = replace(flow.rt.settings, config_dir=path / "etc", ssh_user="nobody", proxy_user="nobody")
    settings.config_dir.mkdir()
    settings.master_key.write_bytes(KEY)
    settings.master_key.chmod(0o400)
    targets = targets or FakeTargets(flow.faults, flow.clock.now)
    rt = replace(flow.rt, settings=settings, open_at=opened_by(flow.clock),
                 store=opened_by(flow.clock)(settings.database, settings.master_key),
                 plugins=Plugins({"mem": memory}), targets=targets, sealing=AgeSealing(), repos=repos or flow.repos,
                 installation=ThisInstallation(settings))
    rt.store.set_setting("server-id", path.name)
    rt.store.set_setting("global-domain", "apps.example.com")
    rt.store.set_setting("watch-seconds", "0")
    made = Machine(replace(flow, rt=rt, repos=rt.repos), memory)
    rt.reopening.by = lambda swap: by(made, swap)
    return made


@dataclass
class Lost:
    """A server that is gone, and what was known of it."""

    machine: Machine
    identity: Secret
    known: dict[str, object]

    def empty(self, path: Path) -> Machine:
        """The other machine: nothing of the lost one but its target and, in it, its repositories."""
        made = machine(path, self.machine.memory, self.machine.rt.targets, self.machine.rt.repos)
        made.memory.data = {}
        for owner in (made.rt.targets, made.rt.repos):
            owner.faults = made.flow.faults
        for store in getattr(made.rt.targets, "stores", {}).values():
            store.faults = made.flow.faults
        made.flow.faults.clear()
        return made


def server(path: Path, *, images: bool = False) -> Lost:
    """App `hello` with two releases; `mem/db` with rows and a backup; `mem/cache` without any."""
    made = machine(path)
    rt = made.rt
    rt.store.set_backup_target("", Target(URL))
    made.flow.deploy("one")
    config.apply_change(rt, made.flow.app(), ALICE, lambda now: {**now, "COLOUR": Secret("blue")}, "config:set",
                        restart=True, say=silent)
    made.flow.settle()
    for name in ("db", "cache"):
        engine.create(rt, ALICE, made.memory, name)
    made.memory.tables(rt.store.service("mem", "db")).update({"notes": [[1, "a"], [2, "b"]]})
    backup_due.with_retention(rt, rt.store.service("mem", "db"), Trigger.MANUAL, ALICE)
    (rt.settings.repos_dir / "1.git").mkdir(parents=True)
    (rt.settings.repos_dir / "1.git" / "HEAD").write_text("ref: refs/heads/main\n")
    server_backup.make(rt, ALICE, images=images, storage=None, progress=silent)
    return Lost(made, keyring.keyring(rt).identity, known(made))


def known(made: Machine) -> dict[str, object]:
    """What must be the same on the other machine."""
    rt = made.rt
    app = rt.store.app("hello")
    return {
        "server": rt.store.settings()["server-id"],
        "releases": [(one.version, one.state, one.commit, dict(one.config)) for one in rt.store.releases(app.id)],
        "config": rt.store.config(app.id), "domains": [one.name for one in rt.store.domains(app.id)],
        "db": made.memory.tables(rt.store.service("mem", "db")),
        "secrets": {one.name: dict(one.secrets) for one in rt.store.services()},
        "keyring": keyring.keyring(rt).recipients,
    }


def serving(made: Machine) -> bool:
    """The app's instance runs and is what the proxy points to."""
    rt = made.rt
    app = rt.store.app("hello")
    rows = rt.store.instances(app.id)
    return bool(rows) and all(rt.containers.state(row.container_id).running for row in rows) and (
        rt.router.pointed(app.id) == tuple(row.target for row in rows))


def states(made: Machine) -> dict[str, ServiceState]:
    return {one.name: one.state for one in made.rt.store.services()}


def rows(made: Machine):
    return made.rt.store.backups(guarded.itself(made.rt).uid)


__all__ = ["ALICE", "Lost", "Machine", "known", "machine", "platform", "rows", "server", "serving", "states"]
