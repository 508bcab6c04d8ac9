"""``events``: who did what, when, with what result."""

import json
from collections.abc import Mapping

import click

from paas.cli import printer
from paas.cli.base import Call, command, format_option
from paas.model.access import Event
from paas.ops import events

COLUMNS = ("at", "actor", "verb", "app", "result", "detail")
FIELDS = ("id", "at", "actor", "user", "key", "address", "verb", "app", "object", "result", "detail", "hash")
OPEN = ("id", "at", "actor", "verb", "app", "detail")


@command("events")
@click.option("-n", "--num", "number", type=int, default=50, show_default=True, help="How many, the newest last.")
@click.option("--app", "app_name", default="", metavar="APP", help="Those of one app only.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones as they come.")
@click.option("--open", "begun", is_flag=True, help="What was begun and has not ended, in the place of events.")
@format_option
def show(call: Call, number: int, app_name: str, follow: bool, begun: bool, format: str) -> None:
    """Show the audit trail. With --follow, JSON comes as one object per line.

    JSON has, beside what the table shows: id, user, key (its fingerprint), address, object (the app or service that it
    was about) and hash (SHA-256, hex, over the hash of the event before and this one). Each event is also a line of the
    machine's log: journalctl -t paas.

    Example: paas events -n 100 --app hello
    """
    app_name = app_name or call.app_given
    if begun:
        show_open(call, app_name, format)
        return
    found = events.listed(call.rt, app_name, number)
    if follow:
        for event in found:
            call.session.out(line(event, format))
        after = found[-1].id if found else 0
        for event in events.follow(call.rt, app_name, after, lambda: call.session.alive):
            call.session.out(line(event, format))
    elif format == "json":
        call.rows(FIELDS, [tuple(whole(one).values()) for one in found], format)
    else:
        call.rows(COLUMNS, [(*row(one)[:-1], words(one.detail)) for one in found], format)


def show_open(call: Call, app: str, format: str) -> None:
    """Not the command that asks: it changes nothing."""
    found = events.under_way(call.rt, app)
    rows = [(one.id, one.at, one.actor, one.verb, one.app, dict(one.detail)) for one in found]
    if format == "json":
        call.rows(OPEN, rows, format)
    else:
        call.rows(OPEN[1:], [(*one[1:-1], words(one[-1])) for one in rows], format)


def whole(event: Event) -> dict[str, object]:
    values = {"object": event.app, "detail": dict(event.detail)}
    return {name: values[name] if name in values else getattr(event, name) for name in FIELDS}


def row(event: Event) -> tuple:
    return event.at, event.actor, event.verb, event.app, event.result, dict(event.detail)


def words(detail: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in detail.items() if value)


def line(event: Event, format: str) -> str:
    if format == "json":
        return json.dumps(printer.plain(whole(event))) + "\n"
    return "  ".join(printer.cell(value) for value in (*row(event)[:-1], words(event.detail))) + "\n"
