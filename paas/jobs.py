"""Deploys as jobs of the daemon: one at a time per app, first come first served, each with a stored log.

A job belongs to the daemon, not to the session that asked for it: whoever watches may vanish at any moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from paas.errors import Cancelled, Conflict, Locked, Unavailable
from paas.model.names import printable
from paas.threads import started

HOUSEKEEPING_SECONDS = 30.0              # that a command waits for the platform's own short work on the same thing


class JobLog:
    """A :class:`paas.ports.Output` that is kept: in memory while the job runs, on disk for `builds:log`.

    Never blocks on a reader. Beyond *limit* bytes the rest is dropped, with one line that says so.
    """

    def __init__(self, limit: int = 10_000_000) -> None:
        self._lines: list[str] = []
        self._size = 0
        self._limit = limit
        self._file = None
        self._changed = threading.Condition()
        self.closed = False

    def stage(self, text: str) -> None:
        self._add("-----> ", text)

    def heading(self, text: str) -> None:
        self._add("=====> ", text)

    def detail(self, text: str) -> None:
        self._add("       ", text)

    def warn(self, text: str) -> None:
        self._add(" !     ", text)

    def keep_in(self, path: Path) -> None:
        """Store what was said, and all that follows, in *path*. An unwritable disk does not stop the job."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._changed:
                self._file = path.open("w", encoding="utf-8")
                self._file.write("".join(line + "\n" for line in self._lines))
                self._file.flush()
        except OSError:
            self._file = None

    def close(self) -> None:
        with self._changed:
            self.closed = True
            if self._file:
                self._file.close()
                self._file = None
            self._changed.notify_all()

    def follow(self, done: Callable[[], bool] = lambda: False) -> Iterator[str]:
        """Every line from the first on, live, until *done* says so with nothing left, or the log is closed."""
        seen = 0
        while True:
            with self._changed:
                finished = done() or self.closed
                if seen == len(self._lines) and not finished:
                    self._changed.wait(timeout=0.5)
                fresh = self._lines[seen:]
                seen += len(fresh)
            yield from fresh
            if finished and not fresh:
                return

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _add(self, mark: str, text: str) -> None:
        for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            self._append(mark + printable(line.replace("\t", "    "), 2000))

    def _append(self, line: str) -> None:
        with self._changed:
            if self.closed or self._size > self._limit:
                return
            self._size += len(line) + 1
            if self._size > self._limit:
                line = " !     The output limit is reached; the rest is not kept (server:set build-output-limit)."
            self._lines.append(line)
            if self._file:
                try:
                    self._file.write(line + "\n")
                    self._file.flush()
                except OSError:
                    self._file = None
            self._changed.notify_all()


@dataclass
class Job:
    """One piece of long work for one app.

    ``verdict`` is set when the asker may be told the outcome; the work itself (retiring old containers) may go
    on after that, without holding its turn.
    """

    app_id: int
    title: str
    log: JobLog = field(default_factory=JobLog)
    number: int = 0
    result: object = None
    error: BaseException | None = None
    _decided: threading.Event = field(default_factory=threading.Event)
    _cancelled: threading.Event = field(default_factory=threading.Event)
    past_cancel: bool = False            # the point of no return is behind
    housekeeping: bool = False           # short, and the platform's own: waited for, no deploy that a person knows of
    command: bool = False                # short, and a person's: stopped while it waits, not once it works
    _asking: threading.Lock = field(default_factory=threading.Lock)

    def cancel(self) -> bool:
        """Ask it to stop; False when it is too late."""
        with self._asking:
            if self.past_cancel or self.decided:
                return False
            self._cancelled.set()
            return True

    def begin_command(self) -> None:
        """From here on nobody can stop it. Cancelled: somebody did."""
        with self._asking:
            if self.cancelled:
                raise Cancelled("cancelled while it waited")
            self.past_cancel = True

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def decided(self) -> bool:
        return self._decided.is_set()

    def decide(self, error: BaseException | None = None, result: object = None) -> None:
        if not self.decided:
            self.error = error
            self.result = result
            self._decided.set()
            self.log.wake()

    def wait(self, timeout: float | None = None) -> bool:
        return self._decided.wait(timeout)


