"""Images and builds in memory: see :class:`FakeImages`."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from paas.adapters.docker_images import ignoring
from paas.errors import BuildFailed, Cancelled, Conflict, NotFound, PaasError
from paas.model.build import Image
from paas.ports import BuildRequest
from paas.testing.faults import Faults, faulty

if TYPE_CHECKING:
    from paas.testing.fake_containers import FakeContainers

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN_BASES = ("busybox", "scratch", "base", "nginx")


class FakeImages:
    """See :class:`paas.ports.Images`.

    A context that is a tar is built by a toy reader of its Dockerfile: FROM (any of ``bases``), RUN echo TEXT, RUN exit
    N, RUN sleep (until cancelled), EXPOSE, CMD and ENTRYPOINT in JSON form, HEALTHCHECK. Any other context gives
    ``default``. The digest is the hash of context, arguments and labels, so equal builds give equal images.

    Script: ``fail_next(error)``; ``wait_next()`` (the next build runs until cancelled); ``default`` (what an opaque
    context gives); ``free`` (free bytes). ``requests`` holds every request, ``contexts`` every context.
    """

    def __init__(self, faults: Faults | None = None, server: str = "server", prefix: str = "paas") -> None:
        self.faults = faults or Faults()
        self.server, self.prefix = server, prefix
        self.containers: FakeContainers | None = None    # set it to have remove() refuse images in use
        self.bases = set(KNOWN_BASES)
        self.default = Image("", command=("/app",), size=1000)
        self.free = 10**12
        self.published = 0
        self.requests: list[BuildRequest] = []
        self.contexts: list[bytes] = []
        self.pruned: list[int] = []
        self._images: dict[str, Image] = {}
        self._tags: dict[str, str] = {}
        self._errors: list[PaasError] = []
        self._waits = False

    def fail_next(self, error: PaasError) -> None:
        self._errors.append(error)

    def wait_next(self) -> None:
        self._waits = True

    def add(self, image: Image, tag: str = "") -> Image:
        """Put an image there without a build; its labels get this server's."""
        labels = {**dict(image.labels), "paas.server": self.server}
        made = replace(image, labels=tuple(sorted(labels.items())))
        self._images[made.digest] = made
        if tag:
            self._tags[tag] = made.digest
        return made

    def has(self, reference: str) -> str | None:
        """The digest that *reference* (a digest or tag) names."""
        digest = self._tags.get(reference, reference)
        return digest if digest in self._images else None

    # the port ------------------------------------------------------------------------------------------------------
    @faulty("images.build")
    def build(self, request: BuildRequest, output: Callable[[bytes], None],
              cancelled: Callable[[], bool]) -> Image:
        self.requests.append(request)
        if cancelled():
            raise Cancelled("the build was cancelled")
        context = b"".join(request.context)
        self.contexts.append(context)
        if self._errors:
            raise self._errors.pop(0)
        if self._waits:
            self._waits = False
            _until(cancelled)
        image = self._read(context, request, output, cancelled)
        key = json.dumps([sorted(request.arguments.items()), sorted(request.labels.items())]).encode()
        digest = "sha256:" + hashlib.sha256(context + key).hexdigest()
        made = replace(image, digest=digest, labels=tuple(request.labels.items()), created_at=CREATED)
        return self.add(made, request.tag)

    def _read(self, context: bytes, request: BuildRequest, output: Callable[[bytes], None],
              cancelled: Callable[[], bool]) -> Image:
        try:
            with tarfile.open(fileobj=io.BytesIO(context)) as archive:
                files = {one.name.removeprefix("./"): one for one in archive}
                found = files.get(request.dockerfile)
                text = archive.extractfile(found).read().decode() if found else None    # type: ignore[union-attr]
        except tarfile.TarError:
            return self.default
        if text is None:
            raise BuildFailed("the source has no Dockerfile at the given path", "Add it, then push again.")
        return _Toy(self.bases, output, cancelled).run(text)

    @faulty("images.inspect")
    def inspect(self, reference: str) -> Image:
        digest = self.has(reference)
        if digest is None:
            raise NotFound(f"Docker could not look at the image: no such image {reference}")
        return self._images[digest]

    @faulty("images.fetch")
    def fetch(self, reference: str, say: Callable[[str], None], *, anew: bool = False) -> Image:
        """Of ``bases`` there are all tags; ``published`` counts how often what they name has changed."""
        if anew or self.has(reference) is None:
            if reference.partition(":")[0] not in self.bases:
                raise NotFound(f"the image {reference} could not be fetched: no such image")
            say(f"Fetching {reference}")
            digest = "sha256:" + hashlib.sha256(f"{reference} {self.published or ''}".rstrip().encode()).hexdigest()
            self.add(replace(self.default, digest=digest), reference)
        return self.inspect(reference)

    @faulty("images.list")
    def list(self, labels: Mapping[str, str]) -> list[Image]:
        wanted = {**labels, "paas.server": self.server}.items()
        return [one for one in self._images.values() if wanted <= dict(one.labels).items()]

    @faulty("images.save")
    def save(self, digests: Sequence[str]) -> Iterator[bytes]:
        """Not a tar: pickled, for :meth:`load` alone."""
        yield pickle.dumps([self.inspect(digest) for digest in digests])

    @faulty("images.load")
    def load(self, tar: Iterable[bytes], names: Mapping[str, str]) -> None:
        for image in pickle.loads(b"".join(tar)):
            self.add(image, names.get(image.digest, ""))

    @faulty("images.remove")
    def remove(self, digest: str) -> None:
        known = self.has(digest)
        if known is None:
            return
        users = self.containers._containers.values() if self.containers else ()
        for one in users:
            if one.image == known:
                raise Conflict(f"the image is in use by the container {one.spec.name}", "Remove the container first.")
        del self._images[known]
        self._tags = {tag: target for tag, target in self._tags.items() if target != known}

    @faulty("images.prune_cache")
    def prune_cache(self, keep_bytes: int) -> int:
        self.pruned.append(keep_bytes)
        return 0

    def ignoring(self, dockerignore: bytes, dockerfile: str) -> Callable[[str], bool]:
        return ignoring(dockerignore, dockerfile)

    @faulty("images.free_bytes")
    def free_bytes(self) -> int:
        return self.free


