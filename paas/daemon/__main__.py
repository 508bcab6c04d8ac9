"""paasd: ``python -m paas.daemon [--foreground]``."""

import fcntl
import importlib
import importlib.util
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from paas import cli, failpoints, settings
from paas.daemon.memory import give_back
from paas.daemon.server import Server
from paas.errors import Conflict, PaasError, StateError
from paas.ops import events, night_watch

BACKGROUND_SECONDS = 30.0                # that each piece of work of the platform's own may take to come to its end

log = logging.getLogger("paas")


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM. 0: stopped as asked; else a :mod:`paas.errors` code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words not in ([], ["--foreground"]):
        print("usage: paasd [--foreground]", file=sys.stderr)
        return 2
    # systemd and a terminal both want plain lines; there is no mode that forks away.
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        return serve(settings.load())
    except PaasError as error:
        log.error("%s %s", error.what, error.hint)
        return error.exit_code


def serve(config: settings.Settings) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    give_back()
    failpoints.arm(config.config_dir)
    lock = only_one(config)
    cli.load_commands()
    house = House(config)
    notify("READY=1")
    log.info("paasd listens on %s", config.socket)
    stop.wait()
    notify("STOPPING=1")
    house.close()
    os.close(lock)
    return 0


class House:
    """What runs on one runtime, and how another one takes its place (a restore of the whole server)."""

    def __init__(self, config: settings.Settings) -> None:
        self._config = config
        self._rt = self._open()
        self._settle()
        self._server = Server(self._rt)
        self._server.start()
        self._background = start_background(self._rt)

    def _settle(self) -> None:
        """On a full disk nothing can be noted, and the daemon is wanted all the more: it holds what frees space."""
        try:
            cut = events.settle(self._rt)
        except PaasError as error:
            log.warning("commands that were interrupted could not be recorded: %s", error.what)
        else:
            if cut:
                log.warning("%d commands were interrupted; see: paas events", cut)

    def _open(self) -> Any:
        rt = importlib.import_module("paas.runtime").open_runtime(self._config)
        rt.reopening.by = self.reopen
        return rt

    def reopen(self, swap: Callable[[], None]) -> Any:
        """Called by the one command that runs: everything else stops, *swap* changes the files, all is opened anew.

        :raises Conflict: something else is under way; nothing has changed.
        """
        with self._server.alone("the server is being restored"):
            if self._background is not None and not self._background.end(BACKGROUND_SECONDS):
                self._background = start_background(self._rt)
                raise Conflict("the platform is at work on something", "Try again in a minute.")
            for streams in (self._rt.streams, self._rt.recovery, self._rt.drains):
                streams.end()
            self._rt.store.close()
            try:
                swap()
            finally:
                self._begin_anew()
        return self._rt

    def _begin_anew(self) -> None:
        try:
            before, self._rt = self._rt, self._open()
            self._server.rt = before.reopening.now = self._rt
            night_watch.put_aside(self._rt)
            self._background = start_background(self._rt)
        except BaseException:
            log.exception("the files are in their places, but could not be opened: paasd ends, to be started anew")
            os.kill(os.getpid(), signal.SIGTERM)
            raise

    def close(self) -> None:
        self._rt.jobs.end_patience()
        self._rt.turns.end_patience()
        self._server.stop()
        if self._background is not None:
            self._background.set()
        night_watch.end(self._rt)
        self._rt.drains.end()            # how far they are is noted


def only_one(config: settings.Settings) -> int:
    """Hold the flock that makes this the only daemon; it dies with the process and the file is never unlinked.

    :raises StateError: another paasd has it.
    """
    config.state_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(config.state_dir / "paasd.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StateError("another paasd runs on this state directory.", "Stop it first.") from None
    return descriptor


def start_background(rt: Any) -> Any:
    """Scheduler, monitor, reconcile: ``paas.daemon.background.start(rt)``, where there is one; the event stops them."""
    if importlib.util.find_spec("paas.daemon.background") is None:
        return None
    return importlib.import_module("paas.daemon.background").start(rt)


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)), if it asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.warning("systemd could not be told: %s", error)


if __name__ == "__main__":
    sys.exit(main())
