"""A database that is older than what runs (yesterday's copy in the place of today's): seen by the ids that containers
carry in their labels, which such a database has not given yet. Until a person has decided, nothing is removed or made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from paas.errors import StateError
from paas.ops.repair import Repair

if TYPE_CHECKING:
    from paas.ports import ContainerState
    from paas.runtime import Runtime

# Label of a container → the table whose ids it holds. Rows come before their containers, and ids are never used again.
MARKS = {"paas.app": "apps", "paas.instance": "instances", "paas.run": "runs", "paas.cron": "cron_runs",
         "paas.service": "services", "paas.drill": "drills"}
KIND = "database-older"
STOP_SECONDS = 10                        # that a newer container has to end, once a person has decided against it
ADVICE = ("Put today's database back, or restore a newer backup (paas server:restore); or, if this one counts: "
          "paas reconcile --accept-older-database")


class Older:
    """What the last look has found."""

    def __init__(self) -> None:
        self.found = ""                  # in words; empty: nothing

    def look(self, rt: Runtime) -> str:
        """EngineError: it cannot be known now, and what was found last stays."""
        names = [one.name for one in newer(rt)]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        self.found = f"{', '.join(names[:3])}{more}: newer than anything that the database knows" if names else ""
        return self.found

    def require_none(self) -> None:
        """:raises StateError: the database is older than what runs."""
        if self.found:
            raise StateError(f"the database is older than what runs ({self.found}); nothing is changed", ADVICE)


def newer(rt: Runtime) -> list[ContainerState]:
    there = rt.containers.list({})       # before the question which ids were given
    highest = rt.store.highest_ids()
    return [one for one in there if any(number > highest.get(table, 0) for table, number in ids(one.labels).items())]


def ids(labels: Mapping[str, str]) -> dict[str, int]:
    """Table → id."""
    return {table: int(labels[mark]) for mark, table in MARKS.items() if labels.get(mark, "").isdigit()}


def repair(found: str) -> Repair:
    """Named, and never carried out: this is a person's to decide."""
    return Repair(KIND, "database", found, "nothing is removed until a person has decided",
                  error="the database is older than what runs; see paas doctor")


def accept(rt: Runtime) -> None:
    """This database counts: the newer containers go (their addresses may be an older instance's), their ids are not
    given again."""
    highest: dict[str, int] = {}
    found = newer(rt)
    for one in found:
        for table, number in ids(one.labels).items():
            highest[table] = max(highest.get(table, 0), number)
    rt.store.raise_ids(highest)
    for one in found:
        rt.containers.stop(one.id, STOP_SECONDS)
        rt.containers.remove(one.id)
    rt.older.look(rt)
