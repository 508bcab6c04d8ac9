"""The thin client: sends its words to the daemon's socket and copies frames to the terminal.

Used by the ``paas`` command, by ``hooks/ssh-entry`` and by ``hooks/pre-receive``; it runs under ``python3 -I -S``
and imports as little as it can, because its start is most of what a short command costs.

A frame is one byte of type, four bytes of length (big endian), and the payload. The hello's payload is a list of
``name=value`` fields parted by NUL bytes, which can occur neither in an argument nor in an environment variable.
Exit codes are those of :mod:`paas.errors`; besides: 130 interrupted, 141 the reader of our output went away,
143 terminated.
"""

import _signal  # the C halves: `signal` and `socket` would cost 7 ms of imports (enum, selectors)
import _socket
import os
import select
import sys

PROTOCOL = 1
DEFAULT_SOCKET = "/run/paas/paas.sock"
MAX_FRAME = 128 * 1024                   # bytes of payload, both ways
MAX_COMMAND = 64 * 1024                  # bytes of one command

HELLO, STDIN, STDIN_END, WINDOW, INTERRUPT, DETACHED = b"H", b"i", b"e", b"w", b"c", b"d"    # client → daemon
OUT, ERR, EXIT, RAW, CREDIT, GIT, HOOKED = b"o", b"x", b"q", b"r", b"n", b"g", b"k"           # daemon → client

SYSTEMD = "/run/systemd/system"
UNAVAILABLE = 69                         # EX_UNAVAILABLE of sysexits.h


class Gone(Exception):
    """The reader of our output went away."""


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload


def fields(pairs: list[tuple[str, str | bytes]]) -> bytes:
    """``name=value`` parted by NUL; a name may come several times."""
    return b"\0".join(name.encode() + b"=" + (value if isinstance(value, bytes) else os.fsencode(value))
                      for name, value in pairs)


class Frames:
    """Cuts a byte stream into frames. ValueError: a frame longer than MAX_FRAME."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        self._buffer += data
        whole = []
        while len(self._buffer) >= 5:
            size = int.from_bytes(self._buffer[1:5], "big")
            if size > MAX_FRAME:
                raise ValueError("frame too long")
            if len(self._buffer) < 5 + size:
                break
            whole.append((bytes(self._buffer[:1]), bytes(self._buffer[5:5 + size])))
            del self._buffer[:5 + size]
        return whole


def complain(what: str, hint: str = "") -> None:
    text = f" !     {what}\n" + (f"       {hint}\n" if hint else "")
    try:  # noqa: SIM105 - contextlib costs an import
        write_all(2, text.encode("utf-8", "replace"))
    except Gone:
        pass


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view):]
        except BlockingIOError:
            waiter = select.poll()
            waiter.register(descriptor, select.POLLOUT)
            waiter.poll(1000)
        except OSError as error:
            raise Gone from error


def connect(path: str) -> "_socket.socket | int":
    """A connected socket, or the exit code after the reason was printed."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except PermissionError:
        complain("you may not talk to paasd", "Run the command as root (sudo), or over SSH with your key.")
        return 6
    except OSError:
        complain("paasd is not running; deployed apps go on serving", how_to_start())
        return UNAVAILABLE
    return sock


def how_to_start() -> str:
    """The hint for this machine: where systemd is not PID 1 (sd_booted(3)), install.sh starts the daemon itself."""
    if os.path.isdir(SYSTEMD):
        return "On the server, start it with: systemctl start paasd   Its log: journalctl -u paasd"
    return "On the server, start it by running install.sh again. Its log: /var/log/paas/paasd.log"


def terminal_fields() -> list[tuple[str, str]]:
    """Size of the terminal when both ends are one, as the hello tells it."""
    try:
        if not (os.isatty(0) and os.isatty(1)):
            return []
        size = os.get_terminal_size(1)
    except OSError:
        return []
    return [("tty", f"{size.columns} {size.lines}")]


