"""Directories and volumes that outlive an app's containers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from paas.errors import BadInput, Conflict, Forbidden, NotFound, PaasError
from paas.model import names
from paas.model.access import Actor
from paas.model.app import App, Mount
from paas.ops import deploys, ps

if TYPE_CHECKING:
    from paas.runtime import Runtime

OWNER_MARK = "user.paas.owner"           # extended attribute of a directory that is to stay root's, though it is empty
VOLUME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
SYSTEM = ("/", "/proc", "/sys", "/dev", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/usr")   # not to be covered


def root(rt: Runtime) -> Path:
    """Where anybody who may mount may mount from."""
    return rt.settings.storage_dir


def parse(words: str) -> tuple[str, str, bool]:
    """``SOURCE:TARGET[:ro|:rw]`` → source, target, read only. BadInput."""
    parts = words.split(":")
    if len(parts) not in (2, 3) or (len(parts) == 3 and parts[2] not in ("ro", "rw")):
        raise BadInput(f"'{names.printable(words, 200)}' is not HOST:CONTAINER or HOST:CONTAINER:ro",
                       "Example: paas storage:mount hello /var/lib/paas/storage/hello:/data")
    source, target = parts[0], parts[1].rstrip("/") or "/"
    if not clean_path(target) or target in SYSTEM or target.startswith(("/proc/", "/sys/", "/dev/")):
        raise BadInput(f"'{names.printable(target)}' cannot be a mount point in a container",
                       "Give an absolute path like /data, without '..'.")
    return source, target, parts[2:] == ["ro"]


def clean_path(text: str) -> bool:
    """Absolute, printable, no '.', '..' or empty part."""
    return (text.startswith("/") and text.isprintable() and len(text) <= 1000
            and (text == "/" or not any(part in ("", ".", "..") for part in text[1:].split("/"))))


def resolve(rt: Runtime, app: App, source: str, local: bool) -> str:
    """What Docker is given for *source*: a host path that may be mounted, or the app's own named volume.

    :param local: root on the server itself asks: any directory but the platform's own.
    """
    if source.startswith("/"):
        return host_path(rt, source, local)
    if not VOLUME.fullmatch(source):
        raise BadInput(f"'{names.printable(source)}' is neither an absolute host path nor the name of a volume",
                       "A volume's name has lower-case letters, digits, '.', '_' and '-'.")
    return volume_prefix(rt, app) + source


def volume_prefix(rt: Runtime, app: App) -> str:
    """Volumes are the app's own: no name reaches another app's, or a volume that paas did not make."""
    return f"{rt.settings.prefix}-volume-{app.id}-"


def host_path(rt: Runtime, source: str, local: bool) -> str:
    source = source.rstrip("/") or "/"
    if not clean_path(source):
        raise BadInput(f"'{names.printable(source)}' is not a plain absolute path", "Give it without '.' and '..'.")
    real, allowed = Path(os.path.realpath(source)), Path(os.path.realpath(root(rt)))
    inside = allowed in real.parents
    if not inside and not local:
        raise Forbidden(f"'{names.printable(source)}' is not below {root(rt)}",
                        f"Use a directory there, or a volume by name; root on the server may mount others: "
                        f"paas storage:mount APP {names.printable(source)}:/…")
    if not inside:
        refuse_own(rt, real)
        if not real.exists():
            raise BadInput(f"there is no {names.printable(source)} on the server", "Create it first.")
    return str(real)


def refuse_own(rt: Runtime, real: Path) -> None:
    """Never the platform's keys, state, sockets or program, nor what holds them."""
    own = (rt.settings.state_dir, rt.settings.config_dir, rt.settings.run_dir, rt.settings.lib_dir,
           rt.settings.docker_socket)
    for one in (Path(os.path.realpath(path)) for path in own):
        if real == one or one in real.parents or real in one.parents:
            raise Forbidden(f"{names.printable(str(real))} holds the platform's own files",
                            f"Mount a directory below {root(rt)} instead.")


