"""``ci:…``: deploys from GitHub Actions or GitLab CI."""

import click

from paas.cli.base import Call, app_argument, command
from paas.model.app import App
from paas.ops import ci


@command("ci:setup", mutates=True, secret=True)
@app_argument
@click.option("--system", type=click.Choice(list(ci.SYSTEMS)), default="github", show_default=True,
              help="Whose workflow to print.")
def setup(call: Call, app: App, system: str) -> None:
    """Make a key that may only push to APP, and print what CI needs: the key (once), the host's line, the workflow.

    Run again, it makes a new key, and the old one is out at once.

    Example: paas ci:setup hello
    """
    made = ci.setup(call.rt, call.actor, app, system)
    call.note(key=made.key)
    call.put(f"1. A secret named DEPLOY_KEY (shown once, kept nowhere):\n\n{made.private.reveal()}")
    call.put(f"2. A secret named KNOWN_HOSTS:\n\n{made.known_hosts}\n")
    call.put(f"3. In your repository, {made.file}:\n\n{made.workflow}")
