"""Domains, and the certificates that users add."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import delete, select

from paas.errors import Conflict, NotFound
from paas.model.access import Certificate, Domain
from paas.model.names import printable
from paas.secret import Secret
from paas.store.apps import get_app
from paas.store.base import Base, insert
from paas.store.secrets import open_text, seal_text
from paas.store.tables import certificates, domains


class Domains(Base):
    def domains(self, app_id: int | None = None) -> list[Domain]:
        """In the order they were added."""
        query = select(domains).order_by(domains.c.id)
        if app_id is not None:
            query = query.where(domains.c.app_id == app_id)
        with self._db.read() as connection:
            return [Domain(**row._mapping) for row in connection.execute(query)]

    def add_domain(self, app_id: int, name: str, *, generated: bool = False) -> Domain:
        values = {"app_id": app_id, "name": name, "generated": generated}
        with self._db.write() as connection:
            get_app(connection, app_id)
            owner = connection.scalar(select(domains.c.app_id).where(domains.c.name == name))
            if owner is not None:
                whose = "the app has" if owner == app_id else "another app has"
                raise Conflict(f"{whose} the domain {printable(name)} already", "See: paas domains:report")
            return Domain(id=insert(connection, domains, values), **values)

    def remove_domain(self, app_id: int, name: str) -> None:
        with self._db.write() as connection:
            gone = connection.execute(delete(domains).where(domains.c.app_id == app_id, domains.c.name == name))
            if not gone.rowcount:
                raise NotFound(f"the app has no domain {printable(name)}", "See: paas domains:report")

    def certificate(self, app_id: int) -> tuple[Certificate, Secret] | None:
        with self._db.read() as connection:
            row = connection.execute(select(certificates).where(certificates.c.app_id == app_id)).first()
        if row is None:
            return None
        values = dict(row._mapping)
        key = open_text(self._sealer, values.pop("key"), context(app_id))
        return Certificate(**values), key

    def put_certificate(self, certificate: Certificate, key: Secret) -> None:
        """Replaces the app's former one."""
        app_id = certificate.app_id
        sealed = seal_text(self._sealer, key, context(app_id))
        with self._db.write() as connection:
            get_app(connection, app_id)
            connection.execute(delete(certificates).where(certificates.c.app_id == app_id))
            connection.execute(certificates.insert().values(**asdict(certificate), key=sealed))

    def remove_certificate(self, app_id: int) -> None:
        with self._db.write() as connection:
            if not connection.execute(delete(certificates).where(certificates.c.app_id == app_id)).rowcount:
                raise NotFound("the app has no certificate of its own", "See: paas certs:report")


def context(app_id: int) -> str:
    return f"cert:{app_id}"
