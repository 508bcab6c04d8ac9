"""The universal post-conditions UP1 to UP7 of every attack, as a context: ``with unharmed(world, victim, others):``.

UP1 no canary. UP2 a refusal is short, non-zero and without a trace. UP3 the state is as it was. UP4 the other apps
answer all the time. UP5 the trail is whole and escaped. UP6 the next valid command works. UP7 nothing is left.
"""

import contextlib
import json
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e import state
from tests.e2e.world import Repo, Result, World, run, until

TRACES = ("Traceback", 'File "/', "sqlalchemy", "SELECT ", "internal error", "/site-packages/", "/var/lib/paas")


@dataclass
class Attack:
    """What an attack may use: a payload whose running would be noticed, and the key that attacks."""

    world: World
    key: Path | None = None
    mark: str = field(default_factory=lambda: f"paas-canary-{secrets.token_hex(4)}")

    @property
    def payload(self) -> str:
        return f"touch /tmp/{self.mark} /run/{self.mark} {self.mark}"

    def paas(self, *words: str, **given) -> Result:
        return self.world.paas(*words, key=self.key, **given)

    def refused(self, said: Result, *codes: int) -> Result:
        """UP2."""
        assert said.returncode in (codes or (1, 2, 3, 4, 5, 6, 20)), said.output
        assert not [trace for trace in TRACES if trace in said.output], said.output
        assert str(self.world.root / "state") not in said.output
        assert "\x1b" not in said.stderr
        return said


@contextlib.contextmanager
def unharmed(world: World, victim: Repo, bystanders: list[Repo], *, key: Path | None = None,
             events: int | None = None, unchanged: bool = True) -> Iterator[Attack]:
    """Run an attack by *key* and look after it. *events*: how many lines of the trail it makes, if that is known;
    *unchanged*: False where the attack includes something allowed, like a push."""
    state.come_to_rest(world)
    attack = Attack(world, key)
    before, trail = state.fingerprint(world), newest(world)
    with probing(world, bystanders) as failures:
        yield attack
    assert canaries(world, attack.mark) == []                                             # UP1
    if unchanged:
        assert state.difference(before, state.fingerprint(world)) == []                   # UP3
    assert failures == [], failures                                                       # UP4
    noted = [row for row in state.query(world, "select * from events where id > ?", trail)
             if row["verb"] not in ("reconcile",)]
    for row in noted:                                                                     # UP5
        json.loads(row["detail"])
        assert not re.search(r"[\x00-\x1f\x7f]", "".join(str(value) for value in row.values())), row
    if events is not None:
        assert len(noted) == events, noted
    assert attack.paas("help").returncode == 0                                            # UP6
    assert world.paas("apps:exists", victim.app).returncode == 0
    until(lambda: left_over(world) == [], f"nothing is left: {left_over(world)}")         # UP7


def newest(world: World) -> int:
    return state.query(world, "select coalesce(max(id), 0) as id from events")[0]["id"]


def canaries(world: World, mark: str) -> list[Path]:
    places = [Path("/tmp"), Path("/run"), Path("/"), Path("/root"), Path.cwd(), *world.root.rglob("*")]
    found = [place for place in places if place.is_dir() and (place / mark).exists()]
    for container in world.containers():
        if run(["docker", "exec", container["Id"], "test", "-e", f"/tmp/{mark}"]).returncode == 0:
            found.append(Path(container["Name"]))
    return found


def left_over(world: World) -> list[str]:
    rows = {f"{world.settings.prefix}-{part}" for part in ("build", "run")}
    strays = [one["Name"] for one in world.containers() if any(row in one["Name"] for row in rows)]
    return state.strange_processes(world) + [str(path) for path in state.quarantines(world)] + strays


@contextlib.contextmanager
def probing(world: World, repos: list[Repo]) -> Iterator[list[str]]:
    """Ask the apps of *repos* fifty times a second; what did not answer with 200."""
    failures: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02 * max(1, len(repos))):
            for repo in repos:
                try:
                    status = world.get(repo.host).status
                except OSError as error:
                    status = str(error)
                if status != 200:
                    failures.append(f"{repo.app}: {status}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield failures
    finally:
        over.set()
        thread.join(30)
