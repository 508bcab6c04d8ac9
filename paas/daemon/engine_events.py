"""Follow what the engine tells of this server's containers, and come back when it went away."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.ops import crashes

if TYPE_CHECKING:
    from paas.runtime import Runtime

RETRY_SECONDS = 1.0

log = logging.getLogger("paas.engine")


def follow(rt: Runtime, stop: threading.Event) -> None:
    """Until *stop*. After a break it goes on behind the last happening; the engine keeps what came meanwhile."""
    since = rt.clock.now()
    while not stop.is_set():
        try:
            for one in rt.engine_events.follow(since, lambda: not stop.is_set()):
                since = one.at
                crashes.happened(rt, one)
        except PaasError as error:
            log.warning("%s", error.what)
        except Exception:
            log.exception("following the engine failed")
        stop.wait(RETRY_SECONDS)
