"""Roles of users."""

from __future__ import annotations

from sqlalchemy import Select, delete, func, select

from paas.model.access import Actor, Grant
from paas.model.rights import Role
from paas.store.base import Base, insert
from paas.store.tables import grants


class Grants(Base):
    def grants(self, *, user: str = "", app_id: int | None = None, service_id: int | None = None) -> list[Grant]:
        query: Select = select(grants).order_by(grants.c.user, grants.c.id)
        for wanted, condition in ((user, grants.c.user == user), (app_id is not None, grants.c.app_id == app_id),
                                  (service_id is not None, grants.c.service_id == service_id)):
            query = query.where(condition) if wanted else query
        with self._db.read() as connection:
            return [Grant(**row._mapping) for row in connection.execute(query)]

    def add_grant(self, user: str, role: Role, actor: Actor, *, app_id: int | None = None,
                  service_id: int | None = None) -> Grant | None:
        values = {"user": user, "role": role, "app_id": app_id, "service_id": service_id,
                  "created_at": self._now(), "created_by": actor.name}
        with self._db.write() as connection:
            if connection.execute(select(grants).where(*same(user, role, app_id, service_id))).first():
                return None
            return Grant(id=insert(connection, grants, values), **values)

    def remove_grant(self, user: str, role: Role | None = None, *, app_id: int | None = None,
                     service_id: int | None = None) -> int:
        query = delete(grants).where(*same(user, role, app_id, service_id))
        with self._db.write() as connection:
            return connection.execute(query).rowcount


def same(user: str, role: Role | None, app_id: int | None, service_id: int | None) -> list:
    return [grants.c.user == user, *([grants.c.role == role] if role else []),
            func.coalesce(grants.c.app_id, 0) == (app_id or 0),
            func.coalesce(grants.c.service_id, 0) == (service_id or 0)]
