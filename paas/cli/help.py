"""Help texts: of everything, of a namespace, of a command."""

from collections import defaultdict

import click

from paas.cli.base import COMMANDS, Call, Command


def visible() -> dict[str, Command]:
    return {name: command for name, command in sorted(COMMANDS.items()) if not command.hidden}


def namespace(name: str) -> dict[str, Command]:
    """The commands ``name:…`` and the bare ``name`` if there is one."""
    return {full: command for full, command in visible().items() if full == name or full.startswith(f"{name}:")}


def summary(command: Command) -> str:
    return command.get_short_help_str(limit=78)


def of_everything() -> str:
    """Every command in a line, grouped by namespace; those without one come first."""
    groups: dict[str, list[str]] = defaultdict(list)
    everything = visible()
    spaces = {name.partition(":")[0] for name in everything if ":" in name}
    for name in everything:
        space = name.partition(":")[0]
        groups[space if space in spaces else ""].append(name)
    parts = ["Usage: paas [--quiet] [--app APP] COMMAND …\n"]
    for space in sorted(groups):
        parts.append(f"\n{space or 'general'}\n" + _list({name: everything[name] for name in groups[space]}))
    parts.append("\nMore on a command or a namespace: paas help NAME\n")
    return "".join(parts)


def of_namespace(name: str) -> str:
    return f"Commands of {name}:\n\n{_list(namespace(name))}\nMore on one: paas help COMMAND\n"


def of_command(command: Command, call: Call) -> str:
    """Usage, description, options; width of the caller's terminal."""
    width = call.session.tty.columns if call.session.tty else 80
    context = click.Context(command, info_name=f"paas {command.name}", obj=call,
                            terminal_width=max(40, min(width, 110)))
    text = command.get_help(context) + "\n"
    others = {name: other for name, other in namespace(command.name).items() if other is not command}
    return text + (f"\nRelated:\n{_list(others)}" if others else "")


def _list(commands: dict[str, Command]) -> str:
    width = max((len(name) for name in commands), default=0)
    return "".join(f"  {name:<{width}}  {summary(command)}".rstrip() + "\n" for name, command in commands.items())
