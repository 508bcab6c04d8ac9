"""Which scheduled jobs are due, each once: restarts, pauses, clocks, deploys. Over fakes."""

import contextlib
from dataclasses import replace

import pytest

from paas.errors import EngineError, PushRefused
from paas.ops import cron, cron_due, cron_output, ps
from paas.ops.reconcile import reconcile
from paas.testing.faults import Crash
from tests.flow.cron_world import (
    DAILY,
    EVERY_MINUTE,
    FAILED,
    RUNNING,
    SUCCEEDED,
    begun_by_a_daemon_that_died,
    dues,
    failures,
    history,
    ids,
    job_containers,
    pass_time,
    push,
    restarted,
    tick_each_minute,
)
from tests.flow.over_fakes import ALICE

# --- what a push may ask for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["60 * * * *", "0 0 31 2 *", "* * * * 9", "*/0 * * * *"])
def test_a_schedule_that_has_no_meaning_refuses_the_push_before_any_build(flow, schedule):
    assert push(flow, (schedule, "x")) == PushRefused.exit_code
    assert schedule in flow.lines.text
    assert "minute hour day-of-month" in flow.lines.text
    assert flow.images.requests == []


# --- what is due, and once -------------------------------------------------------------------------------------------


def test_a_job_runs_at_its_minute_and_is_recorded(begun):
    assert push(begun, EVERY_MINUTE, DAILY) == 0, begun.lines.text
    tick_each_minute(begun, 3)
    assert dues(begun) == ["00:01", "00:02", "00:03"]
    first = history(begun)[0]
    assert (first.state, first.exit_code, first.reason, first.created_by) == (SUCCEEDED, 0, "", "paas")
    assert cron_output.stored(begun.rt, first.id) == [b"worked", b"and complained"]
    assert begun.containers.list({"paas.kind": "cron"}) == []
    assert failures(begun) == []
    begun.clock.passed = 3 * 3600 - 1
    cron_due.tick(begun.rt)
    assert dues(begun, job=ids(begun)[1]) == []
    begun.clock.passed += 1
    cron_due.tick(begun.rt)
    assert dues(begun, job=ids(begun)[1]) == ["03:00"]


def test_many_looks_in_one_minute_start_it_once(begun):
    push(begun, EVERY_MINUTE)
    pass_time(begun)
    for _ in range(5):
        pass_time(begun, 0.1)
    assert dues(begun) == ["00:01"]


def test_the_container_is_a_one_off_of_the_live_release(begun):
    rt, app = begun.rt, begun.app()
    rt.store.set_limit(app.id, "cron", "memory", "64m")
    rt.store.set_limit(app.id, "web", "memory", "512m")
    push(begun, EVERY_MINUTE)
    made, create = [], begun.containers.create
    begun.containers.create = lambda spec: made.append(spec) or create(spec)
    pass_time(begun)
    (spec,), (run,) = made, history(begun)
    live = rt.store.live_release(app.id)
    assert spec.name == f"paas-cron-{run.id}"
    assert (spec.image, spec.command, spec.restart) == (live.image, ("/bin/sh", "-c", "exec minutely"), "no")
    assert (spec.labels["paas.kind"], spec.labels["paas.cron"], spec.labels["paas.cron-job"]) == (
        "cron", str(run.id), ids(begun)[0])
    assert spec.environment["PAAS_PROCESS"].reveal() == spec.environment["DYNO"].reveal() == f"cron.{run.id}"
    assert spec.memory == 64 * 1024**2
    assert run.release_id == live.id


def test_a_schedule_is_read_in_the_zone_of_the_app_else_of_the_server(begun):
    rt, app = begun.rt, begun.app()
    push(begun, DAILY)
    assert cron.listed(rt, app)[0].next_due.hour == 3
    rt.store.set_setting("cron-timezone", "Europe/Berlin")
    assert cron.listed(rt, app)[0].next_due.hour == 2
    rt.store.set_app_setting(app.id, "cron.timezone", "Asia/Tokyo")
    assert (cron.listed(rt, begun.app())[0].next_due.hour, cron.listed(rt, begun.app())[0].timezone) == (
        18, "Asia/Tokyo")
    begun.clock.passed = 18 * 3600
    cron_due.tick(rt)
    assert dues(begun) == ["18:00"]


