"""The tables as queries name them. The migrations make them; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Float, Integer, LargeBinary, MetaData, Table, Text, TypeDecorator

from paas.model.backup import BackupState, Trigger
from paas.model.build import BuildState
from paas.model.cron import CronRunState
from paas.model.incident import ChannelType, DeliveryState, Kind, Phase
from paas.model.release import InstanceState, ReleaseState
from paas.model.rights import Role
from paas.model.service import ServiceState
from paas.model.watch import Outcome

metadata = MetaData()


class Utc(TypeDecorator):
    """Aware datetimes as ISO 8601 text in UTC, always six decimals: text order is time order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def process_result_value(self, value: str | None, dialect: Any) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


class Word(TypeDecorator):
    """A StrEnum as its value."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | None, dialect: Any) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> StrEnum | None:
        return None if value is None else self.kind(value)


class Prose(TypeDecorator):
    """Text of foreign origin: what UTF-8 cannot hold (lone surrogates) is escaped, so that it never fails a write."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else value.encode("utf-8", "backslashreplace").decode()


class Tuple(TypeDecorator):
    """A tuple as a JSON array."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple, dialect: Any) -> list:
        return list(value)

    def process_result_value(self, value: list, dialect: Any) -> tuple:
        return tuple(value)


def table(name: str, /, **columns: Any) -> Table:
    return Table(name, metadata, *(Column(key, kind, primary_key=key == "id") for key, kind in columns.items()))


apps = table("apps", id=Integer, name=Text, created_at=Utc, created_by=Prose, subnet=Text, locked=Prose,
             maintenance=Boolean, stopped=Boolean, asleep=Boolean)
app_settings = table("app_settings", app_id=Integer, key=Text, value=Text)
settings = table("settings", key=Text, value=Text)
config = table("config", app_id=Integer, key=Text, value=LargeBinary)
scale = table("scale", app_id=Integer, process_type=Text, quantity=Integer)
limits = table("limits", app_id=Integer, process_type=Text, name=Text, value=Text)
mounts = table("mounts", id=Integer, app_id=Integer, source=Text, target=Text, read_only=Boolean)
builds = table("builds", id=Integer, app_id=Integer, number=Integer, state=Word(BuildState), commit=Text, tree=Text,
               subject=Prose, created_at=Utc, created_by=Prose, finished_at=Utc, image=Text, reason=Prose)
releases = table("releases", id=Integer, app_id=Integer, version=Integer, state=Word(ReleaseState), image=Text,
                 build_id=Integer, commit=Text, tree=Text, subject=Prose, config=LargeBinary, formation=JSON,
                 exposed=Tuple, healthcheck=Boolean, created_at=Utc, created_by=Prose, reason=Prose, failure=Prose,
                 live_at=Utc, timings=JSON, tasks=JSON, cron=JSON)
task_runs = table("task_runs", id=Integer, app_id=Integer, release_id=Integer, task=Text, started_at=Utc,
                  finished_at=Utc, exit_code=Integer)
cron_runs = table("cron_runs", id=Integer, app_id=Integer, job=Text, due_at=Utc, release_id=Integer,
                  state=Word(CronRunState), container_id=Text, started_at=Utc, finished_at=Utc, exit_code=Integer,
                  reason=Prose, created_by=Prose)
cron_suspended = table("cron_suspended", app_id=Integer, job=Text, since=Utc, created_by=Prose)
instances = table("instances", id=Integer, app_id=Integer, release_id=Integer, process_type=Text, ordinal=Integer,
                  address=Text, state=Word(InstanceState), container_id=Text, port=Integer)
domains = table("domains", id=Integer, app_id=Integer, name=Text, generated=Boolean)
certificates = table("certificates", app_id=Integer, chain=Text, names=Tuple, issuer=Prose, not_after=Utc,
                     fingerprint=Text, key=LargeBinary)
keys = table("keys", id=Integer, name=Text, type=Text, blob=Text, fingerprint=Text, created_at=Utc,
             user=Prose, sources=Tuple, expires_at=Utc)
grants = table("grants", id=Integer, user=Prose, role=Word(Role), app_id=Integer, service_id=Integer, created_at=Utc,
               created_by=Prose)
runs = table("runs", id=Integer, app_id=Integer, release_id=Integer, command=Tuple, container_id=Text,
             created_at=Utc, created_by=Prose, address=Text)
events = table("events", id=Integer, at=Utc, actor=Prose, verb=Prose, app=Prose, result=Text, detail=JSON, hash=Text)
intents = table("intents", id=Integer, at=Utc, actor=Prose, verb=Text, app=Text, detail=JSON)
event_trim = table("event_trim", before=Utc)
services = table("services", id=Integer, uid=Text, datastore=Text, name=Text, version=Text, image=Text,
                 state=Word(ServiceState), subnet=Text, created_at=Utc, created_by=Prose, volume=Text,
                 container_id=Text, settings=JSON, secrets=LargeBinary)
links = table("links", service_id=Integer, app_id=Integer, alias=Text)
backup_targets = table("backup_targets", service_uid=Text, target=LargeBinary)
backup_schedules = table("backup_schedules", id=Integer, service_uid=Text, schedule=Text, created_at=Utc,
                         created_by=Prose)
backups = table("backups", id=Text, service_uid=Text, datastore=Text, service=Text, state=Word(BackupState),
                trigger=Word(Trigger), target=Text, started_at=Utc, finished_at=Utc, size=Integer, reason=Prose,
                held=Boolean, manifest=Text)
drills = table("drills", id=Integer, backup_id=Text, service_uid=Text, started_at=Utc, finished_at=Utc,
               passed=Boolean, restore_seconds=Float, data_age=Float, reason=Prose)
protected_files = table("protected_files", id=Integer, app_id=Integer, uid=Text, name=Text, path=Text, owner=Text,
                        epoch=Text, enabled=Boolean, created_at=Utc, created_by=Prose, drilled_at=Utc, drill_to=Utc,
                        drill_passed=Boolean, drill_seconds=Float, drill_reason=Prose)
pitr = table("pitr", service_uid=Text, enabled=Boolean, epoch=Text, reason=Prose, began_at=Utc, target=Text,
             system=Text, volume=Text, segment_size=Integer, window=Text, created_at=Utc, created_by=Prose,
             drilled_at=Utc, drill_to=Utc, drill_passed=Boolean, drill_seconds=Float, drill_reason=Prose)
pitr_bases = table("pitr_bases", id=Text, service_uid=Text, epoch=Text, target=Text, state=Text, started_at=Utc,
                   finished_at=Utc, size=Integer, reason=Prose, manifest=Text)
watches = table("watches", release_id=Integer, app_id=Integer, before_id=Integer, began_at=Utc, ends_at=Utc,
                before=JSON, counted=JSON, reason=Prose, outcome=Word(Outcome), ended_at=Utc)
incidents = table("incidents", id=Integer, kind=Word(Kind), object=Prose, what=Prose, hint=Prose, opened_at=Utc,
                  closed_at=Utc, ending=Prose)
channels = table("channels", id=Integer, name=Text, type=Word(ChannelType), address=LargeBinary, kinds=Tuple,
                 apps=Tuple, created_at=Utc, created_by=Prose)
deliveries = table("deliveries", id=Integer, incident_id=Integer, channel_id=Integer, phase=Word(Phase),
                   state=Word(DeliveryState), created_at=Utc, tries=Integer, next_at=Utc, error=Prose, ended_at=Utc,
                   summed=Boolean)
drains = table("drains", id=Integer, app_id=Integer, target=LargeBinary, format=Text, created_at=Utc, created_by=Prose)
drain_positions = table("drain_positions", drain_id=Integer, container_id=Text, at=Utc)
disk_samples = table("disk_samples", place=Text, at=Utc, free=Integer, total=Integer)
usage = table("usage", app_id=Integer, seconds=Integer, at=Integer, statuses=Text, durations=Text, cpu=Float,
              memory=Integer, restarts=Integer)
uptime = table("uptime", app_id=Integer, slot=Integer, checks=Integer, failures=Integer, latency=Integer,
               histogram=LargeBinary)
