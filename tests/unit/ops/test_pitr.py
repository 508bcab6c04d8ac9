"""A restore, a drill and the retention of one history: who waits for whom."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from paas.backups import keyring, pitr_read, pitr_restore, places
from paas.backups.room import GaveWay, Room, Work
from paas.errors import Conflict, Forged
from paas.model.access import PLATFORM
from paas.model.service import Service, ServiceState
from paas.ops import pitr
from paas.services.turns import Turns, history
from tests.unit.model.test_pitr_health import BASE, ROW

NOW = datetime(2026, 11, 20, 16, tzinfo=UTC)
DB = SimpleNamespace(uid=ROW.service_uid, title="postgres db", datastore="postgres", name="db")


@pytest.fixture
def rt(monkeypatch):
    """One service with point in time; nothing is read, deleted or restored."""
    objects = SimpleNamespace(now=lambda: NOW, abort_uploads=lambda *words: None)
    monkeypatch.setattr(places, "objects_of", lambda rt, uid: objects)
    monkeypatch.setattr(places, "require_ours", lambda rt, objects: None)
    monkeypatch.setattr(places, "layout_of", lambda rt, service: SimpleNamespace(pitr=lambda: "pitr/"))
    monkeypatch.setattr(keyring, "keyring", lambda rt: SimpleNamespace(known=(), write_only=False))
    monkeypatch.setattr(pitr_read, "history", lambda *words: SimpleNamespace(doubtful=()))
    monkeypatch.setattr(pitr, "forget", lambda *words: 3)
    monkeypatch.setattr(pitr, "chosen", lambda *words: SimpleNamespace(made=BASE))
    monkeypatch.setattr(pitr, "random_time", lambda *words: NOW)
    monkeypatch.setattr(pitr_restore, "into_new", lambda *words, **given: "made")
    noted = []
    store = SimpleNamespace(pitr=lambda uid: ROW, pitr_bases=lambda uid: [BASE],
                            update_pitr=lambda uid, **values: noted.append(values["drill_passed"]),
                            add_event=lambda *words: noted.append(words[3]))
    made = Turns()
    made.patience = 600.0                # what is to be refused at once would hang
    return SimpleNamespace(turns=made, clock=SimpleNamespace(now=lambda: NOW, monotonic=lambda: 0.0), store=store,
                           noted=noted, heavy=threading.RLock(), room=Room())


def restored(rt) -> Service:
    return pitr.restored(rt, PLATFORM, DB, pitr.LATEST, "after", identity=None, progress=None, say=None)[0]


def test_a_restore_waits_for_a_retention_that_is_under_way(rt, monkeypatch):
    begun = []

    def forget(*words):
        begun.append(pool.submit(restored, rt))
        with pytest.raises(TimeoutError):
            begun[0].result(0.2)
        return 3

    monkeypatch.setattr(pitr, "forget", forget)
    with ThreadPoolExecutor(1) as pool:
        assert pitr.clean(rt, DB, ROW) == 3
        assert begun[0].result(30) == "made"


def test_a_restore_is_made_while_a_drill_works_and_the_retention_misses_its_turn(rt, monkeypatch):
    seen = []

    def drill(*words):
        seen.append(restored(rt))
        with pytest.raises(Conflict, match="a drill of postgres db"):
            pitr.clean(rt, DB, ROW)
        with pytest.raises(Conflict, match="a drill of postgres db"):
            pitr.drill(rt, PLATFORM, DB)
        assert not pitr.drill_due(rt, ROW)

    monkeypatch.setattr(pitr_restore, "drill", drill)
    assert pitr.drill_due(rt, ROW)
    pitr.drill(rt, PLATFORM, DB)
    assert (seen, rt.noted) == (["made"], [True, "ok"])
    assert pitr.clean(rt, DB, ROW) == 3


def test_none_begins_by_itself_while_something_is_restored(rt, monkeypatch):
    monkeypatch.setattr(pitr_restore, "into_new", lambda *words, **given: pitr.drill_due(rt, ROW))
    assert restored(rt) is False
    with rt.room.holding(Work(1, None)):                 # of whatever
        assert not pitr.drill_due(rt, ROW)
    assert pitr.drill_due(rt, ROW)


@pytest.mark.parametrize(("error", "noted"), [(GaveWay(), []), (Forged("a page is damaged"), [False, "failed"])])
def test_nothing_is_noted_of_one_that_gave_way(rt, monkeypatch, error, noted):
    def drill(*words):
        raise error

    monkeypatch.setattr(pitr_restore, "drill", drill)
    with pytest.raises(type(error)):
        pitr.drill(rt, PLATFORM, DB)
    assert rt.noted == noted
    pitr.drilled(rt, DB)                 # by itself: nobody is told
    assert rt.turns.held(history(DB.uid)) == ""


def test_a_history_is_not_deleted_while_it_is_read(rt, monkeypatch):
    def into_new(*words, **given):
        with pytest.raises(Conflict, match="a restore of postgres db"):
            pitr.turn_off(rt, DB, purge=True)
        return "made"

    monkeypatch.setattr(DB, "state", ServiceState.RUNNING, raising=False)
    monkeypatch.setattr(pitr_restore, "into_new", into_new)
    assert restored(rt) == "made"


def test_nor_while_it_is_restored_as_another_servers(rt, monkeypatch):
    def into_new(*words, **given):
        with pytest.raises(Conflict, match="a restore of"):
            pitr.clean(rt, DB, ROW)
        return "made"

    monkeypatch.setattr(keyring, "keyring", lambda rt: SimpleNamespace(known=(), require_identity=lambda: "key"))
    monkeypatch.setattr(pitr_restore, "choose", lambda *words: "wanted")
    monkeypatch.setattr(pitr_restore, "into_new", into_new)
    found = pitr.restore_from(rt, PLATFORM, places.objects_of(rt, ""), DB, pitr.LATEST, "after", identity=None,
                              progress=None, say=None)
    assert found == ("made", "wanted")


def test_the_retention_misses_its_turn_while_the_history_is_read(rt, monkeypatch):
    def into_new(*words, **given):
        with pytest.raises(Conflict, match="a restore of postgres db"):
            pitr.clean(rt, DB, ROW)
        return "made"

    monkeypatch.setattr(pitr_restore, "into_new", into_new)
    assert restored(rt) == "made"
    assert pitr.clean(rt, DB, ROW) == 3
