"""The words of a message: what, about which object, since when, what to do, on which server. No links: a message that
asks somebody to click is what a forged one would do, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from paas.model.durations import rough
from paas.model.incident import Delivery, Incident, Phase

SUMMED_LINES = 20


@dataclass(frozen=True)
class Message:
    id: str                              # the same when it is sent again: receivers can drop the second one
    title: str                           # one line
    lines: tuple[str, ...]
    over: bool = False                   # the end of an incident
    words: dict[str, object] = field(default_factory=dict)       # for programs: a webhook's body beside title and text

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def of_delivery(delivery: Delivery, server: str) -> Message:
    one, over = delivery.incident, delivery.phase is Phase.CLOSED
    lines = over_lines(one) if over else [one.what]
    lines += [] if over or not one.hint else [f"What to do: {one.hint}"]
    lines += [f"App: {one.app}"] if one.app else []
    lines += [f"Since: {one.opened_at:%Y-%m-%d %H:%M:%S} UTC", f"Server: {server}"]
    title = f"[{server}] {'Over: ' if over else ''}{one.object}: {one.kind}"
    return Message(f"{server}-{one.id}-{delivery.phase}", title, tuple(lines), over, {
        "event": delivery.phase, "incident": one.id, "kind": one.kind, "object": one.object, "app": one.app,
        "what": one.what, "hint": one.hint, "opened_at": stamp(one.opened_at), "closed_at": stamp(one.closed_at),
        "ending": one.ending, "server": server})


def over_lines(one: Incident) -> list[str]:
    lasted = (one.closed_at or one.opened_at) - one.opened_at
    return [f"Over after {span(lasted)}{': ' + one.ending if one.ending else ''}", f"It was: {one.what}"]


def of_summary(deliveries: Sequence[Delivery], server: str) -> Message:
    """More than a channel gets one by one."""
    lines = [f"{'over: ' if one.phase is Phase.CLOSED else ''}{one.incident.object}: {one.incident.what}"
             for one in deliveries]
    more = len(lines) - SUMMED_LINES
    shown = [*lines[:SUMMED_LINES], *([f"and {more} more"] if more > 0 else [])]
    return Message(
        f"{server}-{deliveries[0].id}-summary", f"[{server}] {len(lines)} more messages in one",
        (*shown, "What to do: paas incidents --open", f"Server: {server}"), words={
            "event": "summary", "messages": len(lines), "server": server})


def of_test(channel: str, server: str, now: datetime) -> Message:
    return Message(f"{server}-test-{int(now.timestamp())}", f"[{server}] Test of the channel {channel}",
                   ("Messages about incidents arrive here.", f"Server: {server}"), words={
                       "event": "test", "server": server})


def span(time: timedelta) -> str:
    return f"{time.total_seconds():.0f} s" if time < timedelta(minutes=2) else rough(time)


def stamp(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")
