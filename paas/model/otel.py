"""Where an app's traces, metrics and logs go by OpenTelemetry, as environment variables of its containers.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and …/protocol/exporter/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from paas.errors import BadInput
from paas.secret import Secret

PROTOCOLS = ("http/protobuf", "grpc")
HEADER = re.compile(r"([A-Za-z0-9._-]{1,64})[ \t]*[:=][ \t]*([\x20-\x7e]{1,4096})")
MAX_HEADERS = 10
ENDPOINT, PROTOCOL, HEADERS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL",
                               "OTEL_EXPORTER_OTLP_HEADERS")


@dataclass(frozen=True)
class Collector:
    endpoint: str
    protocol: str = PROTOCOLS[0]
    headers: Secret | None = None        # as OTEL_EXPORTER_OTLP_HEADERS has them


def checked_endpoint(text: str) -> str:
    """``http://HOST[:PORT][/PATH]`` or https, for both protocols. :raises BadInput: anything else."""
    try:
        parts = urlsplit(text)
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        complete = False
    if not complete or len(text) > 500 or not text.isascii() or not text.isprintable() or " " in text:
        raise BadInput("that is not the URL of a collector", "Give one like http://collector.example.com:4318")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise BadInput("the URL of a collector has no password, no query and no fragment",
                       "Give credentials as a header: --headers-stdin, and 'Authorization: …' on standard input.")
    return text


def checked_headers(text: str) -> Secret:
    """``Name: value`` (or ``name=value``) lines, as the variable has them: W3C Baggage, values percent-encoded.

    :raises BadInput: another form, none, or too many.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [HEADER.fullmatch(line) for line in lines]
    if not all(found) or not 1 <= len(found) <= MAX_HEADERS:
        raise BadInput(f"give from 1 to {MAX_HEADERS} headers on standard input, one a line",
                       "Like: Authorization: Bearer …")
    return Secret(",".join(f"{one[1].lower()}={quote(one[2], safe='')}" for one in found if one))


def environment(collector: Collector, app: str, release: str, process: str,
                own: Mapping[str, Secret]) -> dict[str, Secret]:
    """For one container. What the app's *own* config names is its own: with another endpoint, no header of ours goes
    there."""
    attributes = {"service.version": release, "service.instance.id": f"{app}.{process}.{release}"}
    given = {"OTEL_SERVICE_NAME": Secret(app),
             "OTEL_RESOURCE_ATTRIBUTES": Secret(",".join(f"{key}={value}" for key, value in attributes.items()))}
    if ENDPOINT in own:
        return given
    sent = {HEADERS: collector.headers} if collector.headers else {}
    return {**given, ENDPOINT: Secret(collector.endpoint), PROTOCOL: Secret(collector.protocol), **sent}
