"""Incidents, the channels that are told of them, and the messages under way. A message is decided on in the very
transaction that opens or closes its incident: none is lost, and none is there twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, Row, Select, delete, select, update

from paas.model.access import Actor
from paas.model.incident import (
    TOLD_ONCE,
    Address,
    Channel,
    ChannelType,
    Delivery,
    DeliveryState,
    Incident,
    Kind,
    Phase,
)
from paas.secret import Secret
from paas.store.base import Base, insert, one
from paas.store.tables import channels, deliveries, incidents

SECRETS = ("url", "secret")


class Incidents(Base):
    def open_incident(self, kind: Kind, object: str, what: str, hint: str) -> Incident | None:
        values = {"kind": kind, "object": object, "what": what, "hint": hint, "opened_at": self._now(),
                  "closed_at": None, "ending": ""}
        with self._db.write() as connection:
            if open_row(connection, kind, object):
                return None
            made = Incident(id=insert(connection, incidents, values), **values)
            told = [row.id for row in connection.execute(select(channels)) if self._channel_of(row).wants(made)]
            add_deliveries(connection, made.id, told, Phase.OPENED, made.opened_at)
        return made

    def close_incident(self, kind: Kind, object: str, ending: str) -> Incident | None:
        now = self._now()
        with self._db.write() as connection:
            row = open_row(connection, kind, object)
            if row is None:
                return None
            connection.execute(update(incidents).where(incidents.c.id == row.id).values(closed_at=now, ending=ending))
            told = connection.scalars(select(deliveries.c.channel_id).where(
                deliveries.c.incident_id == row.id, deliveries.c.phase == Phase.OPENED)).all()
            if kind not in TOLD_ONCE:
                add_deliveries(connection, row.id, told, Phase.CLOSED, now)
        return replace(Incident(**row._mapping), closed_at=now, ending=ending)

    def incidents(self, *, open_only: bool = False, kinds: Iterable[Kind] = (), limit: int = 100) -> list[Incident]:
        query: Select = select(incidents).order_by(incidents.c.id.desc()).limit(limit)
        query = query.where(incidents.c.closed_at.is_(None)) if open_only else query
        query = query.where(incidents.c.kind.in_(tuple(kinds))) if kinds else query
        with self._db.read() as connection:
            return [Incident(**row._mapping) for row in connection.execute(query)]

    def trim_incidents(self, before: datetime) -> int:
        with self._db.write() as connection:
            return connection.execute(delete(incidents).where(incidents.c.closed_at < before)).rowcount

    # channels ------------------------------------------------------------------------------------------------------
    def add_channel(self, name: str, type: ChannelType, address: Address, kinds: Sequence[str], apps: Sequence[str],
                    actor: Actor) -> Channel:
        values = {"name": name, "type": type, "kinds": tuple(kinds), "apps": tuple(apps), "created_at": self._now(),
                  "created_by": actor.name}
        with self._unique("channels.name", f"there is a channel '{name}' already", "See: paas notify:list"), \
                self._db.write() as connection:
            made = insert(connection, channels, {**values, "address": self._seal(name, address)})
        return Channel(id=made, address=address, **values)

    def channels(self) -> list[Channel]:
        with self._db.read() as connection:
            return [self._channel_of(row) for row in connection.execute(select(channels).order_by(channels.c.name))]

    def channel(self, name: str) -> Channel:
        query = select(channels).where(channels.c.name == name)
        with self._db.read() as connection:
            return self._channel_of(one(connection, query, f"there is no channel '{name}'", "See: paas notify:list"))

    def filter_channel(self, channel_id: int, kinds: Sequence[str], apps: Sequence[str]) -> None:
        with self._db.write() as connection:
            connection.execute(update(channels).where(channels.c.id == channel_id).values(
                kinds=tuple(kinds), apps=tuple(apps)))

    def delete_channel(self, channel_id: int) -> None:
        with self._db.write() as connection:
            connection.execute(delete(channels).where(channels.c.id == channel_id))

    def _seal(self, name: str, address: Address) -> bytes:
        words = {key: value.reveal() if key in SECRETS else value for key, value in vars(address).items()}
        return self._sealer.seal(json.dumps(words).encode(), context(name))

    def _channel_of(self, row: Row) -> Channel:
        words = json.loads(self._sealer.open(row.address, context(row.name)))
        address = Address(**{key: Secret(value) if key in SECRETS else value for key, value in words.items()})
        return Channel(**{**row._mapping, "address": address})

    # messages ------------------------------------------------------------------------------------------------------
    def deliveries(self, channel_id: int | None = None, *, states: Iterable[DeliveryState] = (),
                   since: datetime | None = None, limit: int = 1000) -> list[Delivery]:
        query: Select = select(deliveries, *(column.label(f"of_{column.name}") for column in incidents.c)).join(
            incidents, incidents.c.id == deliveries.c.incident_id).order_by(deliveries.c.id).limit(limit)
        for wanted, condition in ((channel_id is not None, deliveries.c.channel_id == channel_id),
                                  (states, deliveries.c.state.in_(tuple(states)))):
            query = query.where(condition) if wanted else query
        query = query if since is None else query.where(deliveries.c.ended_at > since)
        with self._db.read() as connection:
            return [delivery_of(row) for row in connection.execute(query)]

    def end_deliveries(self, ids: Iterable[int], state: DeliveryState, *, summed: bool = False) -> None:
        with self._db.write() as connection:
            connection.execute(update(deliveries).where(deliveries.c.id.in_(tuple(ids))).values(
                state=state, summed=summed, ended_at=self._now()))

    def postpone_deliveries(self, ids: Iterable[int], error: str, next_at: datetime) -> None:
        with self._db.write() as connection:
            connection.execute(update(deliveries).where(deliveries.c.id.in_(tuple(ids))).values(
                tries=deliveries.c.tries + 1, error=error, next_at=next_at))


def context(name: str) -> str:
    return f"channel:{name}"


def open_row(connection: Connection, kind: Kind, object: str) -> Row | None:
    return connection.execute(select(incidents).where(
        incidents.c.kind == kind, incidents.c.object == object, incidents.c.closed_at.is_(None))).first()


def add_deliveries(connection: Connection, incident_id: int, channel_ids: Iterable[int], phase: Phase,
                   now: datetime) -> None:
    for channel_id in channel_ids:
        insert(connection, deliveries, {
            "incident_id": incident_id, "channel_id": channel_id, "phase": phase, "state": DeliveryState.WAITING,
            "created_at": now, "tries": 0, "next_at": now, "error": "", "ended_at": None, "summed": False})


def delivery_of(row: Row) -> Delivery:
    own = {key: value for key, value in row._mapping.items() if not key.startswith("of_") and key != "incident_id"}
    about = {key.removeprefix("of_"): value for key, value in row._mapping.items() if key.startswith("of_")}
    return Delivery(**own, incident=Incident(**about))
