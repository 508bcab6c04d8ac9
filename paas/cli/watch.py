"""``watch``: the time after a deploy in which a release is watched, and taken back where it does badly."""

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.cli.settings import put_rows_and_report, set_and_tell
from paas.model.app import App
from paas.ops import watch


@command("watch")
@command("watch:report")
@app_argument
@format_option
def report(call: Call, app: App, format: str) -> None:
    """Show how the last releases did in their first minute, and the settings.

    OUTCOME is watching, good, bad (and nobody rolled back), rolled-back, or cut-short: another deploy, a restart or a
    stop came before the end.

    Under --format json: `windows` and `settings`.

    Example: paas watch hello
    """
    put_rows_and_report(call, app, "watch", "windows", watch.COLUMNS, watch.windows(call.rt, app), format)


@command("watch:set", mutates=True)
@app_argument
@click.argument("key")
@click.argument("value", default="")
def set_(call: Call, app: App, key: str, value: str) -> None:
    """Set how new releases are watched. Without VALUE: back to the default.

    KEY is seconds (0: not at all), rollback, keep-warm, wait, errors, latency or min-requests. For all apps:
    server:set watch-seconds.

    Example: paas watch:set hello seconds 120
    """
    set_and_tell(call, app, "watch", key, value,
                 "From now on; seconds and keep-warm from the next deploy on.")
