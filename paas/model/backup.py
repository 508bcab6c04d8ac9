"""Backups: where they go, their states, what a manifest says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from paas.secret import Secret


class BackupState(StrEnum):
    """The way of one backup. Only the last two of the first line are good ones."""

    PLANNED = "planned"
    DUMPED = "dumped"
    SEALED = "sealed"
    UPLOADED = "uploaded"
    READ_BACK = "read-back"              # the stored bytes were read and compared: good
    DRILLED = "drilled"                  # it was restored and its content compared: good
    FAILED = "failed"
    DELETED = "deleted"                  # by retention or by hand; the row stays for a while


GOOD = frozenset({BackupState.READ_BACK, BackupState.DRILLED})
UNDER_WAY = frozenset({BackupState.PLANNED, BackupState.DUMPED, BackupState.SEALED, BackupState.UPLOADED})


class Trigger(StrEnum):
    MANUAL = "manual"
    SCHEDULE = "schedule"
    FINAL = "final"                      # before a destroy
    SAFETY = "safety"                    # before an upgrade or a restore in place


@dataclass(frozen=True)
class Target:
    """Where backups go: ``s3://bucket/prefix`` at an endpoint, or ``file:///directory``."""

    url: str                             # "s3://bucket/prefix" or "file:///absolute/directory"
    endpoint: str = ""                   # "https://…"; empty: AWS
    region: str = ""
    access_key: str = ""
    secret_key: Secret = field(default_factory=lambda: Secret(""))
    path_style: bool = True
    storage_class: str = ""              # of data objects; empty: the bucket's own
    ca_bundle: str = ""                  # path of a PEM file that signs the endpoint's certificate; empty: the system's


@dataclass(frozen=True)
class Schedule:
    """When a service is backed up: a cron expression, read in UTC."""

    id: int
    service_uid: str
    schedule: str
    created_at: datetime
    created_by: str


@dataclass(frozen=True)
class Backup:
    """One attempt, as this machine knows it. The manifest in the target is the truth of a good one."""

    id: str
    service_uid: str
    datastore: str
    service: str
    state: BackupState
    trigger: Trigger
    target: str                          # url
    started_at: datetime
    finished_at: datetime | None
    size: int                            # bytes as stored
    reason: str                          # why it failed
    held: bool                           # retention leaves it alone
    manifest: str                        # JSON as stored; empty before it is committed

    @property
    def good(self) -> bool:
        return self.state in GOOD


@dataclass(frozen=True)
class Drill:
    """One test restore."""

    id: int
    backup_id: str
    service_uid: str
    started_at: datetime
    finished_at: datetime | None
    passed: bool | None                  # None: under way, or cut
    restore_seconds: float               # from nothing to compared content
    data_age: float                      # seconds from the backup's snapshot to the drill
    reason: str


@dataclass(frozen=True)
class Table:
    """What a snapshot holds of one table (or of one Redis database, or one SQLite table)."""

    name: str                            # schema-qualified
    rows: int
    digest: str                          # independent of order; empty: not taken


@dataclass(frozen=True)
class Contents:
    """What was in the data at the moment of the snapshot, for the comparison after a restore."""

    tables: tuple[Table, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)      # "encoding", "extension vector", "sequence …"
    method: str = ""                     # how digests are made; two contents compare only under one method


@dataclass(frozen=True)
class StoredPart:
    """One object of a backup's data."""

    key: str                             # relative to the target
    size: int                            # bytes as stored
    sha256: str                          # of the stored (sealed) bytes, hex
    plain_size: int                      # bytes that went into age (compressed)
    plain_sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything a restore needs and a user wants to know; written last, and what makes a backup one."""

    id: str                              # "20261120T160000Z-1a2b3c4d": UTC and 8 hex digits, sorts by time
    kind: str                            # "logical", "rdb", "sqlite", "base", "server"
    datastore: str                       # "postgres"
    service: str                         # name when it was made
    service_uid: str
    trigger: Trigger
    started_at: datetime
    finished_at: datetime
    image: str                           # reference, "postgres:17"
    image_digest: str
    version: str                         # of the datastore, "17.6"
    parts: tuple[StoredPart, ...]
    contents: Contents
    recipients: tuple[str, ...]          # age recipients that can open it
    data_size: int = 0                   # bytes of the datastore's data directory or database
    program: str = ""                    # version of paas
    previous: str = ""                   # id of the backup before
    dumped_in: float = 0.0               # seconds
    warnings: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
