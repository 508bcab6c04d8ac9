"""``metrics``: requests, answers, times and use of apps, for people and programs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from paas.model.app import App
from paas.model.traffic import Traffic
from paas.ops import metering

if TYPE_CHECKING:
    from paas.runtime import Runtime

SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


def report(rt: Runtime, app: App, span: timedelta) -> dict[str, object]:
    """Of the last *span*. Bytes, milliseconds; ``cpu_percent`` of one core; None where there was no request."""
    rt.metering.refresh()
    return figures(rt, app, span)


def overview(rt: Runtime, span: timedelta) -> list[dict[str, object]]:
    """One report for each app that the caller sees."""
    rt.metering.refresh()
    return [figures(rt, app, span) for app in rt.store.apps()]


def figures(rt: Runtime, app: App, span: timedelta) -> dict[str, object]:
    used, seconds = metering.recent(rt, app.id, span), span.total_seconds()
    now = rt.metering.present.get(app.id, metering.Present())
    return {
        "app": app.name, "seconds": int(seconds), **answers(used.traffic, seconds),
        "cpu_seconds": round(used.cpu, 2), "cpu_percent": round(100 * used.cpu / seconds, 1),
        "memory": now.memory, "memory_highest": used.memory, "restarts": used.restarts, "instances": now.instances,
    }


def answers(traffic: Traffic, seconds: float) -> dict[str, object]:
    classes = dict(zip(("1xx", "2xx", "3xx", "4xx", "5xx"), traffic.statuses, strict=True))
    times = {name: traffic.quantile(share) for name, share in SHARES.items()}
    return {"requests": traffic.requests, "per_second": round(traffic.requests / seconds, 2), **classes,
            **{name: None if time is None else round(time * 1000, 1) for name, time in times.items()}}
