"""Images as a tar, out of one engine and into another. Part of DockerImages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from paas.adapters.docker_client import Engine, asking, sentence
from paas.errors import EngineError, NotFound

CHUNK = 1024 * 1024


class DockerArchives:
    """See :class:`paas.ports_platform.ImageArchives`."""

    _engine: Engine

    def save(self, digests: Sequence[str]) -> Iterator[bytes]:
        with asking("save the images"):
            api = self._engine.api
            answer = api._get(api._url("/images/get"), params={"names": list(digests)}, stream=True)
            api._raise_for_status(answer)
            yield from answer.iter_content(CHUNK)

    def load(self, tar: Iterable[bytes], names: Mapping[str, str]) -> None:
        with asking("load the images"):
            for line in self._engine.api.load_image(tar, quiet=True):
                if "error" in line:
                    raise EngineError(f"Docker could not load the images: {sentence(str(line['error']))}",
                                      "Look at its log.")
        for digest, name in names.items():
            try:
                with asking("name the image"):
                    self._engine.api.tag(digest, name)
            except NotFound:
                continue
