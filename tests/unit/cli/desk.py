"""A person at the commands: `dispatch` in this process, over the platform of the flow tests."""

import json
import shlex
from dataclasses import dataclass, field

from paas import cli
from paas.cli.base import Local
from paas.errors import BadInput
from paas.model.access import Actor, Event
from paas.ports import ProxyOptions, Site
from tests.flow.over_fakes import Flow

ROOT = Actor("root")


class Screen:
    """A session that keeps what it is told."""

    def __init__(self, stdin: bytes = b"") -> None:
        self.stdout, self.stderr, self.tty, self.patience, self.busy = b"", "", None, 5.0, False
        self.stdin, self.alive = stdin, True

    def out(self, data: str | bytes) -> None:
        self.stdout += data.encode() if isinstance(data, str) else data

    def err(self, data: str) -> None:
        self.stderr += data

    def read_stdin(self, limit: int) -> bytes:
        if len(self.stdin) > limit:
            raise BadInput("too long")
        return self.stdin

    def on_interrupt(self, callback: object) -> None:
        pass


@dataclass
class Said:
    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def all(self) -> str:
        return self.text + self.stderr

    @property
    def json(self) -> object:
        return json.loads(self.stdout)


@dataclass
class Desk:
    flow: Flow
    actor: Actor = ROOT
    local: Local | None = field(default_factory=Local)
    sites: list[Site] = field(default_factory=list)      # what the proxy was told last

    def __post_init__(self) -> None:
        apply = self.flow.router.apply

        def recorded(sites: list[Site], options: ProxyOptions) -> dict[int, str]:
            refused = apply(sites, options)
            self.sites = list(sites)
            return refused

        self.flow.router.apply = recorded

    def site(self, app: str = "hello") -> Site:
        app_id = self.flow.rt.store.app(app).id
        return next(site for site in self.sites if site.app_id == app_id)

    def run(self, line: str | list[str], stdin: bytes = b"") -> Said:
        screen = Screen(stdin)
        words = shlex.split(line) if isinstance(line, str) else line
        code = cli.dispatch(self.flow.rt, screen, self.actor, words, self.local)
        self.flow.settle()
        return Said(code, screen.stdout, screen.stderr)

    def ok(self, line: str | list[str], stdin: bytes = b"") -> Said:
        said = self.run(line, stdin)
        assert said.code == 0, said.all
        return said

    def events(self, verb: str) -> list[Event]:
        return [one for one in self.flow.rt.store.events(limit=1000) if one.verb == verb]
