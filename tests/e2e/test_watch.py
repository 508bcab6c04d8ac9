"""A deploy is not over at the switch: a release that does badly in its first minute goes, and no visitor notices more
than the release itself does to them. docs/watch.md"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e import state
from tests.e2e.recovery import Visitor, ended, reconcile, settle, start_push
from tests.e2e.world import Repo, World, run, until
from tests.fixtures import apps

pytestmark = pytest.mark.e2e

LONG = "300"                             # seconds: the tests end the window themselves, or it ends by a breach
RECEIPT = re.compile(r"Switched: 0 of [1-9]\d* requests failed, slowest \d+ ms, drained 1 in \d")


@pytest.fixture(scope="module")
def watching(mine) -> World:
    mine.local("server:set", "watch-seconds", LONG, check=True)
    return mine


def pushed(world: World, files: apps.Files) -> Repo:
    """An app whose first release serves."""
    repo = world.app_repo(files)
    repo.push()
    return repo


def worker_that(lines: str) -> apps.Files:
    """The web process is well; the worker does *lines* when it is told to, and each time it is started after that."""
    waits = "while [ ! -e /tmp/told ]; do sleep 0.1; done\n"
    return {"worker": f"echo about to fall\n{waits}{lines}\n", "www/index.html": "two"}


def tell(world: World, app: str, kind: str) -> str:
    """The one that serves; its container."""
    made = container(world, app, "healthy", kind)
    run(["docker", "exec", made, "touch", "/tmp/told"], check=True)
    return made


def with_worker(world: World, *settings: str) -> Repo:
    repo = pushed(world, apps.with_worker())
    world.paas("ps:scale", repo.app, "worker=1", check=True)
    if settings:
        world.paas(*settings, repo.app, check=True)
    return repo


def container(world: World, app: str, condition: str, kind: str = "web") -> str:
    rows = state.query(world, "select i.container_id from instances i join apps a on a.id = i.app_id "
                              f"where a.name = ? and i.process_type = '{kind}' and i.state = '{condition}'", app)
    return rows[0]["container_id"] if rows else ""


def live(world: World, app: str) -> dict:
    return state.query(world, "select r.* from releases r join apps a on a.id = r.app_id "
                              "where a.name = ? and r.state = 'live'", app)[0]


def windows(world: World, app: str) -> list[dict]:
    return world.paas("watch", app, "--format", "json", check=True).json["windows"]


@contextmanager
def nobody_notices(world: World, repo: Repo, *texts: str) -> Iterator[None]:
    with Visitor(world, repo.host) as visitor:
        yield
    assert set(visitor.seen) <= set(texts), visitor.seen
    assert visitor.seen


def comes_back(world: World, repo: Repo, warm: str, reason: str) -> None:
    """The release before serves again, by the very container that it had, and the trail says why."""
    until(lambda: live(world, repo.app)["reason"].startswith("rollback to "), "it is rolled back", 60)
    assert reason in live(world, repo.app)["reason"]
    until(lambda: container(world, repo.app, "healthy") == warm, "the warm container serves")
    assert world.get(repo.host).text.strip() == "one"
    assert (windows(world, repo.app)[0]["outcome"], reason in windows(world, repo.app)[0]["reason"]) == (
        "rolled-back", True)
    until(lambda: "rolled-back" in world.local("events", "--app", repo.app, check=True).output, "the trail says it")
    until(lambda: reconcile(world) and not state.unsettled(world), "the platform comes to rest")


def test_a_release_that_does_well_stays_and_the_old_container_goes_at_the_end(watching):
    repo = pushed(watching, apps.web())
    watching.paas("watch:set", repo.app, "seconds", "4", check=True)
    with nobody_notices(watching, repo, "one", "two"):
        repo.commit(apps.page("two"))
        told = repo.push().output
        assert RECEIPT.search(told), told
        assert "Watching v2 for 4 s; v1 comes back if it does badly" in told
        assert "Live: v2" in told
        until(lambda: windows(watching, repo.app)[0]["outcome"] == "good", "the window ends", 60)
        until(lambda: len(watching.containers(repo.app)) == 1, "the old container goes", 60)
    assert live(watching, repo.app)["version"] == 2
    settle(watching)


def test_a_crash_loop_is_rolled_back_and_a_push_that_waits_is_refused(watching):
    repo = with_worker(watching)
    watching.paas("watch:set", repo.app, "wait", "true", check=True)
    before = container(watching, repo.app, "healthy")
    repo.commit(worker_that("exit 3"))
    with nobody_notices(watching, repo, "one", "two"):
        push = start_push(repo)
        until(lambda: live(watching, repo.app)["version"] == 3, "it is live", 60)
        tell(watching, repo.app, "worker")
        output = ended(push)
        comes_back(watching, repo, before, "worker.1 died ")
    assert push.returncode != 0
    assert re.search(r"was rolled back to v2: worker\.1 died [2-9] times \(exit code 3\)", output), output
    assert "about to fall" in output
    assert "Live: v3" not in output
    assert repo.git("ls-remote", watching.remote(repo.app), "refs/heads/main").stdout.split()[0] == \
        live(watching, repo.app)["commit"]
    repo.commit({"worker": "exec sleep 3600\n"})
    watching.paas("watch:set", repo.app, "seconds", "0", check=True)
    repo.push()                                               # the fix is a plain push upon the refused one
    assert live(watching, repo.app)["version"] == 5


@contextmanager
def asked(world: World, host: str) -> Iterator[list[int]]:
    """Several visitors who ask the app's program again and again; the statuses they got."""
    stop, seen = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            seen.append(world.get(host, "/cgi-bin/run").status)
            time.sleep(0.02)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(("worse", "statuses", "reason"), [
    (("500 Oops", ""), {200, 500}, "requests were answered with 5xx"),
    (("200 OK", "sleep 0.8\n"), {200}, "95 % of the requests took up to"),
])
def test_answers_that_are_worse_than_before_are_rolled_back(watching, worse, statuses, reason):
    def answer(status: str, first: str = "") -> str:
        return f"{first}printf 'Status: {status}\\r\\nContent-Type: text/plain\\r\\n\\r\\nseen\\n'\n"

    repo = pushed(watching, apps.cgi(answer("200 OK")))
    warm = container(watching, repo.app, "healthy")
    repo.commit(apps.cgi(f"if [ -e /tmp/told ]; then\n{answer(*worse)}else\n{answer('200 OK')}fi\n"))
    with asked(watching, repo.host) as seen, nobody_notices(watching, repo, "one"):
        until(lambda: len(seen) > 100, "the release before is known")
        repo.push()
        tell(watching, repo.app, "web")
        comes_back(watching, repo, warm, reason)
    assert set(seen) == statuses


