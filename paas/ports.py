"""Every outer thing the platform leans on, as a Protocol, with the contract that fake and real one both pass.

``paas/testing`` holds a fake of each and the contract suites; ``paas/adapters`` and ``paas/store`` the real ones.
Every method may raise a :class:`paas.errors.PaasError` of the family named in its class; anything else is a bug.
All durations are seconds, all sizes bytes, all times aware UTC datetimes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from paas.model.build import Image
from paas.model.ports import PublicPort
from paas.secret import Secret

# --- Clock -------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


# --- Output of long work -----------------------------------------------------------------------------------------


class Output(Protocol):
    """Where a deploy tells its story. Lines end up at the pusher's terminal and in the build's stored log.

    Control characters of foreign text are escaped here, once. No method ever blocks on a slow or vanished
    reader, and none raises.
    """

    def stage(self, text: str) -> None:
        """``-----> text``"""

    def heading(self, text: str) -> None:
        """``=====> text``"""

    def detail(self, text: str) -> None:
        """Seven spaces, then *text*; several lines are indented each."""

    def warn(self, text: str) -> None:
        """`` !     text``"""


# --- Docker: containers and networks -----------------------------------------------------------------------------


@dataclass(frozen=True)
class BindMount:
    source: str                          # absolute host path, or the name of a Docker volume
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """What to create. The adapter adds the house's posture to every container: no-new-privileges, dropped
    capabilities, an init, capped logs, no host namespaces; a spec cannot ask for less."""

    name: str                            # `<prefix>-<kind>-<id>`, never user text
    image: str                           # digest
    labels: Mapping[str, str]
    environment: Mapping[str, Secret] = field(default_factory=dict)
    command: tuple[str, ...] = ()        # replaces the image's CMD *and* ENTRYPOINT; empty: the image's own
    network: str = ""                    # name of the network; empty: none at all
    address: str = ""                    # fixed IPv4 there; empty: one of the network's dynamic half
    mounts: tuple[BindMount, ...] = ()
    hosts: tuple[str, ...] = ()          # "NAME:ADDRESS" for /etc/hosts, as `docker run --add-host`
    memory: int = 0                      # bytes, swap included; 0: no limit
    reserve: int = 0                     # bytes: where memory is short, what is above this goes first
    cpus: float = 0.0
    pids: int = 512
    stop_timeout: int = 10
    user: str = ""                       # "UID:GID" instead of the image's own user
    shm: int = 0                         # bytes of /dev/shm; 0: the engine's 64 MB
    publish: tuple[str, ...] = ()        # "127.0.0.1:15432:5432": address and port of the host, port in the container
    tmpfs: tuple[str, ...] = ()          # paths of empty file systems in memory
    restart: str = "on-failure:10"       # Docker's policy, with its own back-off: "no", "always", "on-failure:10"
    tty: bool = False
    stdin: bool = False                  # keep stdin open and attach it


@dataclass(frozen=True)
class ContainerState:
    """What the engine says of one container now."""

    id: str
    name: str
    labels: Mapping[str, str]
    running: bool
    exit_code: int | None                # None while running or never started
    oom_killed: bool
    restarts: int
    address: str                         # in its (first) network; empty while not running
    image: str                           # digest
    health: str                          # "", "starting", "healthy", "unhealthy"
    started_at: datetime | None = None


@dataclass(frozen=True)
class FileFacts:
    """What lies at a path in a container; the last part of the path is not followed."""

    kind: str                            # "file", "directory", "link", "other"
    size: int
    uid: int
    gid: int
    mode: int                            # permission bits
    head: bytes = b""                    # the first bytes, as many as asked for
    modified: int = 0                    # seconds since 1970


@dataclass(frozen=True)
class Listener:
    """A TCP socket in LISTEN state inside a container's network namespace (Docker's own DNS left out)."""

    address: str                         # "0.0.0.0", "::", "127.0.0.1", …
    port: int

    @property
    def loopback(self) -> bool:
        return self.address.startswith("127.") or self.address == "::1"


@dataclass(frozen=True)
class LogLine:
    at: datetime | None
    stream: str                          # "stdout" or "stderr"
    text: bytes                          # without the line end


class Attachment(Protocol):
    """A container's terminal or pipes, already attached when the container starts."""

    def send(self, data: bytes) -> None: ...
    def close_stdin(self) -> None: ...
    def resize(self, columns: int, rows: int) -> None: ...

    def frames(self) -> Iterator[tuple[str, bytes]]:
        """("stdout" | "stderr", bytes) until the container closes; with a tty everything is "stdout"."""

    def close(self) -> None: ...