def mount(rt: Runtime, app: App, words: str, *, local: bool, owner: int | None = None) -> Mount:
    """Store it; containers that are created from now on have it. A directory below :func:`root` is made if missing.

    :param owner: numeric uid that a directory made here belongs to; None: whoever the image runs as.
    """
    source, target, read_only = parse(words)
    if owner is not None and not source.startswith("/"):
        raise BadInput("--chown is for directories", "A new volume goes to the image's user by itself.")
    given = resolve(rt, app, source, local)
    if any(one.target == target for one in rt.store.mounts(app.id)):
        raise Conflict(f"something is mounted at {target} of {app.name} already", f"See: paas storage:list {app.name}")
    if given.startswith("/"):
        refuse_nested(rt, Path(given))
        make_directory(Path(given), owner)
    return rt.store.add_mount(app.id, given, target, read_only)


def refuse_nested(rt: Runtime, path: Path) -> None:
    """Who has a directory could make the one in it a symbolic link, which Docker follows: to any file of the server."""
    for app in rt.store.apps():
        for one in rt.store.mounts(app.id):
            other = Path(one.source)
            if one.source.startswith("/") and (other in path.parents or path in other.parents):
                raise BadInput(f"{app.name} has {one.source} mounted; directories in one another cannot be mounted",
                               "Mount the same directory, or one beside it.")


def make_directory(path: Path, owner: int | None) -> None:
    """With its parents, mode 0755; one that is there is left as it is."""
    if path.exists():
        return
    try:
        path.mkdir(mode=0o755, parents=True)
        if owner is not None:
            os.chown(path, owner, owner)
        if owner == 0:
            keep_roots(path)
    except OSError as error:
        raise BadInput(f"the directory could not be made: {error.strerror}", "Check the path.") from None


def keep_roots(path: Path) -> None:
    """Mark a directory that somebody wants to be root's: no image's user gets it. BadInput: it cannot be marked."""
    try:
        os.setxattr(path, OWNER_MARK, b"0")
    except OSError:
        path.rmdir()
        raise BadInput("the file system of that directory cannot note that it is to stay root's",
                       "Leave --chown 0 out and put a file into it: what holds anything keeps its owner.") from None


def unmount(rt: Runtime, app: App, words: str) -> Mount:
    """By ``SOURCE:TARGET`` or by the target alone. The data stays. NotFound."""
    source, _, rest = words.rpartition(":") if not words.startswith("/") or ":" in words else ("", "", words)
    if rest in ("ro", "rw"):
        source, _, rest = source.rpartition(":")
    for one in rt.store.mounts(app.id):
        same = source.rstrip("/") in ("", one.source, shown_source(rt, app, one))
        if same and one.target == (rest.rstrip("/") or "/"):
            rt.store.remove_mount(one.id)
            return one
    raise NotFound(f"{app.name} has no mount {names.printable(words, 200)}", f"See: paas storage:list {app.name}")


def shown_source(rt: Runtime, app: App, one: Mount) -> str:
    return one.source.removeprefix(volume_prefix(rt, app))


def listed(rt: Runtime, app: App) -> list[tuple[str, str, bool, str]]:
    """(source, target, read only, kind)."""
    return [(shown_source(rt, app, one), one.target, one.read_only,
             "directory" if one.source.startswith("/") else "volume") for one in rt.store.mounts(app.id)]


def restart(rt: Runtime, app: App, actor: Actor, say: deploys.Say) -> bool:
    """New containers for the live release, which have the mounts as they are now. False: nothing runs."""
    if app.stopped or not rt.store.live_release(app.id):
        return False
    try:
        ps.restart(rt, app, actor, "", say)
    except PaasError as error:
        kept = "The mounts are stored; the old containers go on without the change."
        raise type(error)(error.what, f"{kept} {error.hint}".rstrip()) from error
    return True
