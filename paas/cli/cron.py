"""``cron``, ``cron:…``: scheduled jobs."""

import click

from paas.cli import printer
from paas.cli.base import Call, app_argument, command, format_option, optional_app_argument
from paas.cli.settings import put_report, set_and_tell
from paas.errors import PaasError
from paas.model.app import App
from paas.model.cron import CronRun, CronRunState
from paas.ops import cron, settings
from paas.ops.cron_attended import Listener

JOBS = ("app", "id", "schedule", "timezone", "next_due", "last_run", "last_result", "state", "concurrency", "command")
RUNS = ("run", "job", "state", "exit_code", "due_at", "started_at", "seconds", "release", "created_by", "reason")


@command("cron")
@command("cron:list")
@optional_app_argument
@format_option
def list_(call: Call, app: App | None, format: str) -> None:
    """List the scheduled jobs of an app, or of all.

    Those of the live release (`cron` in app.json), with the time zone that the schedule is read in. Times are UTC.

    Example: paas cron hello
    """
    rows = [(one.app, one.job, one.schedule, one.timezone, one.next_due, one.last_run, one.last_result, one.state,
             one.concurrency, one.command) for one in cron.listed(call.rt, app)]
    call.rows(JOBS, rows, format)


@command("cron:run", mutates=True)
@app_argument
@click.argument("id")
@click.option("-d", "--detach", "--detached", is_flag=True, help="Do not wait for its end.")
def run(call: Call, app: App, id: str, detach: bool) -> int:
    """Run a scheduled job now, with its output; the exit code is the job's.

    It is a job of the server: it goes on when the caller leaves. It is kept in the history like any other run, and
    obeys the job's concurrency_policy.

    Example: paas cron:run hello 5a0152d8
    """
    entry = cron.run_now(call.rt, app, call.actor, id, None if detach else Listener())
    name = f"cron.{entry.run.id}"
    call.note(run=name)
    if detach:
        call.put(name)
        call.say(f"Its output: paas cron:log {app.name} {name}")
        return 0
    for line in entry.lines(lambda: call.session.alive):
        text = printer.escape(line.text.decode("utf-8", "replace")) + "\n"
        (call.session.err if line.stream == "stderr" else call.session.out)(text)
    if entry.listener.left_out:
        call.warn(f"{entry.listener.left_out:,} lines are left out here; see: paas cron:log {app.name} {name}")
    return code_of(call, call.rt.store.cron_run(app.id, entry.run.id))


def code_of(call: Call, ended: CronRun) -> int:
    if ended.state in (CronRunState.SUCCEEDED, CronRunState.RUNNING):
        return 0                         # it runs: the caller has left
    if ended.exit_code is None:
        raise PaasError(f"cron.{ended.id} has no exit code: {ended.reason}")
    if ended.reason != f"exit code {ended.exit_code}":
        call.warn(f"cron.{ended.id}: {ended.reason}")
    return ended.exit_code or 1


@command("cron:suspend", mutates=True)
@app_argument
@click.argument("id")
def suspend(call: Call, app: App, id: str) -> None:
    """Start a job no more by its schedule, until cron:resume.

    Also in later releases, as long as its schedule and command are the same. A run that goes on is not ended.

    Example: paas cron:suspend hello 5a0152d8
    """
    call.say(f"The job {id} is suspended." if cron.suspend(call.rt, app, call.actor, id) else "Nothing changed.")


@command("cron:resume", mutates=True)
@app_argument
@click.argument("id")
def resume(call: Call, app: App, id: str) -> None:
    """Start a suspended job by its schedule again.

    From the next due time on: what was due meanwhile is not made up for.

    Example: paas cron:resume hello 5a0152d8
    """
    call.say(f"The job {id} is scheduled again." if cron.resume(call.rt, app, id) else "Nothing changed.")


@command("cron:history")
@app_argument
@click.argument("id", required=False)
@click.option("-n", "--num", "number", type=click.IntRange(1, 10_000), default=20, show_default=True,
              help="How many, newest first.")
@format_option
def history(call: Call, app: App, id: str | None, number: int, format: str) -> None:
    """List the runs of an app's scheduled jobs, or of one job, newest first.

    With due time, exit code, duration, and why it failed or was skipped.

    Example: paas cron:history hello -n 5
    """
    rows = [(f"cron.{one.id}", one.job, one.state, one.exit_code, one.due_at.replace(microsecond=0), one.started_at,
             seconds(one), release, one.created_by, one.reason)
            for one, release in cron.history(call.rt, app, id, number)]
    call.rows(RUNS, rows, format)


def seconds(run: CronRun) -> float | None:
    return round((run.finished_at - run.started_at).total_seconds(), 1) if run.finished_at else None


@command("cron:log")
@app_argument
@click.argument("run")
@click.option("-t", "--tail", "-f", "--follow", "follow", is_flag=True, help="Go on until it ends, or ^C.")
@click.option("-n", "--num", "number", type=click.IntRange(0, 1_000_000), help="Last lines; all by default.")
def log(call: Call, app: App, run: str, follow: bool, number: int | None) -> None:
    """Show what one run of a job printed.

    The last 1 MB is kept as long as the run is in the history.

    Example: paas cron:log hello cron.1
    """
    found = cron.find_run(call.rt, app, run)
    for text in cron.output(call.rt, app, found, number, follow, lambda: call.session.alive):
        call.put(text.decode("utf-8", "replace"))


@command("cron:stop", mutates=True)
@app_argument
@click.argument("run")
def stop(call: Call, app: App, run: str) -> None:
    """End a run of a job.

    SIGTERM, then SIGKILL after the app's stop timeout. It is recorded as failed.

    Example: paas cron:stop hello cron.2
    """
    found = cron.find_run(call.rt, app, run)
    cron.stop(call.rt, app, call.actor, found)
    call.say(f"cron.{found.id} is stopped.")


@command("cron:set", mutates=True)
@app_argument
@click.argument("key")
@click.argument("value", default="")
def set_(call: Call, app: App, key: str, value: str) -> None:
    """Set timezone or timeout of an app's scheduled jobs.

    timezone: a name of the IANA database. timeout: the seconds that one run may take. Without VALUE: back to the
    default.

    Example: paas cron:set hello timezone Europe/Berlin
    """
    set_and_tell(call, app, "cron", key, value, "From now on.")


@command("cron:settings")
@app_argument
@format_option
def settings_(call: Call, app: App, format: str) -> None:
    """Show the settings that cron:set sets.

    Example: paas cron:settings hello
    """
    put_report(call, settings.report(call.rt, app, "cron"), format)


@command("cron:report")
@optional_app_argument
@format_option
def report(call: Call, app: App | None, format: str) -> None:
    """Show how many jobs an app has, or each app, and what became of them.

    failed: among the runs of the history.

    Example: paas cron:report hello
    """
    call.rows(("app", "timezone", "jobs", "suspended", "running", "failed"), cron.report(call.rt, app), format)
