"""Builds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select, update

from paas.model.access import Actor
from paas.model.build import BUILD_MOVES, Build, BuildState
from paas.store.apps import get_app
from paas.store.base import Base, insert, next_number, one
from paas.store.tables import builds

FINAL = frozenset(state for state, moves in BUILD_MOVES.items() if not moves)


class Builds(Base):
    def create_build(self, app_id: int, *, commit: str, tree: str, subject: str, actor: Actor) -> Build:
        with self._db.write() as connection:
            get_app(connection, app_id)
            return get_build(connection, insert(connection, builds, {
                "app_id": app_id, "number": next_number(connection, builds, "number", app_id),
                "state": BuildState.QUEUED, "commit": commit, "tree": tree, "subject": subject,
                "created_at": self._now(), "created_by": actor.name, "image": "", "reason": ""}))

    def move_build(self, build_id: int, state: BuildState, *, image: str = "", reason: str = "") -> Build:
        """:raises AssertionError: a move that BUILD_MOVES does not have."""
        with self._db.write() as connection:
            build = get_build(connection, build_id)
            if state not in BUILD_MOVES[build.state]:
                raise AssertionError(f"build {build_id}: {build.state} does not become {state}")
            changes: dict[str, Any] = {"state": state, "image": image, "reason": reason}
            if state in FINAL:
                changes["finished_at"] = self._now()
            connection.execute(update(builds).where(builds.c.id == build_id).values(changes))
            return get_build(connection, build_id)

    def build(self, app_id: int, number: int) -> Build:
        query = select(builds).where(builds.c.app_id == app_id, builds.c.number == number)
        with self._db.read() as connection:
            return Build(**one(connection, query, f"there is no build {number}", "See: paas builds:list")._mapping)

    def builds(self, app_id: int | None = None, *, states: Iterable[BuildState] = (), limit: int = 100) -> list[Build]:
        query = select(builds).order_by(builds.c.id.desc()).limit(limit)
        if app_id is not None:
            query = query.where(builds.c.app_id == app_id)
        if wanted := list(states):
            query = query.where(builds.c.state.in_(wanted))
        with self._db.read() as connection:
            return [Build(**row._mapping) for row in connection.execute(query)]

    def find_build_of_tree(self, app_id: int, tree: str) -> Build | None:
        query = select(builds).where(builds.c.app_id == app_id, builds.c.tree == tree,
                                     builds.c.state == BuildState.BUILT, builds.c.image != "")
        with self._db.read() as connection:
            row = connection.execute(query.order_by(builds.c.id.desc()).limit(1)).first()
            return Build(**row._mapping) if row else None

    def forget_image(self, app_id: int, digest: str) -> None:
        with self._db.write() as connection:
            connection.execute(update(builds).where(builds.c.app_id == app_id, builds.c.image == digest)
                               .values(image=""))


def get_build(connection: Connection, build_id: int) -> Build:
    query = select(builds).where(builds.c.id == build_id)
    return Build(**one(connection, query, "that build does not exist any more", "See: paas builds:list")._mapping)
