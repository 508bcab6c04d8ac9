"""Stage 4: start the new instances beside the old ones and let each prove itself. Nothing is committed yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paas.deploy import warm
from paas.deploy.oneoff import ensure_network
from paas.deploy.receive import count
from paas.deploy.start import prove, start
from paas.deploy.strategy import Replacement, replacements, roll, stop_first
from paas.deploy.work import Work
from paas.model.release import Instance, InstanceState, Release, ReleaseState, Strategy


@dataclass(frozen=True)
class Candidate:
    """A release whose instances all run and passed their checks."""

    release: Release
    instances: tuple[Instance, ...]
    kept: tuple[Instance, ...] | None = None     # those of them that served a release before

    @property
    def scaling(self) -> bool:
        """The same code goes on in other numbers; a rollback to warm instances is none."""
        return self.kept is not None and not any(row.state == InstanceState.WARM for row in self.kept)


def check(work: Work, release: Release, kept: Sequence[Instance] | None = None) -> Candidate:
    """Every instance of every process type is up and ready, or CheckFailed with the app's own last words.

    Those that start first come first: before any old instance has to go, all that can fail without harm has passed.
    """
    work.stop_if_cancelled()
    warm.cut_short(work, kept or ())
    if release.state == ReleaseState.CREATED:
        release = work.rt.store.move_release(release.id, ReleaseState.CHECKING)
    ensure_network(work)
    wanted = replacements(work, release, kept or ())
    ready = start_first(work, release, [one for one in wanted if one.strategy == Strategy.START_FIRST])
    for one in wanted:
        if one.strategy == Strategy.ROLLING:
            ready += roll(work, release, one)
    for one in wanted:
        if one.strategy == Strategy.STOP_FIRST:
            ready += stop_first(work, release, one)
    if ready:
        work.out.stage(f"Checks passed: {count(len(ready), 'instance')}")
    instances = sorted((*(kept or ()), *ready), key=lambda row: (row.process_type, row.ordinal))
    return Candidate(release, tuple(instances), None if kept is None else tuple(kept))


def start_first(work: Work, release: Release, wanted: Sequence[Replacement]) -> list[Instance]:
    """All of them, beside the old ones."""
    with work.timed("start"):
        started = [start(work, release, one.process, ordinal) for one in wanted for ordinal in one.ordinals]
    with work.timed("check"):
        return prove(work, release, started)
