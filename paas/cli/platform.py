"""Commands about the platform itself that need nothing of it."""

import click

import paas
from paas.cli import help as texts
from paas.cli.base import COMMANDS, Call, command
from paas.errors import UsageError
from paas.model import names


@command("version")
def version(call: Call) -> None:
    """Print the version of the running daemon.

    Example: paas version
    """
    call.put(f"paas {paas.__version__}")


@command("help")
@click.argument("name", required=False)
def help(call: Call, name: str | None) -> None:
    """Show all commands, those of a namespace, or one command's help.

    Example: paas help config:set
    """
    if name is None:
        call.session.out(texts.of_everything())
    elif name in COMMANDS:
        call.session.out(texts.of_command(COMMANDS[name], call))
    elif texts.namespace(name):
        call.session.out(texts.of_namespace(name))
    else:
        raise UsageError(f"'{names.printable(name)}' is not a command", "List the commands with: help")
