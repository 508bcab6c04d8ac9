"""Manifests, keys and moments for the tests of backups."""

from datetime import UTC, datetime, timedelta

from paas.model.backup import Contents, Manifest, StoredPart, Table, Trigger
from paas.model.backup_layout import Layout, new_id
from paas.model.backup_mac import identity_key
from paas.secret import Secret

START = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
IDENTITY = identity_key(Secret("AGE-SECRET-KEY-1EXAMPLE"), "age1example")
OTHER = identity_key(Secret("AGE-SECRET-KEY-1OTHER"), "age1other")
SERVER = identity_key(Secret("s" * 32), "age1second")
PLACE = Layout("srv1", "postgres", "uid1")
ZERO = "0" * 64


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def manifest(hours: float = 0, random: int = 1, layout: Layout = PLACE, **changed) -> Manifest:
    backup_id = new_id(at(hours), random)
    return Manifest(**{
        "id": backup_id, "kind": "logical", "datastore": layout.datastore, "service": "db", "service_uid": layout.uid,
        "trigger": Trigger.SCHEDULE, "started_at": at(hours), "finished_at": at(hours) + timedelta(seconds=15),
        "image": "postgres:17", "image_digest": "sha256:" + ZERO, "version": "17.6",
        "parts": (StoredPart(layout.object(backup_id, "dump.000.zst.age"), 5, ZERO, 4, ZERO),),
        "contents": Contents((Table("public.\N{SNOWMAN}", 3, "abc"), Table("public.empty", 0, "")),
                             {"encoding": "UTF8", "sequence public.s": "7"}, "md5 of rows v1"),
        "recipients": ("age1example",), "data_size": 1 << 40, "program": "0.1.0", "dumped_in": 2.75,
        "warnings": ("slow",), "details": {"lsn": "0/1"}, **changed})
