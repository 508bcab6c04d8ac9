"""The audit trail, read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from paas.errors import BadInput
from paas.model import names
from paas.model.access import Actor, Event, Intent

if TYPE_CHECKING:
    from paas.runtime import Runtime

POLL_SECONDS = 0.5
MAX_LINES = 10_000


def listed(rt: Runtime, app: str, number: int) -> list[Event]:
    """The newest *number*, oldest first. *app* may be gone by now; empty: all."""
    if not 1 <= number <= MAX_LINES:
        raise BadInput(f"the number of events is from 1 to {MAX_LINES}")
    if app:
        names.app_name(app)
    return list(reversed(rt.store.events(app=app, limit=number)))


def under_way(rt: Runtime, app: str) -> list[Intent]:
    """Changes that were begun and have not ended, oldest first; of one app, or all."""
    return [one for one in rt.store.intents() if app in ("", one.app)]


def settle(rt: Runtime) -> int:
    """At the start of the daemon, before anybody is let in: what an earlier one began and did not finish."""
    found = rt.store.intents()
    for one in found:
        rt.store.add_event(Actor(one.actor), one.verb, one.app, "interrupted", one.detail, intent=one.id)
    return len(found)


def follow(rt: Runtime, app: str, after: int, watching: Callable[[], bool]) -> Iterator[Event]:
    """Every later event as it is recorded, until nobody is *watching*."""
    while watching():
        for event in reversed(rt.store.events(app=app, limit=MAX_LINES, after=after)):
            after = event.id
            yield event
        rt.clock.sleep(POLL_SECONDS)
