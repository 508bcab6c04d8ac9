"""A fault at every adapter call of everything that is done to a data service: afterwards reconcile brings it to rest.

The calls are read off one run without faults. What is asked of each outcome: data that were there are there, on the
volume of the service; either the whole change is in force or nothing of it; nothing is left over.
"""

import contextlib
import functools
import io

import pytest

from paas.errors import EngineError, PaasError
from paas.services import copies, engine, exchange, links
from paas.services import upgrade as versions
from paas.testing.faults import Crash
from tests.flow.service_world import ALICE, attempt, config_of, data_of, made, rest, service_flow, toy

HELD = {"a": "1", "b": "2"}
NEW = b'{"c": "3"}'


def service(flow, name="db"):
    return flow.rt.store.service("toy", name)


class Case:
    """Before, what is done, and what must hold afterwards whether it was done or not."""

    linked = False
    deployed = False

    def begin(self, flow):
        made(flow, linked=self.linked, **HELD)

    def act(self, flow):
        raise NotImplementedError

    def done(self, flow) -> bool:
        raise NotImplementedError

    def check(self, flow):
        assert data_of(flow) == HELD


class Create(Case):
    def begin(self, flow):
        return

    def act(self, flow):
        engine.create(flow.rt, ALICE, toy(flow), "db", settings={"memory": "64m"})

    def done(self, flow):
        return bool(flow.rt.store.services())

    def check(self, flow):
        if not self.done(flow):
            assert not [name for name in flow.containers.volumes() if "-data-" in name]


class Link(Case):
    deployed = True

    def act(self, flow):
        links.link(flow.rt, service(flow), flow.app(), ALICE)

    def done(self, flow):
        return bool(flow.rt.store.links())

    def check(self, flow):
        super().check(flow)
        stored, live = config_of(flow)
        assert ("TOY_URL" in stored) == ("TOY_URL" in live) == self.done(flow)


class Unlink(Case):
    linked = deployed = True

    def act(self, flow):
        links.unlink(flow.rt, service(flow), flow.app(), ALICE)

    def done(self, flow):
        return not flow.rt.store.links()

    def check(self, flow):
        super().check(flow)
        stored, live = config_of(flow)
        assert stored == live
        if "TOY_URL" in live:
            assert not self.done(flow)               # an app never holds a URL without a path


class Set(Case):
    linked = True

    def act(self, flow):
        engine.set_(flow.rt, service(flow), "memory", "128m")

    def done(self, flow):
        return service(flow).settings.get("memory") == "128m"

    def check(self, flow):
        super().check(flow)
        spec = flow.containers.spec(service(flow).container_id)
        assert spec.memory == (128 * 1024**2 if self.done(flow) else 0)


class Expose(Case):
    linked = True

    def act(self, flow):
        engine.expose(flow.rt, service(flow), "15999")

    def done(self, flow):
        return bool(service(flow).settings.get("expose"))


class Restart(Case):
    linked = True

    def act(self, flow):
        engine.restart(flow.rt, service(flow))

    def done(self, flow):
        return True


class Stop(Case):
    linked = True

    def act(self, flow):
        engine.stop(flow.rt, service(flow))

    def done(self, flow):
        return service(flow).state == "stopped"


class Destroy(Case):
    def act(self, flow):
        engine.destroy(flow.rt, service(flow))

    def done(self, flow):
        return not flow.rt.store.services()

    def check(self, flow):
        if not self.done(flow):
            super().check(flow)
        else:
            assert not [name for name in flow.containers.volumes() if "-data-" in name]


class Upgrade(Case):
    linked = True

    def begin(self, flow):
        super().begin(flow)
        engine.expose(flow.rt, service(flow), "15999")
        self.before = service(flow)
        flow.faults.clear()

    def act(self, flow):
        versions.upgrade(flow.rt, service(flow), "2")

    def done(self, flow):
        return service(flow).version == "2"

    def check(self, flow):
        super().check(flow)
        now = service(flow)
        assert now.secrets == self.before.secrets
        assert (now.image == self.before.image) == (now.volume == self.before.volume) == (not self.done(flow))
        assert exchange.kept(flow.rt, now) == ((self.before.volume,) if self.done(flow) else ())
        assert toy(flow).data[self.before.volume] == HELD


