"""``builds:…``: what was built, with what result, and its log."""

import click

from paas.cli.base import Call, app_argument, command, format_option, optional_app_argument
from paas.model.app import App
from paas.ops import builds


@command("builds")
@command("builds:list")
@optional_app_argument
@click.option("-n", "--num", "number", type=click.IntRange(1, 10_000), default=20, show_default=True,
              help="How many, newest first.")
@format_option
def list_(call: Call, app: App | None, number: int, format: str) -> None:
    """List the builds of an app, or of all, newest first.

    Example: paas builds hello
    """
    rows = [(owner.name, one.number, one.state, one.commit if format == "json" else one.commit[:8], one.subject,
             one.created_by, one.created_at, one.finished_at, one.reason)
            for owner, one in builds.listed(call.rt, app, number)]
    call.rows(("app", "number", "state", "commit", "subject", "created_by", "created_at", "finished_at", "reason"),
              rows, format)


@command("builds:log")
@command("builds:output")
@app_argument
@click.argument("number", required=False)
def log(call: Call, app: App, number: str | None) -> None:
    """Print the log of a build, live while it runs.

    From its first line. Without NUMBER: the deploy that runs now, else the newest build.

    Example: paas builds:log hello 2
    """
    wanted = builds.parse_number(number) if number and number != "current" else None
    for line in builds.log(call.rt, app, wanted, lambda: call.session.alive):
        call.put(line)


@command("builds:cancel", mutates=True)
@app_argument
@click.option("--all", "waiting", is_flag=True, help="Those that wait for their turn too.")
def cancel(call: Call, app: App, waiting: bool) -> None:
    """Stop the build or deploy that runs. The live release goes on serving.

    apps:destroy and apps:rename cannot be cancelled once they have begun: exit code 4.

    Example: paas builds:cancel hello
    """
    for title in builds.cancel(call.rt, app, waiting):
        call.say(f"Cancelled: {title}")