def test_a_lack_of_memory_is_rolled_back_although_the_daemon_dies_meanwhile(watching):
    repo = with_worker(watching)
    watching.paas("resource:limit", "--memory", "32m", "--process-type", "worker", repo.app, check=True)
    warm = container(watching, repo.app, "healthy")
    repo.commit(worker_that("exec dd if=/dev/zero of=/dev/null bs=256M count=1"))
    with nobody_notices(watching, repo, "one", "two"):
        repo.push()
        assert container(watching, repo.app, "warm") == warm
        watching.kill_daemon()
        worker = tell(watching, repo.app, "worker")
        until(lambda: state.inspect(worker)["RestartCount"] >= 2, "it died twice while nobody looked", 60)
        watching.start_daemon()
        comes_back(watching, repo, warm, "worker.1 ")


def test_a_crash_loop_outside_of_a_window_is_an_incident_until_another_release_serves(watching):
    repo = with_worker(watching)
    watching.paas("watch:set", repo.app, "seconds", "0", check=True)

    def crash_loop(ended: bool) -> bool:
        found = [one for one in watching.local("incidents", "--format", "json", check=True).json
                 if (one["kind"], one["object"]) == ("crash-loop", repo.app)]
        return bool(found) and bool(found[0]["closed_at"]) == ended

    repo.commit(worker_that("exit 3"))
    repo.push()
    tell(watching, repo.app, "worker")
    until(lambda: crash_loop(ended=False), "the incident opens", 90)
    repo.commit({"worker": "exec sleep 3600\n"})
    repo.push()
    until(lambda: crash_loop(ended=True), "the incident closes", 60)
    assert watching.get(repo.host).text == "two"


def test_a_rollback_in_the_window_takes_the_container_that_is_still_warm(watching):
    repo = pushed(watching, apps.web())
    warm = container(watching, repo.app, "healthy")
    with nobody_notices(watching, repo, "one", "two"):
        repo.commit(apps.page("two"))
        repo.push()
        assert watching.get(repo.host).text == "two"
        told = watching.paas("rollback", repo.app, check=True).output
        assert "Starting" not in told
        assert container(watching, repo.app, "healthy") == warm
        assert watching.get(repo.host).text == "one"
    state.come_to_rest(watching)
    assert len(watching.containers(repo.app)) == 1
    assert windows(watching, repo.app)[0]["outcome"] == "rolled-back"
    assert "Watching" not in told


def test_a_daemon_that_dies_in_the_window_leaves_nothing_behind(watching):
    repo = pushed(watching, apps.web())
    repo.commit(apps.page("two"))
    repo.push()
    watching.kill_daemon()
    assert len(watching.containers(repo.app)) == 2
    state.alter(watching, "update watches set ends_at = began_at where ended_at is null")
    with nobody_notices(watching, repo, "two"):
        watching.start_daemon()
        until(lambda: len(watching.containers(repo.app)) == 1, "the old container goes", 60)
    settle(watching)