class Containers(Protocol):
    """Containers and networks of the engine. Raises EngineError; NotFound for an unknown id or name.

    Every object carries the label ``paas.server``; lists return only objects of this server, so two
    installations on one engine never see each other.
    """

    def create(self, spec: ContainerSpec) -> str:
        """Create, do not start; return the id. A leftover of the same name and server is removed first."""

    def give_empty_mounts(self, container_id: str, below: Path) -> tuple[list[str], list[str]]:
        """Before the start: a writable mount that is empty and root's goes to the image's user, if it is one of our
        volumes or lies below *below*. Executes nothing. (targets given, sorted; a line for each that could not be)."""

    def start(self, container_id: str) -> None: ...

    def attach(self, container_id: str, tty: bool) -> Attachment:
        """Attach to a created (not yet started) or running container."""

    def exec(self, container_id: str, command: Sequence[str], tty: bool,
             environment: Mapping[str, Secret], user: str = "") -> tuple[str, Attachment]:
        """Start a command in a running container (as *user*, or as the container's own); its exec id and streams."""

    def exec_exit_code(self, exec_id: str) -> int | None: ...

    def state(self, container_id: str) -> ContainerState: ...

    def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        """All containers, also stopped ones, that carry every given label."""

    def listening(self, container_id: str) -> list[Listener]: ...

    def memory(self, container_id: str) -> int:
        """Bytes of memory in use, page cache that can be dropped left out; 0 when it does not run."""

    def logs(self, container_id: str, *, tail: int | None = None, follow: bool = False,
             since: datetime | None = None) -> Iterator[LogLine]: ...

    def stop(self, container_id: str, timeout: int) -> None:
        """SIGTERM, wait *timeout* seconds, SIGKILL. An already stopped or unknown container is fine."""

    def kill(self, container_id: str, signal: str) -> None: ...

    def wait(self, container_id: str) -> int:
        """Block until it ends; return the exit code."""

    def remove(self, container_id: str) -> None:
        """Kill if running and remove, anonymous volumes too, named volumes never. Unknown is fine."""

    def ensure_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> None:
        """Idempotent. The lower half of *subnet* is for fixed addresses, the upper for dynamic ones."""

    def remove_network(self, name: str) -> None:
        """Unknown is fine; one with containers raises."""

    def networks(self) -> dict[str, Mapping[str, str]]:
        """name → labels, of this server."""

    def taken_subnets(self) -> list[str]:
        """CIDRs of every network on the engine, foreign ones too: where a new one must not go."""

    def connect(self, container_id: str, network: str, alias: str) -> None:
        """Give it an address of the dynamic half of one more network, where others find it as *alias*. Idempotent."""

    def disconnect(self, container_id: str, network: str) -> None:
        """Not connected, or unknown, is fine."""

    def networks_of(self, container_id: str) -> tuple[str, ...]:
        """Names, sorted."""

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Idempotent; Conflict if it is somebody else's."""

    def volumes(self) -> dict[str, Mapping[str, str]]:
        """name → labels, of this server; only of those that `ensure_volume` made."""

    def remove_volume(self, name: str) -> None:
        """With its data. Unknown is fine; one in use, or somebody else's, raises Conflict."""

    def facts(self, container_id: str, path: str, head: int = 0) -> FileFacts:
        """Of a file in a container that was created, whether it runs or not. NotFound."""

    def link(self, container_id: str, directory: str, names: Mapping[str, str]) -> None:
        """Give files in *directory* further names (hard links): new → old. What had the new name goes. NotFound."""

    def version(self) -> str:
        """Engine version, e.g. "20.10.24"; also the cheapest proof that the engine answers."""


# --- Docker: images ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BuildRequest:
    """One image build. *context* yields a GNU tar (integer mtimes, first header not PAX)."""

    tag: str                             # `<prefix>-build-<id>`: keeps the image from being dangling
    labels: Mapping[str, str]
    context: Iterable[bytes]
    dockerfile: str = "Dockerfile"       # path inside the context
    arguments: Mapping[str, str] = field(default_factory=dict)    # --build-arg; end up in image history
    secrets: Mapping[str, Secret] = field(default_factory=dict)   # --mount=type=secret,id=…: never in image or log
    memory: int = 0
    no_cache: bool = False


