"""One fault at one point of a deploy, in a world of its own: inject it, let the platform recover, ask the oracle.

A case is a point (``S2.before``) and what happens there: the daemon dies (``kill9``), an operation fails (``ENOSPC``,
``EIO``), or time stands still while another process is killed. Whatever it was: nothing is violated afterwards, a
second reconcile finds nothing, and the same push works.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import state
from tests.e2e.recovery import Visitor, changed_by_reconcile, ended, reconcile, start_push
from tests.e2e.world import Repo, World, listens, until
from tests.faults import oracle
from tests.fixtures import apps

STEPS = ("R1", "R2", "K1", "B1", "B2", "Y1", "K2", "T1", "C1", "C2", "C3", "S1", "S2", "S3", "S4", "U1", "G1", "G2",
         "D1", "D2", "D3", "P1")
EDGES = ("before", "after")
OF_THE_PUSH = ("ssh", "hook", "receive-pack")            # gone when the push has its verdict
FAULTS = ("kill9", "kill9 twice", "ENOSPC", "EIO", *OF_THE_PUSH, "proxy", "app", "service")
BREAKS_SERVICE = ("proxy", "app")                        # I1 does not hold while that is dead
REACHED, RECOVERED = 60.0, 60.0                          # seconds that the harness waits
SECRET = "canary-5d41402abc4b2a76b9719d911017c592"


@dataclass(frozen=True)
class Case:
    point: str
    fault: str

    def __str__(self) -> str:
        return f"{self.point} {self.fault}"


@dataclass(frozen=True)
class Outcome:
    case: Case
    violations: tuple[str, ...]
    seconds: float                       # from the fault until nothing was violated any more


def all_cases() -> Iterator[Case]:
    verdict = STEPS.index("S4")
    for fault in FAULTS:
        for number, step in enumerate(STEPS):
            for edge in EDGES:
                over = number > verdict and (step, edge) != ("G1", "before")
                if not (fault in OF_THE_PUSH and over):
                    yield Case(f"{step}.{edge}", fault)


class Lab:
    """A world with one app that has all a deploy can meet: a release task, a secret, stored files, a linked service."""

    def __init__(self) -> None:
        self.world = World.open()
        self.place = state.place(self.world)
        self.gate = self.world.root / "gate"
        self.number = 0
        try:
            self.repo = self._app()
            self.told = oracle.Told(volumes=set(oracle.volumes(self.place)), files=self._stored(), secrets=(SECRET,))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.world.close()

    def _app(self) -> Repo:
        repo = self.world.app_repo({**apps.with_worker("r0"), "Procfile": "web: httpd -f -p $PORT -h /app/www\n"
                                                                          "release: true\n"})
        self.world.paas("apps:create", repo.app, check=True)
        self.world.paas("config:set", repo.app, f"TOKEN={SECRET}", check=True)
        self.world.paas("storage:mount", repo.app, "uploads:/uploads", check=True)
        self.world.paas("storage:mount", repo.app, f"{self.place.state}/storage/files:/files", check=True)
        self.world.paas("redis:create", "cache", check=True)
        repo.push()
        self.world.paas("redis:link", "cache", repo.app, check=True)
        return repo

    def _stored(self) -> dict[Path, str]:
        """A user's file on the app's storage."""
        kept = self.place.state / "storage" / "files" / "kept"
        kept.write_text("a user's data")
        return {kept: oracle.digest_of(kept)}

    # one case --------------------------------------------------------------------------------------------------------

    def run(self, case: Case) -> Outcome:
        self.number += 1
        token, before = f"r{self.number}", self.serving()
        self.repo.commit({oracle.TOKEN: token})
        with Visitor(self.world, self.repo.host) as visitor:
            with self.ordered(case):
                push = start_push(self.repo)
                begin = self.inject(case, push)
                output = ended(push)
            found = list(self.recover())
            seconds = time.monotonic() - begin
        found += [] if case.fault in BREAKS_SERVICE else oracle.silent(visitor.seen, {before, token})
        found += self.verdict(push, output, token)
        found += self.again(token)
        return Outcome(case, tuple(found), seconds)

    def serving(self) -> str:
        return oracle.ask(self.place, self.repo.host)

    @contextmanager
    def ordered(self, case: Case) -> Iterator[None]:
        self.gate.touch()
        self.world.failpoints(*orders(case, self.gate))
        try:
            yield
        finally:
            self.gate.unlink(missing_ok=True)
            self.world.failpoints()
            Path(f"{self.gate}.reached").unlink(missing_ok=True)

    def inject(self, case: Case, push: subprocess.Popen) -> float:
        """Until the fault has happened; when that was."""
        if case.fault.startswith("kill9"):
            until(lambda: not self.world.daemon.running, "the daemon dies", REACHED)
            begin = time.monotonic()
            if "twice" in case.fault:
                self.world.daemon.start()
                until(lambda: not self.world.daemon.running or self.nothing_to_repair(), "it dies again, or is done")
            return begin
        if case.fault in ("ENOSPC", "EIO"):
            until(lambda: not self.orders_left(), f"{case} is reached", REACHED)
            return time.monotonic()
        until(Path(f"{self.gate}.reached").exists, f"{case} is reached", REACHED)
        begin = time.monotonic()
        self.victims()[case.fault](push)
        self.gate.unlink()
        if not self.world.proxy.running:
            self.world.proxy.start()
            until(lambda: listens(self.world.settings.http_port), "Caddy listens")
        return begin

    def nothing_to_repair(self) -> bool:
        return "Nothing to repair." in self.world.local("reconcile").output

    def orders_left(self) -> str:
        return (self.world.root / "etc" / "failpoints").read_text()

    def victims(self) -> dict[str, Callable[[subprocess.Popen], None]]:
        return {
            "ssh": lambda push: os.killpg(push.pid, signal.SIGKILL),
            "hook": lambda push: self.kill_process("hooks/pre-receive"),
            "receive-pack": lambda push: self.kill_process("git receive-pack", "git-receive-pack"),
            "proxy": lambda push: self.world.proxy.stop(signal.SIGKILL),
            "app": lambda push: self.kill_container("paas.app-name", self.repo.app),
            "service": lambda push: self.kill_container("paas.kind", "service"),
        }

    def kill_process(self, *words: str) -> None:
        """The one of this world's pushes: by the directory in which it works."""
        repos, found = str(self.place.state / "repos"), []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                said = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                where = f"{os.readlink(entry / 'cwd')} {said}"
            except OSError:
                continue
            if repos in where and any(word in said for word in words):
                found.append(int(entry.name))
        assert found, f"there is no process {words[0]}"
        for pid in found:
            os.kill(pid, signal.SIGKILL)

    def kill_container(self, label: str, value: str) -> None:
        """As a crash would: by its first process, so that the restart policy holds."""
        for one in self.world.containers():
            if one["Config"]["Labels"].get(label) == value and one["State"]["Running"]:
                os.kill(one["State"]["Pid"], signal.SIGKILL)
                return
        raise AssertionError(f"no container with {label}={value} runs")

    # what must hold afterwards ---------------------------------------------------------------------------------------

    def recover(self) -> Iterator[str]:
        """What systemd does, then reconcile, until nothing is violated; a further one finds nothing (I8)."""
        if not self.world.daemon.running:
            self.world.start_daemon()
        found, _ = oracle.until_none(self.place, self.told, RECOVERED, lambda: reconcile(self.world))
        yield from found
        yield from (f"I8: a second reconcile changes {line}" for line in changed_by_reconcile(self.world))

    def verdict(self, push: subprocess.Popen, output: str, token: str) -> Iterator[str]:
        """What the client was told is what is: a push that was accepted is live, and stays in the database (I3)."""
        head = self.repo.git("rev-parse", "HEAD").stdout.strip()
        for version in re.findall(r"Live: v(\d+)", output):
            self.told.live.add((self.repo.app, int(version), head))
        if push.returncode == 0 and self.serving() != token:
            yield f"I3: the push of {token} was accepted and {self.serving()} serves"
        if "Traceback" in output:
            yield "the pusher saw a traceback"

    def again(self, token: str) -> Iterator[str]:
        """The same push works, also where it was accepted: no lock is left (I10)."""
        pushed = self.repo.push(check=False)
        if pushed.returncode:
            yield f"I10: the same push again fails: {pushed.output.strip()[-300:]}"
        elif self.serving() != token:
            yield f"I2: after the same push again {self.serving()} serves, not {token}"
        found, _ = oracle.until_none(self.place, self.told, RECOVERED)
        yield from found


def orders(case: Case, gate: Path) -> list[str]:
    match case.fault:
        case "kill9":
            return [f"{case.point}=kill9"]
        case "kill9 twice":                              # the second time in the recovery from the first
            return [f"{case.point}=kill9", "reconcile.after=kill9"]
        case "ENOSPC" | "EIO":
            return [f"{case.point}=raise:{case.fault}"]
    return [f"{case.point}=pause:{gate}"]
