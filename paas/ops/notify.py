"""Channels, and the messages to them: one at the beginning of an incident and one at its end.

What is to be sent is in the database before anything is sent, and leaves it after: a message that is cut by the end of
the daemon is sent again (at least once). A channel that fails is tried for a day, and slows nobody but itself.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas.errors import BadInput, PaasError
from paas.model import message, names
from paas.model.access import Actor
from paas.model.channel import channel_name
from paas.model.incident import Address, Channel, ChannelType, Delivery, DeliveryState, Kind, Phase
from paas.model.message import Message
from paas.ops.incidents import close_incident, open_incident

if TYPE_CHECKING:
    from paas.runtime import Runtime

PER_HOUR = 20                            # messages to one channel; what is more goes out in summaries
SUMMARY_EVERY = timedelta(minutes=15)
HOUR = timedelta(hours=1)
GIVE_UP = timedelta(hours=24)
FIRST_RETRY = 10.0                       # seconds; doubled each time
LONGEST_RETRY = 900.0
FAILING_TRIES = 3                        # from then on the other channels are told
WAITING, SENT, GIVEN_UP = DeliveryState

log = logging.getLogger("paas.notify")


@dataclass
class Outbox:
    """What only this process knows of messages under way."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    busy: set[int] = field(default_factory=set)       # channels that a thread sends to
    gone: set[int] = field(default_factory=set)       # sent, and not recorded as that (the disk was full): not again

    def take(self, channel_id: int) -> bool:
        with self.lock:
            if channel_id in self.busy:
                return False
            self.busy.add(channel_id)
            return True

    def give_back(self, channel_id: int) -> None:
        with self.lock:
            self.busy.discard(channel_id)


@dataclass(frozen=True)
class Standing:
    """A channel and how it does."""

    channel: Channel
    waiting: int
    given_up: int                        # that are still in the history
    last_sent: datetime | None
    error: str                           # of the newest attempt at what waits; empty: fine


# --- channels ------------------------------------------------------------------------------------------------------


def add(rt: Runtime, actor: Actor, name: str, type: ChannelType, address: Address, kinds: Iterable[str],
        apps: Iterable[str]) -> Channel:
    """BadInput, Conflict."""
    return rt.store.add_channel(channel_name(name), type, address, known_kinds(kinds), known_apps(rt, apps),
                                actor)


def known_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(kinds))
    for one in chosen:
        if one not in list(Kind):
            raise BadInput(f"there is no kind of incident '{names.printable(one)}'", f"One of: {', '.join(Kind)}")
    return chosen


def known_apps(rt: Runtime, apps: Iterable[str]) -> tuple[str, ...]:
    return tuple(rt.store.app(names.app_name(one)).name for one in dict.fromkeys(apps))


def set_filter(rt: Runtime, name: str, kinds: Iterable[str] | None, apps: Iterable[str] | None) -> Channel:
    """None leaves as it is; nothing at all takes the limit away."""
    channel = rt.store.channel(name)
    rt.store.filter_channel(channel.id, channel.kinds if kinds is None else known_kinds(kinds),
                            channel.apps if apps is None else known_apps(rt, apps))
    return rt.store.channel(name)


def remove(rt: Runtime, name: str) -> None:
    rt.store.delete_channel(rt.store.channel(name).id)
    close_incident(rt, Kind.CHANNEL, name, "the channel was removed")


def test(rt: Runtime, name: str) -> str:
    """Send a message now, past the queue; what the other side answered. PaasError: it did not take it."""
    channel = rt.store.channel(name)
    return rt.messengers.send(channel.type, channel.address, message.of_test(name, server(rt), rt.clock.now()))


def standings(rt: Runtime) -> list[Standing]:
    return [standing(rt, channel) for channel in rt.store.channels()]


def standing(rt: Runtime, channel: Channel) -> Standing:
    rows = rt.store.deliveries(channel.id, limit=10_000)
    waiting = [one for one in rows if one.state is WAITING]
    tried = [one for one in waiting if one.error]
    return Standing(channel, len(waiting), sum(one.state is GIVEN_UP for one in rows),
                    max((one.ended_at for one in rows if one.state is SENT), default=None),
                    max(tried, key=lambda one: one.next_at).error if tried else "")


