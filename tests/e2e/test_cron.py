"""Scheduled jobs on the real platform: by the clock, by hand, and with the daemon killed while one runs."""

import json
import time

import pytest

from tests.e2e import recovery, state
from tests.e2e.world import Repo, World, run, until
from tests.fixtures import apps

MINUTE = 75.0                            # seconds until a job that is due every minute must have begun
# Reports once a second, and ends by itself only when somebody writes that it may.
LONG = "i=0; while [ ! -e /data/end ]; do i=$((i+1)); echo beat $i; sleep 1; done; echo the end; exit 5"
JOBS = {
    "tick": "echo tick $PAAS_PROCESS $DYNO $GREETING; cat /data/word; echo to stderr >&2",
    "fails": "echo goodbye; exit 7",
    "long": LONG,
    "storm": "yes 0123456789012345678901234567890123456789 | head -n 60000",
    "absent": "/no/such/program",
}


@pytest.fixture(scope="module")
def repo(mine) -> Repo:
    """An app with these jobs, due at New Year but for `tick`, and with storage of its own."""
    cron = [{"schedule": "* * * * *" if name == "tick" else "0 0 1 1 *", "command": command}
            for name, command in JOBS.items()]
    made = mine.app_repo({**apps.web("one"), "app.json": json.dumps({"cron": cron})}, "jobs")
    mine.local("apps:create", "jobs", check=True)
    mine.local("storage:mount", "jobs", "data:/data", check=True)
    mine.local("config:set", "--no-restart", "jobs", "GREETING=hello", check=True)
    mine.local("resource:limit", "jobs", "--process-type", "cron", "--memory", "32m", check=True)
    made.push()
    return made


def job(world: World, name: str) -> str:
    rows = world.local("cron", "jobs", "--format", "json", check=True).json
    return next(row["id"] for row in rows if row["command"] == JOBS[name])


def runs(world: World, name: str) -> list[dict]:
    """Newest first."""
    return world.local("cron:history", "jobs", job(world, name), "--format", "json", check=True).json


def begun(world: World, name: str) -> list[dict]:
    found = world.local("cron:history", "jobs", "--format", "json", check=True).json
    return [row for row in found if row["job"] == job(world, name)]


def job_containers(world: World) -> list[dict]:
    return [one for one in world.containers("jobs") if one["Config"]["Labels"]["paas.kind"] == "cron"]


def events(world: World, result: str) -> list[dict]:
    rows = world.local("events", "-n", "1000", "--app", "jobs", "--format", "json", check=True).json
    return [row["detail"] for row in rows if row["verb"] == "cron" and row["result"] == result]


def put(world: World, name: str, content: str) -> None:
    world.local("run", "jobs", "--", "sh", "-c", f"echo {content} > /data/{name}", check=True)


def test_a_job_of_every_minute_begins_on_the_minute_once_with_config_and_storage(mine, repo):
    put(mine, "word", "kept")
    until(lambda: any(row["state"] == "succeeded" for row in begun(mine, "tick")), "the job ran", MINUTE)
    found = runs(mine, "tick")
    assert len({row["due_at"] for row in found}) == len(found)
    (last,) = [row for row in found if row["state"] == "succeeded"][:1]
    assert last["due_at"][16:19] == ":00"
    assert (last["exit_code"], last["created_by"], last["release"]) == (0, "paas", "v1")
    lines = mine.paas("cron:log", "jobs", last["run"], check=True).stdout.splitlines()
    assert sorted(lines) == sorted([f"tick {last['run']} {last['run']} hello", "kept", "to stderr"])
    assert job_containers(mine) == []
    mine.local("cron:suspend", "jobs", job(mine, "tick"), check=True)        # the others want to be alone


def test_by_hand_over_ssh_with_output_exit_code_history_and_event(mine, repo):
    done = mine.paas("cron:run", "jobs", job(mine, "fails"))
    assert (done.returncode, done.stdout) == (7, "goodbye\n")
    (row,) = runs(mine, "fails")
    assert (row["state"], row["exit_code"], row["created_by"], row["reason"]) == ("failed", 7, "admin", "exit code 7")
    assert events(mine, "failed") == [{"job": row["job"], "run": row["run"], "exit_code": "7", "reason": "exit code 7"}]
    assert mine.paas("cron:log", "jobs", row["run"], check=True).stdout == "goodbye\n"
    assert mine.paas("cron:run", "jobs", job(mine, "tick")).returncode == 0      # suspended, and runs by hand
    missing = mine.paas("cron:run", "jobs", job(mine, "absent"))
    assert missing.returncode == 127


