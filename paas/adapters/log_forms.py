"""What lines look like on their way to a drain."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from paas.model.drain import DrainLine, Format

USER, ERR, INFO = 1, 3, 6                # facility and severities of RFC 5424, section 6.2.1
DATAGRAM = 8192                          # bytes of a message over UDP; the rest of it is cut off
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def syslog(line: DrainLine, host: str) -> bytes:
    """RFC 5424: APP-NAME is the app, PROCID the instance; standard error is severity err."""
    priority = USER * 8 + (ERR if line.stream == "stderr" else INFO)
    stamp = line.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return f"<{priority}>1 {stamp} {host or '-'} {line.app} {line.instance} - - ".encode() + line.text


def datagram(line: DrainLine, host: str) -> bytes:
    return syslog(line, host)[:DATAGRAM]


def framed(line: DrainLine, host: str) -> bytes:
    """Octet counting (RFC 6587, section 3.4.1)."""
    message = syslog(line, host)
    return f"{len(message)} ".encode() + message


def json_lines(lines: Sequence[DrainLine], host: str) -> bytes:
    return b"".join(json.dumps({
        "timestamp": line.at.astimezone(UTC).isoformat().replace("+00:00", "Z"), "host": host, "app": line.app,
        "process": line.instance.partition(".")[0], "instance": line.instance, "stream": line.stream,
        "message": line.text.decode("utf-8", "replace")}).encode() + b"\n" for line in lines)


def loki(lines: Sequence[DrainLine], host: str) -> bytes:
    """``POST /loki/api/v1/push``: a stream of values for each set of labels, times in nanoseconds as text."""
    streams: dict[tuple[str, str, str], list[list[str]]] = {}
    for line in lines:
        since = line.at - EPOCH
        stamp = (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
        streams.setdefault((line.app, line.instance, line.stream), []).append(
            [str(stamp), line.text.decode("utf-8", "replace")])
    return json.dumps({"streams": [{"stream": labels(*key, host), "values": values}
                                   for key, values in streams.items()]}).encode()


def labels(app: str, instance: str, stream: str, host: str) -> Mapping[str, str]:
    return {"job": "paas", "host": host, "app": app, "process": instance.partition(".")[0], "instance": instance,
            "stream": stream}


Body = Callable[[Sequence[DrainLine], str], bytes]
BODIES: Mapping[Format, tuple[Body, str]] = {
    Format.JSON: (json_lines, "application/x-ndjson"),
    Format.LOKI: (loki, "application/json"),
}
