"""Backups over fakes: a datastore in memory, a store of objects in memory, real age and zstd, a real SQLite store."""

import functools
import io
import json
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace

from paas.adapters.age import AgeSealing
from paas.api import Datastore, Plan, Program
from paas.backups import catalog, drill, keyring, leftovers, places, streams
from paas.errors import ServiceError
from paas.model.backup import UNDER_WAY, Contents, Table, Target, Trigger
from paas.ops import backup_due, backups
from paas.plugin import Plugins
from paas.services import engine
from paas.services.turns import Turns
from paas.testing.fake_objects import FakeTargets
from paas.testing.faults import Crash
from tests.flow.over_fakes import ALICE, Flow, Mortal, make_flow

URL = "s3://bucket/paas"
GOOD = ("read-back", "drilled")
PADDING = 2_400_000                      # bytes that make a dump more than one chunk long


class Memory(Datastore):
    """Tables of rows, by the volume that they lie on. ``cut`` ends the next dump after so many bytes, as a killed
    program does; ``lie`` makes the next restore lose a row."""

    name, title, image, versions, default = "mem", "Memory", "busybox", ("1",), "1"
    port, variable, kind = 1, "MEMORY", "logical"

    def __init__(self, faults):
        self.faults, self.data, self.open = faults, {}, []
        self.cut, self.lie, self.during, self.padding = None, False, lambda: None, PADDING

    def plan(self, service):
        return Plan("/data")

    def ready(self, shell, service):
        return True

    def url(self, service, host, port):
        return f"mem://{host}"

    def console(self, service):
        return Program(("sh",))

    def facts(self, shell, service):
        self.faults.call("data.facts")
        return {"version": "1", "size": 1000, "connections": 0}

    def tables(self, service):
        return self.data.setdefault(service.volume, {})

    @contextmanager
    def snapshot(self, shell, service, label):
        self.faults.call("data.snapshot")
        frozen = json.loads(json.dumps(self.tables(service)))
        self.open.append(label)
        try:
            yield Frozen(self, frozen)
        except Crash:
            raise                        # a dead process ends nothing
        except BaseException:
            self.open.remove(label)
            raise
        self.open.remove(label)

    def end_stale(self, shell, label):
        self.faults.call("data.end_stale")
        self.open = [one for one in self.open if not one.startswith(label)]

    def load(self, shell, service, write):
        sink = io.BytesIO()
        write(sink)
        self.faults.call("data.load")
        self.data[service.volume] = json.loads(sink.getvalue())["tables"]
        if self.lie:
            self.data[service.volume]["notes"].pop()

    def contents(self, shell, service):
        return contents(self.tables(service))


class Frozen:
    def __init__(self, store, frozen):
        self.store, self.frozen = store, frozen

    def dump(self):
        self.store.faults.call("data.dump")
        packed = AgeSealing().compress(io.BytesIO(dumped(self.frozen, self.store.padding))).read()
        return Stream(self.store, packed)

    def contents(self):
        self.store.faults.call("data.contents")
        return contents(self.frozen)


def dumped(tables, padding=0):
    return json.dumps({"tables": tables, "noise": noise(padding)}).encode()


