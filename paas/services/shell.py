"""Commands inside a service's container; see :class:`paas.ports_backup.Shell`.

A stream ends well only when the engine itself says that its program ended with 0: a client that is killed, a container
that stops or a cut socket look like the end of a stream too.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from paas.errors import PaasError, ServiceError
from paas.model.names import printable
from paas.ports import Attachment, Containers
from paas.ports_backup import Reader, Sealing, Writer
from paas.secret import Secret
from paas.threads import started

MAX_OUTPUT = 16 * 1024 * 1024
COMPLAINT = 4096                         # bytes of error output that a message quotes at the most
TALK_IDLE = 6 * 3600.0                   # seconds for an answer in a conversation: to count a large table takes long
CHUNK = 64 * 1024
EXIT_PATIENCE = 30.0                     # seconds that the engine may take to say how a program ended
PIPE = '"$@" | zstd -q -3 -c'
CAN_COMPRESS = ("bash", "-c", "set -o pipefail; command -v zstd")


class Running:
    """One program in the container."""

    def __init__(self, containers: Containers, container_id: str, command: Sequence[str],
                 environment: Mapping[str, Secret] | None, secrets: Sequence[Secret]) -> None:
        self._containers, self._command = containers, tuple(command)
        self._secrets = (*secrets, *(environment or {}).values())
        self.errors = bytearray()
        self.closed = False
        self.quiet_since = time.monotonic()
        self._id, self.attachment = containers.exec(container_id, self._command, False, environment or {})

    def pieces(self) -> Iterator[bytes]:
        """Its standard output to the end, then its exit code is judged."""
        for stream, data in self.attachment.frames():
            self.quiet_since = time.monotonic()
            if stream == "stdout":
                yield data
            else:
                self.errors = (self.errors + data)[-COMPLAINT:]
        self.judge()

    def judge(self) -> None:
        """:raises ServiceError: it did not end with 0, or the engine cannot say so, or we cut it off ourselves."""
        code = None if self.closed else self._exit_code()
        if code != 0:
            how = "was cut" if code is None else f"failed with exit code {code}"
            said = self._complaint()
            raise ServiceError(f"{self._command[0]} {how}{': ' if said else ''}{said}",
                               "Look at the service: paas DATASTORE:logs NAME")

    def _exit_code(self) -> int | None:
        deadline = time.monotonic() + EXIT_PATIENCE
        while time.monotonic() < deadline:
            code = self._containers.exec_exit_code(self._id)
            if code is not None:
                return code
            time.sleep(0.02)
        return None

    def _complaint(self) -> str:
        kept = bytes(self.errors)
        if len(kept) == COMPLAINT:       # it may begin in the middle of a secret
            kept = kept[max((len(secret) for secret in self._secrets), default=0):]
        text = kept.decode("utf-8", "replace")
        for secret in self._secrets:
            if len(secret) >= 6:
                text = text.replace(secret.reveal(), "[redacted]")
        return printable(" / ".join(line.strip() for line in text.splitlines()[-5:] if line.strip()), 600)

    def close(self) -> None:
        self.closed = True
        self.attachment.close()


class Output:
    """A Reader of a running program's standard output, with a watchdog for one that says nothing any more."""

    def __init__(self, running: Running, idle: float) -> None:
        self._running, self._idle = running, idle
        self._pieces, self._rest, self._done = running.pieces(), b"", False
        self._stalled = threading.Event()
        self._over = threading.Event()
        started(self._watch, name="output-watch")

    def read(self, size: int = -1, /) -> bytes:
        if self._done:
            return b""
        self._running.quiet_since = time.monotonic()
        try:
            return self._all() if size < 0 else self._some(size)
        except BaseException:
            self.close()
            if self._stalled.is_set():
                raise ServiceError(f"no data came for {self._idle:.0f} s", "Look at the service's logs.") from None
            raise
        finally:
            self._running.quiet_since = math.inf     # nobody reads: it is not the program that says nothing

    def _all(self) -> bytes:
        """:raises ServiceError: it is more than fits in memory."""
        data = bytearray(self._rest)
        self._rest = b""
        for piece in self._pieces:
            data += piece
            if len(data) > MAX_OUTPUT:
                raise ServiceError("the program in the service's container says too much")
        self._end()
        return bytes(data)

    def _some(self, size: int) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
            if not self._rest:
                self._end()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _end(self) -> None:
        self._done = True
        self.close()

    def close(self) -> None:
        self._over.set()
        self._running.close()

    def _watch(self) -> None:
        while not self._over.wait(min(5.0, self._idle / 4)):
            if time.monotonic() - self._running.quiet_since > self._idle:
                self._stalled.set()
                self._running.close()
                return


