"""The queues: one deploy of an app at a time, in order, whoever watches."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from paas.errors import Cancelled, Conflict, Locked
from paas.jobs import Job, JobLog, Jobs


@pytest.fixture
def jobs(tmp_path):
    made = Jobs(tmp_path)
    made.patience = 600.0                # what is to be refused at once would hang
    return made


@pytest.fixture
def kept(jobs):
    """The platform's own work has the turn of app 1."""
    turn = jobs.try_turn(1, "reconcile", housekeeping=True)
    yield turn
    jobs.leave(turn)


@pytest.fixture
def command(jobs):
    """Call it for a command that asks for the turn of app 1, and waits for it when that returns: its future."""
    with ThreadPoolExecutor(1) as pool:
        def begin(seen=None):
            began = pool.submit(take, jobs, [] if seen is None else seen)
            while not jobs.deploys(1):
                assert not began.done(), began.exception()
            return began

        yield begin
        jobs.end_patience()


def take(jobs, seen):
    with jobs.turn(1, "apps:destroy"):
        seen.append(jobs.running(1).title)
    return seen


def test_jobs_of_one_app_run_one_after_another_in_order(jobs):
    order, busy, gate = [], [], threading.Event()

    def work(job):
        gate.wait(5)
        busy.append(job)
        assert len(busy) == 1
        order.append(job.title)
        busy.remove(job)

    submitted = [jobs.submit(Job(1, str(n)), work) for n in range(5)]
    gate.set()
    for job in submitted:
        assert job.wait(5)
        assert job.error is None
    assert order == ["0", "1", "2", "3", "4"]


def test_other_apps_do_not_wait(jobs):
    gate = threading.Event()
    jobs.submit(Job(1, "slow"), lambda job: gate.wait(5))
    quick = jobs.submit(Job(2, "quick"), lambda job: "done")
    assert quick.wait(5)
    assert quick.result == "done"
    gate.set()


def test_a_waiting_job_says_its_place(jobs):
    gate = threading.Event()
    jobs.submit(Job(1, "first push"), lambda job: gate.wait(5))
    second = jobs.submit(Job(1, "second"), lambda job: None)
    assert next(second.log.follow()) == "-----> Waiting: 1 ahead of this one (first push)"
    gate.set()
    assert second.wait(5)


def test_the_queue_has_a_limit(jobs):
    gate = threading.Event()
    for n in range(3):
        jobs.submit(Job(1, str(n)), lambda job: gate.wait(5), max_queue=2)
    with pytest.raises(Locked, match="waiting already: 2$"):
        jobs.submit(Job(1, "too many"), lambda job: None, max_queue=2)
    gate.set()


def test_neither_housekeeping_nor_a_command_is_among_the_deploys_that_wait(jobs, kept, command):
    asked = command()
    pushed = [jobs.submit(Job(1, str(n)), lambda job: "live", max_queue=2) for n in range(2)]
    with pytest.raises(Locked, match="waiting already: 2$"):
        jobs.submit(Job(1, "too many"), lambda job: None, max_queue=2)
    jobs.leave(kept)
    assert asked.result(5)
    assert all(job.wait(5) and job.result == "live" for job in pushed)


def test_a_waiting_job_can_be_cancelled(jobs):
    gate, ran = threading.Event(), []
    jobs.submit(Job(1, "first"), lambda job: gate.wait(5))
    second = jobs.submit(Job(1, "second"), ran.append)
    assert second.cancel()
    assert second.wait(5)
    assert isinstance(second.error, Cancelled)
    assert not ran
    gate.set()


def test_the_turn_is_free_after_the_verdict_while_the_work_goes_on(jobs):
    gate = threading.Event()

    def work(job):
        job.decide(result="live")
        jobs.leave(job)
        gate.wait(5)                     # retiring

    first = jobs.submit(Job(1, "first"), work)
    assert first.wait(5)
    second = jobs.submit(Job(1, "second"), lambda job: "also")
    assert second.wait(5)
    gate.set()


def test_try_turn(jobs):
    turn = jobs.try_turn(1, "reconcile")
    assert jobs.try_turn(1, "again") is None
    jobs.leave(turn)
    again = jobs.try_turn(1, "again")
    assert again
    jobs.leave(again)


def test_a_command_waits_for_housekeeping(jobs, kept, command):
    asked = command()
    assert jobs.running(1) is kept
    assert not asked.done()
    jobs.leave(kept)
    assert asked.result(5) == ["apps:destroy"]
    assert jobs.running(1) is None