@functools.cache
def noise(size):
    return random.Random(1).randbytes(size // 2).hex()


def contents(tables):
    return Contents(tuple(Table(name, len(rows), json.dumps(rows)) for name, rows in sorted(tables.items())), {}, "mem")


class Stream:
    """What a program in the container says: its end comes only when it ended well."""

    def __init__(self, store, data):
        self.store, self.source, self.left = store, io.BytesIO(data), store.cut
        store.cut = None

    def read(self, size=-1):
        self.store.faults.call("data.read")
        self.store.during()
        if self.left is not None:
            if self.left <= 0:
                raise ServiceError("pg_dump failed with exit code 137", "Look at the service.")
            size = min(size, self.left) if size >= 0 else self.left
            self.left -= size
        return self.source.read(size)


class Announced:
    """The real store; its calls of these names are points of faults, ``store.NAME``."""

    def __init__(self, store, faults, names):
        self.store, self.faults, self.names = store, faults, names

    def __getattr__(self, name):
        method = getattr(self.store, name)
        if name not in self.names:
            return method

        def call(*args, **kwargs):
            nth = self.faults.before(f"store.{name}")
            result = method(*args, **kwargs)
            self.faults.after(f"store.{name}", nth)
            return result
        return call


@dataclass
class Backups:
    """A service ``mem/db`` with two tables, and its world."""

    flow: Flow
    memory: Memory
    uid: str

    @property
    def rt(self):
        return self.flow.rt

    @property
    def faults(self):
        return self.flow.faults

    @property
    def service(self):
        return next(one for one in self.rt.store.services() if one.uid == self.uid)

    @property
    def objects(self):
        return places.objects_of(self.rt, self.uid)

    @property
    def tables(self):
        return self.memory.tables(self.service)

    @property
    def layout(self):
        return places.layout_of(self.rt, self.service)

    def rows(self):
        """Newest first."""
        return self.rt.store.backups(self.uid)

    def backup(self, trigger="manual", **given):
        return backup_due.with_retention(self.rt, self.service, Trigger(trigger), ALICE, **given)

    def listing(self):
        return catalog.listed(self.objects, keyring.keyring(self.rt).known)

    def content_of(self, row):
        """What a stored backup really holds."""
        stored, sink = drill.stored_of(self.rt, row, None), io.BytesIO()
        streams.fetch(stored.objects, self.rt.sealing, stored.manifest.parts[0], stored.identity, sink)
        return json.loads(sink.getvalue())["tables"]

    def pass_time(self, minutes, tick=True):
        self.flow.clock.passed += 60 * minutes
        if tick:
            backup_due.tick(self.rt)

    def restarted(self):
        """A new daemon in the same world."""
        raw = self.flow.restarted()
        targets = self.rt.targets
        targets = targets.wrapped if isinstance(targets, MortalTargets) else targets
        reborn = replace(raw, rt=replace(raw.rt, turns=Turns(), targets=targets, heavy=threading.RLock()))
        return Backups(reborn, self.memory, self.uid)

    def die_at(self, name, nth, after):
        """From the first Crash on nothing of this process has any effect."""
        self.flow.dead_after_crash()
        object.__setattr__(self.rt, "targets", MortalTargets(self.rt.targets, self.flow))
        fail = self.faults._raise

        def noted(*words, **given):
            try:
                fail(*words, **given)
            except Crash as crash:
                self.flow.crash = crash
                raise
        self.faults._raise = noted
        self.faults.fail_on(name, nth, Crash(name), after=after)

    def consistent(self, point=None):
        """What must be true whenever nothing is under way."""
        listing = self.listing()
        assert self.rt.store.backups(states=UNDER_WAY) == [], point
        good = {row.id for row in self.rows() if row.good}
        assert {one.id for one in listing.backups} == good, point
        assert all(one.verdict is catalog.Verdict.GOOD for one in listing.backups), point
        data = {key.split("/")[5] for key in self.objects.keys() if "/data/" in key}
        assert data == good, point
        assert self.objects.uploads == {}, point
        assert self.memory.open == [], point
        for row in self.rows():
            assert row.good or row.reason, point
            assert not row.reason.endswith(leftovers.LEFT), (point, row.reason)


class MortalTargets:
    """Stores that stop working once anybody's call crashed."""

    def __init__(self, wrapped, flow):
        self.wrapped, self.flow = wrapped, flow

    def open(self, target):
        return MortalObjects(self.wrapped.open(target), self.flow)


class MortalObjects(Mortal):
    def upload(self, key, expected=0):
        return Mortal(self.__getattr__("upload")(key, expected), self.flow)


STORE_CALLS = ("add_backup", "move_backup", "begin_drill", "end_drill")


def make_backups(tmp_path, **changes):
    flow = make_flow(tmp_path)
    memory = Memory(flow.faults)
    rt = replace(flow.rt, plugins=Plugins({"mem": memory}), targets=FakeTargets(flow.faults, flow.clock.now),
                 store=Announced(flow.rt.store, flow.faults, STORE_CALLS), **changes)
    flow = replace(flow, rt=rt)
    rt.store.set_setting("server-id", "server1")
    rt.store.set_backup_target("", Target(URL))
    service = engine.create(rt, ALICE, memory, "db")
    made = Backups(flow, memory, service.uid)
    made.tables.update({"notes": [[1, "a"], [2, "b"]], "users": [["x"]]})
    keyring.keyring(rt)
    flow.faults.clear()
    return made


def confirmed(made):
    """The recovery kit is kept elsewhere: schedules may be set."""
    keyring.confirm_kit(made.rt, keyring.keyring(made.rt).word)
    return made


def six_hourly(tmp_path):
    """Backed up every six hours; nothing was done yet. Drills are off."""
    found = confirmed(make_backups(tmp_path))
    found.memory.padding = 1000
    backups.schedule(found.rt, found.service, ALICE, "0 */6 * * *")
    backups.set_drills(found.rt, found.service, "off")
    return found
