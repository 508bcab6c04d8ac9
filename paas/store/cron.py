"""Runs of scheduled jobs, and which jobs are suspended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, select, update
from sqlalchemy.dialects import sqlite

from paas.model.access import Actor
from paas.model.cron import CronRun, CronRunState, Suspension
from paas.store.apps import get_app
from paas.store.base import Base, insert, one
from paas.store.tables import cron_runs, cron_suspended


class Cron(Base):
    def add_cron_run(self, app_id: int, job: str, due_at: datetime, release_id: int, state: CronRunState,
                     actor: Actor, *, reason: str = "") -> CronRun | None:
        now = self._now()
        values = {"app_id": app_id, "job": job, "due_at": due_at, "release_id": release_id, "state": state,
                  "container_id": "", "started_at": now, "reason": reason, "created_by": actor.name,
                  "finished_at": None if state == CronRunState.RUNNING else now, "exit_code": None}
        with self._db.write() as connection:
            get_app(connection, app_id)
            if get_run(connection, and_(cron_runs.c.app_id == app_id, cron_runs.c.job == job,
                                        cron_runs.c.due_at == due_at)):
                return None              # not left to ON CONFLICT, which would use up an id
            return CronRun(id=insert(connection, cron_runs, values), **values)

    def start_cron_run(self, run_id: int, container_id: str) -> None:
        with self._db.write() as connection:
            connection.execute(update(cron_runs).where(cron_runs.c.id == run_id).values(
                container_id=container_id, started_at=self._now()))

    def end_cron_run(self, run_id: int, state: CronRunState, exit_code: int | None, reason: str) -> CronRun | None:
        with self._db.write() as connection:
            row = get_run(connection, cron_runs.c.id == run_id)
            if row is None or row.state != CronRunState.RUNNING:
                return None
            connection.execute(update(cron_runs).where(cron_runs.c.id == run_id).values(
                state=state, exit_code=exit_code, reason=reason, finished_at=self._now()))
            return get_run(connection, cron_runs.c.id == run_id)

    def cron_run(self, app_id: int, run_id: int) -> CronRun:
        query = select(cron_runs).where(cron_runs.c.app_id == app_id, cron_runs.c.id == run_id)
        with self._db.read() as connection:
            return run_of(one(connection, query, f"there is no cron.{run_id}", "See: paas cron:history APP"))

    def cron_runs(self, app_id: int | None = None, *, job: str = "", states: Iterable[CronRunState] = (),
                  limit: int = 100) -> list[CronRun]:
        query: Select = select(cron_runs).order_by(cron_runs.c.id.desc()).limit(limit)
        for wanted, condition in ((app_id is not None, cron_runs.c.app_id == app_id), (job, cron_runs.c.job == job),
                                  (states, cron_runs.c.state.in_(tuple(states)))):
            query = query.where(condition) if wanted else query
        with self._db.read() as connection:
            return [run_of(row) for row in connection.execute(query)]

    def trim_cron_runs(self, app_id: int, keep: int) -> int:
        of_app = cron_runs.c.app_id == app_id
        newest = select(cron_runs.c.id).where(of_app).order_by(cron_runs.c.id.desc()).limit(keep)
        last = select(func.max(cron_runs.c.id)).where(of_app).group_by(cron_runs.c.job)
        with self._db.write() as connection:
            return connection.execute(delete(cron_runs).where(
                of_app, cron_runs.c.state != CronRunState.RUNNING, cron_runs.c.id.not_in(newest),
                cron_runs.c.id.not_in(last))).rowcount

    def cron_run_ids(self) -> set[int]:
        with self._db.read() as connection:
            return set(connection.scalars(select(cron_runs.c.id)))

    def suspended_jobs(self, app_id: int) -> dict[str, Suspension]:
        query = select(cron_suspended).where(cron_suspended.c.app_id == app_id).order_by(cron_suspended.c.job)
        with self._db.read() as connection:
            return {row.job: Suspension(row.since, row.created_by) for row in connection.execute(query)}

    def suspend_job(self, app_id: int, job: str, actor: Actor) -> bool:
        values = {"app_id": app_id, "job": job, "since": self._now(), "created_by": actor.name}
        with self._db.write() as connection:
            get_app(connection, app_id)
            new = sqlite.insert(cron_suspended).values(values).on_conflict_do_nothing()
            return bool(connection.execute(new).rowcount)

    def resume_job(self, app_id: int, job: str) -> bool:
        with self._db.write() as connection:
            return bool(connection.execute(delete(cron_suspended).where(
                cron_suspended.c.app_id == app_id, cron_suspended.c.job == job)).rowcount)


def get_run(connection: Connection, condition: ColumnElement[bool]) -> CronRun | None:
    row = connection.execute(select(cron_runs).where(condition)).first()
    return None if row is None else run_of(row)


def run_of(row: Row) -> CronRun:
    return CronRun(**row._mapping)
