"""The state database as ``deploy`` and ``ops`` see it. ``paas.store.Store`` implements it over SQLite.

Each method is one transaction (``BEGIN IMMEDIATE`` where it writes) and returns frozen model values. A method
that gets one thing raises NotFound when there is none; ``find_…`` return None instead. State changes go through the
tables of moves in ``paas.model``: an illegal one raises ``AssertionError`` (a bug, not an error of the user).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from paas.model.access import Actor, Certificate, Domain, Event, Grant, Intent, Key, Run
from paas.model.app import App, Mount
from paas.model.backup import Backup, BackupState, Drill, Schedule, Target, Trigger
from paas.model.build import Build, BuildState
from paas.model.cron import CronRun, CronRunState, Suspension
from paas.model.disk import Sample
from paas.model.drain import Drain, Format
from paas.model.incident import Address, Channel, ChannelType, Delivery, DeliveryState, Incident, Kind
from paas.model.pitr_row import Pitr, PitrBase
from paas.model.release import CronJob, Instance, InstanceState, Process, Release, ReleaseState, Task, TaskRun
from paas.model.rights import Role
from paas.model.service import Link, Service, ServiceState
from paas.model.sqlite import ProtectedFile
from paas.model.traffic import Traffic
from paas.model.uptime import Checks
from paas.model.usage import Slot, Usage
from paas.model.watch import Outcome, Watch
from paas.ports import Image
from paas.secret import Secret


class Store(Protocol):
    # apps --------------------------------------------------------------------------------------------------------
    def create_app(self, name: str, subnet: str, actor: Actor) -> App:
        """Conflict if the name is taken. Ids are never used again (AUTOINCREMENT)."""

    def app(self, name: str) -> App: ...
    def app_by_id(self, app_id: int) -> App: ...
    def find_app(self, name: str) -> App | None: ...
    def apps(self) -> list[App]:
        """By name."""

    def rename_app(self, app_id: int, name: str) -> App: ...
    def update_app(self, app_id: int, *, locked: str | None = None, maintenance: bool | None = None,
                   stopped: bool | None = None, asleep: bool | None = None) -> App:
        """Change what is given; None leaves as it is."""

    def set_app_setting(self, app_id: int, key: str, value: str | None) -> None:
        """None removes the app's own value."""

    def delete_app(self, app_id: int) -> None:
        """With everything that belongs to it."""

    # server settings ---------------------------------------------------------------------------------------------
    def settings(self) -> dict[str, str]: ...
    def set_setting(self, key: str, value: str | None) -> None: ...
    def sealed_setting(self, name: str) -> Secret | None:
        """One that is a secret; these are not among ``settings()``."""

    def set_sealed_setting(self, name: str, value: Secret | None) -> None: ...

    # config vars: the desired ones; a release has its own snapshot -----------------------------------------------
    def config(self, app_id: int) -> dict[str, Secret]:
        """By key, sorted."""

    def replace_config(self, app_id: int, config: Mapping[str, Secret]) -> None: ...

    # formation and mounts: the desired ones ----------------------------------------------------------------------
    def scale(self, app_id: int) -> dict[str, int]:
        """Process type → wanted quantity, as set by hand."""

    def set_scale(self, app_id: int, quantities: Mapping[str, int]) -> None:
        """Merges."""

    def limits(self, app_id: int) -> dict[str, dict[str, str]]:
        """Process type ("" for all) → limit name → text."""

    def set_limit(self, app_id: int, process_type: str, name: str, value: str | None) -> None: ...
    def mounts(self, app_id: int) -> list[Mount]: ...
    def add_mount(self, app_id: int, source: str, target: str, read_only: bool) -> Mount: ...
    def remove_mount(self, mount_id: int) -> None: ...

    # builds ------------------------------------------------------------------------------------------------------
    def create_build(self, app_id: int, *, commit: str, tree: str, subject: str, actor: Actor) -> Build:
        """In state queued, with the app's next number."""

    def move_build(self, build_id: int, state: BuildState, *, image: str = "", reason: str = "") -> Build: ...
    def build(self, app_id: int, number: int) -> Build: ...
    def builds(self, app_id: int | None = None, *, states: Iterable[BuildState] = (), limit: int = 100) -> list[Build]:
        """Newest first."""

    def find_build_of_tree(self, app_id: int, tree: str) -> Build | None:
        """The newest built one with this tree."""

    def forget_image(self, app_id: int, digest: str) -> None:
        """The image was pruned: its builds no longer offer it."""

    # releases ----------------------------------------------------------------------------------------------------
    def create_release(self, app_id: int, *, image: Image, build_id: int | None, commit: str, tree: str, subject: str,
                       config: Mapping[str, Secret], formation: Sequence[Process], actor: Actor,
                       reason: str, tasks: Sequence[Task] = (), cron: Sequence[CronJob] = ()) -> Release:
        """In state created, with the app's next version; versions are never used again."""

    def move_release(self, release_id: int, state: ReleaseState, *, failure: str = "") -> Release:
        """Any move but to live."""

    def commit_live(self, release_id: int, timings: Mapping[str, float], *, kept: Sequence[int] = (),
                    with_config: bool = True) -> Release:
        """THE POINT OF NO RETURN, one transaction: this release live, the one live before retired, its instances
        draining, this one's healthy. The instances *kept*, of a release before, become this one's. Not *with_config*
        (a scaling): the app's desired config stays as it is."""

    def turn_instances(self, release_id: int, process_type: str) -> None:
        """A restart of one process type of the live release, one transaction: its healthy instances drain, those that
        were starting are healthy."""

    def record_timings(self, release_id: int, timings: Mapping[str, float]) -> None: ...
    def release(self, app_id: int, version: int) -> Release: ...
    def release_by_id(self, release_id: int) -> Release: ...
    def releases(self, app_id: int, *, limit: int = 100) -> list[Release]:
        """Newest first."""

    def live_release(self, app_id: int) -> Release | None: ...
    def unfinished_releases(self) -> list[Release]:
        """created, checking or switching, of all apps."""

    # instances ---------------------------------------------------------------------------------------------------
    def reserve_instance(self, app_id: int, release_id: int, process_type: str, ordinal: int) -> Instance:
        """In state starting, with the lowest free address of the lower half of the app's subnet (from .2)."""

    def update_instance(self, instance_id: int, *, container_id: str | None = None, port: int | None = None,
                        state: InstanceState | None = None) -> Instance: ...
    def instances(self, app_id: int | None = None, *, release_id: int | None = None) -> list[Instance]: ...
    def delete_instance(self, instance_id: int) -> None: ...

    # domains and certificates ------------------------------------------------------------------------------------
    def domains(self, app_id: int | None = None) -> list[Domain]: ...
    def add_domain(self, app_id: int, name: str, *, generated: bool = False) -> Domain:
        """Conflict if any app has it."""

    def remove_domain(self, app_id: int, name: str) -> None: ...
    def certificate(self, app_id: int) -> tuple[Certificate, Secret] | None: ...
    def put_certificate(self, certificate: Certificate, key: Secret) -> None: ...
    def remove_certificate(self, app_id: int) -> None: ...

    # keys --------------------------------------------------------------------------------------------------------
    def keys(self) -> list[Key]: ...
    def key(self, key_id: int) -> Key: ...
    def add_key(self, name: str, type: str, blob: str, fingerprint: str, *, user: str = "",
                sources: Sequence[str] = (), expires_at: datetime | None = None) -> Key:
        """Conflict if the name or the fingerprint is there. Its user is called as the key, unless given."""

    def replace_key(self, key_id: int, type: str, blob: str, fingerprint: str) -> Key:
        """Another key in its place, with its name, user and limits. Conflict: it is there already."""

    def remove_key(self, key_id: int) -> None: ...

    # roles of users ----------------------------------------------------------------------------------------------
    def grants(self, *, user: str = "", app_id: int | None = None, service_id: int | None = None) -> list[Grant]: ...
    def add_grant(self, user: str, role: Role, actor: Actor, *, app_id: int | None = None,
                  service_id: int | None = None) -> Grant | None:
        """None: the user has it already."""

    def remove_grant(self, user: str, role: Role | None = None, *, app_id: int | None = None,
                     service_id: int | None = None) -> int:
        """Exactly there (None and None: everywhere), that role or all; return how many."""

    # runs --------------------------------------------------------------------------------------------------------
    def create_run(self, app_id: int, release_id: int, command: Sequence[str], actor: Actor) -> Run: ...
    def update_run(self, run_id: int, container_id: str) -> Run: ...
    def runs(self, app_id: int | None = None) -> list[Run]: ...
    def delete_run(self, run_id: int) -> None: ...

    # release tasks -----------------------------------------------------------------------------------------------
    def begin_task(self, app_id: int, release_id: int, task: str) -> TaskRun: ...
    def end_task(self, task_run_id: int, exit_code: int) -> None: ...
    def task_runs(self, app_id: int, commit: str) -> list[tuple[int, TaskRun]]:
        """(version, run) of every task that ran for a release of that commit, oldest first."""

    # scheduled jobs ----------------------------------------------------------------------------------------------
    def add_cron_run(self, app_id: int, job: str, due_at: datetime, release_id: int, state: CronRunState,
                     actor: Actor, *, reason: str = "") -> CronRun | None:
        """None: that job has a run for that due time already. This is what keeps a job from running twice."""

    def start_cron_run(self, run_id: int, container_id: str) -> None:
        """It has a container now; its time begins."""

    def end_cron_run(self, run_id: int, state: CronRunState, exit_code: int | None, reason: str) -> CronRun | None:
        """None: it has ended already, or has gone with its app."""

    def cron_run(self, app_id: int, run_id: int) -> CronRun: ...
    def cron_runs(self, app_id: int | None = None, *, job: str = "", states: Iterable[CronRunState] = (),
                  limit: int = 100) -> list[CronRun]:
        """Newest first."""

    def trim_cron_runs(self, app_id: int, keep: int) -> int:
        """All but the newest *keep*, the last of each job, and those that run; return how many."""

    def cron_run_ids(self) -> set[int]:
        """Of all apps."""

    def suspended_jobs(self, app_id: int) -> dict[str, Suspension]:
        """By job id."""

    def suspend_job(self, app_id: int, job: str, actor: Actor) -> bool:
        """False: it is suspended already."""

    def resume_job(self, app_id: int, job: str) -> bool:
        """False: it was not suspended."""

    # services and links ------------------------------------------------------------------------------------------
    def create_service(self, datastore: str, name: str, *, uid: str, version: str, image: str, subnet: str,
                       volume: str, settings: Mapping[str, str], secrets: Mapping[str, Secret],
                       actor: Actor) -> Service:
        """In state creating. Conflict if that datastore has one of the name."""

    def service(self, datastore: str, name: str) -> Service: ...
    def service_by_id(self, service_id: int) -> Service: ...
    def find_service(self, datastore: str, name: str) -> Service | None: ...
    def services(self, datastore: str = "") -> list[Service]:
        """By datastore and name."""

    def update_service(self, service_id: int, *, state: ServiceState | None = None, container_id: str | None = None,
                       version: str | None = None, image: str | None = None, volume: str | None = None,
                       name: str | None = None) -> Service: ...
    def set_service_setting(self, service_id: int, key: str, value: str | None) -> Service: ...
    def set_service_secrets(self, service_id: int, secrets: Mapping[str, Secret]) -> Service: ...
    def delete_service(self, service_id: int) -> None:
        """With its links; its backups' rows stay."""

    def links(self, *, service_id: int | None = None, app_id: int | None = None) -> list[Link]: ...
    def put_link(self, service_id: int, app_id: int, alias: str) -> Link:
        """Make it, or give it another alias."""

    def delete_link(self, service_id: int, app_id: int) -> None: ...

    # backups -----------------------------------------------------------------------------------------------------
    def backup_target(self, service_uid: str) -> Target | None:
        """Its own; of ``""``: the server's."""

    def set_backup_target(self, service_uid: str, target: Target | None) -> None: ...
    def backup_schedules(self, service_uid: str | None = None) -> list[Schedule]: ...
    def add_backup_schedule(self, service_uid: str, schedule: str, actor: Actor) -> bool:
        """False: it has that one."""

    def remove_backup_schedules(self, service_uid: str, schedule: str = "") -> int:
        """That one, or all; return how many."""

    def add_backup(self, backup_id: str, service_uid: str, datastore: str, service: str, *, trigger: Trigger,
                   target: str, state: BackupState = BackupState.PLANNED, size: int = 0, manifest: str = "",
                   started_at: datetime | None = None, finished_at: datetime | None = None) -> Backup: ...
    def move_backup(self, backup_id: str, state: BackupState, *, reason: str | None = None, size: int | None = None,
                    manifest: str | None = None) -> Backup: ...
    def hold_backup(self, backup_id: str, held: bool) -> Backup: ...
    def backup(self, backup_id: str) -> Backup: ...
    def backups(self, service_uid: str | None = None, *, states: Iterable[BackupState] = (),
                limit: int = 1000) -> list[Backup]:
        """Newest first."""

    def begin_drill(self, backup: Backup) -> int: ...
    def end_drill(self, drill_id: int, passed: bool, *, restore_seconds: float = 0.0, data_age: float = 0.0,
                  reason: str = "") -> None: ...
    def drop_drill(self, drill_id: int) -> None:
        """It was not made."""
    def drills(self, service_uid: str | None = None, *, limit: int = 100) -> list[Drill]:
        """Newest first."""

    # a backup of the platform, and its restore on another machine --------------------------------------------------
    def copy_to(self, path: Path) -> None:
        """A consistent copy of the whole database in one file. StateError."""

    def put_backup(self, row: Backup) -> None:
        """As it is, also over one of that id."""

    def replace_images(self, rebuilt: Mapping[int, str]) -> None:
        """Release id → image built anew of its very commit; nothing else of a release ever changes."""

    def move_app_network(self, app_id: int, subnet: str) -> None:
        """Another range of the same size; its instances keep their places in it."""

    def move_service_network(self, service_id: int, subnet: str) -> None: ...
    def move_mounts(self, old: str, new: str) -> None:
        """Sources that began with *old* begin with *new* now."""

    # point in time -----------------------------------------------------------------------------------------------
    def put_pitr(self, service_uid: str, *, epoch: str, reason: str, target: str, system: str, volume: str,
                 segment_size: int, actor: Actor | None = None) -> Pitr:
        """Turn it on, or begin another epoch; its window and last drill stay."""

    def pitr(self, service_uid: str) -> Pitr | None: ...
    def pitrs(self) -> list[Pitr]: ...
    def update_pitr(self, service_uid: str, **changes: object) -> Pitr | None:
        """By the names of fields."""

    def delete_pitr(self, service_uid: str) -> None:
        """With the rows of its bases."""

    def begin_pitr_base(self, base_id: str, row: Pitr) -> PitrBase: ...
    def end_pitr_base(self, base_id: str, state: str, *, reason: str = "", manifest: str | None = None,
                      size: int | None = None) -> PitrBase:
        """With "good", "failed" or "deleted"."""

    def pitr_bases(self, service_uid: str) -> list[PitrBase]:
        """Newest first."""

    # protected SQLite files ---------------------------------------------------------------------------------------
    def add_protected_file(self, app_id: int, uid: str, name: str, path: str, owner: str,
                           actor: Actor) -> ProtectedFile:
        """Enabled, without an epoch. Conflict: the app has one of that name, or path."""

    def protected_file(self, app_id: int, name: str) -> ProtectedFile: ...
    def protected_file_by_id(self, file_id: int) -> ProtectedFile: ...
    def protected_files(self, app_id: int | None = None) -> list[ProtectedFile]:
        """By app and name."""

    def update_protected_file(self, file_id: int, *, epoch: str | None = None, enabled: bool | None = None,
                              owner: str | None = None) -> ProtectedFile: ...
    def note_file_drill(self, file_id: int, *, to: datetime | None, passed: bool, seconds: float,
                        reason: str = "") -> None:
        """Its last drill, of now. A file that has gone: nothing."""

    def delete_protected_file(self, file_id: int) -> None:
        """The row only."""

    # watched releases --------------------------------------------------------------------------------------------
    def begin_watch(self, release_id: int, app_id: int, before_id: int, ends_at: datetime, *, before: Traffic,
                    counted: Traffic, warm: Iterable[int]) -> Watch:
        """The window of a release opens; of the draining instances those in *warm* become warm. One transaction."""

    def note_breach(self, release_id: int, reason: str) -> bool:
        """Why it does badly. False: something was noted before, or the window is over."""

    def end_watch(self, release_id: int, outcome: Outcome) -> bool:
        """False: it was over already. Whoever gets True has the app's warm instances, and nobody else."""

    def watches(self, app_id: int | None = None, *, open_only: bool = False, limit: int = 100) -> list[Watch]:
        """Newest first."""

    # incidents, channels, messages ---------------------------------------------------------------------------------
    def open_incident(self, kind: Kind, object: str, what: str, hint: str) -> Incident | None:
        """With a message for every channel that wants it. None: one of that kind and object is open."""

    def close_incident(self, kind: Kind, object: str, ending: str) -> Incident | None:
        """With a message for every channel that was told of it (not for TOLD_ONCE). None: none is open."""

    def incidents(self, *, open_only: bool = False, kinds: Iterable[Kind] = (), limit: int = 100) -> list[Incident]:
        """Newest first."""

    def trim_incidents(self, before: datetime) -> int:
        """Those that were over by then, with their messages; return how many."""

    def add_channel(self, name: str, type: ChannelType, address: Address, kinds: Sequence[str], apps: Sequence[str],
                    actor: Actor) -> Channel:
        """Conflict if the name is taken."""

    def channels(self) -> list[Channel]:
        """By name."""

    def channel(self, name: str) -> Channel: ...
    def filter_channel(self, channel_id: int, kinds: Sequence[str], apps: Sequence[str]) -> None: ...
    def delete_channel(self, channel_id: int) -> None:
        """With its messages."""

    def deliveries(self, channel_id: int | None = None, *, states: Iterable[DeliveryState] = (),
                   since: datetime | None = None, limit: int = 1000) -> list[Delivery]:
        """Oldest first; with *since* those that ended later."""

    def end_deliveries(self, ids: Iterable[int], state: DeliveryState, *, summed: bool = False) -> None: ...
    def postpone_deliveries(self, ids: Iterable[int], error: str, next_at: datetime) -> None:
        """After an attempt that failed: counted, and not before *next_at* again."""

    # log drains, disks ---------------------------------------------------------------------------------------------
    def add_drain(self, app_id: int | None, url: Secret, format: Format, headers: Mapping[str, Secret],
                  actor: Actor) -> Drain: ...
    def drain(self, drain_id: int) -> Drain: ...
    def drains(self, app_id: int | None = None) -> list[Drain]:
        """Of an app: with those of all apps."""

    def remove_drain(self, drain_id: int) -> None: ...
    def drain_positions(self, drain_id: int) -> dict[str, datetime]:
        """Container id → time of the last line that the drain has taken."""

    def put_drain_positions(self, drain_id: int, reached: Mapping[str, datetime]) -> None:
        """In the place of all others of that drain. One that was removed: nothing."""

    def add_disk_sample(self, place: str, sample: Sample, keep_from: datetime) -> None:
        """Those of that place from before *keep_from* go."""

    def disk_samples(self, place: str) -> list[Sample]:
        """Oldest first."""

    # uptime --------------------------------------------------------------------------------------------------------
    def add_uptime(self, samples: Iterable[Checks]) -> None:
        """Added to what is there of the same app and slot; of an app that has gone it is dropped."""

    def uptime(self, since: int, app_id: int) -> list[Checks]:
        """Of slots from *since* on."""

    def uptime_totals(self, since: int) -> dict[int, tuple[int, int]]:
        """App id → (checks, failures) of slots from *since* on."""

    def trim_uptime(self, before: int) -> int: ...

    # events ------------------------------------------------------------------------------------------------------
    def add_event(self, actor: Actor, verb: str, app: str, result: str, detail: Mapping[str, str], *,
                  intent: int | None = None) -> Event:
        """A line at the end of the trail, with the actor's traits; the intent that it is the result of goes."""

    def begin_intent(self, actor: Actor, verb: str, app: str, detail: Mapping[str, str]) -> int:
        """Before the command runs, so that one that is killed leaves a trace; with the actor's traits."""

    def intents(self) -> list[Intent]:
        """Oldest first."""

    def broken_chain(self) -> int | None:
        """Id of the first event that was tampered with; None: the trail is whole."""

    def events(self, *, app: str = "", limit: int = 100, after: int = 0) -> list[Event]:
        """Newest first."""

    def trim_events(self, before: datetime) -> int: ...

    # use of apps -------------------------------------------------------------------------------------------------
    def add_usage(self, used: Mapping[tuple[int, datetime], Usage]) -> None:
        """(app id, time) → what came in the minute of that time, added to what is there, its quarter of an hour too.
        One transaction. Apps that are gone are left out."""

    def usage(self, app_id: int, seconds: int, since: datetime) -> list[Slot]:
        """Slots of so many seconds (60 or 900), oldest first, the one that *since* is in among them."""

    def trim_usage(self, seconds: int, before: datetime) -> int: ...

    # ids ---------------------------------------------------------------------------------------------------------
    def highest_ids(self) -> dict[str, int]:
        """Table → the highest id that was ever given."""

    def raise_ids(self, highest: Mapping[str, int]) -> None:
        """The next ids are higher than these."""

    # health ------------------------------------------------------------------------------------------------------
    def integrity(self) -> list[str]:
        """What `PRAGMA integrity_check` and `foreign_key_check` complain of; empty: sound."""
