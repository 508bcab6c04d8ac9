"""Runs ``git receive-pack`` between the client and the hook, so that no client can ever block the hook.

git's own sideband keeps a pipe open to a dead or stalled client and its hook then blocks for ever in write(2).
The pump reads whatever git says, at once; what the client does not take within 5 s is thrown away, and so is
everything after it. Standard library only, and little of it: it runs on every push.
"""

import _signal
import os
import select
import time

from paas import client

BUFFER = 1024 * 1024                     # bytes held for a slow client
CHUNK = 65536
STALL = 5.0                              # seconds without progress and a full buffer: the client has stalled
FAREWELL = 60.0                          # seconds a client may take for the last bytes after git has ended
IDLE = 60.0                              # seconds without a byte either way before the hook is called
RECEIVE = 3600.0                         # seconds that receiving may take in all


class Lane:
    """One direction: read from *source*, write to *sink*, hold at most BUFFER bytes between."""

    def __init__(self, source: int, sink: int, lossy: bool) -> None:
        self.source: int | None = source
        self.sink: int | None = sink
        self.lossy = lossy                   # may throw away instead of holding up the source
        self.held = bytearray()
        self.moved = time.monotonic()
        for descriptor in (source, sink):
            os.set_blocking(descriptor, False)

    @property
    def wants_input(self) -> bool:
        return self.source is not None and len(self.held) < BUFFER

    def read(self) -> None:
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.source = None
        elif self.sink is not None:
            if not self.held:
                self.moved = time.monotonic()
            self.held += data

    def write(self) -> None:
        try:
            del self.held[:os.write(self.sink, self.held[:CHUNK])]
            self.moved = time.monotonic()
        except BlockingIOError:
            return
        except OSError:
            self.drop()

    def drop(self) -> None:
        """The reader is gone or stalled: from now on whatever comes is thrown away."""
        self.sink = None
        self.held.clear()

    def check_stall(self) -> None:
        if self.lossy and len(self.held) >= BUFFER and time.monotonic() - self.moved > STALL:
            self.drop()


class Pump:
    def __init__(self, argv: list[bytes], environment: dict[bytes, bytes], sock) -> None:
        self.sock = sock
        self.frames = client.Frames()
        self.hooked = False                  # the hook has been called: git has received everything
        self.detached = False
        self.began = time.monotonic()
        pipes = [os.pipe() for _ in range(3)]
        (git_in, to_git), (from_git, git_out), (from_error, git_error) = pipes
        actions = [(os.POSIX_SPAWN_DUP2, ours, number)
                   for number, ours in enumerate((git_in, git_out, git_error))]
        self.pid = os.posix_spawn(argv[0], argv, environment, file_actions=actions, setsid=True,
                                  setsigdef=[_signal.SIGPIPE])
        for descriptor in (git_in, git_out, git_error):
            os.close(descriptor)
        self.inward = Lane(0, to_git, lossy=False)
        self.outward = [Lane(from_git, 1, lossy=True), Lane(from_error, 2, lossy=True)]

    def run(self) -> int:
        """git's exit code; 128 + n after signal n."""
        while any(lane.source is not None for lane in self.outward):
            self._turn()
            self._check_limits()
        self._farewell()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return status if status >= 0 else 128 - status

    def _turn(self) -> None:
        events: dict[int, int] = {}
        for lane in (self.inward, *self.outward):
            if lane.wants_input:
                events[lane.source] = events.get(lane.source, 0) | select.POLLIN
            if lane.sink is not None and lane is not self.inward:
                events.setdefault(lane.sink, 0)              # to learn that the reader is gone
            if lane.held and lane.sink is not None:
                events[lane.sink] = events.get(lane.sink, 0) | select.POLLOUT
        if self.sock is not None:
            events[self.sock.fileno()] = select.POLLIN
        poll = select.poll()
        for descriptor, mask in events.items():
            poll.register(descriptor, mask)
        ready = dict(poll.poll(1000))
        self._serve(ready)

    def _serve(self, ready: dict[int, int]) -> None:
        broken = select.POLLERR | select.POLLHUP | select.POLLNVAL
        for lane in (self.inward, *self.outward):
            if lane.sink in ready and lane.sink is not None:
                if ready[lane.sink] & broken:
                    lane.drop()
                elif ready[lane.sink] & select.POLLOUT:
                    lane.write()
            if lane.source in ready and lane.source is not None:
                lane.read()
            lane.check_stall()
        if self.inward.source is None and not self.inward.held and self.inward.sink is not None:
            os.close(self.inward.sink)
            self.inward.sink = None
        if self.sock is not None and self.sock.fileno() in ready:
            self._from_daemon()
        if self.outward[0].sink is None and not self.detached:
            self.detached = True
            self._tell_detached()

    def _from_daemon(self) -> None:
        try:
            data = self.sock.recv(CHUNK)
        except OSError:
            data = b""
        if not data:
            self.sock = None
        for kind, _ in self.frames.feed(data):
            self.hooked = self.hooked or kind == client.HOOKED

    def _tell_detached(self) -> None:
        if self.sock is not None:
            try:
                self.sock.sendall(client.frame(client.DETACHED))
            except OSError:
                self.sock = None

    def _check_limits(self) -> None:
        if self.hooked:
            return
        now = time.monotonic()
        last = max(lane.moved for lane in (self.inward, *self.outward))
        if now - last > IDLE or now - self.began > RECEIVE:
            self.hooked = True               # say it once
            self.outward[1].held += b" !     the push stood still for too long and was ended; push again\n"
            os.killpg(self.pid, _signal.SIGTERM)

    def _farewell(self) -> None:
        end = time.monotonic() + FAREWELL
        for lane in self.outward:
            while lane.held and lane.sink is not None and time.monotonic() < end:
                poll = select.poll()
                poll.register(lane.sink, select.POLLOUT)
                poll.poll(1000)
                lane.write()
