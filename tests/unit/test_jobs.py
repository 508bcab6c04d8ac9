"""The queues: one deploy of an app at a time, in order, whoever watches."""

import threading

import pytest

from paas.errors import Cancelled, Locked
from paas.jobs import Job, JobLog, Jobs


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path)


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
    with pytest.raises(Locked):
        jobs.submit(Job(1, "too many"), lambda job: None, max_queue=2)
    gate.set()


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