def test_a_command_and_deploys_take_turns_as_they_came(jobs, kept, command):
    seen = []
    command(seen)
    pushed = jobs.submit(Job(1, "push"), lambda job: seen.append("push"))
    assert next(pushed.log.follow()) == "-----> Waiting: 2 ahead of this one (reconcile)"
    jobs.leave(kept)
    assert pushed.wait(5)
    assert seen == ["apps:destroy", "push"]


def test_a_command_waits_for_no_deploy_and_for_no_other_command(jobs, kept, command):
    first = command()
    with pytest.raises(Conflict, match="busy: apps:destroy"), jobs.turn(1, "apps:rename"):
        pytest.fail("it has the turn")
    jobs.leave(kept)
    assert first.result(5)
    deploy = jobs.try_turn(1, "push of 1234abcd")
    with pytest.raises(Conflict, match="busy: push of 1234abcd"), jobs.turn(1, "apps:destroy"):
        pytest.fail("it has the turn")
    assert (jobs.running(1), jobs.waiting(1)) == (deploy, [])


def test_a_command_waits_for_no_deploy_that_waits_for_housekeeping(jobs, kept):
    pushed = jobs.submit(Job(1, "push"), lambda job: "live")
    with pytest.raises(Conflict, match="busy: push"), jobs.turn(1, "apps:destroy"):
        pytest.fail("it has the turn")
    jobs.leave(kept)
    assert pushed.wait(5)
    assert pushed.result == "live"


def test_a_command_does_not_wait_for_ever(jobs, kept):
    jobs.patience = 0.05
    with pytest.raises(Conflict, match="busy: reconcile"), jobs.turn(1, "apps:destroy"):
        pytest.fail("it has the turn")
    assert (jobs.running(1), jobs.waiting(1)) == (kept, [])


def test_no_command_waits_when_the_daemon_stops(jobs, kept, command):
    asked = command()
    jobs.end_patience()
    assert isinstance(asked.exception(5), Conflict)
    assert (jobs.running(1), jobs.waiting(1)) == (kept, [])


def test_a_command_that_waits_can_be_cancelled(jobs, kept, command):
    asked = command()
    [job] = jobs.deploys(1)
    assert job.cancel()
    assert isinstance(asked.exception(5), Cancelled)
    assert (jobs.running(1), jobs.waiting(1)) == (kept, [])


def test_a_command_that_works_cannot_be_cancelled(jobs):
    with jobs.turn(1, "apps:destroy"):
        [job] = jobs.deploys(1)
        assert not job.cancel()
        assert not job.cancelled


def test_a_command_that_was_cancelled_as_its_turn_came_does_not_work(jobs, monkeypatch):
    def come(job, patient):
        assert job.cancel()

    monkeypatch.setattr(jobs, "_await_turn", come)
    with pytest.raises(Cancelled), jobs.turn(1, "apps:destroy"):
        pytest.fail("it works")
    assert jobs.running(1) is None


def test_a_failure_is_the_verdict(jobs):
    def work(job):
        raise ValueError("x")

    job = jobs.submit(Job(1, "x"), work)
    assert job.wait(5)
    assert isinstance(job.error, ValueError)


def test_the_log_escapes_and_is_kept(tmp_path):
    log = JobLog()
    log.stage("Building")
    log.detail("a\x1b[31mred\x1b[0m\rtab\there\u202e")
    log.keep_in(tmp_path / "b" / "1.log")
    log.warn("late")
    log.close()
    lines = (tmp_path / "b" / "1.log").read_text().splitlines()
    assert lines == ["-----> Building", "       a\\x1b[31mred\\x1b[0m", "       tab    here\\u202e", " !     late"]
    assert list(log.follow()) == lines


def test_the_log_has_a_limit():
    log = JobLog(limit=100)
    for _ in range(1000):
        log.detail("x" * 50)
    log.close()
    lines = list(log.follow())
    assert len(lines) <= 3
    assert "limit is reached" in lines[-1]


def test_build_slots_limit_builds_over_all_apps(jobs):
    jobs.builds_at_once = 1
    first, second = Job(1, "a"), Job(2, "b")
    jobs.take_build_slot(first)
    waiter = threading.Thread(target=jobs.take_build_slot, args=(second,))
    waiter.start()
    waiter.join(0.3)
    assert waiter.is_alive()
    jobs.give_build_slot()
    waiter.join(5)
    assert not waiter.is_alive()
    assert "Waiting for a build slot" in next(second.log.follow())
    jobs.give_build_slot()
