"""The threads that ship histories, where something fails between the end of the old ones and the start of new ones."""

from dataclasses import replace

import pytest

from paas.errors import BadInput, StoreError
from paas.model.backup import Target
from paas.ops import pitr, sqlite_streams
from paas.ops.pitr_streams import Recoveries
from paas.ops.sqlite_streams import Streams
from paas.services import engine
from paas.testing.fake_objects import FakeTargets
from tests.flow.backup_world import URL, make_backups
from tests.flow.over_fakes import ALICE

OTHER = "s3://bucket/other"


@pytest.fixture
def shipped(flow):
    """A protected file of the app hello, whose history is on its way."""
    rt = replace(flow.rt, targets=FakeTargets(flow.faults, flow.clock.now), streams=Streams())
    rt.store.set_setting("server-id", "server1")
    rt.store.set_backup_target("", Target(URL))
    made = rt.store.add_protected_file(flow.app().id, "ab" * 8, "main", "/data/app.db", "0:0", ALICE)
    rt.streams.ship(rt, rt.streams.begin(rt, made, "protected"))
    yield replace(flow, rt=rt)
    rt.streams.end()


def ship(flow):
    """What the next look does."""
    for one in flow.rt.store.protected_files():
        flow.rt.streams._tried(flow.rt, one, flow.rt.streams.ship)


def threads(flow):
    stream = flow.rt.streams.of(flow.rt.store.protected_files()[0])
    return [one.is_alive() for one in stream.threads]


def test_a_new_target_that_cannot_be_told_is_tried_again(shipped, monkeypatch):
    tell, failing = sqlite_streams.tell_target, [True]

    def told(*words):
        if failing:
            raise StoreError("the store does not answer")
        tell(*words)

    monkeypatch.setattr(sqlite_streams, "tell_target", told)
    shipped.rt.store.set_backup_target("", Target(OTHER))
    ship(shipped), ship(shipped)
    assert list(shipped.rt.streams.problems.values()) == ["the store does not answer (ship)"]
    failing.clear()
    ship(shipped)
    assert not shipped.rt.streams.problems
    assert threads(shipped) == [True, True]
    epoch = shipped.rt.store.protected_files()[0].epoch
    assert [one.key for one in shipped.rt.targets.stores[OTHER].list("") if epoch in one.key]


def test_a_target_that_was_not_to_be_used_and_is_set_back_is_shipped_to_again(shipped):
    shipped.rt.store.set_backup_target("", Target("ftp://x"))
    ship(shipped)
    assert "no target for backups" in list(shipped.rt.streams.problems.values())[0]
    shipped.rt.store.set_backup_target("", Target(URL))
    ship(shipped)
    assert threads(shipped) == [True, True]


def test_a_full_disk_is_a_problem_of_that_file_only(shipped, monkeypatch):
    rt, tried = shipped.rt, []
    rt.store.add_protected_file(shipped.app().id, "cd" * 8, "other", "/data/other.db", "0:0", ALICE)

    def full(rt, file):
        tried.append(file.name)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rt.streams, "ship", full)
    full.__name__ = "ship"
    monkeypatch.setattr(rt.streams, "_containers_at", rt.clock.monotonic())
    rt.streams.supervise(rt)
    assert tried == ["main", "other"]
    assert set(rt.streams.problems.values()) == {"No space left on device (ship)"}


def test_a_service_whose_target_cannot_be_opened_keeps_no_other_waiting(tmp_path, monkeypatch):
    made = make_backups(tmp_path)
    rt = replace(made.rt, recovery=Recoveries())
    other = engine.create(rt, ALICE, made.memory, "other")
    monkeypatch.setattr("paas.ops.pitr_streams.look", lambda rt, stream: "")
    for one in (made.service, other):
        rt.store.put_pitr(one.uid, epoch="e1", reason="on", target=URL, system="7", volume=one.volume,
                          segment_size=2**24, actor=ALICE)
    rt.store.set_backup_target(rt.store.pitrs()[0].service_uid, Target("ftp://x"))
    bad, good = rt.store.pitrs()
    try:
        rt.recovery.supervise(rt)
        assert len(rt.recovery.of(good.service_uid).threads) == 2
        service = next(one for one in rt.store.services() if one.uid == bad.service_uid)
        assert "'ftp://x' is no target" in pitr.brief(rt, service)["point in time"]
        made.flow.clock.passed += 120
        assert [one.code for one in pitr.findings(rt, service)] == ["pitr-target"]
        rt.store.set_backup_target(bad.service_uid, None)
        rt.recovery.supervise(rt)
        assert not rt.recovery.problems
    finally:
        rt.recovery.end()


def test_a_service_whose_new_target_cannot_be_opened_is_shipped_again_when_that_is_set_back(tmp_path, monkeypatch):
    made = make_backups(tmp_path)
    rt, recoveries = made.rt, Recoveries()
    row = rt.store.put_pitr(made.uid, epoch="e1", reason="on", target=URL, system="7", volume=made.service.volume,
                            segment_size=2**24, actor=ALICE)
    monkeypatch.setattr("paas.ops.pitr_streams.look", lambda rt, stream: "")
    recoveries._ship(rt, made.service, row)
    try:
        rt.store.set_backup_target("", Target("ftp://x"))
        with pytest.raises(BadInput):
            recoveries._ship(rt, made.service, row)
        rt.store.set_backup_target("", Target(URL))
        recoveries._ship(rt, made.service, row)
        assert [one.is_alive() for one in recoveries.of(made.uid).threads] == [True, True]
    finally:
        recoveries.end()
