"""Work that goes on beside, also where the system gives no thread for it at first."""

import threading

import pytest

from paas import threads
from paas.errors import Unavailable
from paas.jobs import Job, Jobs
from paas.threads import Spawner, started


@pytest.fixture
def none_left(monkeypatch):
    """Threads cannot be started until the returned event is set."""
    again, start = threading.Event(), threading.Thread.start
    waiting = Spawner()

    def refuse(thread):
        if not again.is_set():
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threads, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    again.spawn = waiting
    yield again
    again.set()


def test_what_needs_one_now_is_refused(none_left):
    ran = []
    with pytest.raises(Unavailable, match="no thread left"):
        started(ran.append, 1)
    none_left.set()
    started(ran.append, 2).join()
    assert ran == [2]


def test_work_begins_later_where_no_thread_is_left(none_left, caplog):
    first, second = threading.Event(), threading.Event()
    none_left.spawn(first.set)
    none_left.spawn(second.set)
    assert not first.wait(0.05)
    none_left.set()
    assert first.wait(5)
    assert second.wait(5)
    assert "no thread is left" in caplog.text


def test_a_job_that_gets_none_leaves_its_turn(none_left, tmp_path):
    jobs = Jobs(tmp_path)
    with pytest.raises(Unavailable):
        jobs.submit(Job(1, "push"), lambda job: None)
    assert jobs.running(1) is None
    none_left.set()
    job = jobs.submit(Job(1, "push"), lambda job: "done")
    assert job.wait(5)
    assert job.result == "done"
