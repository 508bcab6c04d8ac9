"""The store as somebody sees it who may not see everything. For reading commands only: what changes something is about
one named object, and must see the whole (the proxy's configuration is made of all apps)."""

from __future__ import annotations

from typing import Any

from paas.model.access import Actor, Event, Intent
from paas.model.app import App
from paas.model.service import Service
from paas.ops.access import sees
from paas.ports_store import Store


class Visible:
    """A :class:`paas.ports_store.Store` whose lists leave out what *actor* may not see."""

    def __init__(self, store: Store, actor: Actor) -> None:
        self._store, self._actor = store, actor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def apps(self) -> list[App]:
        return [one for one in self._store.apps() if sees(self._actor, app_id=one.id)]

    def services(self, datastore: str = "") -> list[Service]:
        return [one for one in self._store.services(datastore) if sees(self._actor, service_id=one.id)]

    def events(self, *, app: str = "", limit: int = 100, after: int = 0) -> list[Event]:
        """Those about apps and services that the actor sees."""
        known = self._objects()
        found = self._store.events(app=app, limit=10_000, after=after)
        return [one for one in found if one.app in known][:limit]

    def intents(self) -> list[Intent]:
        known = self._objects()
        return [one for one in self._store.intents() if one.app in known]

    def grants(self, **wanted: Any) -> list:
        return [one for one in self._store.grants(**wanted)
                if one.user == self._actor.user or sees(self._actor, app_id=one.app_id, service_id=one.service_id)]

    def keys(self) -> list:
        return [one for one in self._store.keys() if one.user == self._actor.user]

    def builds(self, app_id: int | None = None, **wanted: Any) -> list:
        return self._of_apps(self._store.builds(app_id, **wanted))

    def runs(self, app_id: int | None = None) -> list:
        return self._of_apps(self._store.runs(app_id))

    def domains(self, app_id: int | None = None) -> list:
        return self._of_apps(self._store.domains(app_id))

    def instances(self, app_id: int | None = None, **wanted: Any) -> list:
        return self._of_apps(self._store.instances(app_id, **wanted))

    def cron_runs(self, app_id: int | None = None, **wanted: Any) -> list:
        return self._of_apps(self._store.cron_runs(app_id, **wanted))

    def backups(self, service_uid: str | None = None, **wanted: Any) -> list:
        return self._of_services(self._store.backups(service_uid, **wanted))

    def drills(self, service_uid: str | None = None, **wanted: Any) -> list:
        return self._of_services(self._store.drills(service_uid, **wanted))

    def _objects(self) -> set[str]:
        return {*(one.name for one in self.apps()), *(f"{one.datastore}/{one.name}" for one in self.services())}

    def _of_apps(self, rows: list) -> list:
        return [row for row in rows if sees(self._actor, app_id=row.app_id)]

    def _of_services(self, rows: list) -> list:
        known = {one.uid for one in self.services()}
        return [row for row in rows if row.service_uid in known]
