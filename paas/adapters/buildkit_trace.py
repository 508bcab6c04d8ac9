"""What BuildKit tells of a build, as a story for people: step names, CACHED, log bytes as they come.

The engine sends protobuf messages ``moby.buildkit.v1.StatusResponse`` (control.proto of BuildKit); the reader here
knows the few fields that matter and skips the rest, so newer fields do no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from paas.secret import Secret

QUIET = ("[internal] load remote build context", "[internal] load build definition", "[internal] load .dockerignore",
         "[internal] load build context", "[auth]", "copy /context /", "docker-image://")
TAIL_BYTES = 4000
MASK_FROM = 6                            # shorter secrets would mask half of every log


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field of a protobuf message; fixed-width fields come as raw bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"protobuf wire type {kind}")
        if at + size > len(data):
            raise ValueError("protobuf message cut short")
        yield key >> 3, data[at:at + size]
        at += size


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("protobuf number cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def seconds(timestamp: bytes) -> float:
    """google.protobuf.Timestamp → seconds since 1970."""
    found = dict(fields(timestamp))
    return int(found.get(1, 0)) + int(found.get(2, 0)) / 1e9


class Masker:
    """Replaces known secrets in a stream, also one that is cut over two pieces. A courtesy to people who print them."""

    def __init__(self, secrets: Mapping[str, Secret]) -> None:
        values = {secret.reveal().strip().encode("utf-8", "surrogateescape") for secret in secrets.values()}
        self._values = sorted((value for value in values if len(value) >= MASK_FROM), key=len, reverse=True)
        self._held = b""

    def __call__(self, data: bytes) -> bytes:
        if not self._values:
            return data
        data = self._held + data
        for value in self._values:
            data = data.replace(value, b"[redacted]")
        keep = max((_overlap(data, value) for value in self._values), default=0)
        self._held = data[len(data) - keep:]
        return data[:len(data) - keep]

    def rest(self) -> bytes:
        held, self._held = self._held, b""
        return held


def _overlap(data: bytes, value: bytes) -> int:
    """How many last bytes of *data* may be the begin of *value*."""
    longest = min(len(data), len(value) - 1)
    return next((size for size in range(longest, 0, -1) if data.endswith(value[:size])), 0)


@dataclass
class Step:
    """One vertex of the build graph."""

    name: str
    masker: Masker
    number: int = 0                      # in the order of appearance; 0: not shown
    done: bool = False
    cached: bool = False
    error: str = ""
    tail: bytes = b""
    times: dict[int, float] = field(default_factory=dict)


class Story:
    """Feed it StatusResponses; it writes plain progress in the manner of ``buildx --progress=plain``."""

    def __init__(self, output: Callable[[bytes], None], secrets: Mapping[str, Secret]) -> None:
        self._write, self._secrets = output, secrets
        self._steps: dict[bytes, Step] = {}
        self._shown = 0
        self._current: Step | None = None
        self._line_open = False

    def feed(self, status: bytes) -> None:
        for number, value in fields(status):
            if number == 1 and isinstance(value, bytes):
                self._vertex(value)
            elif number == 3 and isinstance(value, bytes):
                self._log(value)

    @property
    def failed(self) -> Step | None:
        """The step that failed by itself; those cancelled because of it come second."""
        broken = [step for step in self._steps.values() if step.error]
        genuine = [step for step in broken if "context canceled" not in step.error]
        return next(iter(genuine or broken), None)

    def _vertex(self, data: bytes) -> None:
        found = dict(fields(data))
        name = _text(found.get(3))
        step = self._steps.setdefault(found.get(1, b""), Step(name, Masker(self._secrets)))
        step.times.update({key: seconds(value) for key, value in found.items()
                           if key in (5, 6) and isinstance(value, bytes)})
        if 5 in found and not step.number and not name.startswith(QUIET):
            self._announce(step)
        step.error = step.error or _text(found.get(7))
        if 6 in found and not step.done:
            step.done, step.cached = True, bool(found.get(4))
            self._end(step)

    def _announce(self, step: Step) -> None:
        self._shown += 1
        step.number = self._shown
        self._line(step, step.name)

    def _line(self, step: Step, text: str) -> None:
        start = b"\n" if self._line_open else b""
        line = " ".join(text.split())
        self._write(start + f"#{step.number} {line}\n".encode())
        self._current, self._line_open = step, False

    def _end(self, step: Step) -> None:
        self._put(step, step.masker.rest())
        if not step.number:
            return
        if step.error:
            self._line(step, "CANCELED" if "context canceled" in step.error else "ERROR")
        elif step.cached:
            self._line(step, "CACHED")
        else:
            self._line(step, f"DONE {max(0.0, step.times.get(6, 0) - step.times.get(5, 0)):.1f}s")

    def _log(self, data: bytes) -> None:
        found = dict(fields(data))
        step, text = self._steps.get(found.get(1, b"")), found.get(4)
        if step is not None and isinstance(text, bytes):
            self._put(step, step.masker(text))

    def _put(self, step: Step, text: bytes) -> None:
        if not text:
            return
        step.tail = (step.tail + text)[-TAIL_BYTES:]
        if self._current is not step and step.number:
            self._line(step, step.name)
        self._write(text)
        self._line_open = not text.endswith(b"\n")


def _text(value: int | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
