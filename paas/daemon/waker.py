"""The thread that hears of requests to apps that sleep: see :mod:`paas.ops.waker`."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from paas.ops.waker import Waker

if TYPE_CHECKING:
    from paas.runtime import Runtime

RETRY_SECONDS = 2.0

log = logging.getLogger("paas.waker")


def serve(rt: Runtime, stop: threading.Event) -> None:
    """Until *stop*. While nobody serves, the proxy answers such requests with 503 and Retry-After."""
    waker = Waker(rt)
    try:
        while not stop.is_set():
            try:
                rt.door.serve(waker.knock, stop)
            except OSError as error:
                log.warning("requests to apps that sleep cannot be heard: %s", error.strerror)
            except Exception:
                log.exception("the waker failed")
            stop.wait(RETRY_SECONDS)
    finally:
        waker.end()
