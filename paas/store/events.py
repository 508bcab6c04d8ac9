"""The audit trail. Triggers in the database refuse to alter an event, and to delete one but by age (migration 1).

Each line carries a hash over the line before's and its own content (as in a transparency log), so that a line that was
changed, taken out or put in by somebody who can write the file is noticed by :meth:`Events.broken_chain`. Who can write
the file and runs the whole chain anew is not; for that, lines also go to syslog as they are made.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select

from paas.model.access import Actor, Event, Intent
from paas.store.base import Base, insert
from paas.store.tables import Utc, event_trim, events, intents

log = logging.getLogger("paas.store")


class Events(Base):
    def add_event(self, actor: Actor, verb: str, app: str, result: str, detail: Mapping[str, str], *,
                  intent: int | None = None) -> Event:
        values = {"at": self._now(), "actor": actor.name, "verb": verb, "app": app, "result": result,
                  "detail": {**detail, **actor.traits}}
        with self._db.write() as connection:
            if intent is not None:
                connection.execute(delete(intents).where(intents.c.id == intent))
            before = connection.scalar(select(events.c.hash).order_by(events.c.id.desc()).limit(1)) or ""
            values["hash"] = chained(before, values)
            event = Event(id=insert(connection, events, values), **values)
        try:
            self.heard(event)
        except Exception:                # it is recorded: what it is the event of has not failed
            log.exception("event %d could not be told", event.id)
        return event

    def events(self, *, app: str = "", limit: int = 100, after: int = 0) -> list[Event]:
        """Newest first; only those with an id above *after*."""
        query = select(events).where(events.c.id > after).order_by(events.c.id.desc()).limit(limit)
        if app:
            query = query.where(events.c.app == app)
        with self._db.read() as connection:
            return [Event(**row._mapping) for row in connection.execute(query)]

    def trim_events(self, before: datetime) -> int:
        """Delete what is older than *before*; return how many."""
        with self._db.write() as connection:
            connection.execute(event_trim.insert().values(before=before))
            gone = connection.execute(delete(events).where(events.c.at < before)).rowcount
            connection.execute(delete(event_trim))
            return gone

    def broken_chain(self) -> int | None:
        """Id of the first line that does not fit the one before; None: all fit. The oldest one's predecessor is gone
        by its age, so that line itself is taken as it is."""
        before = ""
        with self._db.read() as connection:
            for place, row in enumerate(connection.execute(select(events).order_by(events.c.id))):
                values = dict(row._mapping)
                number, said = values.pop("id"), values.pop("hash")
                if place and said != chained(before, values) and (said or before):
                    return number
                before = said
        return None

    # what was begun ------------------------------------------------------------------------------------------------
    def begin_intent(self, actor: Actor, verb: str, app: str, detail: Mapping[str, str]) -> int:
        with self._db.write() as connection:
            return insert(connection, intents, {"at": self._now(), "actor": actor.name, "verb": verb, "app": app,
                                                "detail": {**detail, **actor.traits}})

    def intents(self) -> list[Intent]:
        with self._db.read() as connection:
            return [Intent(**row._mapping) for row in connection.execute(select(intents).order_by(intents.c.id))]


def chained(before: str, values: Mapping[str, Any]) -> str:
    """Over canonical JSON: sorted keys, no white space, times as they are stored."""
    at = Utc().process_bind_param(values["at"], None)
    document = json.dumps({**values, "at": at}, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(f"{before}\n{document}".encode("utf-8", "backslashreplace")).hexdigest()
