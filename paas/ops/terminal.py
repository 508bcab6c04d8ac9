"""A caller's terminal, or pipes, joined to a program in a container."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from paas.ports import Attachment
from paas.secret import Secret
from paas.threads import started

CHUNK = 32768
WATCH_SECONDS = 0.5
LOST_SECONDS = 10.0                      # between two attempts to end what has lost its caller
END_OF_INPUT = b"\x04"                   # ^D: how a terminal tells a program that there is no more


class Size(Protocol):
    columns: int
    rows: int
    term: str


class Caller(Protocol):
    """The part of a daemon's session that is needed here."""

    tty: Size | None

    @property
    def alive(self) -> bool: ...

    def out(self, data: bytes) -> None: ...
    def err(self, data: bytes) -> None: ...
    def read(self, size: int) -> bytes: ...
    def raw_mode(self, on: bool) -> None: ...
    def wait_gone(self, timeout: float | None = None) -> bool: ...
    def on_resize(self, callback: Callable[[int, int], None] | None) -> None: ...
    def on_interrupt(self, callback: Callable[[], None] | None) -> None: ...


def environment(caller: Caller, tty: bool) -> dict[str, Secret]:
    """TERM, for a program that gets a terminal.

    Not COLUMNS and LINES: programs believe them more than the terminal, and would not see the window change its size.
    """
    return {"TERM": Secret(caller.tty.term or "xterm")} if tty and caller.tty else {}


def converse(caller: Caller, attachment: Attachment, tty: bool, *, begin: Callable[[], object],
             interrupt: Callable[[], object], lost: Callable[[], object]) -> None:
    """Copy both ways until the program closes its end.

    :param begin: starts the program; called when everything is joined.
    :param interrupt: what ^C does where there is no terminal to carry it.
    :param lost: called when the caller has gone.
    """
    ended = threading.Event()
    caller.on_interrupt(interrupt)
    if tty and caller.tty:
        attachment.resize(caller.tty.columns, caller.tty.rows)
        caller.on_resize(attachment.resize)
    try:
        begin()
        if tty:
            caller.raw_mode(True)
        started(feed, caller, attachment, tty, name="run-input")
        started(watch, caller, ended, lost, name="run-watch")
        for stream, data in attachment.frames():
            (caller.err if stream == "stderr" else caller.out)(data)
    finally:
        ended.set()
        caller.on_resize(None)
        if tty:
            caller.raw_mode(False)
        attachment.close()


def feed(caller: Caller, attachment: Attachment, tty: bool) -> None:
    while data := caller.read(CHUNK):
        attachment.send(data)
    if tty:
        attachment.send(END_OF_INPUT)
    attachment.close_stdin()


def watch(caller: Caller, ended: threading.Event, lost: Callable[[], object]) -> None:
    while not ended.is_set():
        if caller.wait_gone(WATCH_SECONDS) and not ended.is_set():
            lost()
            ended.wait(LOST_SECONDS)     # it may have failed
