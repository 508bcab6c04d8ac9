"""``resource:…``: limits of memory, cores and processes."""

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.model.app import App
from paas.ops import resources

TYPE_HELP = "Only this process type; `run` for one-off containers."


@command("resource:limit", mutates=True)
@app_argument
@click.option("--memory", metavar="SIZE", help="With swap, like 512m or 2g.")
@click.option("--cpu", metavar="CORES", help="Like 0.5 or 2.")
@click.option("--pids", metavar="NUMBER", help="Processes and threads; 512 by default.")
@click.option("--process-type", default="", metavar="TYPE", help=TYPE_HELP)
@format_option
def limit(call: Call, app: App, process_type: str, format: str, **given: str | None) -> None:
    """Set limits; the next release has them. Without any: show them.

    Example: paas resource:limit --memory 512m --cpu 0.5 hello
    """
    wanted = {name: text for name, text in given.items() if text is not None}
    if not wanted:
        put_report(call, app, format)
    elif resources.limit(call.rt, app, process_type, wanted):
        call.say(f"Stored for {process_type or 'all process types'}. {when(app, process_type)}")
    else:
        call.say("Nothing changed.")


@command("resource:reserve", mutates=True)
@app_argument
@click.option("--memory", metavar="SIZE", help="Like 256m.")
@click.option("--process-type", default="", metavar="TYPE", help=TYPE_HELP)
@format_option
def reserve(call: Call, app: App, process_type: str, memory: str | None, format: str) -> None:
    """Set the memory that an instance is expected to use. Without: show it.

    Where the server's memory is short, an instance below it is spared the longest; a deploy counts with it.

    Example: paas resource:reserve --memory 256m hello
    """
    if memory is None:
        put_report(call, app, format)
    elif resources.limit(call.rt, app, process_type, {"reserve": memory}):
        call.say(f"Stored for {process_type or 'all process types'}. {when(app, process_type)}")
    else:
        call.say("Nothing changed.")


@command("resource:limit-clear", mutates=True)
@app_argument
@click.option("--process-type", metavar="TYPE", help=TYPE_HELP)
def clear(call: Call, app: App, process_type: str | None) -> None:
    """Remove limits and reservations of an app, or of one process type.

    Example: paas resource:limit-clear hello
    """
    cleared = resources.clear(call.rt, app, process_type)
    call.say(f"Removed. {when(app, process_type or '')}" if cleared else "Nothing changed.")


@command("resource")
@command("resource:report")
@app_argument
@format_option
def report(call: Call, app: App, format: str) -> None:
    """Show the limits that are stored and those in force.

    Example: paas resource:report hello
    """
    put_report(call, app, format)


def put_report(call: Call, app: App, format: str) -> None:
    call.rows(("process", "memory", "reserve", "cpu", "pids", "source"), resources.report(call.rt, app), format)


def when(app: App, process_type: str) -> str:
    if process_type == resources.RUN:
        return "The next one-off container has it."
    return f"The next release has it; now: paas ps:rebuild {app.name}"
