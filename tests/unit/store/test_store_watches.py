"""Windows of watched releases: who ends one has it, and what becomes warm becomes so with the row."""

from datetime import timedelta

import pytest

from paas.model.release import InstanceState, ReleaseState
from paas.model.traffic import Traffic
from paas.model.watch import Outcome

TRAFFIC = Traffic((0, 3, 0, 0, 1), (4, *[0] * 11))


@pytest.fixture
def begun(store, app, new_release, go_live):
    """(the watched release, its window, an old instance of the release before that is warm)."""
    before = go_live(new_release(app))
    old = [store.reserve_instance(app.id, before.id, "web", number) for number in (1, 2)]
    for row in old:
        store.update_instance(row.id, state=InstanceState.DRAINING)
    release = go_live(new_release(app))
    ends = release.created_at + timedelta(minutes=1)
    made = store.begin_watch(release.id, app.id, before.id, ends, before=TRAFFIC, counted=Traffic(), warm=[old[0].id])
    return release, made, old


def test_a_window_comes_back_as_it_was_given(store, app, begun):
    release, made, _ = begun
    assert store.watches(app.id) == [made]
    assert (made.release_id, made.before, made.counted) == (release.id, TRAFFIC, Traffic())
    assert (made.outcome, made.reason, made.ended_at) == (Outcome.OPEN, "", None)


def test_the_instances_that_stay_are_warm_the_others_drain(store, app, begun):
    _, _, old = begun
    states = {row.id: row.state for row in store.instances(app.id)}
    assert [states[row.id] for row in old] == [InstanceState.WARM, InstanceState.DRAINING]


def test_one_ends_it_and_the_next_is_too_late(store, app, begun):
    release, _, _ = begun
    assert store.end_watch(release.id, Outcome.ROLLED_BACK)
    assert not store.end_watch(release.id, Outcome.GOOD)
    assert store.watches(app.id)[0].outcome == Outcome.ROLLED_BACK
    assert store.watches(app.id)[0].ended_at
    assert store.watches(open_only=True) == []


def test_a_breach_is_noted_once_and_not_after_the_end(store, app, begun):
    release, _, _ = begun
    assert store.note_breach(release.id, "it died")
    assert not store.note_breach(release.id, "again")
    assert store.watches(app.id)[0].reason == "it died"
    store.end_watch(release.id, Outcome.BAD)
    assert not store.note_breach(release.id, "later")


def test_warm_instances_become_those_of_the_release_that_keeps_them(store, app, begun, new_release):
    _, _, old = begun
    again = new_release(app)
    for state in (ReleaseState.CHECKING, ReleaseState.SWITCHING):
        store.move_release(again.id, state)
    store.commit_live(again.id, {}, kept=[old[0].id])
    kept = next(row for row in store.instances(app.id) if row.id == old[0].id)
    assert (kept.release_id, kept.state) == (again.id, InstanceState.HEALTHY)


def test_windows_go_with_their_app(store, app, begun):
    store.delete_app(app.id)
    assert store.watches() == []
