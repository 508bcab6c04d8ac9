"""One app of a restored server: its image, its containers, the proof that it answers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from paas.backups.sqlite_restore import OpenKeys
from paas.deploy import Push, Work
from paas.deploy.build import build
from paas.deploy.receive import ZERO, receive
from paas.errors import CheckFailed, NotFound, PaasError
from paas.model.access import Actor
from paas.model.app import App, Mount
from paas.model.build import Image
from paas.model.release import InstanceState, Release
from paas.model.sqlite import ProtectedFile
from paas.ops import deploys, routes, sqlite_restore
from paas.ops.reconcile import reconcile_app
from paas.ops.server_state import Back

if TYPE_CHECKING:
    from paas.ops.revive import Revival
    from paas.runtime import Runtime

Say = Callable[[str], None]
PATIENCE = 60.0                          # seconds that an app has to answer after its containers were started
PAUSE = 0.3


def app_back(rt: Runtime, app: App, actor: Actor, say: Say) -> str:
    """How it came back, in words. Raises what says why it did not."""
    live = rt.store.live_release(app.id)
    rt.repos.ensure(app.id)
    if not live:
        return "it was never deployed"
    app = rt.store.update_app(app.id, asleep=False)      # proved awake; it falls asleep again by itself
    note = image_back(rt, app, live, actor, say)
    for repair in reconcile_app(rt, app, False):
        if repair.error:
            raise CheckFailed(f"{repair.object}: {repair.error}", f"See: paas logs {app.name}")
    if app.stopped:
        return f"v{live.version}, stopped as it was; {note}"
    return f"v{live.version}, {await_answer(rt, app, rt.store.release_by_id(live.id))}; {note}"


# --- its image -----------------------------------------------------------------------------------------------------


def image_back(rt: Runtime, app: App, live: Release, actor: Actor, say: Say) -> str:
    try:
        rt.images.inspect(live.image)
        return "its own image"
    except NotFound:
        say(f"Building {live.commit[:8]} anew: its image is not in the backup")
    image = rebuilt(rt, app, live, actor, say)
    same = {one.id: image.digest for one in rt.store.releases(app.id, limit=100_000) if one.image == live.image}
    rt.store.replace_images(same)
    return f"built anew from {live.commit[:8]}"


def rebuilt(rt: Runtime, app: App, live: Release, actor: Actor, say: Say) -> Image:
    """By the build's own stages, from the commit that the repository kept; no lock stands in its way."""
    def steps(work: Work) -> Image:
        branch = work.setting("git.deploy-branch") or "main"
        work.app = replace(work.app, settings={key: value for key, value in work.app.settings.items()
                                               if (key, value) != ("builder.selected", "image")})
        tip = rt.repos.ref(app.id, branch) or ZERO
        return build(work, receive(work, Push(branch, tip, live.commit, None))).image

    title = f"build of v{live.version} after a restore of the server"
    return deploys.run(rt, replace(app, locked=""), actor, title, steps, say)


# --- its containers ------------------------------------------------------------------------------------------------


def await_answer(rt: Runtime, app: App, live: Release) -> str:
    """Every instance runs, and the proxy gets an answer from one of them. CheckFailed: not within PATIENCE seconds."""
    deadline = rt.clock.monotonic() + PATIENCE
    while True:
        try:
            return answered(rt, app, live)
        except PaasError as error:
            if rt.clock.monotonic() > deadline:
                raise CheckFailed(error.what, f"Look at: paas logs {app.name}") from None
        rt.clock.sleep(PAUSE)


def answered(rt: Runtime, app: App, live: Release) -> str:
    rows = [row for row in rt.store.instances(app.id, release_id=live.id) if row.state == InstanceState.HEALTHY]
    for row in rows:
        if live.process(row.process_type).restart != "no" and not rt.containers.state(row.container_id).running:
            raise CheckFailed(f"{row.name} does not run")
    host, web = routes.visible_host(rt, app), [row.target for row in rows if row.process_type == "web" and row.port]
    if not web or not host or app.maintenance:
        return f"{len(rows)} running"
    answer = rt.router.ask(host, live.process("web").check.path, 10.0)
    if answer.upstream not in web or answer.status in (502, 503, 504):
        raise CheckFailed(f"it does not answer (status {answer.status})")
    return f"{len(rows)} running, it answers"


# --- its storage ---------------------------------------------------------------------------------------------------


def storage_back(run: Revival, app: App) -> Iterator[Back]:
    """What it mounts, and what of that is in a backup of the platform; before the app writes to it."""
    for mount in run.rt.store.mounts(app.id):
        title = f"{app.name} {mount.target}"
        if mount.id in run.now.mounts:
            yield Back("storage", title, True, "already")
            continue
        for one in mount_back(run, app, mount, title):
            if one.back and one.name == title:
                run.now.mounts.append(mount.id)
                run.save()
            yield one


def mount_back(run: Revival, app: App, mount: Mount, title: str) -> Iterator[Back]:
    rt = run.rt
    if not mount.source.startswith(f"{rt.settings.storage_dir}/"):
        yield Back("storage", title, False, "volumes and directories elsewhere are in no backup of the server")
        return
    streamed = [one for one in rt.store.protected_files(app.id)
                if one.uid in run.now.files and one.path.startswith(mount.target.rstrip("/") + "/")]
    make_directory(Path(mount.source), streamed)
    for file in streamed:
        set_aside(Path(mount.source, file.path.removeprefix(mount.target).lstrip("/")))
        yield file_back(run, app, file)
    if run.now.storage:
        yield Back("storage", title, True)
    elif streamed:
        yield Back("storage", title, True, "but for what was streamed it is empty")
    else:
        yield Back("storage", title, False, "its content is not in the backup: it is empty")


def make_directory(path: Path, files: Sequence[ProtectedFile]) -> None:
    """A streamed file lies in a directory of its owner's."""
    path.mkdir(parents=True, exist_ok=True)
    if files and not any(path.iterdir()):
        uid, _, gid = files[0].owner.partition(":")
        os.chown(path, int(uid), int(gid))


def set_aside(path: Path) -> None:
    """A copy of a file that was written to may be torn; the stream is not, and newer."""
    if os.path.realpath(path.parent) == str(path.parent):
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{end}", f"{path}.from-backup{end}")


def file_back(run: Revival, app: App, file: ProtectedFile) -> Back:
    """The newest state that was streamed, checked by SQLite."""
    title, known = f"{app.name} {file.name}", OpenKeys(run.identity, run.macs)
    try:
        objects = sqlite_restore.store_of(run.rt, file)
        histories = sqlite_restore.found_in(run.rt, objects, run.now.server, known).get(file.uid, [])
        done = sqlite_restore.restore_from(run.rt, objects, run.now.server, histories, known, app, path=file.path,
                                           say=run.say)
    except PaasError as error:
        return Back("SQLite file", title, False, error.what)
    run.now.files.remove(file.uid)
    run.save()
    return Back("SQLite file", title, True, f"as it was {done.state_at:%Y-%m-%d %H:%M:%S.%f} UTC, checked by SQLite")
