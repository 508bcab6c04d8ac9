"""A server comes back: what is said of what cannot, taken networks, and a fault at every call of it."""

import contextlib
from ipaddress import ip_address, ip_network

import pytest

from paas.backups import keyring
from paas.errors import Conflict, EngineError, NotFound, PaasError, ProxyError, StoreError
from paas.model.backup import GOOD
from paas.model.backup_health import Level
from paas.model.backup_manifest import read_manifest
from paas.model.retention import Policy
from paas.ops import backup_due, backups, guarded, server_backup, server_restore, server_state
from paas.ops.reconcile import reconcile
from paas.testing.faults import Crash
from tests.flow.backup_world import MortalTargets
from tests.flow.server_world import ALICE, known, rows, server, serving, states

ERRORS = {"objects": StoreError("the store is gone"), "images": EngineError("Docker is gone"),
          "containers": EngineError("Docker is gone"), "router": ProxyError("the proxy is gone"),
          "repos": PaasError("git is gone"), "data": PaasError("the datastore is gone")}
EMPTY = ("mem", "cache")


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    return server(tmp_path_factory.mktemp("lost") / "old")


def missing(done) -> set[tuple[str, str]]:
    return {(one.what, one.name) for one in done.back if not one.back}


def is_back(made, lost, point=None):
    assert known(made) == lost.known, point
    assert serving(made), point
    assert set(states(made).values()) == {"running"}, point
    assert server_state.of(made.rt) is None, point
    assert reconcile(made.rt, dry_run=True) == [], point
    assert not (made.rt.settings.state_dir / "restore").exists(), point
    assert not (made.rt.settings.state_dir / "backup.tmp").exists(), point
    volumes = [name for name, marks in made.rt.containers.volumes().items() if marks.get("paas.uid")]
    assert len(volumes) == len(states(made)), (point, volumes)


def test_everything_is_back_and_what_never_had_a_backup_is_empty_and_said_to_be(lost, tmp_path):
    made = lost.empty(tmp_path / "new")
    done = made.restore(lost.identity)
    assert missing(done) == {EMPTY}
    assert "empty" in next(one.note for one in done.back if (one.what, one.name) == EMPTY)
    is_back(made, lost)
    assert rows(made)[0].id == done.backup
    assert rows(made)[0].good
    with pytest.raises(Conflict):
        made.restore(lost.identity)


def test_a_network_that_is_taken_gets_another_range_and_addresses_keep_their_places(lost, tmp_path):
    made = lost.empty(tmp_path / "new")
    old = lost.machine.rt.store.app("hello")
    before = [row.address for row in lost.machine.rt.store.instances(old.id)]
    service = lost.machine.rt.store.service("mem", "db")
    for name, subnet in (("foreign", old.subnet), ("other", service.subnet)):
        made.flow.containers._networks[name] = (subnet, {"paas.server": "somebody else"})
    assert missing(made.restore(lost.identity)) == {EMPTY}
    is_back(made, lost)
    app = made.rt.store.app("hello")
    assert app.subnet != old.subnet
    after = [row.address for row in made.rt.store.instances(app.id)]
    assert [place(one, app.subnet) for one in after] == [place(one, old.subnet) for one in before]


def place(address, subnet):
    return int(ip_address(address)) - int(ip_network(subnet).network_address)


def test_an_app_that_does_not_come_back_holds_up_nothing_and_is_tried_again(lost, tmp_path):
    made = lost.empty(tmp_path / "new")
    made.flow.router.answers = lambda target, host, path: (_ for _ in ()).throw(ConnectionError)
    assert missing(made.restore(lost.identity)) == {EMPTY, ("app", "hello")}
    assert states(made)["db"] == "running"
    assert server_state.of(made.rt) is None


def test_a_service_whose_backups_cannot_be_read_stays_stopped_until_they_can(lost, tmp_path):
    """Empty it would pass for the real one; and it is tried again by the same command."""
    made = lost.empty(tmp_path / "new")
    made.flow.faults.fail_on("data.load", 1, PaasError("the dump is cut"))
    assert ("mem", "db") in missing(made.restore(lost.identity))
    assert states(made)["db"] == "stopped"
    assert server_state.of(made.rt).over
    assert [one for one in reconcile(made.rt, dry_run=True) if "db" in one.object] == []
    made.flow.faults.clear()
    assert missing(made.restore(lost.identity)) == set()
    is_back(made, lost)


def test_another_backup_by_its_id(lost, tmp_path):
    made = lost.empty(tmp_path / "new")
    with pytest.raises(NotFound):
        made.restore(lost.identity, "20200101T000000Z-00000000")
    assert not made.rt.store.apps()