class Input:
    """A Writer into a running program."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self.broken = False              # the program does not read any more

    def write(self, data: bytes, /) -> int:
        try:
            self._attachment.send(bytes(data))
        except PaasError:
            self.broken = True
            raise
        return len(data)


class Talk:
    """See :class:`paas.ports_backup.Conversation`."""

    def __init__(self, running: Running) -> None:
        self._running, self._output, self._rest = running, Output(running, TALK_IDLE), b""

    def send(self, text: str) -> None:
        self._running.attachment.send(text.encode())

    def line(self) -> str:
        while b"\n" not in self._rest:
            piece = self._output.read(CHUNK)
            if not piece:
                raise ServiceError("the program in the service's container ended early", "Try again.")
            self._rest += piece
            if len(self._rest) > MAX_OUTPUT:
                raise ServiceError("the program in the service's container says too much in one line")
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode("utf-8", "replace")

    def close(self) -> None:
        self._running.attachment.close_stdin()
        try:
            while self._output.read(CHUNK):
                continue
        finally:
            self._output.close()


class ContainerShell:
    """See :class:`paas.ports_backup.Shell`.

    :param secrets: what must not appear in a message, whatever a program prints.
    """

    def __init__(self, containers: Containers, container_id: str, sealing: Sealing,
                 secrets: Sequence[Secret] = ()) -> None:
        self._containers, self._id, self._sealing, self._secrets = containers, container_id, sealing, tuple(secrets)
        self._compresses: bool | None = None
        self._started: list[Running] = []

    def _start(self, command: Sequence[str], environment: Mapping[str, Secret] | None) -> Running:
        running = Running(self._containers, self._id, command, environment, self._secrets)
        self._started = [*(one for one in self._started if not one.closed), running]
        return running

    def close(self) -> None:
        """End every stream that somebody left: its program would wait for its reader, and hold its locks, for ever."""
        for running in self._started:
            running.close()
        self._started.clear()

    def run(self, command: Sequence[str], *, stdin: bytes = b"", environment: Mapping[str, Secret] | None = None,
            timeout: float = 60.0) -> str:
        running = self._start(command, environment)
        return self._with_input(running, lambda sink: sink.write(stdin) if stdin else None, timeout)

    def _with_input(self, running: Running, write: Callable[[Writer], object], timeout: float) -> str:
        """Give input in a thread of its own: a program may speak before it has read everything."""
        failed: list[BaseException] = []
        sink = Input(running.attachment)

        def give() -> None:
            try:
                write(sink)
                running.attachment.close_stdin()
            except BaseException as error:
                failed.append(error)
                if not sink.broken:
                    running.close()      # half an input must not look like a whole one

        giver = started(give, name="service-input")
        try:
            text = self._collected(running, timeout)
        except PaasError:
            giver.join(EXIT_PATIENCE)
            if failed and not sink.broken:
                raise failed[0] from None
            raise                        # why it reads no more is what it says itself
        finally:
            running.close()
        giver.join(EXIT_PATIENCE)
        if failed:
            raise failed[0]
        return text

    def _collected(self, running: Running, timeout: float) -> str:
        return Output(running, timeout).read().decode("utf-8", "replace")

    def converse(self, command: Sequence[str], *, environment: Mapping[str, Secret] | None = None) -> Talk:
        return Talk(self._start(command, environment))

    def output(self, command: Sequence[str], *, environment: Mapping[str, Secret] | None = None,
               idle: float = 600.0) -> Output:
        running = self._start(command, environment)
        running.attachment.close_stdin()
        return Output(running, idle)

    def compressed(self, command: Sequence[str], *, environment: Mapping[str, Secret] | None = None) -> Reader:
        if self._compresses is None:
            self._compresses = self._succeeds(CAN_COMPRESS)
        if not self._compresses:
            return self._sealing.compress(self.output(command, environment=environment))
        # pipefail: a dump that fails must not end in a whole zstd frame and exit code 0.
        return self.output(("bash", "-o", "pipefail", "-c", PIPE, command[0], *command), environment=environment)

    def _succeeds(self, command: Sequence[str]) -> bool:
        try:
            self.run(command)
        except ServiceError:
            return False
        return True

    def feed(self, command: Sequence[str], write: Callable[[Writer], None], *,
             environment: Mapping[str, Secret] | None = None) -> str:
        return self._with_input(self._start(command, environment), write, 24 * 3600.0)
