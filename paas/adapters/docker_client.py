"""The way to the Docker engine that containers and images share: one client, one translation of errors."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paas.errors import Conflict, EngineError, NoSpace, NotFound, PaasError

if TYPE_CHECKING:
    import docker

SERVER_LABEL = "paas.server"
API_VERSION = "1.41"                     # Docker 20.10, the oldest supported; newer engines are asked for the same
POOL = 64                                # idle connections kept; streams have connections of their own
ANSWER_TIMEOUT = 120                     # seconds without an answer to a plain request
START_DOCKER = ("Start Docker (systemctl start docker; without systemd: install.sh), then try again. "
                "Running apps are not touched.")


class UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over the engine's unix socket."""

    def __init__(self, path: Path, timeout: float | None = None) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(str(self._path))
        except OSError:
            self.sock.close()
            raise


def cut(stream: socket.socket | None) -> None:
    """Shut a socket down, also while another thread reads from it; that thread then sees the end."""
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)


class Engine:
    """One engine and the label that tells this installation's objects from anybody else's."""

    def __init__(self, path: Path, server: str, prefix: str) -> None:
        self.path, self.server, self.prefix = Path(path), server, prefix
        self._lock = threading.Lock()
        self._api: docker.APIClient | None = None

    @property
    def api(self) -> docker.APIClient:
        """docker-py's low-level client. Made at first use: importing docker-py takes 0.1 s."""
        with self._lock:
            if self._api is None:
                self._api = self._open()
            return self._api

    def _open(self) -> docker.APIClient:
        from docker import APIClient

        def client(version: str) -> APIClient:
            return APIClient(base_url=f"unix://{self.path}", version=version, timeout=ANSWER_TIMEOUT,
                             num_pools=POOL, max_pool_size=POOL)

        first = client(API_VERSION)
        answer = first.version(api_version=False)
        self._require_version(answer)
        oldest = answer.get("MinAPIVersion", API_VERSION)
        return first if not _newer(oldest, API_VERSION) else client(oldest)

    def _require_version(self, answer: Mapping[str, Any]) -> None:
        if _newer(API_VERSION, answer.get("ApiVersion", API_VERSION)):
            raise EngineError(f"Docker {answer.get('Version', '?')} is too old",
                              "Install Docker 20.10 or newer.")

    def connection(self, timeout: float | None = None) -> UnixConnection:
        return UnixConnection(self.path, timeout)

    def url(self, path: str) -> str:
        return f"/v{self.api.api_version}{path}"

    def labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        return {**labels, SERVER_LABEL: self.server}

    def filters(self, labels: Mapping[str, str]) -> dict[str, list[str]]:
        return {"label": [f"{key}={value}" for key, value in self.labels(labels).items()]}


def _newer(one: str, other: str) -> bool:
    return [int(part) for part in one.split(".")] > [int(part) for part in other.split(".")]


@contextlib.contextmanager
def asking(doing: str) -> Iterator[None]:
    """Run requests to the engine; every foreseen failure leaves as EngineError, NotFound, Conflict or NoSpace.

    :param doing: what was asked, to complete "Docker could not …".
    """
    try:
        yield
    except PaasError:
        raise
    except Exception as error:
        raise translated(error, doing) from None


def translated(error: Exception, doing: str) -> Exception:
    """The paas error for what docker-py or a socket raised; *error* itself if it is neither."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    if isinstance(error, PaasError):
        return error
    if isinstance(error, APIError):
        return refused(error.status_code or 500, explanation(error), doing)
    if isinstance(error, TimeoutError) or "timed out" in str(error).lower():
        return EngineError(f"Docker did not answer in time and could not {doing}", START_DOCKER)
    if isinstance(error, RequestException | DockerException | OSError | http.client.HTTPException):
        return EngineError(f"Docker does not answer and could not {doing}", START_DOCKER)
    return error


def refused(status: int, said: str, doing: str) -> PaasError:
    """The error for an HTTP status of the Engine API and the message that came with it."""
    said = sentence(said)
    if "no space left on device" in said:
        return NoSpace(f"Docker could not {doing}: the disk is full", "Free some space, then try again.")
    what = f"Docker could not {doing}: {said}"
    if status == 404 or "marked for removal" in said:            # on its way out: gone for whoever asks
        return NotFound(what)
    return Conflict(what) if status == 409 else EngineError(what)


def explanation(error: Any) -> str:
    said = error.explanation or ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def message_of(body: bytes) -> str:
    """The ``message`` of an error answer of the Engine API."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace")


def sentence(text: str, limit: int = 400) -> str:
    """One printable line of *text* without paths of the engine's own directories."""
    line = " ".join(text.split())
    line = re.sub(r"/(?:var/lib/docker|run/docker|var/run/docker|run/containerd)\S*", "(engine's directory)", line)
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= limit else line[:limit] + "…"


def parsed_time(text: str | None) -> datetime | None:
    """An RFC 3339 time with up to nine decimals; None for the zero time (year 1), which means "never"."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", text or "")
    if not match or match[1].startswith("0001"):
        return None
    zone = "+00:00" if match[3] == "Z" else match[3]
    return datetime.fromisoformat(f"{match[1]}.{(match[2] or '0')[:6]:0<6}{zone}").astimezone(UTC)
