"""Stage 2: source → image, by its Dockerfile or a buildpack's. An unchanged tree is not built again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from paas.deploy.receive import Source
from paas.deploy.recipe import DOCKERFILE
from paas.deploy.work import Work, reason_of
from paas.errors import BuildFailed, Cancelled, NoSpace, NotFound
from paas.failpoints import step
from paas.model.build import Build, BuildState, Image
from paas.ops import build_settings
from paas.ports import BuildRequest


@dataclass(frozen=True)
class Built:
    source: Source
    build: Build
    image: Image


def build(work: Work, source: Source) -> Built:
    """Build the image, or take the one that this very tree gave before.

    Raises BuildFailed (also over the time limit), NoSpace, Cancelled. The build row says what became of it.
    """
    with work.timed("build"):
        key = build_key(work, source)
        known = find_known(work, key)
        if known:
            work.out.stage(f"Using build {known[0].number}: the source is unchanged")
            return Built(source, *known)
        require_space(work)
        return run_build(work, source, key)


def build_key(work: Work, source: Source) -> str:
    """What decides the image: the tree, the Dockerfile (where it is, or the generated one), the build arguments."""
    path, arguments, key = dockerfile_path(work, source), build_arguments(work), source.tree.tree
    if source.recipe:
        key += f":{digest(source.recipe.dockerfile + source.recipe.dockerignore)}"
    elif path != DOCKERFILE:
        key += f":{path}"
    return f"{key}:{digest(json.dumps(arguments, sort_keys=True).encode())}" if arguments else key


def dockerfile_path(work: Work, source: Source) -> str:
    return DOCKERFILE if source.recipe else work.setting("builder.dockerfile-path")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def find_known(work: Work, key: str) -> tuple[Build, Image] | None:
    known = work.rt.store.find_build_of_tree(work.app.id, key)
    if not known or work.setting("builder.no-cache") == "true":
        return None
    try:
        return known, work.rt.images.inspect(known.image)
    except NotFound:
        work.rt.store.forget_image(work.app.id, known.image)
        return None


def require_space(work: Work) -> None:
    """The free-space gate: a build that fills the disk would take every app down."""
    needed, free = int(work.server_setting("min-free-disk")), work.rt.images.free_bytes()
    if free < needed:
        raise NoSpace(f"only {free / 1e9:.1f} GB of disk are free and a build needs {needed / 1e9:.1f} GB",
                      "Free some space (docker system df shows what is used), then push again.")


def run_build(work: Work, source: Source, key: str) -> Built:
    row = work.rt.store.create_build(work.app.id, commit=source.tree.commit, tree=key,
                                     subject=source.tree.subject, actor=work.actor)
    work.job.number = row.number
    work.job.log.keep_in(work.rt.jobs.build_log(row.id))
    try:
        image = in_a_slot(work, source, row)
        require_fitting(work, image)
    except BaseException as error:
        state = BuildState.CANCELLED if isinstance(error, Cancelled) else BuildState.FAILED
        work.rt.store.move_build(row.id, state, reason=reason_of(error))
        raise
    with step("B2"):
        return Built(source, work.rt.store.move_build(row.id, BuildState.BUILT, image=image.digest), image)


def in_a_slot(work: Work, source: Source, row: Build) -> Image:
    work.rt.jobs.take_build_slot(work.job)
    try:
        work.stop_if_cancelled()
        with step("B1"):
            work.rt.store.move_build(row.id, BuildState.BUILDING)
        path, recipe = dockerfile_path(work, source), source.recipe
        how = f"with the {recipe.language} buildpack" if recipe else f"from {path}"
        work.out.stage(f"Building {how} (build {row.number})")
        return build_within_time(work, request(work, source, row))
    finally:
        work.rt.jobs.give_build_slot()


def request(work: Work, source: Source, row: Build) -> BuildRequest:
    rt = work.rt
    return BuildRequest(
        tag=f"{rt.settings.prefix}-build-{row.id}",
        labels=work.labels("image", build=row.number),
        context=context(work, source),
        dockerfile=dockerfile_path(work, source),
        arguments={**build_settings.proxy_arguments(rt.store), **build_arguments(work)},
        secrets={**build_settings.secrets(rt.store), **build_secrets(work)},
        no_cache=work.setting("builder.no-cache") == "true",
    )


def context(work: Work, source: Source) -> Iterator[bytes]:
    """The source as a tar, without what its `.dockerignore` names; a buildpack's Dockerfile is added."""
    rt, recipe = work.rt, source.recipe
    ignore = source.tree.special.get(".dockerignore", recipe.dockerignore if recipe else b"")
    where = (work.app.id, source.tree, source.push.quarantine)
    left_out = rt.images.ignoring(ignore, dockerfile_path(work, source)) if ignore else nothing
    return rt.repos.archive(*where, left_out, {DOCKERFILE: recipe.dockerfile} if recipe else {})


def nothing(path: str) -> bool:
    return False


def build_arguments(work: Work) -> dict[str, str]:
    """`builder:arg`: shown in the image's history, so never for secrets."""
    return {key.removeprefix("build-arg."): value for key, value in work.app.settings.items()
            if key.startswith("build-arg.")}


def build_secrets(work: Work) -> dict:
    """Config vars that `builder:secret` names: mounted for a RUN line, in no layer and no log."""
    config = work.rt.store.config(work.app.id)
    names = [key.removeprefix("build-secret.") for key in work.app.settings if key.startswith("build-secret.")]
    missing = [name for name in names if name not in config]
    if missing:
        raise BuildFailed(f"the build secret {missing[0]} is not a config var of this app",
                          f"Set it: paas config:set --no-restart {work.app.name} {missing[0]}=…")
    return {name: config[name] for name in names}


def build_within_time(work: Work, wanted: BuildRequest) -> Image:
    limit = float(work.server_setting("build-timeout"))
    deadline = work.rt.clock.monotonic() + limit

    def stop() -> bool:
        return work.job.cancelled or work.rt.clock.monotonic() > deadline

    try:
        return work.rt.images.build(wanted, line_writer(work), stop)
    except Cancelled:
        if work.job.cancelled:
            raise
        raise BuildFailed(f"the build took longer than {limit:g} s and was stopped",
                          "Make it faster, or raise the limit: paas server:set build-timeout SECONDS.") from None


def line_writer(work: Work) -> Callable[[bytes], None]:
    """Bytes of build output, as they come, to whole lines of the log. One line is cut at 2,000 characters."""
    rest = b""

    def write(data: bytes) -> None:
        nonlocal rest
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > 4000:
            lines.append(rest)
            rest = b""
        for line in lines:
            work.out.detail(line.decode("utf-8", "replace").rstrip("\r"))

    return write


def require_fitting(work: Work, image: Image) -> None:
    limit = int(work.server_setting("image-size-limit"))
    if image.size > limit:
        work.rt.images.remove(image.digest)
        raise BuildFailed(f"the image has {image.size / 1e9:.1f} GB, more than the {limit / 1e9:.1f} GB allowed",
                          "Use a smaller base image or a .dockerignore, or: paas server:set image-size-limit BYTES.")
