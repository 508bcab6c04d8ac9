"""Runs of scheduled jobs and suspensions, as stored."""

import pytest

from paas.errors import NotFound
from paas.model.access import Actor
from paas.model.cron import CronRunState, Suspension
from paas.model.release import CronJob

RUNNING, SUCCEEDED, FAILED, SKIPPED = CronRunState
PAAS = Actor("paas")


@pytest.fixture
def release(app, new_release, go_live):
    return go_live(new_release(app, cron=(CronJob("aaaaaaaa", "@daily", ("x",)),)))


@pytest.fixture
def add(store, app, release, time):
    def make(job="aaaaaaaa", minutes=0, state=RUNNING, **more):
        return store.add_cron_run(app.id, job, time.now + minutes * 60 * time.second, release.id, state, PAAS, **more)
    return make


def test_a_due_time_is_recorded_once(store, app, add, time):
    made = add()
    assert (made.state, made.container_id, made.started_at, made.finished_at) == (RUNNING, "", time.now, None)
    assert store.cron_run(app.id, made.id) == made
    assert add() is None
    assert add(state=SKIPPED) is None
    assert add(job="bbbbbbbb").id != add(minutes=1).id
    assert len(store.cron_runs(app.id)) == 3


def test_the_same_job_of_two_apps_is_two_jobs(store, app, other, add, new_release, time):
    add()
    theirs = new_release(other)
    assert store.add_cron_run(other.id, "aaaaaaaa", time.now, theirs.id, RUNNING, PAAS) is not None


def test_its_time_begins_with_its_container_and_its_end_is_kept_once(store, app, add, time):
    made = add()
    time.now += time.second
    store.start_cron_run(made.id, "c1")
    started = store.cron_run(app.id, made.id)
    assert (started.container_id, started.started_at) == ("c1", time.now)
    time.now += time.second
    ended = store.end_cron_run(made.id, FAILED, 3, "exit code 3")
    assert (ended.state, ended.exit_code, ended.reason, ended.finished_at) == (FAILED, 3, "exit code 3", time.now)
    assert store.end_cron_run(made.id, SUCCEEDED, 0, "") is None
    assert store.cron_run(app.id, made.id) == ended


def test_a_skipped_one_is_over_at_once(add, time):
    made = add(state=SKIPPED, reason="cron.1 is not over")
    assert (made.finished_at, made.reason) == (time.now, "cron.1 is not over")


def test_listing_is_newest_first_and_filtered(store, app, other, add):
    first, second, third = add(), add(job="bbbbbbbb"), add(minutes=1, state=SKIPPED)
    assert store.cron_runs() == store.cron_runs(app.id) == [third, second, first]
    assert store.cron_runs(app.id, job="aaaaaaaa") == [third, first]
    assert store.cron_runs(states=(RUNNING,)) == [second, first]
    assert store.cron_runs(limit=1) == [third]
    assert store.cron_runs(other.id) == []


def test_one_of_another_app_is_not_found(store, other, add):
    made = add()
    with pytest.raises(NotFound):
        store.cron_run(other.id, made.id)


def test_trimming_leaves_the_newest_the_last_of_each_job_and_those_that_run(store, app, other, add):
    running = add()
    rare = add(job="bbbbbbbb", state=SKIPPED)
    add(minutes=1, state=SKIPPED)
    kept = [add(minutes=minutes, state=SKIPPED) for minutes in (2, 3)]
    assert store.trim_cron_runs(other.id, 2) == 0
    assert store.trim_cron_runs(app.id, 2) == 1
    assert {one.id for one in store.cron_runs(app.id)} == {running.id, rare.id, *(one.id for one in kept)}
    assert store.cron_run_ids() == {running.id, rare.id, *(one.id for one in kept)}


def test_a_job_is_suspended_until_it_is_resumed(store, app, other, anna, time):
    assert store.suspend_job(app.id, "aaaaaaaa", anna)
    assert not store.suspend_job(app.id, "aaaaaaaa", Actor("bob"))
    assert store.suspended_jobs(app.id) == {"aaaaaaaa": Suspension(time.now, "anna")}
    assert store.suspended_jobs(other.id) == {}
    assert not store.resume_job(other.id, "aaaaaaaa")
    assert store.resume_job(app.id, "aaaaaaaa")
    assert not store.resume_job(app.id, "aaaaaaaa")
    assert store.suspended_jobs(app.id) == {}


def test_all_goes_with_the_app(store, app, add, anna):
    made = add()
    store.suspend_job(app.id, "aaaaaaaa", anna)
    store.delete_app(app.id)
    assert store.cron_runs() == []
    assert store.cron_run_ids() == set()
    assert store.end_cron_run(made.id, FAILED, 1, "x") is None
    with pytest.raises(NotFound):
        store.suspend_job(app.id, "aaaaaaaa", anna)