class Images(Protocol):
    """Images of the engine and the builder. Raises EngineError; NotFound for an unknown image."""

    def build(self, request: BuildRequest, output: Callable[[bytes], None],
              cancelled: Callable[[], bool]) -> Image:
        """Build with BuildKit (the classic builder where the engine has none); stream log lines to *output*.

        *cancelled* is polled at least every 0.2 s; when it turns true the connection is closed, which stops
        the build. Raises BuildFailed with the failing step and its last lines; a `# syntax=` frontend or a base image
        that cannot be fetched is named as such; Cancelled.
        """

    def ignoring(self, dockerignore: bytes, dockerfile: str) -> Callable[[str], bool]:
        """Which paths a `.dockerignore` leaves out of a build context, as Docker's own client reads it.

        That client filters before it sends; an engine does not filter a context that it is sent. The Dockerfile and
        the `.dockerignore` itself are never left out.
        """

    def inspect(self, reference: str) -> Image: ...

    def fetch(self, reference: str, say: Callable[[str], None]) -> Image:
        """The image of that name, pulled from its registry where the engine has none. EngineError: not to be had."""

    def list(self, labels: Mapping[str, str]) -> list[Image]:
        """Images of this server that carry every given label."""

    def remove(self, digest: str) -> None:
        """Remove it with its tags. Unknown is fine; one in use by a container raises Conflict."""

    def prune_cache(self, keep_bytes: int) -> int:
        """Drop build cache beyond *keep_bytes*, least recently used first; return the bytes freed."""

    def free_bytes(self) -> int:
        """Free space on the file system that holds the engine's data."""


# --- Proxy -------------------------------------------------------------------------------------------------------


class Page(StrEnum):
    """Answers of the platform's own, pointed to like a target."""

    NO_RELEASE = "no-release"            # 503: nothing deployed yet
    STOPPED = "stopped"                  # 503: `ps:stop`, or web scaled to 0
    MAINTENANCE = "maintenance"          # 503 with Retry-After
    ASLEEP = "asleep"                    # hold each request while the waker (`ports_sleep`) starts the app
    PARK = "park"                        # hold requests until a target comes (stop-first)


@dataclass(frozen=True)
class Site:
    """One app as the proxy needs to know it."""

    app_id: int
    hosts: tuple[str, ...]
    certificate: str = ""                # PEM chain a user added; its key is `key`
    key: Secret | None = None
    ports: tuple[PublicPort, ...] = ()   # beside 80 and 443


@dataclass(frozen=True)
class ProxyOptions:
    acme_email: str = ""
    acme_directory: str = ""             # empty: Let's Encrypt's production directory
    acme_ca_root: str = ""               # PEM file that signs the ACME server's own certificate; tests and private CAs
    https: bool = True                   # ask for certificates at all
    counted: bool = True                 # count requests, for `paas.ports_watch.TrafficCounters`


@dataclass(frozen=True)
class ProxyAnswer:
    status: int
    upstream: str                        # "ip:port" that answered; empty: the platform's own page
    body: bytes = b""


class Router(Protocol):
    """The proxy. Config (sites) changes rarely and is loaded whole; targets change on every deploy by renaming
    files, without a reload. Raises ProxyError."""

    def apply(self, sites: Sequence[Site], options: ProxyOptions) -> dict[int, str]:
        """Make the config from *sites*, load it, read it back and compare, persist it for the proxy's own restart.

        A site that cannot be expressed or that the proxy refuses is left out; returned as app id → reason.
        No change in the config: nothing is loaded. A new site without targets answers Page.NO_RELEASE.
        """

    def current(self, sites: Sequence[Site], options: ProxyOptions) -> bool:
        """Would `apply` of the same find nothing to load? (What the proxy runs is what these give.)"""

    def refused(self, sites: Sequence[Site]) -> dict[int, str]:
        """Which of *sites* are left out of what the proxy runs: app id → reason, as `apply` returned it."""

    def point(self, app_id: int, targets: Sequence[str] | Page) -> None:
        """Send the app's requests to these ``ip:port`` from now on: durable, atomic per slot, round robin."""

    def pointed(self, app_id: int) -> tuple[str, ...] | Page | None:
        """What the app's files say: distinct targets in order, a page, or None if there are no files."""

    def forget(self, app_id: int) -> None:
        """Remove the app's files (after `apply` without it)."""

    def known(self) -> list[int]:
        """App ids that have files."""

    def ask(self, host: str, path: str, timeout: float) -> ProxyAnswer:
        """One GET through the proxy, as a client of *host* would; says which target answered."""

    def in_flight(self) -> dict[str, int]:
        """Requests being served per target ``ip:port``; a target with none may be missing."""

    def certificates(self) -> dict[str, datetime]:
        """Host → end of validity, of the ACME certificates the proxy holds."""

    def healthy(self) -> bool:
        """The proxy answers on its admin socket."""


