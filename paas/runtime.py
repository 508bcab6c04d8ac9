"""What every use case is given: the ports, wired once. The only module that names concrete adapters."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from paas.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from paas.backups.room import Room
    from paas.jobs import Jobs
    from paas.ops.cron_attended import AttendedRuns
    from paas.ops.drain_forward import Forwarders
    from paas.ops.happenings import Happenings
    from paas.ops.heartbeat import Beat
    from paas.ops.metering import Metering
    from paas.ops.night_watch import Vigil
    from paas.ops.notify import Outbox
    from paas.ops.older import Older
    from paas.ops.pitr_streams import Recoveries
    from paas.ops.sessions import Sessions
    from paas.ops.sqlite_streams import Streams
    from paas.ops.uptime import Monitor
    from paas.plugin import Plugins
    from paas.ports import (
        AuthorizedKeys,
        Certificates,
        Clock,
        Containers,
        Host,
        Images,
        Manifests,
        Prober,
        Router,
        Schedules,
    )
    from paas.ports_backup import Sealing, Targets
    from paas.ports_platform import Installation
    from paas.ports_sleep import Door
    from paas.ports_source import Buildpacks, Repos
    from paas.ports_store import Store
    from paas.ports_watch import (
        Databases,
        DiskFiles,
        EngineDisk,
        EngineEvents,
        Loads,
        LogSinks,
        Messengers,
        Patterns,
        TrafficCounters,
    )
    from paas.services.turns import Turns
    from paas.settings import Settings


@dataclass(frozen=True)
class Runtime:
    settings: Settings
    store: Store
    containers: Containers
    images: Images                       # and ImageArchives of paas.ports_platform
    repos: Repos
    router: Router                       # and PublicPorts of paas.ports_watch
    prober: Prober
    keys: AuthorizedKeys
    clock: Clock
    jobs: Jobs
    routing: threading.RLock = field(default_factory=threading.RLock)    # one `router.apply` at a time
    creating: threading.Lock = field(default_factory=threading.Lock)     # one app is made at a time
    spawn: Callable[..., None] = field(default=lambda work: work())     # run work in the background
    beside: Callable[..., None] | None = None                           # run what only watches; None: nobody does
    certificates: Certificates = field(default_factory=lambda: x509_certificates())
    host: Host = field(default_factory=lambda: this_host())
    manifests: Manifests = field(default_factory=lambda: yaml_files())
    schedules: Schedules = field(default_factory=lambda: cron_schedules())
    cron: AttendedRuns = field(default_factory=lambda: attended_runs())
    buildpacks: Buildpacks = field(default_factory=lambda: own_buildpacks())
    targets: Targets = field(default_factory=lambda: stores_of_objects())
    sealing: Sealing = field(default_factory=lambda: age_sealing())
    streams: Streams = field(default_factory=lambda: sqlite_streams())
    recovery: Recoveries = field(default_factory=lambda: points_in_time())
    older: Older = field(default_factory=lambda: older_database())       # than what runs
    engine_disk: EngineDisk | None = None                                # None: over fakes
    disk_files: DiskFiles = field(default_factory=lambda: files_on_disk())
    drains: Forwarders = field(default_factory=lambda: log_forwarders())
    sinks: LogSinks = field(default_factory=lambda: log_sinks())
    patterns: Patterns = field(default_factory=lambda: child_patterns())
    databases: Databases = field(default_factory=lambda: child_databases())
    plugins: Plugins = field(default_factory=lambda: all_plugins())
    sessions: Sessions = field(default_factory=lambda: open_sessions())  # connections of keys
    turns: Turns = field(default_factory=lambda: service_turns())        # one thing at a time with a service
    room: Room = field(default_factory=lambda: room_for_restores())
    heavy: threading.RLock = field(default_factory=threading.RLock)      # one backup's stream at a time
    messengers: Messengers = field(default_factory=lambda: messengers())
    outbox: Outbox = field(default_factory=lambda: outbox())             # messages under way
    monitor: Monitor = field(default_factory=lambda: uptime_monitor())
    beat: Beat = field(default_factory=lambda: heartbeat())
    vigil: Vigil = field(default_factory=lambda: night_watch())
    installation: Installation | None = None                             # None: over fakes
    engine_events: EngineEvents | None = None            # None: nobody follows them
    happenings: Happenings = field(default_factory=lambda: no_happenings())
    door: Door | None = None                             # None: requests to apps that sleep are not heard
    traffic: TrafficCounters | None = None               # None: nobody counts
    loads: Loads | None = None                           # None: nobody measures
    metering: Metering = field(default_factory=lambda: no_metering())
    open_at: Callable[[Path, Path], Store] = field(default=lambda database, key: open_store_at(database, key))
    reopening: Reopening = field(default_factory=lambda: Reopening())


def no_metering() -> Metering:
    from paas.ops.metering import Metering

    return Metering()


def x509_certificates() -> Certificates:
    from paas.adapters.x509 import X509Certificates

    return X509Certificates()


def yaml_files() -> Manifests:
    from paas.adapters.yaml_files import YamlFiles

    return YamlFiles()


def cron_schedules() -> Schedules:
    from paas.adapters.schedules import CronSchedules

    return CronSchedules()


def attended_runs() -> AttendedRuns:
    from paas.ops.cron_attended import AttendedRuns

    return AttendedRuns()


def sqlite_streams() -> Streams:
    from paas.ops.sqlite_streams import Streams

    return Streams()


def points_in_time() -> Recoveries:
    from paas.ops.pitr_streams import Recoveries

    return Recoveries()


def older_database() -> Older:
    from paas.ops.older import Older

    return Older()


def files_on_disk() -> DiskFiles:
    from paas.adapters.disk_files import ThisDisk

    return ThisDisk()


def log_forwarders() -> Forwarders:
    from paas.ops.drain_forward import Forwarders

    return Forwarders()


def log_sinks() -> LogSinks:
    from paas.adapters.log_sinks import Sinks

    return Sinks()


def child_patterns() -> Patterns:
    from paas.adapters.patterns import ChildPatterns

    return ChildPatterns()


def child_databases() -> Databases:
    from paas.adapters.databases import ChildDatabases

    return ChildDatabases()


def this_host() -> Host:
    from paas.adapters.host import ThisHost

    return ThisHost()


def all_plugins() -> Plugins:
    """Loaded once a process: the commands are made of the same ones."""
    from paas.plugin import loaded

    return loaded()


def open_sessions() -> Sessions:
    from paas.ops.sessions import Sessions

    return Sessions()


def no_happenings() -> Happenings:
    from paas.ops.happenings import Happenings

    return Happenings()


def room_for_restores() -> Room:
    from paas.backups.room import Room

    return Room()


def service_turns() -> Turns:
    from paas.services.turns import Turns

    return Turns()


def own_buildpacks() -> Buildpacks:
    from paas.adapters.buildpacks import Buildpacks

    return Buildpacks()


def stores_of_objects() -> Targets:
    from paas.adapters.objects import Objects

    return Objects()


def age_sealing() -> Sealing:
    from paas.adapters.age import AgeSealing

    return AgeSealing()


def messengers() -> Messengers:
    from paas.adapters.messengers import Messengers

    return Messengers()


def outbox() -> Outbox:
    from paas.ops.notify import Outbox

    return Outbox()


def uptime_monitor() -> Monitor:
    from paas.ops.uptime import Monitor

    return Monitor()


def heartbeat() -> Beat:
    from paas.ops.heartbeat import Beat

    return Beat()


def night_watch() -> Vigil:
    from paas.ops.night_watch import Vigil

    return Vigil()


def open_store_at(database: Path, master_key: Path) -> Store:
    """Another installation's database, brought to the newest schema. StateError: it does not open with that key."""
    from paas.adapters.sealing import load_or_create
    from paas.store import open_store

    return open_store(database, load_or_create(master_key, may_create=False))


