"""Pushes with health checks in app.json, over fakes, and commands that end as a test says."""

import json
import threading

from paas.errors import CheckFailed
from tests.flow.over_fakes import Flow

WORKER = {"Procfile": b"web: serve\nworker: work\n"}


def push(flow: Flow, *entries: object, files: dict[str, bytes] | None = None, **others: object) -> int:
    """Push an app.json with these entries for web, and those of *others* (process type → entries)."""
    found = {"healthchecks": {**({"web": entries} if entries else {}), **others}}
    code = flow.push(flow.commit({**(files or {}), "app.json": json.dumps(found).encode()}))
    flow.settle()
    return code


def passes(flow: Flow, *entries: object, **more: object) -> None:
    assert push(flow, *entries, **more) == 0, flow.lines.text


def fails(flow: Flow, *entries: object, **more: object) -> str:
    """What a push that fails in its checks says last."""
    assert push(flow, *entries, **more) == CheckFailed.exit_code, flow.lines.text
    assert flow.rt.store.live_release(flow.app().id) is None
    assert flow.containers.running() == []
    return next(line for line in reversed(flow.lines) if "was not ready" in line)


def asked(flow: Flow) -> list[tuple[int, str]]:
    return [(port, path) for _, port, path, _ in flow.prober.asked]


class Runs:
    """Commands in the containers of *flow* that end like *codes*, one after the other; None: they hang."""

    def __init__(self, flow: Flow, *codes: int | None, says: bytes = b"") -> None:
        self.flow, self.codes, self.says = flow, list(codes), says
        self.began: list[tuple[float, tuple[str, ...]]] = []
        self.open: set[str] = set()
        object.__setattr__(flow.rt, "containers", self)

    def __getattr__(self, name: str) -> object:
        return getattr(self.flow.containers, name)

    def exec(self, container_id, command, tty, environment):
        self.began.append((self.flow.clock.passed, command))
        name = f"exec{len(self.began) - 1}"
        self.open.add(name)
        return name, Printed(self, name)

    def exec_exit_code(self, exec_id: str) -> int | None:
        index = min(int(exec_id.removeprefix("exec")), len(self.codes) - 1)
        return self.codes[index]


class Printed:
    def __init__(self, runs: Runs, name: str) -> None:
        self.runs, self.name, self.closed = runs, name, threading.Event()

    def close_stdin(self) -> None: ...

    def frames(self):
        if self.runs.says:
            yield "stdout", self.runs.says
        if self.runs.exec_exit_code(self.name) is None:
            self.closed.wait(30)

    def close(self) -> None:
        self.closed.set()
        self.runs.open.discard(self.name)