class Jobs:
    """The queues: a FIFO per app and a limit on builds over all apps."""

    def __init__(self, logs_dir: Path, builds_at_once: int = 2) -> None:
        self.logs_dir = logs_dir
        self._turn = threading.Condition()
        self._queues: dict[int, list[Job]] = {}
        self._building = 0
        self.builds_at_once = builds_at_once
        self.patience = HOUSEKEEPING_SECONDS
        # (app id, branch) → commit of the newest accepted push, until git has moved its ref.
        self.accepted: dict[tuple[int, str], str] = {}
        self.being_retired: set[int] = set()                     # instance ids
        # Release id → the push that waits for the end of its window and reads the job's log.
        self.awaited: dict[int, Job] = {}

    def build_log(self, build_id: int) -> Path:
        """Where the output of a build is kept."""
        return self.logs_dir / "builds" / f"{build_id}.log"

    def submit(self, job: Job, work: Callable[[Job], object], max_queue: int = 10) -> Job:
        """Queue *job*; *work* runs in a thread of its own when its turn comes. Locked when the queue is full,
        Unavailable when there is no thread for it."""
        with self._turn:
            queue = self._queues.setdefault(job.app_id, [])
            waiting = sum(not one.command for one in queue[1:])          # the first one works
            if waiting >= max_queue:
                raise Locked(f"as many deploys of this app as may wait are waiting already: {waiting}",
                             "Wait for them, or cancel one with builds:cancel.")
            ahead = len(queue)
            queue.append(job)
        if ahead:
            job.log.stage(f"Waiting: {ahead} ahead of this one ({queue[0].title})")
        try:
            started(self._run, job, work, name=f"job-{job.app_id}")
        except Unavailable:
            self.leave(job)
            job.log.close()
            raise
        return job

    def running(self, app_id: int) -> Job | None:
        with self._turn:
            queue = self._queues.get(app_id)
            return queue[0] if queue else None

    def waiting(self, app_id: int) -> list[Job]:
        with self._turn:
            return list(self._queues.get(app_id, ()))[1:]

    def deploys(self, app_id: int) -> list[Job]:
        """The queue without the platform's housekeeping: what runs, or is next, comes first."""
        with self._turn:
            return [job for job in self._queues.get(app_id, ()) if not job.housekeeping]

    def try_turn(self, app_id: int, title: str, *, housekeeping: bool = False) -> Job | None:
        """Take the app's turn without waiting; None when somebody has it. Give it back with :meth:`leave`.

        :param housekeeping: short work of the platform's own; commands wait for its end.
        """
        with self._turn:
            if self._queues.get(app_id):
                return None
            job = Job(app_id, title, housekeeping=housekeeping)
            self._queues[app_id] = [job]
            return job

    @contextmanager
    def turn(self, app_id: int, title: str) -> Iterator[None]:
        """Take the app's turn for something short; housekeeping of the platform is waited for, in the queue.

        :raises Conflict: a deploy of it, or the like, runs or waits; or the housekeeping takes too long.
        :raises Cancelled: somebody stopped it while it waited.
        """
        job = Job(app_id, title, command=True)
        with self._turn:
            if others := self.deploys(app_id):
                raise busy(others[0])
            self._queues.setdefault(app_id, []).append(job)
        try:
            self._await_turn(job, patient=False)
            job.begin_command()
            yield
        finally:
            self.leave(job)

    def end_patience(self) -> None:
        """The daemon stops: no command waits for housekeeping any more."""
        with self._turn:
            self.patience = 0.0
            self._turn.notify_all()

    def take_build_slot(self, job: Job) -> None:
        with self._turn:
            said = False
            while self._building >= self.builds_at_once and not job.cancelled:
                if not said:
                    job.log.detail(f"Waiting for a build slot: {self._building} builds are running")
                    said = True
                self._turn.wait(timeout=0.2)
            self._building += 1

    def give_build_slot(self) -> None:
        with self._turn:
            self._building -= 1
            self._turn.notify_all()

    @contextmanager
    def retiring(self, instance_ids: Iterable[int]) -> Iterator[None]:
        """While this lasts, reconcile leaves these instances to whoever drains them."""
        ids = set(instance_ids)
        self.being_retired |= ids
        try:
            yield
        finally:
            self.being_retired -= ids

    def leave(self, job: Job) -> None:
        """Give the turn to the next in the queue. Idempotent."""
        with self._turn:
            queue = self._queues.get(job.app_id, [])
            if job in queue:
                queue.remove(job)
            if not queue:
                self._queues.pop(job.app_id, None)
            self._turn.notify_all()

    def _run(self, job: Job, work: Callable[[Job], object]) -> None:
        try:
            self._await_turn(job)
            job.decide(result=work(job))
        except BaseException as error:  # noqa: B036 - whatever it is, the asker must be told
            job.decide(error=error)
        finally:
            self.leave(job)
            job.log.close()

    def _await_turn(self, job: Job, patient: bool = True) -> None:
        """:raises Cancelled: it was, while it waited. :raises Conflict: it is not *patient*, and waited long enough."""
        place, began = len(self.waiting(job.app_id)), time.monotonic()
        with self._turn:
            queue = self._queues[job.app_id]
            while queue[0] is not job:
                if job.cancelled:
                    break
                if not patient and time.monotonic() - began >= self.patience:
                    raise busy(queue[0])
                now = queue.index(job)
                if now != place:
                    place = now
                    job.log.detail(f"{now} ahead of this one")
                self._turn.wait(timeout=0.5)
        if job.cancelled:
            raise Cancelled("cancelled while it waited")


def busy(job: Job) -> Conflict:
    return Conflict(f"this app is busy: {job.title}",
                    "Try again when that is done; a deploy can be stopped with: paas builds:cancel APP")
