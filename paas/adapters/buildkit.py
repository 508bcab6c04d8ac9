"""One build by ``POST /build``: BuildKit (version=2) or the classic builder (version=1), cancellable at any moment."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from paas.adapters.buildkit_trace import Masker, Story
from paas.adapters.docker_build_errors import Failure, explain
from paas.adapters.docker_client import Engine, UnixConnection, asking, cut, message_of, refused, translated
from paas.errors import BuildFailed, Cancelled, EngineError
from paas.ports import BuildRequest
from paas.threads import started

POLL = 0.1                               # seconds between two looks at `cancelled`
BLOCK = 262144                           # bytes of context sent at once
BUILDKIT, CLASSIC = "2", "1"


class Refused(Exception):
    """The engine did not take the request at all: HTTP status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class ContextFailed(Exception):
    """The context could not be read; the cause is the caller's own exception."""


class Transfer:
    """Sends the context and reads the answer in a thread of its own, so that the caller can watch the clock.

    ``events`` gives parsed JSON lines, then an exception or None as the last thing.
    """

    def __init__(self, connection: UnixConnection, url: str, context: Iterable[bytes]) -> None:
        self._connection, self._url, self._context = connection, url, context
        self.events: queue.Queue[dict[str, Any] | BaseException | None] = queue.Queue(maxsize=500)
        self._stopped = False
        self._thread = started(self._run, name="build-transfer")

    def _run(self) -> None:
        last: BaseException | None = None
        try:
            self._exchange()
        except BaseException as error:   # handed over to the caller's thread
            last = error
        self._put(last)

    def stop(self) -> None:
        """Close the connection, which stops the build, and wait for the thread (unless the context hangs)."""
        self._stopped = True
        cut(self._connection.sock)
        self._thread.join(timeout=2)
        if not self._thread.is_alive():
            self._connection.close()

    def _exchange(self) -> None:
        headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        # An engine that refuses early closes its side while we still send; its answer says why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.request("POST", self._url, self._blocks(), headers, encode_chunked=True)
        answer = self._connection.getresponse()
        if answer.status != 200:
            raise Refused(answer.status, message_of(answer.read()))
        rest = b""
        while piece := answer.read1(BLOCK):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    self._put(json.loads(line))
        if rest.strip():
            self._put(json.loads(rest))

    def _blocks(self) -> Iterator[bytes]:
        block, pieces = bytearray(), iter(self._context)
        while not self._stopped:
            try:
                piece = next(pieces)
            except StopIteration:
                yield bytes(block)
                return
            except BaseException as error:
                raise ContextFailed from error
            block += piece
            if len(block) >= BLOCK:
                yield bytes(block)
                block.clear()
        raise ConnectionAbortedError

    def _put(self, event: dict[str, Any] | BaseException | None) -> None:
        while not self._stopped:
            with contextlib.suppress(queue.Full):
                self.events.put(event, timeout=POLL)
                return


class Build:
    """One run of the builder; :meth:`run` returns the image id."""

    def __init__(self, engine: Engine, request: BuildRequest, builder: str, output: Callable[[bytes], None],
                 cancelled: Callable[[], bool], session: str = "") -> None:
        self._engine, self._request, self._builder = engine, request, builder
        self._output, self._cancelled, self._session = output, cancelled, session
        self._story = Story(output, request.secrets)
        self._masker = Masker(request.secrets)
        self._step = self._tail = ""     # classic builder: the current step and its last output
        self._image = ""
        self._looked = 0.0

    def run(self) -> str:
        with asking("build the image"):
            connection = self._engine.connection()
            connection.connect()
            url = self._engine.url(f"/build?{urlencode(self._words())}")
        transfer = Transfer(connection, url, self._request.context)
        try:
            for event in self._events(transfer):
                self._take(event)
        finally:
            transfer.stop()
        if not self._image:
            raise EngineError("Docker ended the build without naming an image", "Push again.")
        return self._image

    def _words(self) -> dict[str, str]:
        """The query of ``POST /build`` (Engine API 1.41)."""
        request = self._request
        words = {"version": self._builder, "t": request.tag, "dockerfile": request.dockerfile, "rm": "1",
                 "forcerm": "1", "labels": json.dumps(self._engine.labels(request.labels))}
        if request.arguments:
            words["buildargs"] = json.dumps(dict(request.arguments))
        if request.no_cache:
            words["nocache"] = "1"
        if request.memory:
            words |= {"memory": str(request.memory), "memswap": str(request.memory)}
        if self._session:
            words["session"] = self._session
        return words

    def _events(self, transfer: Transfer) -> Iterator[dict[str, Any]]:
        while True:
            self._stop_if_cancelled()
            try:
                event = transfer.events.get(timeout=POLL)
            except queue.Empty:
                continue
            if event is None:
                return
            if isinstance(event, BaseException):
                raise _for_caller(event)
            yield event

    def _stop_if_cancelled(self) -> None:
        now = time.monotonic()
        if now - self._looked >= POLL:
            self._looked = now
            if self._cancelled():
                raise Cancelled("the build was cancelled")

    def _take(self, event: Mapping[str, Any]) -> None:
        aux = event.get("aux")
        if event.get("id") == "moby.buildkit.trace":
            with contextlib.suppress(ValueError, binascii.Error):
                self._story.feed(base64.b64decode(aux))
        elif isinstance(aux, Mapping) and "ID" in aux:
            self._image = aux["ID"]
        elif "error" in event or "errorDetail" in event:
            raise self._failure(event)
        elif "stream" in event:
            if self._builder == CLASSIC:     # BuildKit only says here which tag it gave
                self._classic(event["stream"])
        elif "status" in event and "progressDetail" not in event:
            self._output(self._masker(f"{event.get('id', '')} {event['status']}".strip().encode() + b"\n"))

    def _classic(self, text: str) -> None:
        if text.startswith("Step "):
            self._step, self._tail = text.strip().removeprefix("Step "), ""
        else:
            self._tail = (self._tail + text)[-4000:]
        self._output(self._masker(text.encode()))

    def _failure(self, event: Mapping[str, Any]) -> BuildFailed:
        detail = event.get("errorDetail") or {}
        said = self._hide(str(detail.get("message") or event.get("error") or "no reason given"))
        step = self._story.failed
        if step is not None:
            return explain(Failure(said, self._hide(step.name), step.tail.decode("utf-8", "replace"), step.number > 0))
        return explain(Failure(said, self._hide(self._step), self._tail, bool(self._step)))

    def _hide(self, text: str) -> str:
        masker = Masker(self._request.secrets)
        return (masker(text.encode()) + masker.rest()).decode("utf-8", "replace")


def _for_caller(error: BaseException) -> BaseException:
    if isinstance(error, ContextFailed):
        return error.__cause__ or error
    return translated(error, "build the image") if isinstance(error, Exception) else error


def refused_build(error: Refused) -> Exception:
    """A request that the builder did not take: mostly the Dockerfile's fault (400, but also some 500)."""
    if error.status == 400 or "ockerfile" in error.message or "build context" in error.message:
        return explain(Failure(error.message))
    return refused(error.status, error.message, "build the image")
