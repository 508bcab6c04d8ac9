"""``notify:…``: where messages about incidents go."""

import click

from paas.cli.base import Call, command, format_option
from paas.errors import BadInput, UsageError
from paas.model.channel import mail_address, shown_host, web_address
from paas.model.incident import Address, ChannelType
from paas.ops import incidents, notify
from paas.ops.notify import Standing

COLUMNS = ("channel", "type", "host", "state", "waiting", "last_sent", "kinds", "apps", "error")
FILTER = (click.Option(["--kinds"], metavar="KIND,…", help="Only of these kinds; of all when left out."),
          click.Option(["--apps"], metavar="APP,…", help="Of what is about an app: only of these apps."))


def filter_options(function):
    function.__click_params__ = [*reversed(FILTER), *getattr(function, "__click_params__", [])]
    return function


def words(text: str | None) -> list[str] | None:
    return None if text is None else [word for word in text.split(",") if word]


@command("notify:add", mutates=True, secret=True)
@click.argument("name")
@click.argument("type", type=click.Choice([one.value for one in ChannelType]), metavar="TYPE")
@click.argument("url", metavar="[URL|ADDRESS]", required=False, default="")
@click.option("--url-stdin", is_flag=True, help="The URL comes on standard input.")
@click.option("--secret-stdin", is_flag=True, help="A line on standard input (after the URL's): a webhook's signing "
              "key, an ntfy token, or the SMTP password.")
@click.option("--smtp-host", default="", help="The mail server.")
@click.option("--smtp-port", type=click.IntRange(1, 65535), help="587, with tls 465, with none 25.")
@click.option("--smtp-tls", type=click.Choice(["starttls", "tls", "none"]), default="starttls", show_default=True,
              help="How the connection is encrypted.")
@click.option("--smtp-user", default="", help="Its user, where it wants one.")
@click.option("--from", "sender", default="", metavar="ADDRESS", help="The user, or paas@SERVER, when left out.")
@filter_options
def add(call: Call, name: str, type: str, url: str, url_stdin: bool, secret_stdin: bool, smtp_host: str,
        smtp_port: int | None, smtp_tls: str, smtp_user: str, sender: str, kinds: str | None,
        apps: str | None) -> None:
    """Send messages about incidents there: TYPE is slack, discord, ntfy, webhook or email.

    One message when an incident begins, one when it is over. URL is the incoming webhook's (slack, discord), the
    topic's (ntfy), or your own (webhook); an email has the address that gets it. The URL is stored sealed and never
    shown again. Try it with notify:test.

    Example: paas notify:add ops webhook https://hooks.example.com/paas
    """
    kind = ChannelType(type)
    if bool(url) == url_stdin:
        raise UsageError("give the URL (or the address) once: as a word, or with --url-stdin")
    given = lines(call, [*(["URL: "] if url_stdin else []), *(["Secret: "] if secret_stdin else [])])
    target = given.pop(0) if url_stdin else url
    secret = given.pop(0) if secret_stdin else ""
    if kind is ChannelType.EMAIL:
        address: Address = mail_address(target, secret, host=smtp_host, port=smtp_port or 0, tls=smtp_tls,
                                        user=smtp_user, sender=sender, server=notify.server(call.rt))
    else:
        address = web_address(kind, target, secret)
    made = notify.add(call.rt, call.actor, name, kind, address, words(kinds) or (), words(apps) or ())
    call.note(channel=made.name)
    call.say(f"Messages go to {shown_host(made)} from now on. Try it: paas notify:test {made.name}")
    if incidents.listed(call.rt, True, 1):
        call.say("Incidents that are open already are not told again. See them: paas incidents --open")


def lines(call: Call, prompts: list[str]) -> list[str]:
    """At a terminal asked for one by one, else the lines of standard input; never among the words."""
    if call.session.tty:
        return [asked(call, prompt) for prompt in prompts]
    found = [line.strip() for line in call.stdin(64 * 1024).decode("utf-8", "replace").splitlines()] if prompts else []
    found = [line for line in found if line]
    if len(found) < len(prompts):
        raise BadInput(f"standard input has {len(found)} lines; {len(prompts)} were expected",
                       "First the URL (--url-stdin), then the secret (--secret-stdin).")
    return found[:len(prompts)]


def asked(call: Call, prompt: str) -> str:
    call.session.err(prompt)
    return call.session.read_line().strip()


@command("notify:set", mutates=True)
@click.argument("name")
@filter_options
def set_(call: Call, name: str, kinds: str | None, apps: str | None) -> None:
    """Set which incidents a channel is told of; an empty value takes that limit away.

    Kinds: deploy-failed, rolled-back, app-down, crash-loop, out-of-memory, certificate, disk, backup, drill, cron,
    daemon-restarted, engine, proxy, port, channel.

    Example: paas notify:set ops --kinds app-down,disk
    """
    made = notify.set_filter(call.rt, name, words(kinds), words(apps))
    call.say(f"{made.name} is told of {', '.join(made.kinds) or 'all kinds'}"
             f"{', of ' + ', '.join(made.apps) + ' only' if made.apps else ''}.")


@command("notify:remove", mutates=True)
@click.argument("name")
def remove(call: Call, name: str) -> None:
    """Send no more messages there; what waits for it is dropped.

    Example: paas notify:remove ops
    """
    notify.remove(call.rt, name)
    call.say("Removed.")


@command("notify")
@command("notify:list")
@format_option
def list_(call: Call, format: str) -> None:
    """List the channels and whether messages arrive there. Of a URL only the host is shown.

    Example: paas notify:list
    """
    call.rows(COLUMNS, [tuple(shown(one).values()) for one in notify.standings(call.rt)], format)


@command("notify:info")
@click.argument("name")
@format_option
def info(call: Call, name: str, format: str) -> None:
    """Show one channel: where it leads, what it is told of, and whether messages arrive.

    Example: paas notify:info ops
    """
    one = notify.standing(call.rt, call.rt.store.channel(name))
    call.record({**shown(one), "given_up": one.given_up, "signed": bool(len(one.channel.address.secret)),
                 "created_at": one.channel.created_at, "created_by": one.channel.created_by}, format)


def shown(one: Standing) -> dict[str, object]:
    channel = one.channel
    values = (channel.name, channel.type, shown_host(channel), "failing" if one.error else "fine", one.waiting,
              one.last_sent, list(channel.kinds), list(channel.apps), one.error)
    return dict(zip(COLUMNS, values, strict=True))


@command("notify:test")
@click.argument("name")
def test(call: Call, name: str) -> None:
    """Send a message to a channel now, and say what the other side answered. Exit code 1: it did not take it.

    Example: paas notify:test ops
    """
    call.put(notify.test(call.rt, name))
