"""How an instance ended that its restart policy has started again by the time somebody looks."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from paas.deploy import readiness
from paas.deploy.readiness import Readiness
from paas.errors import CheckFailed
from paas.ops.happenings import Happenings
from paas.ports import ContainerState
from paas.ports_watch import Happening

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AGAIN = ContainerState(id="c1", name="web.1", labels={}, running=True, exit_code=None, oom_killed=False, restarts=1,
                       address="", image="", health="", started_at=NOW)


@pytest.fixture
def looked(monkeypatch):
    """A readiness that knows only what its container's events and state say; ``memory`` is its limit in bytes."""
    monkeypatch.setattr(readiness, "EVENT_PATIENCE", 0.01)
    one = Readiness.__new__(Readiness)
    out = SimpleNamespace(heading=lambda *_: None, detail=lambda *_: None, warn=lambda *_: None)
    one.happenings = Happenings()
    one.work = SimpleNamespace(
        out=out, app=SimpleNamespace(name="hello"),
        rt=SimpleNamespace(happenings=one.happenings, containers=SimpleNamespace(logs=lambda *_, **__: [])))
    one.row, one.pending = SimpleNamespace(container_id="c1", name="web.1"), []
    one.process, one.clock = SimpleNamespace(memory=0), SimpleNamespace(monotonic=lambda: 0.0)
    return one


def said(looked, state) -> str:
    with pytest.raises(CheckFailed) as failed:
        looked.fail_if_ended(state)
    return str(failed.value)


@pytest.mark.parametrize(("kinds", "memory", "words"), [
    ({"die": 3}, 0, "exited with exit code 3 while starting"),
    ({"die": 137}, 16 * 1024**2, "was killed (exit code 137) with a memory limit of 16 MB"),
    ({"oom": None, "die": 137}, 16 * 1024**2, "ran out of memory and was killed"),
    ({}, 0, "exited while starting"),
])
def test_events_tell_how_it_ended(looked, kinds, memory, words):
    looked.process.memory = memory
    for kind, code in kinds.items():
        looked.happenings.note(Happening(kind, "c1", NOW, code, {}))
    assert words in said(looked, AGAIN)


def test_one_that_is_down_tells_it_itself(looked):
    looked.happenings.note(Happening("die", "c1", NOW, 3, {}))
    assert "exit code 4" in said(looked, replace(AGAIN, running=False, exit_code=4))


def test_one_that_runs_is_left(looked):
    looked.happenings.note(Happening("die", "another", NOW, 3, {}))
    assert looked.fail_if_ended(replace(AGAIN, restarts=0)) is None
