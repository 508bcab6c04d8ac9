"""What paas would make of a compose file: a plan, a pure value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from paas.secret import Secret


@dataclass(frozen=True)
class ToSet:
    """A config var that the user has to give a value."""

    key: str
    why: str


@dataclass(frozen=True)
class AppPlan:
    name: str
    services: tuple[str, ...]            # of the compose file, `web` first
    image: str = ""                      # runs as it is; empty: built from what is pushed
    processes: Mapping[str, str] = field(default_factory=dict)     # type → Procfile line; empty: the image's own
    release: str = ""                    # command of the release phase
    scale: Mapping[str, int] = field(default_factory=dict)
    config: Mapping[str, Secret] = field(default_factory=dict)
    to_set: tuple[ToSet, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)      # keys of app_settings.APP
    arguments: Mapping[str, Secret] = field(default_factory=dict)  # of the build
    limits: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # process type → memory, cpu, pids, reserve
    mounts: tuple[str, ...] = ()         # as storage:mount takes them
    domains: tuple[str, ...] = ()        # only suggested: DNS must point here first

    @property
    def procfile(self) -> str:
        """What has to be committed; empty: nothing. A type whose command nobody knows is a comment."""
        if not self.release and not any(self.processes.values()) and set(self.processes) <= {"web"}:
            return ""
        lines = [f"{kind}: {line}" if line else f"# {kind}: write the CMD of the {self.origin} here"
                 for kind, line in self.processes.items()]
        if not any(self.processes.values()) and set(self.processes) <= {"web"}:
            lines = []                   # a Procfile of `release` alone leaves the image's own command to web
        return "".join(f"{line}\n" for line in [*([f"release: {self.release}"] if self.release else []), *lines])

    @property
    def origin(self) -> str:
        return "image" if self.image else "Dockerfile"


@dataclass(frozen=True)
class Datastore:
    kind: str                            # postgres, redis, …
    name: str
    service: str                         # of the compose file
    image: str
    apps: tuple[str, ...]                # that refer to it
    version: str = ""                    # major version that its image's tag names
    sets: Mapping[str, str] = field(default_factory=dict)          # app → config var that its link will set

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """The words of the paas commands that make it and link it."""
        version = ("--version", self.version) if self.version else ()
        return ((f"{self.kind}:create", self.name, *version),
                *((f"{self.kind}:link", self.name, app) for app in self.apps))


@dataclass(frozen=True)
class Left:
    where: str                           # `web.volumes[0]`
    why: str                             # and what there is instead


@dataclass(frozen=True)
class Plan:
    apps: tuple[AppPlan, ...]
    datastores: tuple[Datastore, ...]
    left: tuple[Left, ...]
    warnings: tuple[str, ...] = ()