def test_the_last_part_of_a_long_output_is_kept(mine, repo):
    done = mine.paas("cron:run", "jobs", job(mine, "storm"), "--detach", check=True)
    name = done.stdout.split()[0]
    until(lambda: runs(mine, "storm")[0]["state"] == "succeeded", "it has ended")
    notice, *lines = mine.paas("cron:log", "jobs", name, check=True).stdout.splitlines()
    assert "bytes before this line are not kept" in notice
    assert set(lines) == {"0123456789" * 4}
    assert 1024 * 1024 - 100 < len(lines) * 41 <= 1024 * 1024
    assert (mine.settings.logs_dir / "cron" / f"{name[5:]}.log").stat().st_size < 1_050_000


def test_killed_while_a_job_runs(mine, repo):
    """The job goes on, in the same container; the next daemon has all its output, and records one end."""
    name = mine.paas("cron:run", "jobs", job(mine, "long"), "--detach", check=True).stdout.split()[0]
    until(lambda: "beat 1" in mine.local("cron:log", "jobs", name).stdout, "it has begun")
    (before,) = job_containers(mine)
    assert before["HostConfig"]["Memory"] == 32 * 1024**2
    assert before["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
    mine.kill_daemon()
    time.sleep(3)                        # it goes on while nobody looks
    mine.start_daemon()
    recovery.settle(mine)
    (after,) = job_containers(mine)
    assert (after["Id"], after["State"]["Running"]) == (before["Id"], True)
    assert [row["state"] for row in runs(mine, "long")] == ["running"]
    again = mine.paas("cron:run", "jobs", job(mine, "long"))
    assert (again.returncode, f"{name} of this job is not over" in again.stderr) == (4, True)
    repo.commit(apps.page("two"))
    repo.push()                          # a deploy does not end it either
    assert [one["Id"] for one in job_containers(mine)] == [before["Id"]]
    put(mine, "end", "now")
    until(lambda: runs(mine, "long")[0]["state"] == "failed", "its end is recorded")
    (row,) = runs(mine, "long")
    assert (row["exit_code"], row["reason"], row["release"]) == (5, "exit code 5", "v1")
    lines = mine.paas("cron:log", "jobs", name, check=True).stdout.splitlines()
    assert lines == [*(f"beat {number}" for number in range(1, len(lines))), "the end"]
    assert len([one for one in events(mine, "failed") if one["run"] == name]) == 1
    until(lambda: job_containers(mine) == [], "its container has gone")
    mine.local("run", "jobs", "--", "rm", "/data/end", check=True)


def test_a_job_that_takes_too_long_or_is_stopped(mine, repo):
    mine.local("ps:set", "jobs", "stop-timeout", "1", check=True)
    mine.local("cron:set", "jobs", "timeout", "3", check=True)
    done = mine.paas("cron:run", "jobs", job(mine, "long"))
    assert (done.returncode != 0, "timed out" in done.stderr) == (True, True)
    assert runs(mine, "long")[0]["reason"] == "timed out"
    mine.local("cron:set", "jobs", "timeout", check=True)
    name = mine.paas("cron:run", "jobs", job(mine, "long"), "--detach", check=True).stdout.split()[0]
    until(lambda: job_containers(mine), "it runs")
    mine.paas("cron:stop", "jobs", name, check=True)
    assert runs(mine, "long")[0]["reason"] == "stopped by admin"
    assert job_containers(mine) == []


def test_a_lost_container_is_a_failure(mine, repo):
    name = mine.paas("cron:run", "jobs", job(mine, "long"), "--detach", check=True).stdout.split()[0]
    until(lambda: job_containers(mine), "it runs")
    mine.kill_daemon()
    run(["docker", "rm", "--force", job_containers(mine)[0]["Id"]], check=True)
    mine.start_daemon()
    until(lambda: runs(mine, "long")[0]["state"] == "failed", "its end is recorded")
    assert (runs(mine, "long")[0]["run"], runs(mine, "long")[0]["reason"]) == (
        name, "it was lost when the machine stopped")


def test_a_push_with_a_wrong_schedule_is_refused_and_the_jobs_stay(mine, repo):
    before = mine.local("cron", "jobs", "--format", "json", check=True).json
    kept = (repo.path / "app.json").read_text()
    repo.commit({"app.json": json.dumps({"cron": [{"schedule": "0 0 31 2 *", "command": "x"}]})})
    done = repo.push(check=False)
    assert (done.returncode != 0, "0 0 31 2 *" in done.output) == (True, True)
    assert mine.local("cron", "jobs", "--format", "json", check=True).json == before
    repo.commit({"app.json": kept})


def test_destroying_the_app_ends_what_runs(mine, repo):
    mine.paas("cron:run", "jobs", job(mine, "long"), "--detach", check=True)
    until(lambda: job_containers(mine), "it runs")
    mine.local("apps:destroy", "jobs", "--confirm", "jobs", check=True)
    assert mine.containers("jobs") == []
    assert state.query(mine, "select * from cron_runs") == []
