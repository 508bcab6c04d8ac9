"""Releases. Two triggers in the database keep a recorded one as it is; see migration 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update

from paas.model.access import Actor
from paas.model.build import Image
from paas.model.release import RELEASE_MOVES, CronJob, InstanceState, Process, Release, ReleaseState, Task
from paas.secret import Secret
from paas.store.apps import get_app
from paas.store.base import Base, insert, next_number, one
from paas.store.config import replace_scale, write_config
from paas.store.secrets import cron_of, formation_of, json_of, open_config, seal_config, tasks_of
from paas.store.tables import instances, releases

UNFINISHED = (ReleaseState.CREATED, ReleaseState.CHECKING, ReleaseState.SWITCHING)


class Releases(Base):
    def create_release(self, app_id: int, *, image: Image, build_id: int | None, commit: str, tree: str, subject: str,
                       config: Mapping[str, Secret], formation: Sequence[Process], actor: Actor,
                       reason: str, tasks: Sequence[Task] = (), cron: Sequence[CronJob] = ()) -> Release:
        with self._db.write() as connection:
            get_app(connection, app_id)
            version = next_number(connection, releases, "version", app_id)
            return self._release(get_row(connection, insert(connection, releases, {
                "app_id": app_id, "version": version, "state": ReleaseState.CREATED, "image": image.digest,
                "build_id": build_id, "commit": commit, "tree": tree, "subject": subject,
                "config": seal_config(self._sealer, config, context(app_id, version)),
                "formation": json_of(formation), "tasks": json_of(tasks), "cron": json_of(cron),
                "exposed": image.exposed, "healthcheck": image.healthcheck,
                "created_at": self._now(), "created_by": actor.name, "reason": reason, "failure": "",
                "timings": {}})))

    def move_release(self, release_id: int, state: ReleaseState, *, failure: str = "") -> Release:
        """:raises AssertionError: a move that RELEASE_MOVES does not have, or to live."""
        if state == ReleaseState.LIVE:
            raise AssertionError("a release goes live by commit_live alone")
        with self._db.write() as connection:
            check_move(get_row(connection, release_id), state)
            change(connection, release_id, state=state, failure=failure)
            return self._release(get_row(connection, release_id))

    def commit_live(self, release_id: int, timings: Mapping[str, float], *, kept: Sequence[int] = (),
                    with_config: bool = True) -> Release:
        """Also for the release that is live already: then its new instances take over from its old ones (a restart).

        The config and formation of a release that becomes live become the app's desired ones: what failed leaves the
        old ones in force, and a rollback brings the former ones back. A restart leaves alone what waits for the next
        release (`config:set --no-restart`), and so does a scaling (not *with_config*). The instances *kept* serve as
        the new release's.

        :raises AssertionError: the release is neither switching nor live.
        """
        with self._db.write() as connection:
            row = get_row(connection, release_id)
            if row.state != ReleaseState.LIVE:
                self._become_live(connection, row, timings, with_config)
            turn_instances(connection, row, kept=kept)
            return self._release(get_row(connection, release_id))

    def turn_instances(self, release_id: int, process_type: str) -> None:
        with self._db.write() as connection:
            turn_instances(connection, get_row(connection, release_id), process_type)

    def record_timings(self, release_id: int, timings: Mapping[str, float]) -> None:
        with self._db.write() as connection:
            change(connection, release_id, timings=dict(timings))

    def release(self, app_id: int, version: int) -> Release:
        query = select(releases).where(releases.c.app_id == app_id, releases.c.version == version)
        with self._db.read() as connection:
            return self._release(one(connection, query, f"there is no release v{version}", "See: paas releases"))

    def release_by_id(self, release_id: int) -> Release:
        with self._db.read() as connection:
            return self._release(get_row(connection, release_id))

    def releases(self, app_id: int, *, limit: int = 100) -> list[Release]:
        query = select(releases).where(releases.c.app_id == app_id).order_by(releases.c.version.desc()).limit(limit)
        return self._list(query)

    def live_release(self, app_id: int) -> Release | None:
        return next(iter(self._list(live_query(app_id))), None)

    def unfinished_releases(self) -> list[Release]:
        return self._list(select(releases).where(releases.c.state.in_(UNFINISHED)).order_by(releases.c.id))

    def _become_live(self, connection: Connection, row: Row, timings: Mapping[str, float],
                     with_config: bool) -> None:
        check_move(row, ReleaseState.LIVE)
        before = connection.execute(live_query(row.app_id)).first()
        if before:
            change(connection, before.id, state=ReleaseState.RETIRED)
        change(connection, row.id, state=ReleaseState.LIVE, live_at=self._now(), timings=dict(timings))
        release = self._release(row)
        if with_config:
            write_config(connection, self._sealer, row.app_id, release.config)
        replace_scale(connection, row.app_id, {process.type: process.quantity if process.scaled else None
                                               for process in release.formation})

    def _list(self, query: Select) -> list[Release]:
        with self._db.read() as connection:
            return [self._release(row) for row in connection.execute(query)]

    def _release(self, row: Row) -> Release:
        return Release(**{
            **row._mapping,
            "config": open_config(self._sealer, row.config, context(row.app_id, row.version)),
            "formation": formation_of(row.formation), "tasks": tasks_of(row.tasks), "cron": cron_of(row.cron)})


def context(app_id: int, version: int) -> str:
    """App and version, since the id is not known before the row is there; neither is ever used again."""
    return f"release:{app_id}:v{version}"


def get_row(connection: Connection, release_id: int) -> Row:
    query = select(releases).where(releases.c.id == release_id)
    return one(connection, query, "that release does not exist any more", "See: paas releases")


def live_query(app_id: int) -> Select:
    return select(releases).where(releases.c.app_id == app_id, releases.c.state == ReleaseState.LIVE)


def check_move(row: Row, state: ReleaseState) -> None:
    if state not in RELEASE_MOVES[row.state]:
        raise AssertionError(f"release {row.id}: {row.state} does not become {state}")


def change(connection: Connection, release_id: int, **values: Any) -> None:
    connection.execute(update(releases).where(releases.c.id == release_id).values(values))


def turn_instances(connection: Connection, release: Row, process_type: str | None = None,
                   kept: Sequence[int] = ()) -> None:
    """What served drains, but for the instances *kept*, which may also be warm ones; what was starting for *release*
    serves. None: of every process type."""
    ours = update(instances).where(instances.c.app_id == release.app_id)
    if process_type is not None:
        ours = ours.where(instances.c.process_type == process_type)
    healthy = ours.where(instances.c.state == InstanceState.HEALTHY)
    connection.execute(healthy.where(instances.c.id.not_in(kept)).values(state=InstanceState.DRAINING))
    connection.execute(ours.where(instances.c.id.in_(kept)).values(release_id=release.id, state=InstanceState.HEALTHY))
    connection.execute(ours.where(instances.c.release_id == release.id, instances.c.state == InstanceState.STARTING)
                       .values(state=InstanceState.HEALTHY))
