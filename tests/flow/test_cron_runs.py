"""Runs of scheduled jobs: how they end, overlap, wait, are stopped, and what is kept of them. Over fakes."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from paas.errors import BadInput, Conflict, EngineError, NotFound
from paas.ops import apps, cleanup, cron, cron_due, cron_output, cron_run
from paas.ops.reconcile import reconcile
from paas.testing.fake_containers import Behaviour
from tests.flow.cron_world import (
    CRON,
    DAILY,
    EVERY_MINUTE,
    FAILED,
    RUNNING,
    SKIPPED,
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
    wait_until,
    with_policy,
)
from tests.flow.over_fakes import ALICE

# --- failures --------------------------------------------------------------------------------------------------------


def test_a_failure_is_recorded_and_an_event_that_tells_no_output(begun):
    begun.containers.behave(CRON, Behaviour(exits=3, logs=["the password is 1234"]))
    push(begun, EVERY_MINUTE)
    pass_time(begun)
    (run,), (event,) = history(begun), failures(begun)
    assert (run.state, run.exit_code, run.reason) == (FAILED, 3, "exit code 3")
    assert (event.app, event.actor) == ("hello", "paas")
    assert dict(event.detail) == {"job": ids(begun)[0], "run": f"cron.{run.id}", "exit_code": "3",
                                  "reason": "exit code 3"}
    assert cron_output.stored(begun.rt, run.id) == [b"the password is 1234"]


def test_memory_that_is_used_up_is_said(begun):
    begun.containers.behave(CRON, Behaviour(exits=137, oom=True))
    push(begun, EVERY_MINUTE)
    pass_time(begun)
    assert "memory" in history(begun)[0].reason


@pytest.mark.parametrize("call", ["containers.create", "containers.start"])
def test_one_that_cannot_start_is_a_failure_and_the_next_is_tried(begun, call):
    push(begun, EVERY_MINUTE)
    begun.faults.clear()
    begun.faults.fail_on(call, 1, EngineError("no such program"))
    tick_each_minute(begun, 2)
    first, second = history(begun)
    assert (first.state, first.exit_code, first.reason) == (FAILED, None, "it could not run: no such program")
    assert second.state == SUCCEEDED
    assert len(failures(begun)) == 1
    assert begun.containers.list({"paas.kind": "cron"}) == []


def test_an_unforeseen_error_ends_the_run_as_failed(begun):
    push(begun, EVERY_MINUTE)
    begun.faults.clear()
    begun.faults.fail_on("containers.logs", 1, RuntimeError("a bug"))
    tick_each_minute(begun, 2)
    assert [one.state for one in history(begun)] == [FAILED, SUCCEEDED]
    assert begun.containers.list({"paas.kind": "cron"}) == []


def test_one_that_takes_too_long_is_ended(threaded):
    threaded.rt.store.set_app_setting(threaded.app().id, "cron.timeout", "30")
    push(threaded, EVERY_MINUTE)
    pass_time(threaded)
    wait_until(lambda: job_containers(threaded))
    wait_until(lambda: threaded.rt.cron.all()[0].deadline)
    pass_time(threaded, 0.4)
    assert job_containers(threaded)
    pass_time(threaded, 0.2)
    threaded.rt.spawn.settle()
    (run,) = history(threaded)
    assert (run.state, run.exit_code, run.reason) == (FAILED, 143, "timed out")
    assert len(failures(threaded)) == 1


def test_the_time_of_a_run_that_a_new_daemon_takes_up_is_not_begun_anew(threaded):
    threaded.rt.store.set_app_setting(threaded.app().id, "cron.timeout", "90")
    push(threaded, with_policy("forbid", "1 * * * *"))
    begun_by_a_daemon_that_died(threaded)
    reborn = restarted(threaded)
    pass_time(reborn, 1)
    wait_until(lambda: reborn.rt.cron.all() and reborn.rt.cron.all()[0].deadline)
    assert job_containers(reborn)
    pass_time(reborn, 0.6)
    threaded.rt.spawn.settle()
    assert history(threaded)[0].reason == "timed out"


# --- overlap ---------------------------------------------------------------------------------------------------------


def test_forbid_skips_the_next_run_and_says_so(threaded):
    push(threaded, EVERY_MINUTE)
    pass_time(threaded)
    wait_until(lambda: job_containers(threaded))
    pass_time(threaded)
    first, second = history(threaded)
    assert (first.state, second.state, second.reason) == (RUNNING, SKIPPED, f"cron.{first.id} was not over")
    (event,) = failures(threaded, "skipped")
    assert event.detail["job"] == ids(threaded)[0]
    assert len(job_containers(threaded)) == 1
    threaded.containers.crash(job_containers(threaded)[0].id, 0)
    threaded.rt.spawn.settle()
    pass_time(threaded)
    wait_until(lambda: job_containers(threaded))
    assert [one.state for one in history(threaded)] == [SUCCEEDED, SKIPPED, RUNNING]


def test_allow_runs_both(threaded):
    push(threaded, with_policy("allow"))
    tick_each_minute(threaded, 2)
    wait_until(lambda: len(job_containers(threaded)) == 2)
    assert [one.state for one in history(threaded)] == [RUNNING, RUNNING]


def test_replace_ends_the_old_one_before_the_new_one_starts(threaded):
    push(threaded, with_policy("replace"))
    pass_time(threaded)
    wait_until(lambda: job_containers(threaded))
    (old,) = job_containers(threaded)
    most, start = [], threaded.containers.start

    def counted(container_id):
        start(container_id)
        most.append(len(job_containers(threaded)))

    threaded.containers.start = counted
    pass_time(threaded)
    wait_until(lambda: most)
    first, second = history(threaded)
    assert most == [1]
    assert old.id not in {one.id for one in job_containers(threaded)}
    assert (first.state, first.exit_code, first.reason) == (FAILED, 143, f"replaced by cron.{second.id}")
    assert second.state == RUNNING


def test_no_more_than_max_cron_have_a_container_and_the_others_wait_recorded(threaded):
    threaded.rt.store.set_setting("max-cron", "2")
    threaded.rt.clock.sleep = lambda seconds: threading.Event().wait(0.01)
    push(threaded, *(("* * * * *", f"job{number}") for number in range(3)))
    pass_time(threaded)
    wait_until(lambda: len(job_containers(threaded)) == 2)
    assert [one.state for one in history(threaded)] == [RUNNING] * 3
    assert sorted(one.state for one in cron.listed(threaded.rt, threaded.app())) == ["running", "running", "waiting"]
    threaded.containers.crash(job_containers(threaded)[0].id, 0)
    wait_until(lambda: sorted(one.state for one in history(threaded)) == [RUNNING, RUNNING, SUCCEEDED])
    wait_until(lambda: len(job_containers(threaded)) == 2)


def test_one_that_finds_no_room_in_its_time_fails(threaded):
    threaded.rt.store.set_setting("max-cron", "1")
    push(threaded, *(("1 0 * * *", f"job{number}") for number in range(2)))
    pass_time(threaded)
    wait_until(lambda: any(one.state == FAILED for one in history(threaded)))
    (failed,) = [one for one in history(threaded) if one.state == FAILED]
    assert "max-cron" in failed.reason
    assert len(job_containers(threaded)) == 1


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_run_by_hand_is_recorded_with_its_author_and_keeps_no_scheduled_one_away(begun):
    push(begun, EVERY_MINUTE)
    pass_time(begun, 1, tick=False)
    for _ in range(2):
        cron.run_now(begun.rt, begun.app(), ALICE, ids(begun)[0])
    cron_due.tick(begun.rt)
    assert [(one.created_by, one.state) for one in history(begun)] == [("alice", SUCCEEDED)] * 2 + [("paas", SUCCEEDED)]


def test_a_run_by_hand_obeys_the_overlap_policy(threaded):
    push(threaded, EVERY_MINUTE)
    entry = cron.run_now(threaded.rt, threaded.app(), ALICE, ids(threaded)[0])
    with pytest.raises(Conflict, match=f"cron.{entry.run.id} of this job is not over"):
        cron.run_now(threaded.rt, threaded.app(), ALICE, ids(threaded)[0])
    pass_time(threaded)
    assert [one.state for one in history(threaded)] == [RUNNING, SKIPPED]


def test_an_unknown_job_is_refused_with_those_that_there_are(begun):
    with pytest.raises(BadInput, match="no release"):
        cron.run_now(begun.rt, begun.app(), ALICE, "x")
    push(begun, EVERY_MINUTE)
    for ask in (cron.run_now, cron.suspend):
        with pytest.raises(NotFound) as error:
            ask(begun.rt, begun.app(), ALICE, "00000000")
        assert f"{ids(begun)[0]} (minutely)" in error.value.hint
    with pytest.raises(NotFound):
        cron.resume(begun.rt, begun.app(), "00000000")
    with pytest.raises(NotFound):
        cron.history(begun.rt, begun.app(), "00000000", 10)


def test_a_run_of_another_app_is_not_found(begun):
    push(begun, EVERY_MINUTE)
    pass_time(begun)
    with pytest.raises(NotFound):
        cron.find_run(begun.rt, begun.app("other"), f"cron.{history(begun)[0].id}")
    for text in ("x", "cron.", "-1", "run.1", "9" * 13):
        with pytest.raises(BadInput):
            cron.find_run(begun.rt, begun.app(), text)


def test_a_run_can_be_stopped(threaded):
    push(threaded, EVERY_MINUTE)
    pass_time(threaded)
    wait_until(lambda: job_containers(threaded))
    run = history(threaded)[0]
    cron.stop(threaded.rt, threaded.app(), ALICE, run)
    (ended,) = history(threaded)
    assert (ended.state, ended.exit_code, ended.reason) == (FAILED, 143, "stopped by alice")
    with pytest.raises(Conflict, match="is over"):
        cron.stop(threaded.rt, threaded.app(), ALICE, ended)


# --- what is kept, and what goes -------------------------------------------------------------------------------------


def test_reconcile_leaves_a_running_job_and_removes_what_no_row_explains(threaded):
    push(threaded, EVERY_MINUTE)
    pass_time(threaded)
    wait_until(lambda: job_containers(threaded))
    assert reconcile(threaded.rt) == []
    (kept,) = job_containers(threaded)
    spec = replace(threaded.containers.spec(kept.id), name="paas-cron-999",
                   labels={**threaded.containers.spec(kept.id).labels, "paas.cron": "999"})
    threaded.containers.create(spec)
    threaded.rt.store.raise_ids({"cron_runs": 999})          # a row that is gone, not one of a newer database
    assert [one.object for one in reconcile(threaded.rt)] == ["hello paas-cron-999"]
    assert [one.id for one in threaded.containers.list({"paas.kind": "cron"})] == [kept.id]


def test_the_image_of_a_running_job_is_kept(threaded):
    rt, app = threaded.rt, threaded.app()
    rt.store.set_setting("keep-releases", "1")
    push(threaded, with_policy("forbid", "1 0 * * *"))
    image = rt.store.live_release(app.id).image
    pass_time(threaded)
    wait_until(lambda: job_containers(threaded))
    push(threaded, DAILY)
    assert rt.store.live_release(app.id).image != image
    assert image in cleanup.kept_images(rt, app)
    threaded.containers.crash(job_containers(threaded)[0].id, 0)
    rt.spawn.settle()
    assert image not in cleanup.kept_images(rt, app)


def test_destroying_the_app_ends_its_runs(threaded):
    push(threaded, EVERY_MINUTE)
    pass_time(threaded)
    wait_until(lambda: job_containers(threaded))
    apps.destroy(threaded.rt, threaded.app(), lambda line: None)
    threaded.rt.spawn.settle()
    assert threaded.containers.list({}) == []
    assert threaded.rt.store.cron_runs() == []
    pass_time(threaded)
    assert threaded.containers.list({}) == []


def test_no_container_is_made_for_an_app_that_is_being_destroyed(begun):
    push(begun, EVERY_MINUTE)
    with begun.rt.cron.closed(begun.app().id):
        pass_time(begun)
        assert begun.containers.list({"paas.kind": "cron"}) == []
    assert "being destroyed" in history(begun)[0].reason


def test_cleaning_keeps_the_newest_runs_the_last_of_each_job_and_their_outputs(begun, monkeypatch):
    monkeypatch.setattr(cleanup, "CRON_RUNS", 2)
    push(begun, EVERY_MINUTE, ("1 0 * * *", "once"))
    tick_each_minute(begun, 5)
    path = cron_output.path_of(begun.rt, 12345)
    path.write_bytes(b"of an app that is no more")
    assert cleanup.prune_cron(begun.rt) == 4
    assert dues(begun) == ["00:01", "00:04", "00:05"]
    assert history(begun)[0].job == ids(begun)[1]
    assert {one.name for one in cron_output.directory(begun.rt).iterdir()} == {
        f"{one.id}.log" for one in history(begun)}


def test_a_long_output_keeps_its_last_part_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(cron_output, "KEPT_BYTES", 1000)
    kept = cron_output.KeptOutput(tmp_path / "x" / "1.log")
    lines = [f"line {number}".encode() for number in range(2000)]
    for line in lines:
        kept.add(line)
        assert (tmp_path / "x" / "1.log").stat().st_size < 2200
    kept.close()
    notice, *found = (tmp_path / "x" / "1.log").read_bytes().splitlines()
    assert found == lines[-len(found):]
    assert 900 < sum(len(line) + 1 for line in found) <= 1000
    cut = sum(len(line) + 1 for line in lines[:-len(found)])
    assert notice == f"[{cut:,} bytes before this line are not kept]".encode()


def test_one_line_that_is_too_long_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(cron_output, "KEPT_BYTES", 1000)
    kept = cron_output.KeptOutput(tmp_path / "1.log")
    kept.add(b"x" * 5000)
    kept.close()
    assert (tmp_path / "1.log").stat().st_size < 1100


def test_an_unwritable_disk_does_not_stop_a_job(begun):
    push(begun, EVERY_MINUTE)
    begun.rt.jobs.logs_dir.mkdir(parents=True, exist_ok=True)
    cron_output.directory(begun.rt).write_bytes(b"in the way")
    pass_time(begun)
    assert history(begun)[0].state == SUCCEEDED
    with pytest.raises(NotFound):
        cron_output.stored(begun.rt, history(begun)[0].id)


def test_limits_of_time_are_those_that_the_documentation_names():
    assert timedelta(seconds=cron_run.CATCH_UP_SECONDS) == timedelta(minutes=5)
