"""``sqlite:…``: SQLite files of apps, streamed to the backup target as they change."""

import click

from paas.cli.backups import identity_of, identity_option
from paas.cli.base import Call, app_argument, command, confirm_option, format_option, optional_app_argument
from paas.errors import UsageError
from paas.model.app import App
from paas.model.moments import read_moment
from paas.ops import sqlite, sqlite_drill, sqlite_restore

COLUMNS = ("app", "name", "path", "state", "safe_until", "lag", "last_drill", "reason")


@command("sqlite:protect", mutates=True)
@app_argument
@click.argument("path")
@click.option("--name", default="", help="What to call it; default: the file's name without its ending.")
def protect(call: Call, app: App, path: str, name: str) -> None:
    """Stream a SQLite file of an app to the backup target, sealed.

    PATH is where the app's containers see the file; it must be in a mount, and in WAL mode. At most a second of
    transactions is lost with the machine.

    Example: paas sqlite:protect hello /data/app.db
    """
    file, arrived = sqlite.protect(call.rt, app, path, name, call.actor)
    call.note(name=file.name, path=file.path)
    if sqlite.local_only(call.rt, file):
        call.warn("the target is a directory of this machine, and lost with it: paas backups:target set s3://BUCKET/PREFIX")
    if arrived:
        call.say(f"{path} is streamed as {file.name}; a first whole copy is in the target.")
    else:
        call.warn(f"{path} is streamed as {file.name}, but no whole copy is in the target yet: "
                  f"paas sqlite:info {app.name} {file.name}")


@command("sqlite:unprotect", mutates=True)
@app_argument
@click.argument("name")
@click.option("--purge", is_flag=True, help="Delete its history from the target too.")
@confirm_option
def unprotect(call: Call, app: App, name: str, purge: bool, confirm: str | None) -> None:
    """Stop streaming a file. What the target has stays, and can be restored, unless --purge is given.

    Example: paas sqlite:unprotect hello app
    """
    if purge:
        call.confirm(name, confirm, f"Every stored state of {name} of {app.name} will be deleted.")
    sqlite.unprotect(call.rt, app, name, purge)
    call.say(f"{name} is not streamed any more; " + ("its history is deleted." if purge else "its history stays."))


@command("sqlite:list")
@optional_app_argument
@format_option
def list_(call: Call, app: App | None, format: str) -> None:
    """List the SQLite files that are streamed, with their lag in seconds.

    Example: paas sqlite:list hello
    """
    rows = [(one.app, one.name, one.path, one.state, one.safe_until, one.lag, one.drilled_at, one.reason)
            for one in sqlite.listed(call.rt, app)]
    call.rows(COLUMNS, rows, format)


@command("sqlite:info")
@app_argument
@click.argument("name")
@format_option
def info(call: Call, app: App, name: str, format: str) -> None:
    """Show what of a file is safe: until when, how far back, how much.

    Example: paas sqlite:info hello app
    """
    call.record(sqlite.info(call.rt, app, name), format)


@command("sqlite:restore", mutates=True)
@app_argument
@click.argument("name")
@click.option("--at", "at", metavar="TIME", help="The newest state not later than this: ISO 8601, or '5m ago'.")
@click.option("--into", default="", metavar="PATH", help="Where, as the app's containers see it.")
@click.option("--in-place", is_flag=True, help="Stop the app, and swap it for the present file, which is kept.")
@identity_option
@confirm_option
def restore(call: Call, app: App, name: str, at: str | None, into: str, in_place: bool, identity_stdin: bool,
            confirm: str | None) -> None:
    """Bring a protected file back as it was, beside the present one.

    Example: paas sqlite:restore hello app --at 2026-11-20T16:00:00Z
    """
    if in_place and into:
        raise UsageError("--in-place and --into do not go together", "Give one of them.")
    moment = read_moment(at, call.rt.clock.now()) if at else None
    given = identity_of(call, identity_stdin)
    if in_place:
        call.confirm(name, confirm, f"{app.name} will be stopped for a moment, and its data is what it was then.")
        done = sqlite_restore.restore_in_place(call.rt, app, name, call.actor, at=moment, key=given, say=call.say)
    else:
        done = sqlite_restore.restore(call.rt, app, name, at=moment, into=into, key=given, say=call.say)
    call.note(path=done.path, state_at=done.state_at.isoformat())
    call.say(f"{done.path} is the state of {done.state_at:%Y-%m-%d %H:%M:%S.%f} UTC, checked by SQLite, "
             f"in {done.seconds:.1f} s.")
    if done.kept:
        call.say(f"The file that was there is {done.kept} now.")


@command("sqlite:drill", mutates=True)
@app_argument
@click.argument("name")
@identity_option
def drill(call: Call, app: App, name: str, identity_stdin: bool) -> None:
    """Prove that a protected file can be restored: restore its newest state on trial, and let SQLite check it.

    In a directory of the platform's that goes afterwards; the app and its file are not touched. Done by itself an hour
    after a history began, then every week.

    Example: paas sqlite:drill hello app
    """
    given = identity_of(call, identity_stdin)
    done = sqlite_drill.drill(call.rt, call.actor, app, name, key=given, say=call.say)
    call.say(f"The state of {done.state_at:%Y-%m-%d %H:%M:%S.%f} UTC is proved: {done.size:,} bytes, restored and "
             f"checked by SQLite in {done.seconds:.1f} s.")
    if done.counted:
        call.say("Tables: {:,}, rows: {:,}.".format(*done.counted))
    else:
        call.say("Its rows were not counted: it is too large for that, or SQLite cannot say.")
