"""Which release task ran, for which release, and how it ended."""

from __future__ import annotations

from sqlalchemy import select, update

from paas.model.release import TaskRun
from paas.store.apps import get_app
from paas.store.base import Base, insert
from paas.store.tables import releases, task_runs


class Tasks(Base):
    def begin_task(self, app_id: int, release_id: int, task: str) -> TaskRun:
        values = {"app_id": app_id, "release_id": release_id, "task": task, "started_at": self._now(),
                  "finished_at": None, "exit_code": None}
        with self._db.write() as connection:
            get_app(connection, app_id)
            return TaskRun(id=insert(connection, task_runs, values), **values)

    def end_task(self, task_run_id: int, exit_code: int) -> None:
        with self._db.write() as connection:
            connection.execute(update(task_runs).where(task_runs.c.id == task_run_id)
                               .values(finished_at=self._now(), exit_code=exit_code))

    def task_runs(self, app_id: int, commit: str) -> list[tuple[int, TaskRun]]:
        query = (select(releases.c.version, task_runs).join(releases, releases.c.id == task_runs.c.release_id)
                 .where(task_runs.c.app_id == app_id, releases.c.commit == commit).order_by(task_runs.c.id))
        with self._db.read() as connection:
            return [(row[0], TaskRun(*row[1:])) for row in connection.execute(query)]
