"""One-off containers of a release, beside its instances: `run`, its tasks, its cron jobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from paas.deploy.work import Work
from paas.errors import BadInput, PaasError
from paas.model import extra_hosts
from paas.model.limits import cpus, memory_bytes
from paas.model.release import Release
from paas.ops import collectors
from paas.ports import BindMount, ContainerSpec
from paas.secret import Secret

ALL_TYPES = ""                           # the process type whose limits are everybody's


@dataclass(frozen=True)
class OneOff:
    """What runs in it. *kind* ("run", "task", "cron") and *id* name it in Docker and are its label ``paas.<kind>``."""

    kind: str
    id: int
    release: Release
    command: tuple[str, ...]             # argv, exactly
    limits_of: str = "run"               # the process type whose `resource:limit` applies
    environment: Mapping[str, Secret] = field(default_factory=dict)      # over the release's config
    labels: Mapping[str, str] = field(default_factory=dict)
    tty: bool = False
    stdin: bool = False


def network_name(work: Work) -> str:
    return f"{work.rt.settings.prefix}-app-{work.app.id}"


def ensure_network(work: Work) -> None:
    """The app's own network. Should a foreign network have taken the range meanwhile, say so plainly."""
    work.rt.containers.ensure_network(network_name(work), work.app.subnet, work.labels("network"))


def mounts(work: Work) -> tuple[BindMount, ...]:
    """Raises BadInput for a directory that has become a symbolic link: Docker would follow it."""
    found = work.rt.store.mounts(work.app.id)
    for one in found:
        if one.source.startswith("/") and os.path.realpath(one.source) != one.source:
            raise BadInput(f"{one.source}, mounted at {one.target}, is or is below a symbolic link now",
                             f"Take it away: paas storage:unmount {work.app.name} {one.target}")
    return tuple(BindMount(one.source, one.target, one.read_only) for one in found)


def hosts(work: Work) -> tuple[str, ...]:
    return extra_hosts.listed(work.setting("network.extra-hosts"))


def give_empty_mounts(work: Work, container: str, warn: Callable[[str], object] | None = None) -> None:
    """Between create and start. Storage that cannot be given is a line of warning, never the end of a deploy."""
    if not mounts(work):
        return
    try:
        given, refused = work.rt.containers.give_empty_mounts(container, work.rt.settings.storage_dir)
    except PaasError as error:
        given, refused = [], [f"empty storage could not be given to the image's user: {error.what}"]
    if given:
        work.out.detail(f"Given to the image's user: {', '.join(given)}")
    for line in refused:
        (warn or work.out.warn)(line)


def oneoff_spec(work: Work, one: OneOff) -> ContainerSpec:
    """The release's image, config and mounts; an address of the network's dynamic half; never restarted."""
    limits = work.rt.store.limits(work.app.id)
    own = {**limits.get(ALL_TYPES, {}), **limits.get(one.limits_of, {})}
    return ContainerSpec(
        name=f"{work.rt.settings.prefix}-{one.kind}-{one.id}",
        image=one.release.image,
        labels={**work.labels(one.kind, release=one.release.version, **{one.kind: one.id}), **one.labels},
        environment={**platform(work, one), **one.release.config, **one.environment},
        command=one.command,
        network=network_name(work),
        mounts=mounts(work), hosts=hosts(work),
        memory=memory_bytes(own["memory"]) if "memory" in own else 0,
        cpus=cpus(own["cpu"]) if "cpu" in own else 0.0,
        pids=int(own.get("pids", 512)),
        stop_timeout=int(work.setting("ps.stop-timeout")),
        restart="no", tty=one.tty, stdin=one.stdin,
    )


def platform(work: Work, one: OneOff) -> dict[str, Secret]:
    return platform_environment(work, one.release, f"{one.kind}.{one.id}")


def platform_environment(work: Work, release: Release, name: str) -> dict[str, Secret]:
    """What the platform says to every container of the app; *name* is like ``web.1`` or ``run.12``."""
    given = {"PAAS_APP": work.app.name, "PAAS_RELEASE": f"v{release.version}", "PAAS_PROCESS": name, "DYNO": name,
             **({"GIT_REV": release.commit} if release.commit else {})}
    return {**{key: Secret(value) for key, value in given.items()},
            **collectors.environment(work.rt, work.app, given["PAAS_RELEASE"], name, release.config)}
