"""``logs``: what an app's instances print."""

import json
from collections.abc import Iterable

import click

from paas.cli import printer
from paas.cli.base import Call, app_argument, command
from paas.errors import UsageError
from paas.model import limits
from paas.model.app import App
from paas.ops import log_search, logs


@command("logs")
@app_argument
@click.option("-t", "--tail", "-f", "--follow", "follow", is_flag=True,
              help="Go on with new lines, also of later releases, until ^C.")
@click.option("-n", "--num", "number", type=click.IntRange(0, 100_000), default=100, show_default=True,
              help="Last lines of each instance.")
@click.option("-p", "--ps", "process", default="", metavar="TYPE", help="Only this process type or instance (web.1).")
@click.option("--since", metavar="TIME", help="Not before: a span like 10m, 2h, 1d, or a time in ISO 8601.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time (UTC).")
@click.option("--raw", is_flag=True, help="Bytes as they were printed: control characters are not escaped.")
@click.option("--search", metavar="TEXT", help="Only lines with this text, of all that is kept (see --last).")
@click.option("--grep", metavar="REGEX", help="The same by a regular expression, in Python's form.")
@click.option("-i", "--ignore-case", is_flag=True, help="With --search or --grep: capitals or not.")
@click.option("--last", metavar="SIZE", default="50MB", show_default=True,
              help="With --search or --grep: how much of each instance's newest output.")
@click.option("--format", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="json: one object a line.")
def show(call: Call, app: App, follow: bool, number: int, process: str, since: str | None, timestamps: bool,
         raw: bool, search: str | None, grep: str | None, ignore_case: bool, last: str, format: str) -> None:
    """Show the logs of an app's instances, merged in order of time. -t means "tail" (follow), as in Dokku.

    Under --quiet the lines come without the name of their instance. A search looks through the newest --last of each
    instance, whatever -n says, and tells at the end how much that was.

    Example: paas logs hello -n 20 -p web -t
    """
    wanted = logs.Wanted(number, logs.parse_since(since, call.rt.clock.now()) if since else None, process)
    if search or grep:
        if follow or (search and grep):
            raise UsageError("--search, --grep and --follow go one at a time", "For new lines: paas logs APP -t")
        what = log_search.Search(search or "", grep or "", ignore_case, limits.size_bytes(last))
        put_lines(call, log_search.search(call.rt, app, wanted, what), timestamps, raw, format)
        tell(call, what)
        return
    lines = logs.follow(call.rt, app, wanted, lambda: call.session.alive) if follow \
        else logs.stored(call.rt, app, wanted)
    put_lines(call, lines, timestamps, raw, format)


def tell(call: Call, what: log_search.Search) -> None:
    """On standard error: the lines are the data."""
    if not call.quiet:
        call.session.err(f"Searched {what.lines:,} lines ({what.bytes / 1024**2:,.1f} MB) of "
                         f"{', '.join(what.instances) or 'no instance'}: {what.found:,} found.\n")


def put_lines(call: Call, lines: Iterable[logs.Line], timestamps: bool = False, raw: bool = False,
              format: str = "text") -> None:
    width = 5                            # grows with the longest name seen
    for line in lines:
        width = max(width, len(line.instance))
        shown = 0 if call.quiet else width
        call.session.out(as_json(line) if format == "json" else as_text(line, shown, timestamps, raw))


def as_json(line: logs.Line) -> bytes:
    return json.dumps({"at": printer.plain(line.at), "instance": line.instance, "stream": line.stream,
                       "text": line.text.decode("utf-8", "replace")}).encode() + b"\n"


def as_text(line: logs.Line, width: int, timestamps: bool, raw: bool) -> bytes:
    """*width* of the name; 0: none."""
    stamp = f"{line.at:%Y-%m-%dT%H:%M:%S}.{line.at.microsecond // 1000:03}Z " if timestamps and line.at else ""
    name = f"{line.instance:<{width}} | " if width else ""
    text = line.text if raw else printer.escape(line.text.decode("utf-8", "replace")).encode()
    return (stamp + name).encode() + text + b"\n"
