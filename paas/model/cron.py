"""Scheduled jobs: app.json's `cron`, one run of a job, and its states."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from paas.errors import PushRefused
from paas.model.names import printable
from paas.model.procfile import shell_command
from paas.model.release import CronJob, Overlap

MAX_JOBS = 50
MAX_COMMAND = 4096
FIELD = re.compile(r"[0-9*/,\-A-Za-z#]{1,100}")
NICKNAMES = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})
KEYS = frozenset({"command", "schedule", "concurrency_policy"})


class CronRunState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"                    # an exit code that is not 0, or it could not run: `reason` says why
    SKIPPED = "skipped"                  # due while the run before was not over (Overlap.FORBID)


@dataclass(frozen=True)
class CronRun:
    """A row of ``cron_runs``. One per job and due time: that is what keeps a restart from doubling it."""

    id: int
    app_id: int
    job: str                             # CronJob.id
    due_at: datetime
    release_id: int
    state: CronRunState
    container_id: str
    started_at: datetime
    finished_at: datetime | None
    exit_code: int | None
    reason: str
    created_by: str                      # "paas" for the schedule, else who asked with cron:run


@dataclass(frozen=True)
class Suspension:
    """A job that is not started by its schedule (``cron_suspended``)."""

    since: datetime
    created_by: str


def read_cron(data: object, ignored: list[str]) -> tuple[CronJob, ...]:
    """app.json's `cron`: a list of objects with ``command``, ``schedule`` and Dokku's ``concurrency_policy``.

    The words of a schedule are checked here, their meaning by :class:`paas.ports.Schedules`. Raises PushRefused.
    """
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise PushRefused("app.json: 'cron' must be a list of objects",
                          'Like: "cron": [{"schedule": "0 3 * * *", "command": "python cleanup.py"}]')
    if len(data) > MAX_JOBS:
        raise PushRefused(f"app.json: 'cron' has {len(data)} entries; {MAX_JOBS} are allowed")
    jobs = tuple(read_job(f"cron[{place}]", entry, ignored) for place, entry in enumerate(data))
    if len({job.id for job in jobs}) != len(jobs):
        raise PushRefused("app.json: 'cron' has the same schedule and command twice", "Keep one of them.")
    return jobs


def read_job(where: str, entry: Mapping[str, object], ignored: list[str]) -> CronJob:
    ignored += [f"{where}.{printable(key)}" for key in entry if key not in KEYS]
    schedule, command = words(where, entry, "schedule", 200), words(where, entry, "command", MAX_COMMAND)
    schedule = " ".join(schedule.split())
    if schedule == "@reboot":
        raise PushRefused(f"app.json: the schedule of {where} is @reboot: jobs are due by the clock only",
                          "What is to run with the app is a process type of the Procfile, or its release task.")
    if schedule not in NICKNAMES and not is_expression(schedule):
        raise PushRefused(f"app.json: the schedule of {where} is not a cron expression: {printable(schedule)}",
                          "Five fields (minute hour day month weekday), or @hourly, @daily, @weekly, @monthly.")
    policy = entry.get("concurrency_policy", Overlap.FORBID)
    if policy not in list(Overlap):
        raise PushRefused(f"app.json: 'concurrency_policy' of {where} is none of {', '.join(Overlap)}")
    made = hashlib.sha256(f"{schedule}\0{command}".encode()).hexdigest()[:8]
    return CronJob(made, schedule, shell_command(command), Overlap(policy))


def words(where: str, entry: Mapping[str, object], key: str, limit: int) -> str:
    text = entry.get(key)
    if not isinstance(text, str) or not text.strip() or len(text) > limit or not text.isprintable():
        raise PushRefused(f"app.json: '{key}' of {where} must be one printable line of at most {limit} characters")
    return text.strip()


def is_expression(schedule: str) -> bool:
    fields = schedule.split(" ")
    return len(fields) == 5 and all(FIELD.fullmatch(field) for field in fields)