def test_with_its_images_nothing_is_built(tmp_path):
    lost = server(tmp_path / "old", images=True)
    made = lost.empty(tmp_path / "new")
    assert missing(made.restore(lost.identity)) == {EMPTY}
    is_back(made, lost)
    assert made.flow.images.requests == []


def test_the_platform_is_backed_up_by_the_clock_and_kept_by_its_retention(tmp_path):
    made = server(tmp_path / "old").machine
    rt, own = made.rt, guarded.itself(made.rt)
    with pytest.raises(PaasError, match="recovery kit"):
        server_backup.schedule(rt, ALICE, "0 * * * *", images=True, storage=False)
    keyring.confirm_kit(rt, keyring.keyring(rt).word)
    assert server_backup.schedule(rt, ALICE, "0 * * * *", images=True, storage=False)
    backups.set_retention(rt, own, Policy(keep_last=2))
    for _ in range(4):
        made.flow.clock.passed += 3600
        backup_due.tick(rt)
    found = rows(made)
    assert [row.trigger for row in found] == ["schedule"] * 4 + ["manual"]
    assert [row.state in GOOD for row in found] == [True, True, False, False, False]
    assert read_manifest(found[0].manifest.encode(), ()).manifest.details["images"] == "yes"
    assert not (rt.settings.state_dir / "backup.tmp").exists()
    assert [one.code for one in backup_due.findings(rt, guarded.itself(rt)) if one.level is Level.FAILURE] == []


def test_a_backup_that_fails_leaves_a_reason_and_no_copy(tmp_path):
    made = server(tmp_path / "old").machine
    made.flow.faults.clear()
    made.flow.faults.fail_on("objects.chunk", 1, StoreError("the store is gone"))
    with pytest.raises(StoreError):
        server_backup.make(made.rt, ALICE, images=None, storage=None, progress=lambda *_: None)
    assert (rows(made)[0].state, rows(made)[0].reason) == ("failed", "the store is gone")
    assert not (made.rt.settings.state_dir / "backup.tmp").exists()


@pytest.fixture(scope="module")
def points(lost, tmp_path_factory):
    made = lost.empty(tmp_path_factory.mktemp("calls") / "new")
    made.restore(lost.identity)
    found = made.flow.faults.points()
    names = {name for name, _ in found}
    assert {"containers.create", "images.build", "router.apply", "objects.chunk", "data.load"} <= names
    last = dict(found)
    return [(name, nth) for name, nth in found if name.partition(".")[0] in ERRORS
            and nth in (1, last[name])]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_error_at_any_call(lost, points, tmp_path, after):
    for number, (name, nth) in enumerate(points):
        made = lost.empty(tmp_path / str(number))
        made.flow.faults.fail_on(name, nth, ERRORS[name.partition(".")[0]], after=after)
        with contextlib.suppress(PaasError):
            made.restore(lost.identity)
        again(made, lost, (name, nth))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_daemon_that_dies_at_any_call(lost, points, tmp_path, after):
    for number, (name, nth) in enumerate(points):
        made = lost.empty(tmp_path / str(number))
        die_at(made, name, nth, after)
        with contextlib.suppress(Crash):
            made.restore(lost.identity)
        again(made.restarted(), lost, (name, nth))


def die_at(made, name, nth, after):
    flow = made.flow
    flow.dead_after_crash()
    object.__setattr__(made.rt, "targets", MortalTargets(made.rt.targets, flow))
    fail = flow.faults._raise

    def noted(*words, **given):
        try:
            fail(*words, **given)
        except Crash as crash:
            flow.crash = crash
            raise
    flow.faults._raise = noted
    flow.faults.fail_on(name, nth, Crash(name), after=after)


def again(made, lost, point):
    """The same command, once more where something is left, ends with everything back."""
    made.flow.faults.clear()
    if not made.rt.store.apps() or server_state.of(made.rt):
        assert missing(made.restore(lost.identity)) <= {EMPTY}, point
    for repair in reconcile(made.rt):
        assert not repair.error, (point, repair)
    is_back(made, lost, point)


def test_a_deploy_stands_in_its_way_and_reconcile_does_not(flow):
    """The daemon waits for the end of its own work before anything is changed."""
    app = flow.app()
    turn = flow.rt.jobs.try_turn(app.id, "reconcile", housekeeping=True)
    server_restore.require_empty(flow.rt, confirmed=True)
    flow.rt.jobs.leave(turn)
    assert flow.rt.jobs.try_turn(app.id, "push of 1234abcd")
    with pytest.raises(Conflict, match="hello is busy: push of 1234abcd"):
        server_restore.require_empty(flow.rt, confirmed=True)
