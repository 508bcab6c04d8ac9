"""app.json's `onFailure`: a command in the container of an instance of which a check has failed for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paas.deploy.probes import LAST_LINES, Ended, Probe, run
from paas.errors import Cancelled, PaasError
from paas.model.healthchecks import label
from paas.model.names import printable

if TYPE_CHECKING:
    from paas.deploy.readiness import Readiness

MOST_SECONDS = 30.0                      # for all of those that run together in one instance


def run_commands(instance: Readiness, failed: Sequence[Probe]) -> None:
    """Those of *failed*, one after the other. Whatever comes of one is shown and changes nothing.

    One that is over its time goes on in the container, as the engine cannot end it; it goes with the instance.
    :raises Cancelled: the deploy was.
    """
    ends = instance.clock.monotonic() + MOST_SECONDS
    for one in failed:
        if one.check.on_failure:
            show(instance, one, ended(instance, one, ends - instance.clock.monotonic()))


def say_not_run(instance: Readiness, failed: Sequence[Probe], why: str) -> None:
    """The engine may have started the container again since: what a command says there is not of the failure."""
    for one in failed:
        if one.check.on_failure:
            show(instance, one, Ended(f"did not run: {why}"))


def ended(instance: Readiness, probe: Probe, seconds: float) -> Ended:
    if seconds <= 0:
        return Ended(f"did not run: those before it took {MOST_SECONDS:g} s")
    try:
        return run(instance, probe.check.on_failure, round(seconds, 1), instance.work.stop_if_cancelled)
    except Cancelled:
        raise
    except PaasError as error:
        return Ended(f"was lost sight of: {error.what}")


def show(instance: Readiness, probe: Probe, found: Ended) -> None:
    out = instance.work.out
    out.heading(f"onFailure of the check '{label(probe.check)}' in {instance.row.name}")
    for line in found.output[-LAST_LINES:]:
        out.detail(line)
    if found.code != 0:
        out.detail(f"(the command '{printable(' '.join(probe.check.on_failure))}' {found.said})")
    elif not found.output:
        out.detail("(it printed nothing)")
