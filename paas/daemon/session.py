"""One connection as a command sees it: output, input, terminal, interrupts."""

import contextlib
import io
import select
import socket
import threading
import time
from collections.abc import Callable

from paas import client
from paas.daemon.protocol import Terminal, parse_terminal
from paas.errors import BadInput, PaasError

CHUNK = 32 * 1024                        # bytes per frame of output
WINDOW = 256 * 1024                      # bytes of stdin that may be under way
LAST_WORD = 0.05                         # seconds that a session which is ended waits for what is being written to it
STALL = 5.0                              # seconds that a command holding a lock waits for a slow reader
PATIENCE = 600.0                         # the same for a command that holds nothing (its reader may be a pager)


class Session:
    """Thread-safe. A client that vanished, or took nothing for *patience* seconds, is dropped: output then goes
    nowhere, input ends, and the command runs on; it may ask :attr:`alive`."""

    def __init__(self, sock: socket.socket, terminal: Terminal | None = None) -> None:
        self.tty = terminal
        self.patience = STALL
        self.busy = False                # changes something: not to be cut when the daemon stops
        self.exit_code: int | None = None
        self._sock = sock
        self._gone = threading.Event()
        self._sending = threading.Lock()
        self._input = threading.Condition()
        self._held = bytearray()
        self._granted = 0                # bytes of stdin the client may still send
        self._input_ended = False
        self._on_resize: Callable[[int, int], None] | None = None
        self._on_interrupt: Callable[[], None] | None = None
        self._on_frame: dict[bytes, Callable[[], None]] = {}

    # output ------------------------------------------------------------------------------------------------------

    def out(self, data: str | bytes) -> None:
        self._write(client.OUT, data)

    def err(self, data: str | bytes) -> None:
        self._write(client.ERR, data)

    def raw_mode(self, on: bool) -> None:
        """The client's terminal passes every key as it is (and ^C as a byte) until this is turned off."""
        self._frame(client.RAW, b"1" if on else b"0")

    def exit(self, code: int) -> None:
        """The last frame; later output is dropped."""
        if self.exit_code is None:
            self.exit_code = code
            self._frame(client.EXIT, str(code).encode())

    def frame(self, kind: bytes, payload: bytes = b"") -> None:
        """Any other frame of :mod:`paas.client`."""
        self._frame(kind, payload)

    def _write(self, kind: bytes, data: str | bytes) -> None:
        if isinstance(data, str):
            data = data.encode("utf-8", "replace")
        if self.exit_code is not None:
            return
        for start in range(0, len(data), CHUNK):
            self._frame(kind, data[start:start + CHUNK])

    def _frame(self, kind: bytes, payload: bytes) -> None:
        with self._sending:
            if self.alive and not _send(self._sock, client.frame(kind, payload), self.patience):
                self.drop()

    # input -------------------------------------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        """Up to *size* bytes of the client's stdin, as soon as there are some; b"" at its end."""
        with self._input:
            if not self._granted and not self._held and not self._input_ended:
                self._grant(WINDOW)
            self._input.wait_for(lambda: self._held or self._input_ended or not self.alive)
            data = bytes(self._held[:size])
            del self._held[:size]
            if self._granted < WINDOW // 2 and not self._input_ended:
                self._grant(WINDOW - self._granted - len(self._held))
        return data

    def _grant(self, size: int) -> None:
        if size > 0:
            self._granted += size
            self._frame(client.CREDIT, str(size).encode())

    def stdin(self) -> io.RawIOBase:
        """File-like; reads return what is there, not what was asked for."""
        return _Input(self)

    def read_stdin(self, limit: int) -> bytes:
        """Everything up to the end. :raises BadInput: more than *limit* bytes."""
        parts, size = [], 0
        while data := self.read(CHUNK):
            parts.append(data)
            size += len(data)
            if size > limit:
                raise BadInput(f"standard input is longer than {limit:,} bytes")
        return b"".join(parts)

    def read_line(self, limit: int = 1000) -> str:
        """One line of a person's at a terminal, without its end; what follows it is dropped."""
        line = b""
        while b"\n" not in line and len(line) < limit and (data := self.read(limit)):
            line += data
        return line.partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")

    # events ------------------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return not self._gone.is_set()

    def wait_gone(self, timeout: float | None = None) -> bool:
        """Block until the client is gone; False: *timeout* seconds passed first."""
        return self._gone.wait(timeout)

    def on_resize(self, callback: Callable[[int, int], None] | None) -> None:
        """*callback*(columns, rows), from the reader's thread."""
        self._on_resize = callback

    def on_interrupt(self, callback: Callable[[], None] | None) -> None:
        """*callback*() at the client's ^C; without one an interrupt ends the session."""
        self._on_interrupt = callback

    def on_frame(self, kind: bytes, callback: Callable[[], None]) -> None:
        self._on_frame[kind] = callback

    def drop(self) -> None:
        """Let the client go: nothing more is sent or received. The listener wakes up and tells who waits for input."""
        self._gone.set()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def dismiss(self, why: str, code: int) -> None:
        """Let it go now, with a last word if that can be said at once: a reader that has stopped may hold up a command
        that is writing to it, and nobody else."""
        self.patience = 0.0
        if self._sending.acquire(timeout=LAST_WORD):
            self._sending.release()
            self.err(why)
            self.exit(code)
        self.drop()

    def listen(self, frames: client.Frames, waiting: list[tuple[bytes, bytes]]) -> None:
        """The reader: runs in a thread of its own until the client is gone."""
        try:
            self._obey_all(waiting)
            while self.alive and (data := self._sock.recv(65536)):
                self._obey_all(frames.feed(data))
        except (OSError, ValueError):
            pass                         # reset, or a frame beyond the limit: the same as gone
        finally:
            self.drop()
            with self._input:
                self._input.notify_all()

    def _obey_all(self, frames: list[tuple[bytes, bytes]]) -> None:
        for kind, payload in frames:
            self._obey(kind, payload)

    def _obey(self, kind: bytes, payload: bytes) -> None:
        if kind == client.STDIN:
            self._take_input(payload)
        elif kind == client.STDIN_END:
            self._take_input(b"")
        elif kind == client.WINDOW:
            self._resize(payload)
        elif kind == client.INTERRUPT:
            self._interrupt()
        elif kind in self._on_frame:
            self._on_frame[kind]()

    def _take_input(self, data: bytes) -> None:
        with self._input:
            self._granted -= len(data)
            if self._granted < 0:
                raise ValueError("more input than granted")
            self._held += data
            self._input_ended = self._input_ended or not data
            self._input.notify_all()

    def _resize(self, payload: bytes) -> None:
        size = parse_terminal(payload.decode("ascii", "replace"), self.tty.term if self.tty else "")
        if size is not None and self.tty is not None:
            self.tty = size
            if self._on_resize:
                with contextlib.suppress(PaasError):     # the engine does not answer: no reason to hang up
                    self._on_resize(size.columns, size.rows)

    def _interrupt(self) -> None:
        if self._on_interrupt:
            self._on_interrupt()
        else:
            self.exit(130)
            self.drop()


class _Input(io.RawIOBase):
    def __init__(self, session: Session) -> None:
        self._session = session

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self._session.read(len(buffer))
        buffer[:len(data)] = data
        return len(data)


def _send(sock: socket.socket, data: bytes, patience: float) -> bool:
    """False: the peer is gone, or did not take all of *data* within *patience* seconds."""
    view, end = memoryview(data), time.monotonic() + patience
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while view:
        try:
            view = view[sock.send(view, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL):]
        except BlockingIOError:
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                return False
        except OSError:
            return False
    return True
