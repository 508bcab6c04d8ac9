"""The daemon killed at each step of a deploy (X04): what serves meanwhile, and what a restart makes of it. What holds
afterwards is judged by ``state.faults``, which reads the parts themselves."""

import contextlib
import threading
import time
from pathlib import Path

from tests.e2e import state
from tests.e2e.recovery import Visitor, ended, newest, newest_live, reconcile, settle, start_push, starting
from tests.e2e.world import World, run, until
from tests.fixtures import apps

# 200 for the check itself; a request that came through the proxy takes a while.
HOLDS = 'if [ -n "$HTTP_X_FORWARDED_FOR" ]; then sleep 4; fi\nprintf "\\r\\n"; cat /app/www/index.html\n'


def cut(world: World, repo, when, what: str) -> tuple[str, list[str]]:
    """Push, SIGKILL the daemon once *when* holds, start it again; what the pusher and a visitor saw."""
    with Visitor(world, repo.host) as visitor:
        push = start_push(repo)
        until(when, what)
        world.kill_daemon()
        output = ended(push)
        assert push.returncode != 0
        assert "connection to paasd was lost" in output
        world.start_daemon()
        settle(world)
    return output, visitor.seen


def test_killed_during_a_build(mine):
    repo = mine.app_repo(apps.web("one"))
    repo.push()
    repo.commit({**apps.web("two"), "Dockerfile": "FROM busybox:latest\nRUN sleep 30\nCOPY www /www\n"
                                                  "CMD exec httpd -f -p $PORT -h /www\n"})
    _, seen = cut(mine, repo, lambda: newest(mine, "builds", repo.app)["state"] == "building", "the build runs")
    assert set(seen) == {"one"}
    build = newest(mine, "builds", repo.app)
    assert (build["state"], "interrupted" in build["reason"]) == ("failed", True)
    repo.commit(apps.web("three"))
    repo.push()
    assert mine.get(repo.host).text == "three"
    settle(mine)


def test_killed_during_the_check(mine):
    repo = mine.app_repo(apps.web("one"))
    repo.push()
    repo.commit(apps.slow_start(30, "two"))
    _, seen = cut(mine, repo, lambda: starting(mine, repo), "an instance starts")
    assert set(seen) == {"one"}
    release = newest(mine, "releases", repo.app)
    assert (release["version"], release["state"]) == (2, "failed")
    assert "interrupted" in release["failure"]
    assert len(mine.containers(repo.app)) == 1
    repo.commit(apps.web("three"))
    repo.push()
    assert mine.get(repo.host).text == "three"


def test_killed_after_the_switch_before_the_commit(mine):
    """The proxy was turned, the database not yet: the new release is live in the end, and never none."""
    repo = mine.app_repo(apps.cgi(HOLDS, "one"))
    mine.paas("apps:create", repo.app, check=True)
    mine.paas("checks:set", repo.app, "path", "/cgi-bin/run", check=True)
    repo.push()
    repo.commit(apps.page("two"))
    _, seen = cut(mine, repo, lambda: mine.get(repo.host).text.strip() == "two", "the proxy is turned")
    assert set(seen) == {"one", "two"}
    assert seen.index("two") == seen.count("one")
    release = newest(mine, "releases", repo.app)
    assert (release["version"], release["state"]) == (2, "live")
    assert mine.get(repo.host).text.strip() == "two"
    assert "Everything up-to-date" in repo.push().output


def test_killed_during_the_drain(mine):
    """The push has its verdict; the old instance has a request in flight, which ends as it should."""
    repo = mine.app_repo(apps.cgi("touch /tmp/asked; sleep 4; printf '\\r\\nslow %s\\n' one\n", "one"))
    repo.push()
    old = mine.containers(repo.app)[0]
    answers: list[str] = []
    request = threading.Thread(target=lambda: answers.append(mine.get(repo.host, "/cgi-bin/run").text.strip()))
    request.start()
    until(lambda: run(["docker", "exec", old["Id"], "test", "-e", "/tmp/asked"]).returncode == 0, "the request arrived")
    repo.commit(apps.page("two"))
    repo.push()
    mine.kill_daemon()
    assert newest(mine, "releases", repo.app)["state"] == "live"
    assert [row for row in state.query(mine, "select * from instances where state = 'draining'")]
    mine.start_daemon()
    reconcile(mine)
    request.join()
    assert answers == ["slow one"]
    settle(mine)
    assert mine.get(repo.host).text == "two"
    assert old["Id"] not in [one["Id"] for one in mine.containers(repo.app)]


def test_killed_at_any_moment(mine):
    """X04: a kill every 90 ms further into a deploy; whatever it hit, the state is whole and the next push works."""
    repo = mine.app_repo(apps.web("start"))
    repo.push()
    with Visitor(mine, repo.host) as visitor:
        for step in range(9):
            repo.commit(apps.page(f"step {step}"))
            push = start_push(repo)
            until(lambda: any(b"git" in words and b"receive-pack" in words for words in commands()), "the push arrives")
            time.sleep(step * 0.09)
            mine.kill_daemon()
            ended(push)
            mine.start_daemon()
            settle(mine)
            served = mine.get(repo.host).text
            live = newest_live(mine, repo.app)
            assert repo.git("show", f"{live}:www/index.html").stdout == served
            if push.returncode == 0:
                assert served == f"step {step}"
    known = {"start", *(f"step {step}" for step in range(9))}
    assert set(visitor.seen) <= known
    repo.commit(apps.page("end"))
    repo.push()
    assert mine.get(repo.host).text == "end"
    settle(mine)


def commands() -> list[bytes]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(entry.read_bytes())
    return found
