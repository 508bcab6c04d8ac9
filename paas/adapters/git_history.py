"""Questions about history, answered within bounds and without git: hostile or endless history costs no more."""

import heapq
from collections.abc import Iterator

from paas.adapters.git_objects import Damaged, Missing, Objects
from paas.adapters.git_tree import Commit, read_commit
from paas.errors import PushRefused

MOST_COMMITS = 20_000                    # looked at for one answer
CLOCK_SKEW = 86_400                      # seconds by which a parent may claim to be younger than its child


def is_ancestor(objects: Objects, old: bytes, new: bytes) -> bool:
    """Whether *new* descends from (or is) *old*; False also where the bound or missing history hides the answer."""
    if old == new:
        return True
    try:
        oldest = read_commit(objects, old).time - CLOCK_SKEW
    except (Missing, Damaged, PushRefused):
        return False
    return any(old in commit.parents for _, commit in _walk(objects, new, oldest))


def shallow_edge(objects: Objects, start: bytes) -> set[bytes]:
    """The commits from *start* on that have a parent which is not here: where a shallow clone was cut."""
    return {sha for sha, commit in _walk(objects, start, 0) if any(parent not in objects for parent in commit.parents)}


def _walk(objects: Objects, start: bytes, oldest: int) -> Iterator[tuple[bytes, Commit]]:
    """Commits reachable from *start*, youngest first, as far as they are here and not older than *oldest*."""
    queue: list[tuple[int, bytes, Commit]] = []
    seen: set[bytes] = set()

    def push(sha: bytes) -> None:
        if sha not in seen:
            seen.add(sha)
            try:
                commit = read_commit(objects, sha)
            except (Missing, Damaged, PushRefused):
                return
            if commit.time >= oldest:
                heapq.heappush(queue, (-commit.time, sha, commit))

    push(start)
    for _ in range(MOST_COMMITS):
        if not queue:
            return
        _, sha, commit = heapq.heappop(queue)
        yield sha, commit
        for parent in commit.parents:
            push(parent)
