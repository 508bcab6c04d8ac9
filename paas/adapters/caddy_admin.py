"""The proxy's admin API, on its unix socket. https://caddyserver.com/docs/api"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from paas.adapters.caddy_layout import Layout
from paas.adapters.caddy_process import caddy_environment
from paas.adapters.http import UnixConnection, unix_request
from paas.errors import ProxyError

ASK_SECONDS = 5.0
LOAD_SECONDS = 60.0
LOOK_SECONDS = 0.005
JSON = {"Content-Type": "application/json"}


class Refused(Exception):
    """The proxy read the config and said no; the text is its own."""


class CaddyAdmin:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def running(self) -> dict | None:
        """The config in force; None: the proxy runs without any."""
        return json.loads(self.request("GET", "/config/")[1] or b"null")

    def load(self, config: dict, serves: Callable[[], bool]) -> None:
        """Until *config* serves, whether the proxy has answered by then or not: it does so when the old one has ended.

        :raises Refused: the proxy keeps the config that it had. :raises ProxyError: no answer.
        """
        connection, ends = UnixConnection(self.layout.admin, LOAD_SECONDS), time.monotonic() + LOAD_SECONDS
        with answering(), contextlib.closing(connection):
            connection.request("POST", "/load", json.dumps(config).encode(), JSON)
            while not select.select([connection.sock], [], [], LOOK_SECONDS)[0]:
                if serves():
                    return
                if time.monotonic() > ends:
                    raise TimeoutError
            response = connection.getresponse()
            if response.status != 200:
                raise Refused(message(response.read()))

    def in_flight(self) -> dict[str, int]:
        """By resolved address; the entries of the placeholders themselves are left out."""
        status, body = self.request("GET", "/reverse_proxy/upstreams")
        if status != 200:
            raise ProxyError("the proxy did not say what it is serving", "Look at: paas doctor.")
        return {one["address"]: one["num_requests"] for one in json.loads(body)
                if one["num_requests"] and re.fullmatch(r"[\d.]+:\d+", one["address"])}

    def validate(self, config: dict) -> str:
        """What the proxy's program says against *config* (it is not loaded), by a process of its own; "" is fine."""
        descriptor, path = tempfile.mkstemp(prefix=".check-", suffix=".json", dir=self.layout.root)
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o640)
                if self.layout.owner:
                    os.fchown(file.fileno(), *self.layout.owner)
                file.write(json.dumps(config).encode())
            return self.run_validate(path)
        finally:
            Path(path).unlink(missing_ok=True)

    def request(self, method: str, target: str) -> tuple[int, bytes]:
        """A load that is not over holds most answers back."""
        overlap = self.layout.settings.reload_overlap_ms / 1000
        with answering():
            status, _, answer = unix_request(self.layout.admin, method, target, ASK_SECONDS + overlap)
        return status, answer

    # Private

    def run_validate(self, path: str) -> str:
        ids = self.layout.proxy_ids
        user = {"user": ids[0], "group": ids[1], "extra_groups": []} if ids else {}
        try:
            done = subprocess.run([str(self.layout.settings.caddy), "validate", "--config", path],
                                  env=caddy_environment(self.layout.settings), cwd="/", capture_output=True,
                                  timeout=LOAD_SECONDS, check=False, **user)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProxyError("the proxy's program could not check a config", "Look at: paas doctor.") from error
        return "" if done.returncode == 0 else message(done.stderr)


@contextlib.contextmanager
def answering() -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise ProxyError("the proxy does not answer", "Is it running? Look at: paas doctor.") from error


def message(body: bytes) -> str:
    """The last words of Caddy's error chain, without server paths."""
    text = body.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no reason given"]
    words = text[0].removeprefix("Error: ")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        words = json.loads(text[0])["error"]
    shown = re.sub(r"(?:/[\w.@-]+){2,}", "…", words)
    return ": ".join(shown.split(": ")[-2:])[:200]
