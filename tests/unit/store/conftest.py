from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from paas.adapters.sealing import Sealer
from paas.model.access import Actor
from paas.model.build import Image
from paas.model.release import Process, ReleaseState
from paas.store import open_store

KEY = bytes(range(32))
WEB = (Process("web"),)


@pytest.fixture
def sealer():
    return Sealer(KEY)


@pytest.fixture(params=["file", "memory"])
def path(request, tmp_path):
    return tmp_path / "paas.db" if request.param == "file" else None


@pytest.fixture
def time():
    return SimpleNamespace(now=datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC), second=timedelta(seconds=1))


@pytest.fixture
def store(path, sealer, time):
    opened = open_store(path, sealer, lambda: time.now)
    yield opened
    opened.close()


@pytest.fixture
def anna():
    return Actor("anna", 7, "192.0.2.9")


@pytest.fixture
def app(store, anna):
    return store.create_app("blog", "10.89.0.0/25", anna)


@pytest.fixture
def other(store, anna):
    return store.create_app("shop", "10.89.0.128/25", anna)


@pytest.fixture
def new_release(store, anna):
    def make(app, config=None, formation=WEB, **more):
        values = {"image": Image("sha256:" + "a" * 64, (5000,), healthcheck=True), "build_id": None, "commit": "c" * 40,
                  "tree": "d" * 40, "subject": "First", "reason": "git push"} | more
        return store.create_release(app.id, config=config or {}, formation=formation, actor=anna, **values)
    return make


@pytest.fixture
def go_live(store):
    def go(release, timings=None):
        store.move_release(release.id, ReleaseState.CHECKING)
        store.move_release(release.id, ReleaseState.SWITCHING)
        return store.commit_live(release.id, timings or {})
    return go
