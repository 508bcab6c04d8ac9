"""Search in an app's stored logs: a stream in, a stream out, in order of time, with bounded memory."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from paas.errors import NotFound
from paas.model.app import App
from paas.ops.logs import NO_TIME, Line, Source, Wanted, made, sources

if TYPE_CHECKING:
    from paas.runtime import Runtime

SAMPLE = 500                             # newest lines of an instance, whose mean length says how many to ask for
STAMP = 31                               # bytes that each line takes beside its text
PAGE_LINES, PAGE_BYTES = 2000, 1024 * 1024       # what is held at once, and tried together
LINE_LIMIT = 64 * 1024                   # bytes of one line that are looked at and shown

Test = Callable[[Sequence[bytes]], Sequence[bool]]


@dataclass
class Search:
    """What to look for, and afterwards how much was looked at.

    :param text: plain text; or :param pattern: a regular expression in Python's form, over the line's bytes.
    :param last: bytes of each instance's newest output. They are reckoned by the mean length of its newest lines, as
        the engine keeps lines, not bytes; ``bytes`` says what was read.
    """

    text: str = ""
    pattern: str = ""
    ignore_case: bool = False
    last: int = 50 * 1024 * 1024
    bytes: int = 0
    lines: int = 0
    found: int = 0
    instances: list[str] = field(default_factory=list)


def search(rt: Runtime, app: App, wanted: Wanted, what: Search) -> Iterator[Line]:
    """The lines that match. BadInput: a regular expression that is wrong, or takes too long."""
    streams = [stream for source in sources(rt, app, wanted.process) if (stream := opened(rt, source, wanted, what))]
    merged = heapq.merge(*streams, key=lambda line: line.at or NO_TIME)
    with tester(rt, what) as test:
        for page in pages(merged):
            what.lines += len(page)
            what.bytes += sum(len(line.text) for line in page)
            fitting = test([line.text[:LINE_LIMIT] for line in page])
            for line, fits in zip(page, fitting, strict=True):
                what.found += fits
                if fits:
                    yield Line(line.at, line.instance, line.stream, line.text[:LINE_LIMIT])


@contextlib.contextmanager
def tester(rt: Runtime, what: Search) -> Iterator[Test]:
    if what.pattern:
        with rt.patterns.tried(what.pattern, what.ignore_case) as tried:
            yield tried.on
    elif what.ignore_case:
        text = what.text.lower()
        yield lambda lines: [text in line.decode("utf-8", "replace").lower() for line in lines]
    else:
        wanted = what.text.encode("utf-8", "surrogateescape")
        yield lambda lines: [wanted in line for line in lines]


def opened(rt: Runtime, source: Source, wanted: Wanted, what: Search) -> Iterator[Line] | None:
    """One instance's lines, or None where its container has gone."""
    try:
        newest = [len(one.text) + STAMP for one in rt.containers.logs(source[1], tail=SAMPLE, since=wanted.since)]
        mean = sum(newest) / len(newest) if newest else STAMP
        stream = rt.containers.logs(source[1], tail=max(1, int(what.last / mean)), since=wanted.since)
        first = next(stream, None)
    except NotFound:
        return None
    what.instances.append(source[0])
    begun = [first] if first else []
    return (made(source, one) for one in chain(begun, stream))


def pages(lines: Iterator[Line]) -> Iterator[list[Line]]:
    page: list[Line] = []
    size = 0
    for line in lines:
        page.append(line)
        size += len(line.text)
        if len(page) >= PAGE_LINES or size >= PAGE_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page
