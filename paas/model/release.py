"""A release: image + commit + config + formation + checks, numbered vN, never altered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from paas.secret import Secret


class ReleaseState(StrEnum):
    CREATED = "created"                  # recorded; nothing started yet
    CHECKING = "checking"                # new containers are starting beside the old ones
    SWITCHING = "switching"              # the proxy is being turned; undone or finished by reconcile
    LIVE = "live"                        # point of no return passed: this one serves
    RETIRED = "retired"                  # a later release took over
    FAILED = "failed"                    # never served; `failure` says why


RELEASE_MOVES: dict[ReleaseState, frozenset[ReleaseState]] = {
    ReleaseState.CREATED: frozenset({ReleaseState.CHECKING, ReleaseState.FAILED}),
    ReleaseState.CHECKING: frozenset({ReleaseState.SWITCHING, ReleaseState.FAILED}),
    ReleaseState.SWITCHING: frozenset({ReleaseState.LIVE, ReleaseState.FAILED}),
    ReleaseState.LIVE: frozenset({ReleaseState.RETIRED}),
    ReleaseState.RETIRED: frozenset(),
    ReleaseState.FAILED: frozenset(),
}


class CheckKind(StrEnum):
    HTTP = "http"                        # a path answers with an accepted status
    LISTEN = "listen"                    # default for web: the port answers anything below 500
    UPTIME = "uptime"                    # default for others: stays up for a moment
    PORT = "port"                        # a port is open on every interface; nothing is asked there
    COMMAND = "command"                  # a command in the instance's container exits with 0


@dataclass(frozen=True)
class Check:
    """Proof that an instance is ready. All times in seconds."""

    kind: CheckKind = CheckKind.LISTEN
    path: str = "/"
    status: str = ""                     # accepted answers: "200", "200-399"; empty: 200-399 for HTTP, <500 for LISTEN
    host: str = ""                       # Host header; empty: the app's first domain
    timeout: float = 60.0                # the whole proof must succeed within this
    attempt_timeout: float = 5.0         # one request
    uptime: float = 2.0                  # UPTIME: how long it must stay up
    name: str = ""                       # what a failure calls it; empty: what it does
    port: int = 0                        # asked or looked at; 0: where the instance listens, or $PORT of `web`
    headers: tuple[tuple[str, str], ...] = ()     # HTTP, LISTEN: further header fields of the request
    content: str = ""                    # HTTP, LISTEN: text that the body must hold
    command: tuple[str, ...] = ()        # COMMAND: the arguments, program first
    delay: float = 0.0                   # from the start of the instance to the first attempt; part of `timeout`
    wait: float = 5.0                    # COMMAND: the pause after a run that took longer than `attempt_timeout`
    warn: bool = False                   # a failure is told, and stops nothing
    https: bool = False                  # HTTP, LISTEN: asked over TLS, whoever's certificate it is
    on_failure: tuple[str, ...] = ()     # run in the container when it has failed for good; program first
    also: tuple["Check", ...] = ()       # further checks of the same instance: each must pass too

    @property
    def all(self) -> tuple["Check", ...]:
        """This one and those beside it, in the order of app.json."""
        return (self, *self.also)


class Strategy(StrEnum):
    """How the instances of a process type are replaced in a deploy."""

    START_FIRST = "start-first"          # the new ones run beside the old ones until the switch
    ROLLING = "rolling"                  # one at a time
    STOP_FIRST = "stop-first"            # the old ones stop before the new ones start: they never overlap


@dataclass(frozen=True)
class Process:
    """One process type of a release and its limits."""

    type: str
    command: tuple[str, ...] = ()        # empty: the image's own; a Procfile line is ("/bin/sh", "-c", "exec …")
    quantity: int = 1
    memory: int = 0                      # bytes; 0: no limit
    cpus: float = 0.0                    # cores; 0: no limit
    pids: int = 512
    stop_timeout: int = 10               # seconds from SIGTERM to SIGKILL
    check: Check = Check()
    declared: Check | None = None        # what app.json asks for; `checks:set` goes over it to give `check`
    strategy: str = ""                   # a Strategy; empty: start-first, or what memory allows
    reserve: int = 0                     # bytes that an instance is expected to use; 0: not known
    restart: str = "on-failure:10"       # Docker's restart policy
    scaled: bool = False                 # the quantity was set by hand (`ps:scale`), not by app.json or the default


@dataclass(frozen=True)
class Task:
    """What a release runs once, in a one-off container, before it serves (Procfile, app.json)."""

    name: str                            # "release", "scripts.predeploy", "scripts.dokku.postdeploy", …
    command: tuple[str, ...]
    after_checks: bool = False           # run when the new instances have passed their checks; else before they start
    first_only: bool = False             # run for the app's first release only


@dataclass(frozen=True)
class TaskRun:
    """A row of ``task_runs``: a task ran, or was cut, for a release."""

    id: int
    app_id: int
    release_id: int
    task: str
    started_at: datetime
    finished_at: datetime | None
    exit_code: int | None                # None: it runs, or paasd stopped while it ran


class Overlap(StrEnum):
    """What happens when a cron job is due and its last run is not over."""

    FORBID = "forbid"                    # the new one is skipped, and the history says so
    ALLOW = "allow"                      # both run
    REPLACE = "replace"                  # the old one is stopped first


@dataclass(frozen=True)
class CronJob:
    """One entry of app.json's `cron`."""

    id: str                              # 8 hex digits, the same as long as schedule and command are the same
    schedule: str                        # five fields, or @hourly and the like, as in crontab(5)
    command: tuple[str, ...]
    overlap: Overlap = Overlap.FORBID


@dataclass(frozen=True)
class Release:
    """One row of ``releases``. Everything but state, failure and the times is fixed when it is recorded."""

    id: int
    app_id: int
    version: int
    state: ReleaseState
    image: str                           # digest
    build_id: int | None
    commit: str
    tree: str
    subject: str
    config: Mapping[str, Secret]
    formation: tuple[Process, ...]
    exposed: tuple[int, ...]             # the image's EXPOSEd TCP ports
    healthcheck: bool                    # the image has a HEALTHCHECK
    created_at: datetime
    created_by: str
    reason: str                          # "git push", "config:set A B", "rollback to v3", …
    failure: str = ""
    live_at: datetime | None = None
    tasks: tuple[Task, ...] = ()
    cron: tuple[CronJob, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)    # stage → seconds

    def process(self, process_type: str) -> Process | None:
        return next((p for p in self.formation if p.type == process_type), None)


class InstanceState(StrEnum):
    STARTING = "starting"
    HEALTHY = "healthy"
    DRAINING = "draining"                # old release: finishing its requests
    WARM = "warm"                        # old release, not routed: runs on while the new one is being watched


@dataclass(frozen=True)
class Instance:
    """One container of a process type: a row of ``instances``, gone when the container is gone.

    ``address`` is reserved in the app's network before the container exists and stays reserved until the row
    goes, so a restarted container can never answer for another one.
    """

    id: int
    app_id: int
    release_id: int
    process_type: str
    ordinal: int                         # web.1, web.2, …
    address: str                         # fixed IPv4 in the app's network
    state: InstanceState
    container_id: str = ""               # empty: not created yet
    port: int = 0                        # where a web instance listens; 0: not known or not web

    @property
    def name(self) -> str:
        return f"{self.process_type}.{self.ordinal}"

    @property
    def target(self) -> str:
        """``ip:port``, as the proxy dials it."""
        return f"{self.address}:{self.port}"
