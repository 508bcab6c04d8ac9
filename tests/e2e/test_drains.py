"""Logs of real instances: searched, and sent to drains that are there, that are not, and that come back."""

from collections.abc import Iterator

import pytest

from tests.e2e.world import Repo, World, free_port, run, until
from tests.fixtures import apps, log_servers

SAYS = "#!/bin/sh\necho release {0} began\ni=0\nwhile [ $i -lt 3000 ]; do i=$((i+1)); echo {0} line $i; done\n" \
       "echo {0} oops >&2\nexec httpd -f -p $PORT -h /app/www\n"


@pytest.fixture(scope="module")
def mine() -> Iterator[World]:
    made = World.open()
    yield made
    made.close()


def talking(text: str) -> dict[str, str]:
    return {**apps.web(text), "Dockerfile": "FROM busybox:latest\nWORKDIR /app\nCOPY . .\nRUN chmod +x says\n",
            "Procfile": "web: ./says\n", "says": SAYS.format(text)}


@pytest.fixture(scope="module")
def repo(mine) -> Repo:
    made = mine.app_repo(talking("one"))
    made.push()
    return made


def test_search_over_a_real_instance(mine, repo):
    found = mine.paas("logs", repo.app, "--search", "line 29", check=True)
    lines = found.stdout.splitlines()
    assert lines[0] == "web.1 | one line 29"
    assert len(lines) == 111             # 29, 290 to 299, 2900 to 2999
    assert "of web.1: 111 found." in found.stderr
    assert mine.paas("logs", repo.app, "--grep", "o{2}ps$", check=True).stdout == "web.1 | one oops\n"
    wrong = mine.paas("logs", repo.app, "--grep", "(")
    assert (wrong.returncode, "Traceback" in wrong.output) == (3, False)


def test_drains_that_are_down_hold_up_nobody(mine, repo):
    """A closed port, and one whose receiver takes nothing: the app deploys and serves, `logs` shows its lines."""
    with log_servers.http_server() as there:
        closed = f"syslog+tcp://127.0.0.1:{free_port()}"
        mine.local("logs:drain", repo.app, closed, check=True)
        mine.local("logs:drain", repo.app, f"http://127.0.0.1:{there.port}/key0123456789abc/", "--headers",
                   input="Authorization: Bearer topsecret\n", check=True)
        mine.local("logs:drain-global", "https://logs.invalid/loki/api/v1/push", "--format", "loki", check=True)
        repo.commit(talking("two"))
        repo.push()
        assert mine.get(repo.host).text == "two"
        until(lambda: "two line 3000" in there and "two oops" in there, "the new release's lines are in the drain")
        messages = [one["message"] for one in there.objects if one["message"].startswith("two line")]
        assert messages == [f"two line {number}" for number in range(1, 3001)]
        assert "one line" not in there   # from before the drain
        assert "two oops\n" in mine.paas("logs", repo.app, "--search", "two oops", check=True).stdout
        rows = {row["to"]: row for row in mine.paas("logs:drains", repo.app, "--format", "json", check=True).json}
        assert rows[closed]["state"] == "failing"
        assert rows["https://logs.invalid/loki/api/v1/push"]["state"] == "failing"
        (taken,) = [row for row in rows.values() if row["sent"]]
        assert (taken["state"], taken["dropped"], "key0…" in taken["to"]) == ("ok", 0, True)
        lines_after_a_restart(mine, repo, there)
    said = mine.local("events", "--format", "json", check=True).stdout + mine.daemon.tail(1000)
    assert "topsecret" not in said
    assert "key0123456789abc" not in said


def lines_after_a_restart(mine, repo, there):
    """What a release says while the daemon is away, and after."""
    mine.kill_daemon()
    (container,) = mine.containers(repo.app)
    run(["docker", "exec", container["Id"], "sh", "-c", "echo said while it was away > /proc/1/fd/1"], check=True)
    mine.start_daemon()
    until(lambda: "said while it was away" in there, "lines from the time without a daemon come")


def test_a_drain_is_removed(mine, repo):
    for row in mine.local("logs:drains", "--format", "json", check=True).json:
        mine.local("logs:drain-remove", str(row["id"]), check=True)
    assert mine.local("logs:drains", "--format", "json", check=True).json == []
    assert mine.local("logs:drain-remove", "1").returncode == 20
