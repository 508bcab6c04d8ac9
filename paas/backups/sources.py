"""What a backup is taken of: a data service, or the platform itself. The pipeline knows only this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from paas.api import Snapshot
from paas.backups.platform import DATASTORE, PlatformSource
from paas.errors import PaasError
from paas.ports_backup import Reader
from paas.services import container

if TYPE_CHECKING:
    from paas.model.service import Service
    from paas.runtime import Runtime

__all__ = ["Reader", "ServiceSource", "Source", "source_of"]


class Source(Protocol):
    kind: str                            # of the manifest
    image: str                           # reference; empty: none is needed for a restore

    def end_stale(self, label: str) -> None:
        """End what an earlier backup, that died, left working."""

    def facts(self) -> dict[str, object]:
        """"version", and "size": bytes that are to be expected."""

    def snapshot(self, label: str) -> AbstractContextManager[Snapshot]: ...

    def further(self) -> Iterator[tuple[str, Reader]]:
        """Further streams that belong to the snapshot, after its dump: (name of the object, zstd frames)."""

    def details(self) -> dict[str, str]:
        """For the manifest."""


class ServiceSource:
    def __init__(self, rt: Runtime, service: Service) -> None:
        self._rt, self._service = rt, service
        self._store = container.datastore_of(rt, service)
        self.kind, self.image = self._store.kind, f"{self._store.image}:{service.version}"

    def end_stale(self, label: str) -> None:
        self._store.end_stale(container.shell(self._rt, self._service), label)

    def facts(self) -> dict[str, object]:
        return self._store.facts(container.shell(self._rt, self._service), self._service)

    @contextmanager
    def snapshot(self, label: str) -> Iterator[Snapshot]:
        inside = container.shell(self._rt, self._service)
        try:
            with self._store.snapshot(inside, self._service, label) as snapshot:
                yield snapshot
        except BaseException:
            with suppress(PaasError):    # its stream is cut, but a program that has nothing to say does not notice
                self._store.end_stale(inside, label)
            raise
        finally:
            inside.close()

    def further(self) -> Iterator[tuple[str, Reader]]:
        yield from ()

    def details(self) -> dict[str, str]:
        return {"tag": self._service.version, **{f"setting {key}": value for key, value
                                                 in self._service.settings.items() if key in ("memory", "cpu")}}


def source_of(rt: Runtime, service: Service) -> Source:
    return PlatformSource(rt, service) if service.datastore == DATASTORE else ServiceSource(rt, service)
