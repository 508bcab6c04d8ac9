"""The checks of one instance, each tried again and again until it passes or its time is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.model.healthchecks import request
from paas.model.names import printable
from paas.model.release import Check, CheckKind
from paas.ports import Answer, Attachment
from paas.threads import started

if TYPE_CHECKING:
    from paas.deploy.readiness import Readiness

CONTENT_BYTES = 1024**2                  # of a body, searched for `content`
OUTPUT_BYTES = 16 * 1024                 # of what a command printed last, kept
LAST_LINES = 30                          # of that, and of the app's log, shown on failure
COMMAND_PAUSE = 1.0                      # seconds between two runs of a command, at most
LOOK = 0.02                              # seconds between two looks at a running command
LINGER = 1.0                             # seconds for the output of a command that has ended


class Probe:
    """One check. `seen` is the latest reason why it has not passed, `output` what its command printed then."""

    def __init__(self, instance: Readiness, check: Check) -> None:
        self.instance, self.check, self.clock = instance, check, instance.clock
        self.seen = "it was not tried"
        self.output: Sequence[str] = ()
        self.next_run = 0.0              # COMMAND: seconds since the start of the instance
        self.tried = False
        self.https_port = 0              # where it has passed over HTTPS

    def passes(self, port: int) -> bool:
        """One attempt, if it is time for one.

        :param port: where the instance listens; 0: not known, as it is no `web`.
        """
        if self.instance.elapsed() < self.check.delay:
            return False
        if self.stays_up_only():
            return self.stayed_up()
        self.tried = True
        port = self.check.port or port or self.instance.expected
        if self.check.kind == CheckKind.COMMAND:
            return self.command_passes()
        return self.is_open(port) if self.check.kind == CheckKind.PORT else self.answers(port)

    def overdue(self) -> bool:
        """Never before one attempt; to stay up takes none, it is proved by time alone."""
        return self.tried and self.instance.elapsed() > self.check.timeout

    # Private

    def stays_up_only(self) -> bool:
        """A check of nothing in particular is that, where the process is no `web`."""
        web = self.instance.process.type == "web"
        return self.check.kind == CheckKind.UPTIME or (self.check.kind == CheckKind.LISTEN and not web)

    def attempt_time(self) -> float:
        return min(self.check.attempt_timeout, self.check.timeout)

    def stayed_up(self) -> bool:
        return self.instance.elapsed() >= self.check.uptime

    def is_open(self, port: int) -> bool:
        found = [one for one in self.instance.work.rt.containers.listening(self.instance.row.container_id)
                 if one.port == port]
        local = "only 127.0.0.1 listens" if found else "nothing listens"
        self.seen = f"{local} on port {port}"
        return any(not one.loopback for one in found)

    def answers(self, port: int) -> bool:
        check, answer = self.check, self.asked(port, self.check.https)
        if not accepts(check, answer):
            self.seen = describe(check, answer)
            return False
        self.seen = f"{request(check)} answered {answer.status} without the text '{printable(check.content)}'"
        if check.content.encode() not in answer.body:
            return False
        self.https_port = port if check.https else 0
        return True

    def asked(self, port: int, https: bool) -> Answer:
        check = self.check
        return self.instance.work.rt.prober.get(
            self.instance.row.address, port, check.path, check.host or self.instance.host(),
            self.attempt_time(), check.headers, CONTENT_BYTES if check.content else None, https)

    def command_passes(self) -> bool:
        """Run it, unless it has just run. One over its time goes on in the container, as the engine cannot end it; the
        whole `wait` follows, so that there are never more of those than `attempts`."""
        if self.instance.elapsed() < self.next_run:
            return False
        ended = run(self.instance, self.check.command, self.attempt_time(), self.instance.stop_if_told)
        self.output = ended.output
        self.seen = f"the command '{printable(' '.join(self.check.command))}' {ended.said}"
        pause = min(self.check.wait, COMMAND_PAUSE) if ended.code is not None else self.check.wait
        self.next_run = self.instance.elapsed() + pause
        return ended.code == 0


@dataclass(frozen=True)
class Ended:
    """A command in a container."""

    said: str                            # "exited with exit code 3", "was not over within 5 s", …
    code: int | None = None              # None: it was not over in time, or could not be run
    output: Sequence[str] = ()           # its last lines


def run(instance: Readiness, command: Sequence[str], seconds: float, stop: Callable[[], None]) -> Ended:
    """In the container of *instance*, without input, for that long at most. *stop* is asked again and again, and may
    raise."""
    containers = instance.work.rt.containers
    try:
        exec_id, attachment = containers.exec(instance.row.container_id, command, False, {})
    except PaasError as error:
        return Ended(f"did not run: {error.what}")
    output = Output(attachment)
    try:
        code = wait_for(instance, exec_id, seconds, stop)
    finally:
        lines = output.lines()
    said = f"was not over within {seconds:g} s" if code is None else f"exited with exit code {code}"
    return Ended(said, code, lines)


def wait_for(instance: Readiness, exec_id: str, seconds: float, stop: Callable[[], None]) -> int | None:
    ends = instance.clock.monotonic() + seconds
    while instance.clock.monotonic() < ends:
        stop()
        code = instance.work.rt.containers.exec_exit_code(exec_id)
        if code is not None:
            return code
        instance.clock.sleep(LOOK)
    return None


class Output:
    """What a command prints, read beside it so that it never has to wait; without input."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self._kept = bytearray()
        attachment.close_stdin()
        self._reader = started(self._read, name="check-output")

    def _read(self) -> None:
        for _, data in self._attachment.frames():
            self._kept += data
            if len(self._kept) > 2 * OUTPUT_BYTES:
                del self._kept[:-OUTPUT_BYTES]

    def lines(self) -> list[str]:
        """The last of it. A child that keeps the pipe open does not hold this up."""
        self._reader.join(LINGER)
        self._attachment.close()
        self._reader.join(LINGER)
        return bytes(self._kept[-OUTPUT_BYTES:]).decode("utf-8", "replace").splitlines()


def accepts(check: Check, answer: Answer) -> bool:
    if check.status:
        low, _, high = check.status.partition("-")
        return int(low) <= answer.status <= int(high or low)
    return 200 <= answer.status <= (499 if check.kind == CheckKind.LISTEN else 399)


def describe(check: Check, answer: Answer) -> str:
    if not answer.status:
        return f"{request(check)}: {answer.error}"
    where = f" to {answer.location}" if answer.location else ""
    return f"{request(check)} answered {answer.status}{where}"
