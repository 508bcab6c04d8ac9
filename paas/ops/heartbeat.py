"""A sign of life to a watcher outside, which alarms when it stays away: the one alarm that a dead machine can give.

It is sent only while the daemon, the database, the engine and the proxy all answer. Made for services as
healthchecks.io, Uptime Kuma's push monitors and the like: a GET of a URL that is a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from paas.errors import BadInput, PaasError
from paas.model.channel import host_of, web_url
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.runtime import Runtime

URL, EVERY = "heartbeat-url", "heartbeat-every"       # a sealed setting, and seconds
RETRY_SECONDS = 15.0
SHORTEST, LONGEST = 10, 86_400


@dataclass
class Beat:
    """What only this process knows."""

    next_at: float = 0.0                 # monotonic seconds
    last_sent: datetime | None = None
    error: str = ""                      # why the newest was not sent, or not taken; empty: it was


def configure(rt: Runtime, url: str, every: str) -> int:
    """BadInput. Return the seconds between two."""
    found = re.fullmatch(r"(\d{1,6})([smh]?)", every)
    seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600, "": 1}[found[2]] if found else 0
    if not SHORTEST <= seconds <= LONGEST:
        raise BadInput("the time between two heartbeats is from 10s to 24h", "Like: --every 60s")
    rt.store.set_sealed_setting(URL, Secret(web_url(url)))
    rt.store.set_setting(EVERY, str(seconds))
    rt.beat.next_at, rt.beat.last_sent, rt.beat.error = 0.0, None, ""
    return seconds


def unset(rt: Runtime) -> bool:
    """False: there was none."""
    had = rt.store.sealed_setting(URL) is not None
    rt.store.set_sealed_setting(URL, None)
    rt.store.set_setting(EVERY, None)
    rt.beat.error = ""
    return had


def report(rt: Runtime) -> dict[str, object]:
    url, every = rt.store.sealed_setting(URL), rt.store.settings().get(EVERY, "")
    state = "off" if url is None else "failing" if rt.beat.error else "fine" if rt.beat.last_sent else "not sent yet"
    return {"state": state, "host": host_of(url) if url else "", "every": int(every) if every else None,
            "last_sent": rt.beat.last_sent, "error": rt.beat.error}


def tick(rt: Runtime) -> None:
    """Every second. Idempotent."""
    now = rt.clock.monotonic()
    every = rt.store.settings().get(EVERY)
    if not every or now < rt.beat.next_at:
        return
    rt.beat.next_at = now + int(every)
    try:
        look(rt)
        rt.messengers.ping(rt.store.sealed_setting(URL))
    except PaasError as error:
        rt.beat.error = error.what
        rt.beat.next_at = now + min(int(every), RETRY_SECONDS)
    else:
        rt.beat.last_sent, rt.beat.error = rt.clock.now(), ""


def look(rt: Runtime) -> None:
    """:raises PaasError: something that every app needs does not answer."""
    rt.containers.version()
    if not rt.router.healthy():
        raise PaasError("the proxy does not answer", "systemctl restart paas-proxy")
