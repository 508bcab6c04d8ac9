"""A store in memory with backups in it, for the tests of the catalog and of retention."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from paas.backups.catalog import commit, record_drill
from paas.backups.owner import Instance, claim
from paas.model.backup import Backup, BackupState, Manifest, StoredPart
from paas.model.backup_layout import Layout
from paas.model.backup_manifest import DrillRecord, write_manifest
from paas.testing.fake_objects import FakeObjects
from tests.unit.model.backup_examples import IDENTITY, PLACE, START, ZERO, at, manifest

OURS = Instance("srv1", "machine-1", "alpha", "0.1.0", START)


class Shelf:
    """`now` is what both clocks say."""

    def __init__(self) -> None:
        self.now: datetime = START
        self.store = FakeObjects(clock=lambda: self.now)
        claim(self.store, OURS)
        self.random = 0

    def add(self, hours: float, layout: Layout = PLACE, key=IDENTITY, data: bytes = b"sealed", **changed) -> Manifest:
        """A backup as the mechanism leaves one: data first, then the manifest."""
        kept, self.now = self.now, at(hours)
        self.random += 1
        made = manifest(hours, self.random, layout, **changed)
        made = replace(made, parts=(StoredPart(layout.object(made.id, "dump.000.zst.age"), len(data), ZERO, 4, ZERO),))
        for part in made.parts:
            upload = self.store.upload(part.key)
            upload.write(data)
            upload.commit()
        commit(self.store, layout, made.id, write_manifest(made, key))
        self.now = kept
        return made

    def drill(self, made: Manifest, passed: bool = True, after: float = 1, key=IDENTITY, **changed) -> DrillRecord:
        record = DrillRecord(**{"backup_id": made.id, "service_uid": made.service_uid, "passed": passed, "took": 12.0,
                                "at": made.started_at + timedelta(hours=after), "data_age": 60.0, **changed})
        self.random += 1
        record_drill(self.store, Layout("srv1", made.datastore, made.service_uid), record, key, self.random)
        return record


def row(made: Manifest, state: BackupState = BackupState.READ_BACK, **changed) -> Backup:
    """Of our database."""
    return replace(Backup(made.id, made.service_uid, made.datastore, made.service, state, made.trigger, "s3://b",
                          made.started_at, made.finished_at, 6, "", False, ""), **changed)