# --- restarts, pauses, clocks ----------------------------------------------------------------------------------------


def test_a_restart_doubles_nothing(begun):
    push(begun, EVERY_MINUTE)
    pass_time(begun)
    reborn = restarted(begun)
    cron_due.tick(reborn.rt)
    pass_time(reborn, 0.2)
    assert dues(begun) == ["00:01"]


def test_a_crash_between_the_record_and_the_note_of_the_minute_doubles_nothing(begun):
    push(begun, EVERY_MINUTE)
    begun.rt.store.set_setting, kept = lambda *_: (_ for _ in ()).throw(Crash("x")), begun.rt.store.set_setting
    with contextlib.suppress(Crash):
        pass_time(begun)
    begun.rt.store.set_setting = kept
    assert dues(begun) == ["00:01"]
    cron_due.tick(restarted(begun).rt)
    assert dues(begun) == ["00:01"]


@pytest.mark.parametrize(("away", "run"), [(3, ["00:04"]), (5, ["00:06"]), (600, ["10:01"])])
def test_after_a_pause_the_newest_due_time_is_made_up_for_once(begun, away, run):
    push(begun, EVERY_MINUTE)
    pass_time(begun)
    pass_time(begun, away, tick=False)
    cron_due.tick(restarted(begun).rt)
    assert dues(begun) == ["00:01", *run]


@pytest.mark.parametrize(("away", "run"), [(4, ["00:10"]), (6, [])])
def test_what_was_due_longer_ago_than_five_minutes_is_not_made_up_for(begun, away, run):
    push(begun, ("10 * * * *", "hourly"))
    pass_time(begun, 9)
    pass_time(begun, 1 + away, tick=False)
    cron_due.tick(restarted(begun).rt)
    assert dues(begun) == run


def test_a_clock_that_is_set_back_repeats_nothing_and_stops_nothing(begun):
    push(begun, EVERY_MINUTE)
    tick_each_minute(begun, 3)
    begun.clock.passed -= 120
    tick_each_minute(begun, 3)
    assert dues(begun) == ["00:01", "00:02", "00:03", "00:04"]
    begun.clock.passed -= 365 * 86400
    tick_each_minute(begun, 2)
    assert [one.due_at.year for one in history(begun)] == [2026] * 4 + [2025] * 2


def test_a_clock_that_jumps_a_year_ahead_makes_no_storm(begun):
    push(begun, EVERY_MINUTE, ("*/2 * * * *", "other"))
    pass_time(begun)
    begun.clock.passed += 365 * 86400
    cron_due.tick(begun.rt)
    assert len(history(begun)) == 3


def test_a_run_that_was_recorded_and_not_started_is_started_by_the_next_daemon(begun):
    push(begun, EVERY_MINUTE)
    dead = replace(begun, rt=replace(begun.rt, spawn=lambda work: None))
    pass_time(dead)
    assert history(begun)[0].state == RUNNING
    cron_due.tick(restarted(begun).rt)
    assert [(one.state, one.exit_code) for one in history(begun)] == [(SUCCEEDED, 0)]


def test_but_not_when_it_is_long_past_due(begun):
    push(begun, DAILY)
    begun.clock.passed = 3 * 3600
    cron_due.tick(replace(begun.rt, spawn=lambda work: None))
    pass_time(begun, 6, tick=False)
    cron_due.tick(restarted(begun).rt)
    (run,) = history(begun)
    assert (run.state, run.exit_code) == (FAILED, None)
    assert "before it could start" in run.reason
    assert len(failures(begun)) == 1