class _Toy:
    """Reads a Dockerfile of the few instructions that tests need."""

    def __init__(self, bases: set[str], output: Callable[[bytes], None], cancelled: Callable[[], bool]) -> None:
        self._bases, self._output, self._cancelled = bases, output, cancelled
        self._command: dict[str, tuple[str, ...]] = {}
        self._exposed: set[int] = set()
        self._health = False

    def run(self, text: str) -> Image:
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        for number, line in enumerate(lines, 1):
            word, _, rest = line.partition(" ")
            step = getattr(self, f"_{word.lower()}", None)
            if step is None:
                raise BuildFailed(f"the Dockerfile has an error in line {number}: unknown instruction: {word}",
                                  "Correct that line, then push again.")
            self._output(f"#{number} [{number}/{len(lines)}] {line}\n".encode())
            step(rest, f"[{number}/{len(lines)}] {line}")
        command = self._command.get("ENTRYPOINT", ()) + self._command.get("CMD", ())
        return Image("", tuple(sorted(self._exposed)), command, self._health, size=len(text))

    def _from(self, rest: str, step: str) -> None:
        if rest.split()[0].partition(":")[0] not in self._bases:
            raise BuildFailed(f"the base image {rest} could not be fetched: its registry's name cannot be resolved",
                              "Check its name and the server's network.")
        if rest.startswith("nginx"):     # one base with a command of its own
            self._command["CMD"] = ("nginx",)

    def _run(self, rest: str, step: str) -> None:
        tail = ""
        for part in rest.split(";"):
            word, _, more = part.strip().partition(" ")
            if word == "echo":
                tail += f"{more}\n"
                self._output(f"{more}\n".encode())
            elif word == "sleep":
                _until(self._cancelled)
            elif word == "exit" and more != "0":
                raise BuildFailed(f"step {step} ended with exit code {more}",
                                  f"Correct the Dockerfile. The last lines of that step:\n{tail.rstrip()}")

    def _expose(self, rest: str, step: str) -> None:
        ports = (port.partition("/") for port in rest.split())
        self._exposed |= {int(number) for number, _, kind in ports if kind in ("", "tcp")}

    def _cmd(self, rest: str, step: str) -> None:
        self._command["CMD"] = tuple(json.loads(rest))

    def _entrypoint(self, rest: str, step: str) -> None:
        self._command["ENTRYPOINT"] = tuple(json.loads(rest))

    def _healthcheck(self, rest: str, step: str) -> None:
        self._health = not re.fullmatch(r"NONE", rest.strip())

    def _ignore(self, rest: str, step: str) -> None:
        return

    _copy = _add = _workdir = _env = _user = _arg = _label = _ignore


def _until(cancelled: Callable[[], bool], limit: float = 30) -> None:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if cancelled():
            raise Cancelled("the build was cancelled")
        time.sleep(0.01)
    raise AssertionError("a fake build waited to be cancelled and was not")