class Conversation:
    """Copies frames between the daemon and this process's terminal or pipes until the exit code comes."""

    def __init__(self, sock: "_socket.socket") -> None:
        self.sock = sock
        self.frames = Frames()
        self.credit = 0                  # bytes of stdin that the daemon still wants
        self.input_open = True
        self.interrupts = 0
        self.terminal: list | None = None    # what to restore after raw mode
        self.code: int | None = None
        self.instruction: bytes | None = None

    def run(self, hello: list[tuple[str, str | bytes]]) -> int:
        """Exit code; or -1 when the daemon wants git run: see :attr:`instruction`."""
        try:  # noqa: SIM105 - contextlib costs an import
            self.sock.sendall(frame(HELLO, fields(hello)))
        except OSError:
            pass                             # refused before it was read: the reason is there to be received
        wake = self._catch_signals()
        try:
            while self.code is None and self.instruction is None:
                self._wait(wake)
        except Gone:
            self.code = 141
        finally:
            self._raw(False)
        return self.code if self.instruction is None else -1

    def _catch_signals(self) -> int:
        wake, alarm = os.pipe()
        os.set_blocking(alarm, False)
        _signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        for number in (_signal.SIGINT, _signal.SIGWINCH, _signal.SIGTERM):
            _signal.signal(number, lambda *_: None)
        return wake

    def _wait(self, wake: int) -> None:
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(wake, select.POLLIN)
        poll.register(1, 0)                  # only to learn that its reader is gone
        reading = self.input_open and self.credit > 0
        if reading:
            poll.register(0, select.POLLIN)
        for descriptor, event in poll.poll():
            if descriptor == self.sock.fileno():
                self._from_daemon()
            elif descriptor == wake:
                self._signalled(os.read(wake, 64))
            elif descriptor == 0 and reading:
                self._from_input()
            elif descriptor == 1 and event & (select.POLLERR | select.POLLHUP):
                raise Gone

    def _from_daemon(self) -> None:
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._raw(False)
            complain("the connection to paasd was lost",
                     "It stopped or restarted. What it was doing is finished or undone when it is back: paas status")
            self.code = UNAVAILABLE
        for kind, payload in self.frames.feed(data):
            self._obey(kind, payload)

    def _obey(self, kind: bytes, payload: bytes) -> None:
        if kind == OUT:
            write_all(1, payload)
        elif kind == ERR:
            write_all(2, payload)
        elif kind == EXIT:
            self.code = int(payload)
        elif kind == RAW:
            self._raw(payload == b"1")
        elif kind == CREDIT:
            self.credit += int(payload)
        elif kind == GIT:
            self.instruction = payload

    def _from_input(self) -> None:
        try:
            data = os.read(0, min(self.credit, 32768))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.credit -= len(data)
        self.input_open = bool(data)
        self._send(STDIN if data else STDIN_END, data)

    def _signalled(self, numbers: bytes) -> None:
        if _signal.SIGTERM in numbers:
            self.code = 143
        if _signal.SIGWINCH in numbers:
            for _, size in terminal_fields():
                self._send(WINDOW, size.encode())
        if _signal.SIGINT in numbers:
            self.interrupts += 1
            self._send(INTERRUPT)
            if self.interrupts > 1:
                self.code = 130

    def _send(self, kind: bytes, payload: bytes = b"") -> None:
        try:  # noqa: SIM105 - contextlib costs an import
            self.sock.sendall(frame(kind, payload))
        except OSError:
            pass                             # the daemon is gone: its EOF is handled where we receive

    def _raw(self, on: bool) -> None:
        if on == (self.terminal is not None) or not os.isatty(0):
            return
        import termios
        import tty
        if on:
            self.terminal = termios.tcgetattr(0)
            tty.setraw(0)
        else:
            termios.tcsetattr(0, termios.TCSADRAIN, self.terminal)
            self.terminal = None


def fill_standard_descriptors() -> None:
    """Whoever started us may have closed some of 0, 1 and 2 (``>&-``): the socket must not take their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(descriptor)


def talk(path: str, hello: list[tuple[str, str | bytes]]) -> tuple[int, Conversation | None]:
    """Connect, say hello, copy frames to the end. Exit code, and the conversation if there was one."""
    fill_standard_descriptors()
    sock = connect(path)
    if isinstance(sock, int):
        return sock, None
    conversation = Conversation(sock)
    return conversation.run([("protocol", str(PROTOCOL)), *hello]), conversation


def main() -> None:
    """``paas WORDS``: on the server itself, as root."""
    if sum(map(len, sys.argv)) > MAX_COMMAND:
        complain("the command is longer than 64 KB", "Give large values on standard input.")
        os._exit(2)
    hello: list[tuple[str, str | bytes]] = [("kind", "local"), *terminal_fields()]
    hello += [("word", word) for word in sys.argv[1:]]
    for name, variable in (("term", "TERM"), ("app", "PAAS_APP")):
        if variable in os.environ:
            hello.append((name, os.environ[variable][:200]))
    try:  # noqa: SIM105 - contextlib costs an import
        hello.append(("cwd", os.getcwd()))
    except OSError:
        pass
    code, _ = talk(os.environ.get("PAAS_SOCKET", DEFAULT_SOCKET), hello)
    os._exit(code)                           # everything was written with os.write: nothing is left to flush


if __name__ == "__main__":
    main()