class Minor(Upgrade):
    def act(self, flow):
        flow.images.published = 1
        versions.upgrade(flow.rt, service(flow))

    def done(self, flow):
        return service(flow).image != self.before.image

    def check(self, flow):
        Case.check(self, flow)
        assert service(flow).volume == self.before.volume


class Import(Upgrade):
    def act(self, flow):
        copies.import_(flow.rt, service(flow), io.BytesIO(NEW), force=True)

    def done(self, flow):
        return service(flow).volume != self.before.volume

    def check(self, flow):
        assert data_of(flow) == ({"c": "3"} if self.done(flow) else HELD)
        assert exchange.kept(flow.rt, service(flow)) == ((self.before.volume,) if self.done(flow) else ())
        assert toy(flow).data[self.before.volume] == HELD


class Clone(Case):
    linked = True

    def act(self, flow):
        copies.clone(flow.rt, ALICE, service(flow), "db2")

    def done(self, flow):
        return bool(flow.rt.store.find_service("toy", "db2"))

    def check(self, flow):
        super().check(flow)
        if self.done(flow):
            assert data_of(flow, "db2") == HELD


CASES = [Create, Link, Unlink, Set, Expose, Restart, Stop, Destroy, Upgrade, Minor, Import, Clone]


LOOKS = {"state", "list", "volumes", "networks", "taken_subnets", "networks_of", "logs", "exec_exit_code"}


def points_of(case, where, after):
    """An answer that is lost of a call that only looks is the same as a call that failed."""
    return [one for one in all_points_of(case, where) if not (after and one[0].partition(".")[2] in LOOKS)]


@functools.cache
def all_points_of(case, where):
    """(name, nth) of each call of the containers and images in a run that succeeds."""
    one, flow = case(), service_flow(where / case.__name__, case.deployed)
    one.begin(flow)
    flow.faults.clear()
    one.act(flow)
    flow.settle()
    found = [point for point in flow.faults.points() if point[0].partition(".")[0] in ("containers", "images")]
    assert one.done(flow)
    rest(flow)
    one.check(flow)
    assert len(found) > 1
    return found


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    return tmp_path_factory.mktemp("services")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.lower())
def test_an_error_at_any_call(where, tmp_path, case, after):
    for number, (name, nth) in enumerate(points_of(case, where, after)):
        one, flow = case(), service_flow(tmp_path / str(number), case.deployed)
        one.begin(flow)
        flow.faults.fail_on(name, nth, EngineError("Docker is gone"), after=after)
        error = attempt(lambda one=one, flow=flow: one.act(flow))
        done = one.done(flow)
        with told(case, name, nth, error, done):
            if error is None:
                assert done
            rest(flow)
            assert one.done(flow) == done or case in (Create, Destroy)       # what was cut may be finished, or undone
            one.check(flow)
            again(one, flow)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.lower())
def test_a_daemon_that_dies_at_any_call(where, tmp_path, case, after):
    for number, (name, nth) in enumerate(points_of(case, where, after)):
        one, flow = case(), service_flow(tmp_path / str(number), case.deployed)
        one.begin(flow)
        flow.dead_after_crash()
        flow.faults.fail_on(name, nth, Crash(name), after=after)
        with contextlib.suppress(Crash, PaasError):
            one.act(flow)
        flow.settle()
        reborn = flow.restarted()
        with told(case, name, nth, flow.crash, None):
            rest(reborn)
            one.check(reborn)
            again(one, reborn)


def again(one, flow):
    """Whatever happened, it can be done now."""
    if not one.done(flow):
        one.act(flow)
        rest(flow)
        assert one.done(flow)
        one.check(flow)


@contextlib.contextmanager
def told(*facts):
    try:
        yield
    except BaseException as error:
        error.add_note(f"at {facts}")
        raise
