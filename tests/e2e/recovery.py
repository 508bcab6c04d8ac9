"""For the tests of recovery: pushes that are cut, visitors meanwhile, and when everything counts as mended."""

import subprocess
import threading
import time

from tests.e2e import state
from tests.e2e.world import Repo, World, until
from tests.fixtures import apps


def reconcile(world: World, *words: str) -> str:
    return world.local("reconcile", *words, check=True).output


def settle(world: World) -> None:
    """Everything is as it should be, and a further run finds nothing (I8)."""
    seen: list[str] = []

    def whole() -> bool:
        reconcile(world)
        seen[:] = state.faults(world)
        return not seen

    try:
        until(whole, "nothing is at fault any more")
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen}\n{world.daemon.tail()}") from None
    until(lambda: "Nothing to repair." in reconcile(world), "a second run finds nothing", 10)
    assert changed_by_reconcile(world) == []


def changed_by_reconcile(world: World) -> list[str]:
    """What a reconcile that should find nothing says and changes. Looked at again, because the daemon prunes images at
    the same time: when it has just started, and at the end of a deploy."""
    found: list[str] = []
    for attempt in range(4):
        before = state.fingerprint(world)
        said = reconcile(world)
        repairs = [] if "Nothing to repair." in said else [said.strip()]
        found = repairs + state.difference(before, state.fingerprint(world))
        if not found or (repairs and attempt):
            break
    return found


def start_push(repo) -> subprocess.Popen:
    argv = ["git", "push", repo.world.remote(repo.app), "HEAD:refs/heads/main"]
    return subprocess.Popen(argv, cwd=repo.path, env=repo.world.git_environment(), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, start_new_session=True)


def ended(push: subprocess.Popen) -> str:
    """The pusher comes to its end by itself; what it was told."""
    output = push.communicate(timeout=60)[0].decode()
    assert "Traceback" not in output
    return output


def newest(world: World, table: str, app: str) -> dict:
    rows = state.query(world, f"select t.* from {table} t join apps a on a.id = t.app_id where a.name = ? "
                              "order by t.id desc limit 1", app)
    return rows[0] if rows else {"state": "", "id": 0}


def starting(world: World, repo) -> bool:
    rows = state.query(world, "select i.* from instances i join apps a on a.id = i.app_id where a.name = ? "
                              "and i.state = 'starting' and i.container_id != ''", repo.app)
    return bool(rows) and state.inspect(rows[0]["container_id"]).get("State", {}).get("Running", False)


class Visitor:
    """Asks an app again and again, strictly: every answer is kept, a reset is an answer too."""

    def __init__(self, world: World, host: str) -> None:
        self.world, self.host, self.seen = world, host, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Visitor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self.world.get(self.host)
                self.seen.append(answer.text.strip() if answer.status == 200 else f"status {answer.status}")
            except OSError as error:
                self.seen.append(repr(error))
            time.sleep(0.03)


def newest_live(world: World, app: str) -> str:
    return state.query(world, "select r.\"commit\" from releases r join apps a on a.id = r.app_id "
                              "where a.name = ? and r.state = 'live'", app)[0]["commit"]


def make_pair(world: World) -> list[Repo]:
    """Two apps, so that one can be mistaken for the other."""
    repos = [world.app_repo(apps.with_worker("first")), world.app_repo(apps.web("second"))]
    for repo in repos:
        repo.push()
    world.paas("ps:scale", repos[0].app, "web=2", "worker=1", check=True)
    return repos


def serve_their_own(world: World, pair: list[Repo]) -> None:
    for repo, text in zip(pair, ("first", "second"), strict=True):
        assert {world.get(repo.host).text for _ in range(13)} == {text}