class Reopening:
    """How another installation takes this one's place; ``by`` is the daemon's."""

    now: Runtime | None = None           # what has taken its place, also where a swap failed: this one is closed then

    def by(self, swap: Callable[[], None]) -> Runtime:
        """Everything else stops, *swap* changes the files, all is opened anew. Conflict: something is under way."""
        raise StateError("only a running daemon can take over another installation", "Run it by the command paas.")


def open_runtime(settings: Settings) -> Runtime:
    """Open the real thing. Raises StateError when the database or the master key is not usable.

    A restore of the whole server that was decided, and cut, is finished first.
    """
    from paas.adapters.authorized_keys import AuthorizedKeysFile
    from paas.adapters.caddy import CaddyRouter
    from paas.adapters.caddy_traffic import CaddyTraffic
    from paas.adapters.clock import SystemClock
    from paas.adapters.docker_containers import DockerContainers
    from paas.adapters.docker_disk import DockerDisk
    from paas.adapters.docker_events import DockerEvents
    from paas.adapters.docker_images import DockerImages
    from paas.adapters.docker_loads import DockerLoads
    from paas.adapters.git import GitRepos
    from paas.adapters.http import HttpProber
    from paas.adapters.installation import ThisInstallation
    from paas.adapters.sealing import load_or_create
    from paas.adapters.syslog import Syslog
    from paas.adapters.wake_door import WakeDoor
    from paas.jobs import Jobs
    from paas.store import has_sealed_rows, open_store
    from paas.threads import Spawner

    settings.state_dir.mkdir(parents=True, exist_ok=True)
    installation = ThisInstallation(settings)
    installation.swap()
    sealer = load_or_create(settings.master_key, may_create=not has_sealed_rows(settings.database))
    store = open_store(settings.database, sealer)
    store.heard = Syslog(settings.syslog).tell
    server = server_id(store)
    clock, spawner = SystemClock(), Spawner()
    return Runtime(
        settings=settings,
        store=store,
        containers=DockerContainers(settings.docker_socket, server, settings.prefix),
        images=DockerImages(settings.docker_socket, server, settings.prefix),
        engine_disk=DockerDisk(settings.docker_socket, server, settings.prefix),
        repos=GitRepos(settings),
        router=CaddyRouter(settings),
        prober=HttpProber(),
        keys=AuthorizedKeysFile(settings),
        clock=clock,
        traffic=CaddyTraffic(settings),
        loads=DockerLoads(settings.docker_socket, server, settings.prefix),
        jobs=Jobs(settings.logs_dir),
        spawn=spawner,
        beside=spawner,
        installation=installation,
        engine_events=DockerEvents(settings.docker_socket, server),
        door=WakeDoor(settings),
    )


def server_id(store: Store) -> str:
    """The installation's identity, made once: the label that tells our Docker objects from anybody else's."""
    import secrets

    known = store.settings().get("server-id")
    if known:
        return known
    made = secrets.token_hex(6)
    store.set_setting("server-id", made)
    return made
