"""A restore, a drill and the retention of one history: who waits for whom."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from paas.backups import keyring, pitr_read, pitr_restore, places
from paas.errors import Conflict
from paas.model.access import PLATFORM
from paas.model.service import Service
from paas.ops import pitr
from paas.services.turns import Turns
from tests.unit.model.test_pitr_health import ROW

NOW = datetime(2026, 11, 20, 16, tzinfo=UTC)
DB = SimpleNamespace(uid=ROW.service_uid, title="postgres db", datastore="postgres", name="db")


@pytest.fixture
def rt(monkeypatch):
    """One service with point in time; nothing is read, deleted or restored."""
    objects = SimpleNamespace(now=lambda: NOW, abort_uploads=lambda *words: None)
    monkeypatch.setattr(places, "objects_of", lambda rt, uid: objects)
    monkeypatch.setattr(places, "require_ours", lambda rt, objects: None)
    monkeypatch.setattr(places, "layout_of", lambda rt, service: SimpleNamespace(pitr=lambda: "pitr/"))
    monkeypatch.setattr(keyring, "keyring", lambda rt: SimpleNamespace(known=()))
    monkeypatch.setattr(pitr_read, "history", lambda *words: SimpleNamespace(doubtful=()))
    monkeypatch.setattr(pitr, "forget", lambda *words: 3)
    monkeypatch.setattr(pitr, "chosen", lambda *words: "wanted")
    monkeypatch.setattr(pitr_restore, "into_new", lambda *words, **given: "made")
    return SimpleNamespace(turns=Turns(), clock=SimpleNamespace(now=lambda: NOW),
                           store=SimpleNamespace(pitr=lambda uid: ROW))


def restored(rt) -> tuple[Service, pitr_restore.Wanted]:
    return pitr.restored(rt, PLATFORM, DB, pitr.LATEST, "after", identity=None, progress=None, say=None)


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
        assert begun[0].result(30) == ("made", "wanted")


def test_a_restore_waits_for_no_drill(rt):
    rt.turns.patience = 600.0
    with rt.turns.hold(f"history {DB.uid}", "a drill of postgres db"), pytest.raises(Conflict, match="a drill"):
        restored(rt)


def test_the_retention_misses_its_turn_while_the_history_is_read(rt, monkeypatch):
    rt.turns.patience = 600.0

    def into_new(*words, **given):
        with pytest.raises(Conflict, match="a restore of postgres db"):
            pitr.clean(rt, DB, ROW)
        return "made"

    monkeypatch.setattr(pitr_restore, "into_new", into_new)
    assert restored(rt) == ("made", "wanted")
    assert pitr.clean(rt, DB, ROW) == 3
