"""``incidents``: what is wrong, and what was."""

import click

from paas.cli.base import Call, command, format_option
from paas.ops import incidents

COLUMNS = ("id", "kind", "object", "opened_at", "closed_at", "what", "hint", "ending")


@command("incidents")
@click.option("--open", "open_only", is_flag=True, help="Only those that are not over.")
@click.option("-n", "--num", "number", type=click.IntRange(1, 10_000), default=50, show_default=True,
              help="How many, newest first.")
@format_option
def list_(call: Call, open_only: bool, number: int, format: str) -> None:
    """List incidents, newest first: what is wrong and lasts, and what is over. Messages about them: notify:add.

    Example: paas incidents --open
    """
    found = incidents.listed(call.rt, open_only, number)
    call.rows(COLUMNS, [tuple(getattr(one, name) for name in COLUMNS) for one in found], format)
