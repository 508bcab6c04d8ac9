"""``status``, ``doctor``, ``reconcile``: the platform itself."""

import click

from paas.cli.base import Call, command, format_option, optional_app_argument
from paas.model.app import App
from paas.ops import doctor, older, reconcile, status


@command("status")
@format_option
def show(call: Call, format: str) -> None:
    """Show the platform at a glance.

    Docker, proxy, database, disk, memory, apps, and what is being done. Under --format json sizes are bytes.

    Example: paas status
    """
    found = status.status(call.rt)
    call.record(found if format == "json" else {key: text(key, value) for key, value in found.items()}, format)


def text(key: str, value: object) -> object:
    if not isinstance(value, int) or not key.endswith(("_free", "_total", "_memory")):
        return value
    return f"{value / 1e6:.0f} MB" if value < 1e9 else f"{value / 1e9:.1f} GB"


@command("doctor")
@format_option
@click.option("--json", "format", flag_value="json", help="The same as --format json.")
def examine(call: Call, format: str) -> int:
    """Look for everything that is wrong and say how to mend it.

    It changes nothing. Exit code 0: nothing but advice. 1: errors (broken now) or warnings (will break, or reconcile
    will mend it).

    Example: paas doctor
    """
    found = doctor.examine(call.rt)
    rows = [(one.severity, one.id, one.object, one.expected, one.found, one.fix) for one in found]
    if rows or format == "json":
        call.rows(("severity", "id", "object", "expected", "found", "fix"), rows, format)
    bad = [one for one in found if one.severity != doctor.ADVICE]
    if format != "json":
        call.say(f"{len(bad)} to mend." if bad else "All is well.")
    return 1 if bad else 0


@command("reconcile", mutates=True)
@optional_app_argument
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--accept-older-database", is_flag=True, help="The database counts, though newer "
              "containers run: they go.")
@format_option
def repair(call: Call, app: App | None, dry_run: bool, accept_older_database: bool, format: str) -> int:
    """Repair what differs from the database, of one app or all.

    Docker, the proxy, git and the SSH keys are compared with what the database wants. The daemon does this by itself
    every two minutes. An app whose deploy is running is left alone. Exit code 1: a repair failed, or the database is
    older than what runs, and then nothing is done.

    Example: paas reconcile --dry-run
    """
    if accept_older_database and not dry_run:
        older.accept(call.rt)
    done = reconcile.reconcile(call.rt, dry_run=dry_run, app=app)
    rows = [(one.kind, one.object, one.found, one.fix, "planned" if dry_run else one.error or "done") for one in done]
    if rows or format == "json":
        call.rows(("kind", "object", "found", "fix", "result"), rows, format)
    else:
        call.say("Nothing to repair.")
    return 1 if any(one.error for one in done) else 0
