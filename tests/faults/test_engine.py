"""X05: dockerd dies and comes back, with live-restore and without. The engine is private: the machine's goes on."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.recovery import Visitor, settle
from tests.e2e.world import BASE, Process, World, free_pool, run, until
from tests.fixtures import apps

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.usefixtures("base_images"), pytest.mark.timeout(300),
              pytest.mark.skipif(os.environ.get("PAAS_FAULTS") != "all",
                                 reason="a second dockerd beside the machine's: only for tests/faults/run --all")]
NAMES = ("first", "second")


class Engine:
    """containerd and dockerd of our own, with a bridge of its own and no packet filter, which is the machine's.

    With ``--bridge none`` dockerd removes docker0, which is the machine's, too."""

    def __init__(self, root: Path, *, live_restore: bool) -> None:
        self.root, self.socket, self.bridge = root, root / "docker.sock", f"paas{os.getpid()}"
        (root / "containerd.toml").write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        (root / "daemon.json").write_text("{}")
        under = ["--root", str(root / "c"), "--state", str(root / "s"), "--address", str(root / "containerd.sock")]
        self.containerd = Process("containerd", ["containerd", "--config", str(root / "containerd.toml"), *under],
                                  os.environ, root / "containerd.log")
        argv = ["dockerd", "--config-file", str(root / "daemon.json"), "--host", f"unix://{self.socket}", "--data-root",
                str(root / "d"), "--exec-root", str(root / "e"), "--pidfile", str(root / "pid"), "--containerd",
                str(root / "containerd.sock"), "--bridge", self.bridge, "--iptables=false", "--ip6tables=false"]
        self.dockerd = Process("dockerd", [*argv, *(["--live-restore"] if live_restore else [])], os.environ,
                               root / "dockerd.log")

    def start(self) -> None:
        self.make_bridge()
        if not self.containerd.running:
            self.containerd.start()
            until((self.root / "containerd.sock").exists, "containerd listens")
        self.dockerd.start()
        until(lambda: self.answers() or not self.dockerd.running, "dockerd answers", 60)
        assert self.dockerd.running, self.dockerd.tail()

    def make_bridge(self) -> None:
        if run(["ip", "link", "show", self.bridge]).returncode == 0:
            return
        address = free_pool().replace(".0.0/16", ".255.1/24")
        for words in (["add", self.bridge, "type", "bridge"], ["set", self.bridge, "up"]):
            run(["ip", "link", *words], check=True)
        run(["ip", "address", "add", address, "dev", self.bridge], check=True)

    def answers(self) -> bool:
        return run(["docker", "--host", f"unix://{self.socket}", "version"]).returncode == 0

    def take(self, image: str) -> None:
        """From the machine's engine."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "--host", f"unix://{self.socket}", "load", "--quiet"], stdin=saved.stdout,
                           stdout=subprocess.DEVNULL, check=True)

    def close(self) -> None:
        for process in (self.dockerd, self.containerd):
            process.stop(signal.SIGKILL)
        for line in Path("/proc/mounts").read_text().splitlines()[::-1]:
            if line.split()[1].startswith(f"{self.root}/"):
                run(["umount", "--lazy", line.split()[1]])
        run(["ip", "link", "delete", self.bridge])
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture(params=["live-restore", "plain"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    BASE.mkdir(mode=0o755, parents=True, exist_ok=True)
    root = BASE / f"engine-{os.getpid()}"
    root.mkdir()
    made = Engine(root, live_restore=request.param == "live-restore")
    try:
        made.start()
        made.take("busybox:latest")
        monkeypatch.setenv("DOCKER_HOST", f"unix://{made.socket}")     # also of the docker that tests and oracle call
        yield made
    finally:
        made.close()


@contextmanager
def opened(engine: Engine) -> Iterator[World]:
    world = World.open(docker_socket=str(engine.socket))
    try:
        yield world
    finally:
        if not engine.dockerd.running:
            engine.start()
        world.close()


def test_the_engine_is_killed(engine, request):
    """The containers go on; with live-restore not even the engine's return stops them. No app answers for another."""
    with opened(engine) as world:
        repos = [world.app_repo(apps.web(name)) for name in NAMES]
        for repo in repos:
            repo.push()
        with Visitor(world, repos[0].host) as first, Visitor(world, repos[1].host) as second:
            engine.dockerd.stop(signal.SIGKILL)
            assert [world.get(repo.host).text for repo in repos] == list(NAMES)
            repos[0].commit(apps.page("too early"))
            refused = repos[0].push(check=False)
            engine.start()
            settle(world)
        assert refused.returncode != 0
        assert "Docker" in refused.output
        assert "internal error" not in refused.output
        seen = [set(first.seen), set(second.seen)]
        if "live-restore" in request.node.name:
            assert seen == [{"first"}, {"second"}]
        assert not seen[0] & {"second", "too early"}
        assert not seen[1] & {"first"}
        assert [world.get(repo.host).text for repo in repos] == list(NAMES)
        repos[0].push()
        assert world.get(repos[0].host).text == "too early"
        settle(world)
