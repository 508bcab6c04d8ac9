"""Images and builds by the Docker Engine API (20.10 or newer)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from paas.adapters.buildkit import BUILDKIT, CLASSIC, Build, Refused, refused_build
from paas.adapters.docker_archives import DockerArchives
from paas.adapters.docker_client import Engine, asking, explanation, parsed_time, sentence
from paas.adapters.docker_room import Room
from paas.adapters.dockerignore import matcher
from paas.errors import BuildFailed, Cancelled, Conflict, NotFound, PaasError
from paas.model.build import Image
from paas.model.dockerfile import is_official
from paas.model.names import printable
from paas.ports import BuildRequest

IGNORE_PATTERNS = 1000
PULL_IDLE = 900                          # seconds without a word of how far the fetching of an image is
FRONTEND = "BUILDKIT_SYNTAX"
DATA_ROOT = "/var/lib/docker"


def ignoring(dockerignore: bytes, dockerfile: str) -> Callable[[str], bool]:
    """Whether a path stays out of the context. :raises BuildFailed: too many patterns, or an unreadable one."""
    from docker.utils.build import PatternMatcher

    lines = [line.strip() for line in dockerignore.decode("utf-8-sig", "replace").splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    if len(patterns) > IGNORE_PATTERNS:
        raise BuildFailed(f"the .dockerignore has {len(patterns):,} patterns; {IGNORE_PATTERNS:,} are allowed")
    ignored = PatternMatcher(patterns)
    for pattern in ignored.patterns:
        pattern.match = matcher(pattern.cleaned_pattern)         # its own may take ages
    return lambda path: path != dockerfile and bool(ignored.matches(path))


def check_frontend(request: BuildRequest) -> None:
    """The build argument goes over the `# syntax=` line, which is checked where the Dockerfile is read."""
    image = request.arguments.get(FRONTEND, "")
    if image and not is_official(image):
        raise BuildFailed(f"the build argument {FRONTEND} may name docker/dockerfile only, not {printable(image, 100)}",
                          f"Remove it: paas builder:arg APP --unset {FRONTEND}")


class DockerImages(DockerArchives):
    """See :class:`paas.ports.Images`. May be used by many threads at once.

    :param builder: "buildkit", "classic", or "auto": BuildKit unless the engine has none.
    """

    def __init__(self, socket: Path, server: str, prefix: str, builder: str = "auto") -> None:
        self._engine = Engine(socket, server, prefix)
        self._builder = {"buildkit": BUILDKIT, "classic": CLASSIC}.get(builder, "")
        self._root = ""

    # building --------------------------------------------------------------------------------------------------
    def build(self, request: BuildRequest, output: Callable[[bytes], None],
              cancelled: Callable[[], bool]) -> Image:
        check_frontend(request)
        room = Room(self.free_bytes, cancelled)
        try:
            image = self._build(request, output, room.stop)
        except Cancelled:
            room.complain()
            raise
        self._require_files(image)
        return image

    def _require_files(self, image: Image) -> None:
        """Docker takes ``VOLUME /``, and then fails to start it with words that nobody understands."""
        volumes = (self._inspect(image.digest).get("Config") or {}).get("Volumes") or {}
        if any(path.strip("/") in ("", ".") for path in volumes):
            self.remove(image.digest)
            raise BuildFailed("the image declares VOLUME /, which would hide all of its files",
                              "Name a directory below / in the Dockerfile's VOLUME line.")

    def _build(self, request: BuildRequest, output: Callable[[bytes], None],
               cancelled: Callable[[], bool]) -> Image:
        if self._chosen() == BUILDKIT:
            try:
                return self.inspect(self._with_session(request, output, cancelled))
            except Refused as error:
                if "buildkit" not in error.message.lower():
                    raise refused_build(error) from None
                self._builder = CLASSIC
                raise BuildFailed("this Docker engine refuses BuildKit",
                                  "Push again: the classic builder will be used.") from None
        return self.inspect(self._without_session(request, output, cancelled))

    def _chosen(self) -> str:
        if not self._builder:
            with asking("build the image"):
                kind = self._engine.api.version(api_version=False).get("Os", "linux")
            self._builder = BUILDKIT if kind == "linux" else CLASSIC
        return self._builder

    def _with_session(self, request: BuildRequest, output: Callable[[bytes], None],
                      cancelled: Callable[[], bool]) -> str:
        from paas.adapters.buildkit_session import Session

        session = Session(self._engine, request.secrets)
        try:
            return self._run(Build(self._engine, request, BUILDKIT, output, cancelled, session.id), request)
        finally:
            session.close()

    def _without_session(self, request: BuildRequest, output: Callable[[bytes], None],
                         cancelled: Callable[[], bool]) -> str:
        if request.secrets:
            raise BuildFailed("this Docker engine has no BuildKit, so build secrets cannot be given",
                              "Install Docker 20.10 or newer, or take the build secrets away.")
        try:
            return self._run(Build(self._engine, request, CLASSIC, output, cancelled), request)
        except Refused as error:
            raise refused_build(error) from None

    def _run(self, build: Build, request: BuildRequest) -> str:
        try:
            return build.run()
        except Cancelled:
            self._drop_tag(request.tag)  # the engine may have finished in the same moment
            raise

    def _drop_tag(self, tag: str) -> None:
        try:
            self.remove(self.inspect(tag).digest)
        except PaasError:
            return

    # images ----------------------------------------------------------------------------------------------------
    def _inspect(self, reference: str) -> dict[str, Any]:
        with asking("look at the image"):
            return self._engine.api.inspect_image(reference)

    def inspect(self, reference: str) -> Image:
        return _image(self._inspect(reference))

    def fetch(self, reference: str, say: Callable[[str], None], *, anew: bool = False) -> Image:
        if not anew:
            with contextlib.suppress(NotFound):
                return self.inspect(reference)
        say(f"Fetching {reference}")
        name, _, tag = reference.rpartition(":")
        with asking(f"fetch the image {reference}"):
            for line in self._pull(name, tag):
                if "error" in line:
                    raise NotFound(f"the image {reference} could not be fetched: {sentence(str(line['error']))}",
                                   "Check the version, and that this server reaches the registry.")
        return self.inspect(reference)

    def _pull(self, name: str, tag: str) -> Iterator[dict[str, Any]]:
        """As docker-py's own, which waits for ever for a registry that has begun to answer and stalls."""
        from docker import auth

        api = self._engine.api
        header = auth.get_config_header(api, auth.resolve_repository_name(name)[0])
        answer = api._post(api._url("/images/create"), params={"fromImage": name, "tag": tag}, stream=True,
                           headers={"X-Registry-Auth": header} if header else {}, timeout=PULL_IDLE)
        api._raise_for_status(answer)
        return api._stream_helper(answer, decode=True)

    def list(self, labels: Mapping[str, str]) -> list[Image]:
        with asking("list the images"):
            found = self._engine.api.images(filters=self._engine.filters(labels))
        images = []
        for digest in dict.fromkeys(one["Id"] for one in found):
            try:
                images.append(self.inspect(digest))
            except NotFound:             # removed since
                continue
        return images

    def remove(self, digest: str) -> None:
        from docker.errors import APIError

        with asking("remove the image"):
            try:
                found = self._inspect(digest)
            except NotFound:
                return
            self._require_unused(found["Id"])
            for name in found["RepoTags"] or [found["Id"]]:
                try:
                    self._engine.api.remove_image(name)
                except APIError as error:
                    if error.status_code != 404:
                        raise

    def _require_unused(self, digest: str) -> None:
        """Also by stopped containers: a forced removal would take the image from under them."""
        users = self._engine.api.containers(all=True, filters={"ancestor": [digest]})
        names = [one["Names"][0].removeprefix("/") for one in users if one["ImageID"] == digest and one["Names"]]
        if names:
            raise Conflict(f"the image is in use by the container {names[0]}", "Remove the container first.")

    # disk ------------------------------------------------------------------------------------------------------
    def prune_cache(self, keep_bytes: int) -> int:
        from docker.errors import APIError

        with asking("prune the build cache"):
            api = self._engine.api
            answer = api._post(api._url("/build/prune"), params={"keep-storage": keep_bytes}, timeout=600)
            try:
                return int(api._result(answer, True).get("SpaceReclaimed") or 0)
            except APIError as error:
                if "already running" in explanation(error):
                    return 0
                raise

    def ignoring(self, dockerignore: bytes, dockerfile: str) -> Callable[[str], bool]:
        return ignoring(dockerignore, dockerfile)

    def free_bytes(self) -> int:
        if not self._root:
            with asking("tell where its data is"):
                self._root = self._engine.api.info().get("DockerRootDir") or DATA_ROOT
        place = Path(self._root)
        while not place.exists():
            place = place.parent
        found = os.statvfs(place)
        return found.f_bavail * found.f_frsize


def _image(found: Mapping[str, Any]) -> Image:
    config = found.get("Config") or {}
    ports = (name.partition("/") for name in config.get("ExposedPorts") or {})
    test = (config.get("Healthcheck") or {}).get("Test") or []
    return Image(
        digest=found["Id"],
        exposed=tuple(sorted({int(number) for number, _, kind in ports if kind in ("tcp", "") and number.isdigit()})),
        command=(*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())),
        healthcheck=bool(test) and test != ["NONE"],
        size=found.get("Size") or 0,
        labels=tuple(sorted((config.get("Labels") or {}).items())),
        created_at=parsed_time(found.get("Created")),
    )
