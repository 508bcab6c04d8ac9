"""Log drains: where the lines of apps go besides ``logs``, and the forms that they have there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

from paas.errors import BadInput
from paas.model.names import printable
from paas.secret import Secret

FORMS = "Give syslog+udp://HOST, syslog+tcp://HOST, syslog+tls://HOST, https://HOST/PATH or cloudwatch://REGION/GROUP."
HEADER = re.compile(r"([A-Za-z0-9-]{1,64}):[ \t]*([\x20-\x7e]{1,4096})")
OWN_HEADERS = {"host", "content-length", "content-type", "transfer-encoding", "connection"}
MAX_HEADERS = 10
SHOWN = 12                               # characters of a part of a path that are shown: a longer one may be a key


class Kind(StrEnum):
    UDP = "syslog+udp"                   # RFC 5426
    TCP = "syslog+tcp"                   # RFC 6587
    TLS = "syslog+tls"                   # RFC 5425
    HTTP = "http"
    HTTPS = "https"
    CLOUDWATCH = "cloudwatch"            # by the engine's own driver


class Format(StrEnum):
    """Of an HTTP drain's bodies."""

    JSON = "json"                        # an object a line: Vector's http_server, Fluent Bit, OpenObserve
    LOKI = "loki"                        # Grafana Loki's push API


PORTS = {Kind.UDP: 514, Kind.TCP: 514, Kind.TLS: 6514, Kind.HTTP: 80, Kind.HTTPS: 443, Kind.CLOUDWATCH: 0}


@dataclass(frozen=True)
class Drain:
    """A row of ``drains``. Its URL and headers are stored sealed: often one of them is a key."""

    id: int
    app_id: int | None                   # None: every app's lines
    url: Secret
    format: Format
    headers: Mapping[str, Secret]
    created_at: datetime
    created_by: str

    @property
    def kind(self) -> Kind:
        return Kind(self.url.reveal().partition(":")[0])

    @property
    def shown(self) -> str:
        return shown(self.url.reveal())


@dataclass(frozen=True)
class DrainLine:
    """One line on its way."""

    at: datetime
    app: str
    instance: str                        # "web.1"
    stream: str                          # "stdout" or "stderr"
    text: bytes
    container: str = ""                  # id; empty: said by the platform
    size: int = field(init=False, compare=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", len(self.text) + 200)


def checked_url(text: str) -> str:
    """As it is stored. :raises BadInput: no URL of a drain."""
    try:
        parts = urlsplit(text)
        kind, port = Kind(parts.scheme), parts.port
    except ValueError:
        raise BadInput(f"'{printable(text, 40)}' is not where a drain can lead", FORMS) from None
    if not parts.hostname or len(text) > 2000 or not text.isascii() or not text.isprintable() or " " in text:
        raise BadInput("the URL of the drain is not complete", FORMS)
    if parts.username is not None or parts.password is not None:
        raise BadInput("a URL with a password would be shown and stored as an address",
                       "Give credentials as a header: --headers, and 'Authorization: …' on standard input.")
    if kind == Kind.CLOUDWATCH:
        check_cloudwatch(parts)
    elif kind in (Kind.UDP, Kind.TCP, Kind.TLS) and (parts.path.strip("/") or parts.query):
        raise BadInput("a syslog drain has a host and a port, no path", FORMS)
    if port == 0 or parts.fragment:
        raise BadInput("the URL of the drain is not right", FORMS)
    return text


def check_cloudwatch(parts: SplitResult) -> None:
    """Region and log group in the characters that AWS allows (CloudWatch Logs API, CreateLogGroup)."""
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", parts.netloc) or not re.fullmatch(r"[\w./#-]{1,512}", parts.path[1:]):
        raise BadInput("this is no region and log group of CloudWatch", "Write it like cloudwatch://eu-west-1/my-apps")


def checked_headers(text: str) -> dict[str, Secret]:
    """``Name: value`` lines. :raises BadInput: another form, too many, or one that the drain itself sets."""
    found: dict[str, Secret] = {}
    for line in filter(None, (one.strip() for one in text.splitlines())):
        match = HEADER.fullmatch(line)
        if not match or match[1].lower() in OWN_HEADERS:
            raise BadInput("a line on standard input is not a header that a drain may have",
                           "One a line, like: Authorization: Bearer …")
        found[match[1]] = Secret(match[2])
    if not found or len(found) > MAX_HEADERS:
        raise BadInput(f"give from 1 to {MAX_HEADERS} headers on standard input, one a line",
                       "Like: Authorization: Bearer …")
    return found


def endpoint(url: Secret) -> tuple[str, int]:
    """Host and port."""
    parts = urlsplit(url.reveal())
    return parts.hostname or "", parts.port or PORTS[Kind(parts.scheme)]


def shown(url: str) -> str:
    """Without a query, and long parts of the path cut: with many services the URL alone lets anybody write there."""
    parts = urlsplit(url)
    path = "/".join(one if len(one) <= SHOWN or parts.scheme == Kind.CLOUDWATCH else f"{one[:4]}…"
                    for one in parts.path.split("/"))
    return f"{parts.scheme}://{parts.netloc}{path}{'?…' if parts.query else ''}"
