"""What Prometheus scrapes: its text format. https://prometheus.io/docs/instrumenting/exposition_formats/

Counters begin anew with the daemon, as the format's readers expect of a process. Of the durations no sum is told: it is
not known.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import accumulate
from typing import TYPE_CHECKING

import paas
from paas.model import app_settings
from paas.model.traffic import BOUNDS
from paas.model.usage import Usage
from paas.ops.metering import Present
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.runtime import Runtime

TOKEN = "metrics-token"                  # sealed setting
LISTEN = "prometheus-listen"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


def listen(rt: Runtime) -> str:
    """``ADDRESS:PORT``; empty: nothing is exposed."""
    return app_settings.value_of(app_settings.SERVER, rt.store.settings(), LISTEN)


def new_token(rt: Runtime) -> Secret:
    """In place of the one before, which is of no use from now on."""
    token = Secret(secrets.token_urlsafe(32))
    rt.store.set_sealed_setting(TOKEN, token)
    return token


def no_token(rt: Runtime) -> bool:
    """Forget it. False: there was none."""
    had = rt.store.sealed_setting(TOKEN) is not None
    rt.store.set_sealed_setting(TOKEN, None)
    return had


def admits(rt: Runtime, authorization: str, address: str) -> bool:
    """A bearer of the token (RFC 6750); where there is none, whoever asks at a loopback *address* of ours."""
    token = rt.store.sealed_setting(TOKEN)
    if token is None:
        return ip_address(address).is_loopback
    kind, _, given = authorization.partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.reveal().encode())


def text(rt: Runtime) -> str:
    rt.metering.refresh()
    apps = [(app.name, rt.metering.totals.get(app.id, Usage()), rt.metering.present.get(app.id, Present()))
            for app in rt.store.apps()]
    return "".join(f"{line}\n" for line in (*of_apps(apps), *of_daemon(rt)))


def of_apps(apps: list[tuple[str, Usage, Present]]) -> Iterator[str]:
    yield from family("paas_app_requests_total", "counter", "Requests answered, by class of status.")
    for name, used, _ in apps:
        for kind, count in zip(CLASSES, used.traffic.statuses, strict=True):
            yield f'paas_app_requests_total{{app="{name}",code="{kind}"}} {count}'
    yield from family("paas_app_request_duration_seconds", "histogram", "From a request's arrival to its answer's end.")
    for name, used, _ in apps:
        yield from histogram(name, used.traffic.durations)
    figures: list[tuple[str, str, str, Callable[[Usage, Present], object]]] = [
        ("paas_app_cpu_seconds_total", "counter", "Processor time of its instances.",
         lambda used, now: round(used.cpu, 3)),
        ("paas_app_restarts_total", "counter", "Restarts of its containers.", lambda used, now: used.restarts),
        ("paas_app_memory_bytes", "gauge", "Memory of its instances.", lambda used, now: now.memory),
        ("paas_app_instances", "gauge", "Instances that run.", lambda used, now: now.instances),
    ]
    for metric, kind, meaning, figure in figures:
        yield from family(metric, kind, meaning)
        yield from (f'{metric}{{app="{name}"}} {figure(used, now)}' for name, used, now in apps)


def histogram(name: str, durations: tuple[int, ...]) -> Iterator[str]:
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), accumulate(durations), strict=True):
        yield f'paas_app_request_duration_seconds_bucket{{app="{name}",le="{bound}"}} {count}'
    yield f'paas_app_request_duration_seconds_count{{app="{name}"}} {sum(durations)}'


def of_daemon(rt: Runtime) -> Iterator[str]:
    yield from family("paas_info", "gauge", "The platform's version.")
    yield f'paas_info{{version="{paas.__version__}"}} 1'
    yield from family("process_resident_memory_bytes", "gauge", "Memory of the daemon.")
    yield f"process_resident_memory_bytes {rt.host.daemon_memory()}"
    yield from family("process_cpu_seconds_total", "counter", "Processor time of the daemon.")
    yield f"process_cpu_seconds_total {time.process_time():.2f}"


def family(metric: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {metric} {meaning}", f"# TYPE {metric} {kind}"