def test_a_run_that_goes_on_while_the_daemon_is_away_is_followed_from_its_first_line(threaded):
    push(threaded, EVERY_MINUTE)
    container = begun_by_a_daemon_that_died(threaded)
    reborn = restarted(threaded)
    assert reconcile(reborn.rt) == []
    pass_time(reborn, 0.2)
    assert [one.id for one in job_containers(threaded)] == [container]
    threaded.containers.say(container, "goes on")
    threaded.containers.crash(container, 4)
    threaded.rt.spawn.settle()
    (run,) = history(threaded)
    assert (run.state, run.exit_code) == (FAILED, 4)
    assert cron_output.stored(threaded.rt, run.id) == [b"began", b"goes on"]
    assert len(failures(threaded)) == 1
    assert threaded.containers.list({"paas.kind": "cron"}) == []


def test_a_container_that_has_gone_meanwhile_is_lost(begun):
    push(begun, EVERY_MINUTE)
    pass_time(replace(begun, rt=replace(begun.rt, spawn=lambda work: None)))
    begun.rt.store.start_cron_run(history(begun)[0].id, "f" * 64)
    cron_due.tick(restarted(begun).rt)
    (run,) = history(begun)
    assert (run.state, run.exit_code, run.reason) == (FAILED, None, "it was lost when the machine stopped")


def test_an_engine_that_is_away_is_waited_for(begun):
    push(begun, EVERY_MINUTE)
    for call in ("containers.ensure_network", "containers.version"):
        begun.faults.fail_on(call, 1, EngineError("Docker does not answer"))
    pass_time(begun)
    assert [(one.state, one.exit_code) for one in history(begun)] == [(SUCCEEDED, 0)]


# --- deploys ---------------------------------------------------------------------------------------------------------


def test_a_deploy_neither_loses_nor_doubles(begun):
    push(begun, EVERY_MINUTE)
    pass_time(begun)
    pass_time(begun, 1, tick=False)      # due, and not looked at yet, when the deploy goes live
    begun.clock.passed += 1
    push(begun, EVERY_MINUTE, DAILY)
    cron_due.tick(begun.rt)
    assert dues(begun) == ["00:01", "00:02"]
    assert [one.release_id for one in history(begun)] == [1, 2]


def test_a_job_that_is_new_counts_from_the_moment_its_release_is_live(begun):
    push(begun, DAILY)
    pass_time(begun, 1, tick=False)
    begun.clock.passed += 1
    push(begun, DAILY, EVERY_MINUTE)
    cron_due.tick(begun.rt)
    assert dues(begun) == []
    pass_time(begun)
    assert dues(begun) == ["00:02"]


def test_a_job_that_a_release_no_longer_has_does_not_run(begun):
    push(begun, EVERY_MINUTE)
    pass_time(begun)
    push(begun, DAILY)
    tick_each_minute(begun, 3)
    assert dues(begun) == ["00:01"]


def test_an_app_that_is_stopped_or_was_never_deployed_runs_none(begun):
    tick_each_minute(begun, 1)
    assert history(begun) == []
    push(begun, EVERY_MINUTE)
    ps.stop(begun.rt, begun.app(), ALICE, lambda line: None)
    tick_each_minute(begun, 2)
    assert history(begun) == []
    ps.start(begun.rt, begun.app(), ALICE, lambda line: None)
    begun.settle()
    cron_due.tick(begun.rt)
    assert history(begun) == []
    pass_time(begun)
    assert len(history(begun)) == 1


def test_a_suspended_job_does_not_run_also_after_a_deploy_and_is_not_made_up_for(begun):
    push(begun, EVERY_MINUTE, ("*/2 * * * *", "other"))
    minutely = ids(begun)[0]
    assert cron.suspend(begun.rt, begun.app(), ALICE, minutely)
    assert not cron.suspend(begun.rt, begun.app(), ALICE, minutely)
    assert cron.listed(begun.rt, begun.app())[0].next_due is None
    tick_each_minute(begun, 2)
    push(begun, EVERY_MINUTE)
    tick_each_minute(begun, 1)
    assert dues(begun) == ["00:02"]
    assert cron.resume(begun.rt, begun.app(), minutely)
    cron_due.tick(restarted(begun).rt)
    assert dues(begun, job=minutely) == []
    pass_time(begun)
    assert dues(begun, job=minutely) == ["00:04"]
