"""What is wrong and lasts: opened and closed here by whoever sees it; :mod:`paas.ops.notify` tells the channels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.model import names
from paas.model.incident import Incident, Kind

if TYPE_CHECKING:
    from paas.runtime import Runtime

log = logging.getLogger("paas.incidents")


def open_incident(rt: Runtime, kind: Kind, object: str, what: str, hint: str = "") -> None:
    """Something is wrong from now on. Nothing happens while one of that kind and object is open.

    :param object: what it is about; of an app its name, or its name, a space and more.
    :param what: one sentence without a full stop, for a message: no secret, no server path.

    Raises nothing: what cannot be recorded is in the log, and must not change what the caller does.
    """
    try:
        if rt.store.open_incident(kind, printable(object), printable(what), printable(hint)):
            log.info("incident %s of %s: %s", kind, object, what)
    except PaasError as error:
        log.warning("the incident %s of %s could not be recorded: %s", kind, object, error.what)


def close_incident(rt: Runtime, kind: Kind, object: str, what: str = "") -> None:
    """It is over; *what* says how. Nothing happens where none is open. Raises nothing."""
    try:
        if rt.store.close_incident(kind, printable(object), printable(what)):
            log.info("incident %s of %s is over", kind, object)
    except PaasError as error:
        log.warning("the end of the incident %s of %s could not be recorded: %s", kind, object, error.what)


def printable(text: str) -> str:
    return names.printable(text, 500)


def listed(rt: Runtime, open_only: bool, number: int) -> list[Incident]:
    """The newest first."""
    return rt.store.incidents(open_only=open_only, limit=number)
