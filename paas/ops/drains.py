"""Log drains: where the lines of one app, or of all, go besides `logs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from paas.errors import BadInput, Conflict
from paas.model import drain as words
from paas.model.access import Actor
from paas.model.app import App
from paas.model.drain import Drain, Format, Kind
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.runtime import Runtime

MOST = 20                                # drains of a server
LATE = timedelta(minutes=1)              # a drain that fails for so long is a finding of doctor's


@dataclass(frozen=True)
class Row:
    id: int
    app: str                             # empty: of all
    to: str                              # the URL, without what may be a key
    format: str
    state: str                           # "ok", "failing", "by the engine", "beginning"
    sent: int
    dropped: int
    waiting: int
    error: str
    failing_since: datetime | None


def add(rt: Runtime, actor: Actor, app: App | None, url: str, format: str = "", headers: str = "") -> Drain:
    """:param headers: ``Name: value`` lines, for HTTP. BadInput; Conflict: too many, or a second one of CloudWatch."""
    checked = words.checked_url(url)
    kind = Kind(checked.partition(":")[0])
    if (format or headers) and kind not in (Kind.HTTP, Kind.HTTPS):
        raise BadInput("a format and headers are of HTTP drains", "Leave them out.")
    there = rt.store.drains()
    if len(there) >= MOST:
        raise Conflict(f"there are {MOST} drains already", "Remove one: paas logs:drain-remove ID")
    scope = app.id if app else None
    if kind == Kind.CLOUDWATCH and any(one.kind == kind and one.app_id == scope for one in there):
        raise Conflict("there is a drain to CloudWatch already, and a container can have one", "See: paas logs:drains")
    given = words.checked_headers(headers) if headers else {}
    return rt.store.add_drain(scope, Secret(checked), Format(format or Format.JSON), given, actor)


def remove(rt: Runtime, drain_id: int) -> Drain:
    found = rt.store.drain(drain_id)
    rt.store.remove_drain(drain_id)
    return found


def listed(rt: Runtime, app: App | None = None) -> list[Row]:
    """Of an app: with those of all apps."""
    names = {one.id: one.name for one in rt.store.apps()}
    return [row_of(rt, one, names) for one in rt.store.drains(app.id if app else None)
            if one.app_id is None or one.app_id in names]


def row_of(rt: Runtime, one: Drain, names: Mapping[int, str]) -> Row:
    now = rt.drains.report(one.id)
    state = "by the engine" if one.kind == Kind.CLOUDWATCH else "beginning" if now is None else \
        "failing" if now.error else "ok"
    return Row(one.id, names.get(one.app_id or 0, ""), one.shown,
               one.format if one.kind in (Kind.HTTP, Kind.HTTPS) else "", state, now.sent if now else 0,
               now.dropped if now else 0, now.waiting if now else 0, now.error if now else "",
               now.failing_since if now else None)


def failing(rt: Runtime) -> list[Row]:
    """For longer than a moment."""
    return [one for one in listed(rt) if one.failing_since and rt.clock.now() - one.failing_since > LATE]


def cloudwatch(rt: Runtime, app_id: int) -> str:
    """``REGION GROUP`` of the app's own drain to CloudWatch, or of all apps'; empty: none."""
    found = [one for one in rt.store.drains(app_id) if one.kind == Kind.CLOUDWATCH]
    found.sort(key=lambda one: one.app_id is None)
    if not found:
        return ""
    region, _, group = found[0].url.reveal().removeprefix(f"{Kind.CLOUDWATCH}://").partition("/")
    return f"{region} {group}"