# --- Readiness ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What one HTTP probe saw. status 0: no HTTP answer; `error` says why, in the user's words."""

    status: int
    error: str = ""
    body: bytes = b""                    # first 64 KB, or as much as was asked for
    location: str = ""                   # where a redirect points


class Prober(Protocol):
    def get(self, address: str, port: int, path: str, host: str, timeout: float,
            headers: Sequence[tuple[str, str]] = (), body_limit: int | None = None, tls: bool = False) -> Answer:
        """One GET, no redirects followed, never raises. *tls*: any certificate is taken; SNI names what Host does.

        :param headers: further fields; one named like a field of the platform's own (Host too) takes its place.
        :param body_limit: bytes of the body that the caller waits for within *timeout*; None: 64 KB of what comes soon.
        """


# --- Keys of the SSH user ----------------------------------------------------------------------------------------


class AuthorizedKeys(Protocol):
    def write(self, keys: Sequence[tuple[int, str, str]]) -> None:
        """Replace the whole file: (key id, type, blob) each with its forced command, durably."""

    def read(self) -> list[tuple[int, str, str]]:
        """What the file holds now; lines that paas did not write are left out."""

    def generate(self, comment: str) -> tuple[Secret, str]:
        """A new Ed25519 pair: the private key in OpenSSH's format, the line of the public one."""

    def host_lines(self, host: str, port: int) -> list[str]:
        """Lines for a client's known_hosts: this server's own keys under that name."""

    def foreign(self) -> list[str]:
        """Lines in the file that paas did not write. `write` takes them out, and keeps them in a file beside (0600)."""

    def kept(self) -> list[str]:
        """The lines that `write` took out so far, each once, until an admin removes that file."""

    def current(self, keys: Sequence[tuple[int, str, str]]) -> bool:
        """Would `write` of the same change nothing? A foreign line, another command, owner or mode is a difference."""


# --- Certificates that users bring -------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyPair:
    """A certificate chain and its private key, both PEM, that belong together; the leaf comes first."""

    chain: str
    key: Secret
    names: tuple[str, ...]               # DNS names of the leaf
    issuer: str
    not_before: datetime
    not_after: datetime
    fingerprint: str                     # SHA-256 of the leaf, hex


class Certificates(Protocol):
    def read(self, pem: bytes) -> KeyPair:
        """The chain and the one private key in *pem*. BadInput: unreadable, encrypted, not a pair, out of order.

        Whether it is valid today is the caller's question.
        """


# --- Files that describe an app ----------------------------------------------------------------------------------


class Manifests(Protocol):
    """Formats that the standard library does not read."""

    def yaml(self, data: bytes) -> object:
        """One YAML document as dicts, lists, text, booleans and None; numbers and dates stay text as written.

        Merge keys are resolved. BadInput: not YAML, a tag, a key twice, more than 256 KB, 20 levels or 10,000 values.
        """


# --- Schedules ---------------------------------------------------------------------------------------------------


class Schedules(Protocol):
    """Cron expressions: five fields or a nickname like ``@daily``, as crontab(5) of Debian."""

    def check(self, text: str) -> None:
        """BadInput: it is no such expression, or never due."""

    def next(self, text: str, zone: str, after: datetime) -> datetime:
        """The first due time later than *after*, in UTC; *text* is read in the IANA time zone *zone*.

        Where clocks go forward, a fixed time that does not exist is due when the gap ends; where they go back, one that
        comes twice is due the first time. Schedules with a `*` minute or hour go by the time that passes. BadInput.
        """


# --- The machine -------------------------------------------------------------------------------------------------


class Host(Protocol):
    """The machine that the daemon runs on."""

    def versions(self) -> dict[str, str]:
        """Program or library → version: git, runc, dulwich, sqlite, python; one that is not there is missing."""

    def disk(self, path: Path) -> tuple[int, int]:
        """(free, total) bytes of the file system that holds *path*."""

    def memory(self) -> int:
        """Bytes that programs can still use without anything being swapped out."""

    def machine(self) -> str:
        """Hex digits of this very machine: they change when its disk is copied to another."""

    def daemon_memory(self) -> int:
        """Bytes of resident memory of this process."""
