"""A real socket server over a stub runtime, and the real client as a process."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import click
import pytest

from paas.cli import load_commands
from paas.cli.base import COMMANDS, app_argument, command
from paas.daemon.server import Server
from paas.errors import EngineError
from paas.testing.door import DoorPushes, Wire, door_runtime

ROOT = Path(__file__).parents[3]
START = f"import sys; sys.path.append({str(ROOT)!r}); from paas.client import main; main()"


class Door:
    def __init__(self, home: Path) -> None:
        self.rt = door_runtime(home)
        self.pushes = DoorPushes()
        self.server = Server(self.rt, self.pushes)
        self.server.start()
        self.path = str(self.rt.settings.socket)

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-IS", "-c", START, *words]

    def run(self, *words: str, **options) -> subprocess.CompletedProcess:
        """`paas WORDS` as root on the server."""
        options.setdefault("input", b"")
        environment = {"PAAS_SOCKET": self.path, **options.pop("environment", {})}
        return subprocess.run(self.argv(*words), env=environment, capture_output=True, timeout=30, **options)

    def start(self, *words: str, **options) -> subprocess.Popen:
        return subprocess.Popen(self.argv(*words), env={"PAAS_SOCKET": self.path}, **options)

    def ssh(self, command: bytes | str, key: int = 1, **environment) -> subprocess.CompletedProcess:
        """The forced command, as sshd starts it for a key."""
        return subprocess.run([ROOT / "hooks" / "ssh-entry", f"key-{key}", self.path], input=b"", timeout=30,
                              capture_output=True, user="nobody", group="nogroup", extra_groups=[],
                              env={"SSH_ORIGINAL_COMMAND": command, "SSH_CONNECTION": "192.0.2.7 5 192.0.2.1 22",
                                   **environment})

    @contextlib.contextmanager
    def connection(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(20)
            sock.connect(self.path)
            yield Wire(sock)


@pytest.fixture
def door():
    if os.geteuid():
        pytest.skip("the peers of the socket are told apart by uid: needs root")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
        os.chmod(home, 0o755)
        opened = Door(Path(home))
        yield opened
        opened.server.stop(grace=2)


@pytest.fixture
def stage(door):
    """Commands that do what a test needs; `stage.go` lets the waiting ones end, `stage.ended` says that one has."""
    before = dict(load_commands())
    stage = Stage()

    @command("test:words")
    @click.argument("words", nargs=-1)
    def words(call, words):
        for word in words:
            call.session.out(f"[{word}]\n")

    @command("test:exit")
    @click.argument("code", type=int)
    def leave(call, code):
        call.session.err("leaving\n")
        return code

    @command("test:cat")
    def cat(call):
        while data := call.session.read(4096):
            call.session.out(data)

    @command("test:flood", mutates=True)
    def flood(call):
        for _ in range(2000):
            call.session.out(b"x" * 32768)
        stage.ended.set()

    @command("test:pager")
    def pager(call):
        call.session.patience = 3600.0
        for _ in range(2000):
            call.session.out(b"x" * 32768)
        stage.ended.set()

    @command("test:wait", mutates=True)
    def wait(call):
        call.session.out("waiting\n")
        stage.go.wait(20)
        stage.alive = call.session.alive
        call.session.out("done\n")
        stage.ended.set()

    @command("test:follow")
    def follow(call):
        call.session.out("following\n")
        call.session.wait_gone(20)
        stage.ended.set()

    @command("test:raw")
    def raw(call):
        size = call.session.tty
        call.session.out(f"{size.columns}x{size.rows} {size.term}\n" if size else "no terminal\n")
        call.session.on_resize(lambda columns, rows: call.session.out(f"now {columns}x{rows}\n"))
        call.session.raw_mode(True)
        call.session.out("raw\n")
        while (data := call.session.read(100)) and data != b"q":
            call.session.out(data.hex() + "\n")
        call.session.raw_mode(False)

    @command("test:small")
    def small(call):
        def refuse(columns, rows):
            call.session.out("asked\n")
            raise EngineError("Docker did not answer in time and could not resize the terminal")

        call.session.on_resize(refuse)
        call.session.raw_mode(True)
        call.session.out("ready\n")
        call.session.out(call.session.read(100).hex() + "\n")
        call.session.raw_mode(False)

    @command("test:app", mutates=True, lock="app")
    @app_argument
    @click.argument("words", nargs=-1)
    def on_app(call, app, words):
        call.put(f"{app.name} {' '.join(words)}")

    @command("test:bug", mutates=True)
    def bug(call):
        raise RuntimeError("secret detail")

    yield stage
    stage.go.set()
    COMMANDS.clear()
    COMMANDS.update(before)


class Stage:
    def __init__(self) -> None:
        self.go, self.ended, self.alive = threading.Event(), threading.Event(), None
