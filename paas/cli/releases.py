"""``releases``, ``releases:…``, ``rollback``: the history of an app and the way back."""

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.cli.config import run_tasks_option
from paas.model.app import App
from paas.ops import releases


@command("releases")
@command("releases:list")
@app_argument
@click.option("-n", "--num", "number", type=click.IntRange(1, 10_000), default=20, show_default=True,
              help="How many, newest first.")
@format_option
def list_(call: Call, app: App, number: int, format: str) -> None:
    """List the releases of an app, newest first.

    Example: paas releases hello
    """
    short = format != "json"
    rows = [(f"v{one.version}", one.created_at, one.created_by, one.state, one.commit[:8] if short else one.commit,
             one.subject, f"{one.reason}: {one.failure}" if short and one.failure else one.reason)
            + (() if short else (one.failure,))
            for one in call.rt.store.releases(app.id, limit=number)]
    columns = ("version", "created_at", "created_by", "state", "commit", "subject", "reason")
    call.rows(columns if short else (*columns, "failure"), rows, format)


@command("releases:info")
@app_argument
@click.argument("version", required=False)
@format_option
def info(call: Call, app: App, version: str | None, format: str) -> None:
    """Show one release. Without VERSION: the live one. Config by key only.

    Example: paas releases:info hello v3
    """
    facts = releases.info(call.rt, app, releases.parse_version(version) if version else None)
    if format != "json":
        facts["seconds"] = [f"{stage} {took:g}" for stage, took in facts["seconds"].items()]
    call.record(facts, format)


@command("releases:diff")
@app_argument
@click.argument("old")
@click.argument("new")
@format_option
def diff(call: Call, app: App, old: str, new: str, format: str) -> None:
    """Show what changed from release OLD to release NEW.

    Image, config (keys only) and process types.

    Example: paas releases:diff hello v2 v3
    """
    pair = [call.rt.store.release(app.id, releases.parse_version(text)) for text in (old, new)]
    lines = releases.differences(*pair)
    if format == "json":
        call.rows(("difference",), [(line,) for line in lines], format)
    else:
        call.put("\n".join(lines) or "No difference.")


@command("rollback", mutates=True)
@app_argument
@click.argument("version", required=False)
@run_tasks_option
def rollback(call: Call, app: App, version: str | None, run_tasks: bool) -> None:
    """Bring an earlier release back, without a build.

    Its image, config and process types become a new release, and the deploy branch its commit. Without VERSION: the
    newest one that served before and differs. What differs is shown first. Its tasks (migrations) do not run again
    unless asked, and nothing takes back what they did.

    Example: paas rollback hello v3
    """
    made = releases.rollback(call.rt, app, call.actor, releases.parse_version(version) if version else None,
                             call.say, call.output.detail, tasks=run_tasks)
    if made:
        call.note(release=f"v{made.version}")