def server(rt: Runtime) -> str:
    return rt.settings.host or socket.gethostname()


# --- sending -------------------------------------------------------------------------------------------------------


def tick(rt: Runtime) -> None:
    """Every second: a thread for each channel that has something to send. Idempotent."""
    waiting = rt.store.deliveries(states=(WAITING,), limit=10_000)
    if not waiting:
        return
    now, wanted = rt.clock.now(), {one.channel_id for one in waiting}
    for channel in rt.store.channels():
        own = [one for one in waiting if one.channel_id == channel.id]
        if channel.id in wanted and (ready(own, now) or expired(own, now)) and rt.outbox.take(channel.id):
            rt.spawn(lambda channel=channel: work_off(rt, channel))


def work_off(rt: Runtime, channel: Channel) -> None:
    """Raises nothing: it is a thread of its own."""
    try:
        send_waiting(rt, channel)
    except PaasError as error:
        log.warning("messages to %s: %s", channel.name, error.what)
    except Exception:
        log.exception("messages to %s", channel.name)
    finally:
        rt.outbox.give_back(channel.id)


def send_waiting(rt: Runtime, channel: Channel) -> None:
    now, waiting = rt.clock.now(), rt.store.deliveries(channel.id, states=(WAITING,))
    sent = [one for one in waiting if one.id in rt.outbox.gone]
    record(rt, sent)
    late = expired(waiting, now)
    rt.store.end_deliveries([one.id for one in late], GIVEN_UP)
    left = [one for one in waiting if one not in late and one not in sent]
    past = rt.store.deliveries(channel.id, states=(SENT,), since=now - HOUR)
    room = PER_HOUR - sum(not one.summed for one in past)
    due = ready(left, now)
    for one in due[:max(room, 0)]:
        if not deliver(rt, channel, [one], message.of_delivery(one, server(rt))):
            return
    more = due[max(room, 0):]
    if more and not any(one.summed and one.ended_at > now - SUMMARY_EVERY for one in past):
        deliver(rt, channel, more, message.of_summary(more, server(rt)), summed=True)


def expired(waiting: Sequence[Delivery], now: datetime) -> list[Delivery]:
    return [one for one in waiting if now - one.created_at > GIVE_UP]


def ready(waiting: Sequence[Delivery], now: datetime) -> list[Delivery]:
    """What may go out now, in order: the end of an incident not before its beginning."""
    held = {one.incident.id for one in waiting if one.phase is Phase.OPENED and one.next_at > now}
    return [one for one in waiting if one.next_at <= now and one.incident.id not in held]


def deliver(rt: Runtime, channel: Channel, deliveries: Sequence[Delivery], what: Message, *,
            summed: bool = False) -> bool:
    try:
        rt.messengers.send(channel.type, channel.address, what)
    except PaasError as error:
        postpone(rt, channel, deliveries, error.what)
        return False
    record(rt, deliveries, summed)
    close_incident(rt, Kind.CHANNEL, channel.name, "messages arrive there again")
    return True


def record(rt: Runtime, deliveries: Sequence[Delivery], summed: bool = False) -> None:
    ids = {one.id for one in deliveries}
    rt.outbox.gone |= ids
    rt.store.end_deliveries(ids, SENT, summed=summed)
    rt.outbox.gone -= ids


def postpone(rt: Runtime, channel: Channel, deliveries: Sequence[Delivery], error: str) -> None:
    log.warning("a message to %s was not taken: %s", channel.name, error)
    tries = max(one.tries for one in deliveries)
    pause = min(FIRST_RETRY * 2 ** min(tries, 20), LONGEST_RETRY)
    rt.store.postpone_deliveries([one.id for one in deliveries], names.printable(error, 300),
                                 rt.clock.now() + timedelta(seconds=pause))
    if tries + 1 >= FAILING_TRIES:
        open_incident(rt, Kind.CHANNEL, channel.name, f"messages to the channel {channel.name} do not arrive: {error}",
                      f"paas notify:test {channel.name}")
