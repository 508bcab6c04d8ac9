"""What the tests of scheduled jobs share: pushes with jobs, time that passes, runs in threads."""

import json
import threading
from dataclasses import replace

from paas.deploy.work import Work
from paas.jobs import Job, Jobs
from paas.model.cron import CronRunState
from paas.ops import cron_due, cron_run
from paas.ops.cron_attended import AttendedRuns
from tests.flow.over_fakes import ALICE

CRON = "paas.kind=cron"
RUNNING, SUCCEEDED, FAILED, SKIPPED = CronRunState
EVERY_MINUTE, DAILY = ("* * * * *", "minutely"), ("0 3 * * *", "daily")


def push(flow, *jobs):
    """Push a source with these jobs: each (schedule, command), or an object as app.json has it."""
    given = [one if isinstance(one, dict) else {"schedule": one[0], "command": one[1]} for one in jobs]
    files = {"Procfile": b"web: serve\n", "app.json": json.dumps({"cron": given}).encode(),
             "count": str(len(flow.faults.calls)).encode()}
    code = flow.push(flow.commit(files))
    flow.settle()
    return code


def with_policy(policy, schedule="* * * * *", command="minutely"):
    return {"schedule": schedule, "command": command, "concurrency_policy": policy}


def pass_time(flow, minutes=1.0, tick=True):
    flow.clock.passed += 60 * minutes
    if tick:
        cron_due.tick(flow.rt)


def tick_each_minute(flow, minutes):
    for _ in range(minutes):
        pass_time(flow)


def history(flow, **given):
    """Oldest first."""
    return flow.rt.store.cron_runs(flow.app().id, **given)[::-1]


def dues(flow, **given):
    return [one.due_at.strftime("%H:%M") for one in history(flow, **given)]


def ids(flow):
    return [job.id for job in flow.rt.store.live_release(flow.app().id).cron]


def failures(flow, result="failed"):
    return [one for one in flow.rt.store.events(limit=1000) if one.verb == "cron" and one.result == result]


class Threads:
    """Runs in threads of their own, as in the daemon; ``settle`` waits for those that can end."""

    def __init__(self):
        self.all = []

    def __call__(self, work):
        thread = threading.Thread(target=work, daemon=True)
        self.all.append(thread)
        thread.start()

    def settle(self):
        for thread in self.all:
            thread.join(10)
            assert not thread.is_alive()


def wait_until(true):
    deadline = threading.Event()
    for _ in range(1000):
        if true():
            return
        deadline.wait(0.01)
    raise AssertionError("not within 10 s")


def job_containers(flow):
    return [one for one in flow.containers.list({"paas.kind": "cron"}) if one.running]


def restarted(flow):
    """A new daemon in the same world."""
    return replace(flow, rt=replace(flow.rt, cron=AttendedRuns(), jobs=Jobs(flow.rt.jobs.logs_dir)))


def begun_by_a_daemon_that_died(flow):
    """A job's container runs, and nobody sees to it."""
    dead = replace(flow, rt=replace(flow.rt, spawn=lambda work: None))
    pass_time(dead)
    entry, app = dead.rt.cron.all()[0], dead.app()
    live = dead.rt.store.live_release(app.id)
    cron_run.create(Work(dead.rt, app, ALICE, Job(app.id, "cron")), entry, live, live.cron[0])
    dead.containers.start(entry.container)
    return entry.container
