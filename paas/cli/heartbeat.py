"""``heartbeat…``: a sign of life to a watcher outside."""

import click

from paas.cli.base import Call, command, format_option
from paas.cli.notify import lines
from paas.errors import UsageError
from paas.ops import heartbeat


@command("heartbeat:set", mutates=True, secret=True)
@click.argument("url", required=False, default="")
@click.option("--url-stdin", is_flag=True, help="The URL comes on standard input.")
@click.option("--every", default="60s", show_default=True, metavar="TIME", help="10s to 24h.")
def set_(call: Call, url: str, url_stdin: bool, every: str) -> None:
    """Ask for URL every minute, as a sign of life, so that a watcher outside notices a silent server.

    Only while the daemon, the engine and the proxy answer. For healthchecks.io, Uptime Kuma and the like: tell them to
    alarm when nothing came for two or three minutes. The URL is stored sealed and never shown again.

    Example: paas heartbeat:set https://hc-ping.example.com/0b0d3c50 --every 60s
    """
    if bool(url) == url_stdin:
        raise UsageError("give the URL once: as a word, or with --url-stdin")
    seconds = heartbeat.configure(call.rt, lines(call, ["URL: "])[0] if url_stdin else url, every)
    call.say(f"A sign of life every {seconds} s from now on. See: paas heartbeat")


@command("heartbeat:unset", mutates=True)
def unset(call: Call) -> None:
    """Send no more signs of life.

    Example: paas heartbeat:unset
    """
    call.say("No more signs of life are sent." if heartbeat.unset(call.rt) else "Nothing changed.")


@command("heartbeat")
@command("heartbeat:report")
@format_option
def report(call: Call, format: str) -> None:
    """Show where signs of life go (the host only), how often, and whether the last one arrived. Times are UTC.

    Example: paas heartbeat
    """
    call.record(heartbeat.report(call.rt), format)
