"""What uses space, when it will be used up, and the reserve that lets a full server be worked on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.model import app_settings
from paas.model.app import App
from paas.model.disk import DAYS, Forecast, Sample, forecast
from paas.model.incident import Kind
from paas.ops import storage
from paas.ops.incidents import close_incident, open_incident
from paas.ports_watch import EngineUse, Used

if TYPE_CHECKING:
    from paas.model.service import Service
    from paas.runtime import Runtime

STATE, DOCKER = "state", "docker"
NOTHING = EngineUse((), (), (), 0, 0)
SAMPLE_SECONDS = 3600.0                  # between two samples
RESERVE_ROOM = 10                        # the reserve is made where so many times its size are free
LOW = 4 * 1024 * 1024                    # bytes: with less, a command that changes something is given the reserve
HINT = "What takes space: paas disk. What can go: paas cleanup."
RELIEF = 1.1                             # the incident is over with so many times what it began below

log = logging.getLogger("paas.disk")


@dataclass(frozen=True)
class Disk:
    place: str                           # "state"; "docker", where that is another one
    free: int
    total: int
    forecast: Forecast


@dataclass(frozen=True)
class Use:
    """Bytes of one app or service, or of the server (the rest)."""

    name: str
    images: int = 0
    containers: int = 0                  # what they have written beside volumes
    logs: int = 0
    data: int = 0                        # volumes and directories
    repository: int = 0
    backups: int = 0                     # on their way to the target

    @property
    def total(self) -> int:
        return self.images + self.containers + self.logs + self.data + self.repository + self.backups


# --- what there is ---------------------------------------------------------------------------------------------------


def disks(rt: Runtime) -> list[Disk]:
    return [Disk(place, *found, forecast(rt.store.disk_samples(place), rt.clock.now()))
            for place, found in sizes(rt).items()]


def sizes(rt: Runtime) -> dict[str, tuple[int, int]]:
    """Place → (free, total). Where the engine's data is on the state's disk, or cannot be found, there is one."""
    found = {STATE: rt.host.disk(rt.settings.state_dir)}
    with suppress(PaasError):
        root = rt.engine_disk.root() if rt.engine_disk else None
        if root and not rt.disk_files.same_disk(root, rt.settings.state_dir):
            found[DOCKER] = rt.host.disk(root)
    return found


def uses(rt: Runtime) -> list[Use]:
    """The largest first; last what belongs to no app and no service. EngineError: Docker does not answer."""
    engine = rt.engine_disk.use() if rt.engine_disk else NOTHING
    found = [of_app(rt, app, engine) for app in rt.store.apps()]
    found += [of_service(rt, service, engine) for service in rt.store.services()]
    return [*sorted(found, key=lambda one: -one.total), of_server(rt, engine, found)]


def of_app(rt: Runtime, app: App, engine: EngineUse) -> Use:
    label, size = ("paas.app", str(app.id)), rt.disk_files.below
    files = rt.store.protected_files(app.id)
    return Use(app.name, images=total(engine.images, label), containers=total(engine.containers, label),
               logs=sum(one.log for one in engine.containers if label in one.labels.items())
               + sum(size(rt.jobs.build_log(one.id)) for one in rt.store.builds(app.id)),
               data=sum(mounted(rt, app, engine)), repository=size(rt.settings.repos_dir / f"{app.id}.git"),
               backups=sum(size(rt.settings.state_dir / "sqlite" / file.uid) for file in files))


def mounted(rt: Runtime, app: App, engine: EngineUse) -> Iterator[int]:
    """The app's own volumes, and what it mounts of the platform's storage directory; nothing of elsewhere."""
    volumes = {one.name: one.size for one in engine.volumes}
    for source in {mount.source for mount in rt.store.mounts(app.id)}:
        if storage.root(rt) in Path(source).parents:
            yield rt.disk_files.below(Path(source))
        else:
            yield volumes.get(source, 0)


def of_service(rt: Runtime, service: Service, engine: EngineUse) -> Use:
    label, uid = ("paas.service", str(service.id)), ("paas.uid", service.uid)
    return Use(service.title, containers=total(engine.containers, label),
               logs=sum(one.log for one in engine.containers if label in one.labels.items()),
               data=total(engine.volumes, uid),
               backups=rt.disk_files.below(rt.settings.state_dir / "pitr" / service.uid))


def of_server(rt: Runtime, engine: EngineUse, others: list[Use]) -> Use:
    """Layers that images share, the build cache, the state beside what is counted above, the reserve."""
    counted = sum(one.repository + one.backups for one in others)
    state = rt.disk_files.below(rt.settings.state_dir)
    stored = rt.disk_files.below(storage.root(rt))
    return Use("(server)", images=max(0, engine.layers + engine.cache - sum(one.images for one in others)),
               data=max(0, state - stored - counted))


def total(found: tuple[Used, ...], label: tuple[str, str]) -> int:
    return sum(one.size for one in found if label in one.labels.items())


# --- the watch -------------------------------------------------------------------------------------------------------


def tick(rt: Runtime) -> None:
    """A sample each hour; the incident; the reserve."""
    keep_reserve(rt)
    now = rt.clock.now()
    found = sizes(rt)
    for place, (free, size) in found.items():
        known = rt.store.disk_samples(place)
        if not known or now - known[-1].at >= timedelta(seconds=SAMPLE_SECONDS):
            rt.store.add_disk_sample(place, Sample(now, free, size), now - timedelta(days=DAYS))
            known = rt.store.disk_samples(place)
        judge(rt, Disk(place, free, size, forecast(known, now)), builds=place == DOCKER or DOCKER not in found)


def judge(rt: Runtime, disk: Disk, *, builds: bool) -> None:
    """:param builds: it is the disk that builds need."""
    least, days = setting(rt, "min-free-disk"), setting(rt, "disk-warn-days")
    name = f"disk of {'Docker' if disk.place == DOCKER else 'the state'}"
    soon = disk.forecast.days is not None and disk.forecast.days < days
    left = f"{gigabytes(disk.free)} of {gigabytes(disk.total)} are free"
    if disk.free < least:
        refused = f"; pushes are refused below {gigabytes(least)}" if builds else ""
        open_incident(rt, Kind.DISK, name, f"{left}{refused}", HINT)
    elif soon:
        open_incident(rt, Kind.DISK, name, f"{left}: at the pace of the last days {disk.forecast.words}", HINT)
    elif disk.free >= least * RELIEF:
        close_incident(rt, Kind.DISK, name, f"{gigabytes(disk.free)} are free")


def gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"


def setting(rt: Runtime, key: str) -> int:
    return int(app_settings.value_of(app_settings.SERVER, rt.store.settings(), key))


# --- the reserve -----------------------------------------------------------------------------------------------------


def reserve_path(rt: Runtime) -> Path:
    return rt.settings.state_dir / "reserve"


def keep_reserve(rt: Runtime) -> None:
    """Make it where there is room, as large as the setting says; never where little is left."""
    path, wanted = reserve_path(rt), setting(rt, "disk-reserve")
    held = rt.disk_files.held(path)
    if held == wanted:
        return
    free, _ = rt.host.disk(rt.settings.state_dir)
    if wanted and free + held < wanted * RESERVE_ROOM:
        return
    if held:
        rt.disk_files.let_go(path)
    if wanted:
        with suppress(PaasError):        # somebody else was faster: again next time
            rt.disk_files.hold(path, wanted)


def ease(rt: Runtime) -> bool:
    """Before a command that changes something: give it the reserve where the disk is full. True: given now.

    Only then, not as soon as the disk is full: what filled it would fill the reserve as well, and there would be none.
    """
    path = reserve_path(rt)
    try:
        if rt.host.disk(rt.settings.state_dir)[0] >= LOW or not rt.disk_files.held(path):
            return False
    except PaasError:
        return False
    rt.disk_files.let_go(path)
    log.warning("the disk is full: the reserve was released")
    return True


def reserve_set(rt: Runtime) -> list[str]:
    """After `disk-reserve` was changed: at once, and a line where it could not be."""
    keep_reserve(rt)
    wanted = setting(rt, "disk-reserve")
    if rt.disk_files.held(reserve_path(rt)) == wanted:
        return []
    return [f"too little is free to hold {gigabytes(wanted)} back: that is made where {RESERVE_ROOM} times as much is"]


# --- cleaning up -----------------------------------------------------------------------------------------------------


def freed(rt: Runtime, work: Callable[[], None]) -> int:
    """Bytes that there are more on both disks after *work*; never less than 0."""
    before = sum(free for free, _ in sizes(rt).values())
    work()
    return max(0, sum(free for free, _ in sizes(rt).values()) - before)
