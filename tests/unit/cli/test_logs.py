"""logs: merged, escaped, followed over a deploy."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from paas import cli
from paas.errors import BadInput
from paas.ops import logs
from tests.unit.cli.desk import Screen


def container(desk, name):
    return next(row.container_id for row in desk.flow.rt.store.instances(1) if row.name == name)


def say(desk, name, *texts):
    for text in texts:
        desk.flow.containers.say(container(desk, name), text)


def test_lines_are_merged_in_order_of_time(pair):
    say(pair, "web.1", "one")
    say(pair, "worker.1", "two")
    say(pair, "web.1", "three")
    assert pair.ok("logs hello").text == "web.1 | one\nworker.1 | two\nweb.1    | three\n"
    assert pair.ok("--quiet logs hello").text == "one\ntwo\nthree\n"


def test_last_lines_of_each_and_one_process_only(pair):
    say(pair, "web.1", "one", "two")
    say(pair, "worker.1", "three", "four")
    assert pair.ok("logs hello -n 1").text == "web.1 | two\nworker.1 | four\n"
    assert pair.ok("logs hello -p worker --num 1").text == "worker.1 | four\n"
    assert pair.ok("logs hello -p web.1").text == "web.1 | one\nweb.1 | two\n"
    assert pair.ok("logs hello -p web.9").text == ""
    assert "It has: web, worker." in pair.run("logs hello -p nope").stderr


def test_logs_of_a_stopped_container(pair):
    say(pair, "web.1", "last words")
    pair.flow.containers.crash(container(pair, "web.1"), 1)
    assert pair.ok("logs hello").text == "web.1 | last words\n"


def test_control_characters_are_escaped_unless_raw(pair):
    say(pair, "web.1", "a\x1b]52;c;x\x07b\x1b[31mred")
    assert pair.ok("logs hello").text == "web.1 | a\\x1b]52;c;x\\x07bred\n"
    assert pair.ok("logs hello --raw").stdout == b"web.1 | a\x1b]52;c;x\x07b\x1b[31mred\n"
    (line,) = pair.ok("logs hello --format json").text.splitlines()
    assert json.loads(line)["text"] == "a\x1b]52;c;x\x07b\x1b[31mred"


def test_timestamps(pair):
    say(pair, "web.1", "one")
    at = pair.flow.containers.logs(container(pair, "web.1")).__next__().at
    assert pair.ok("logs hello --timestamps").text == f"{at:%Y-%m-%dT%H:%M:%S}.000Z web.1 | one\n"


def test_since(pair):
    say(pair, "web.1", "one", "two")
    first, second = pair.flow.containers.logs(container(pair, "web.1"))
    assert pair.ok(f"logs hello --since {second.at.isoformat()}").text == "web.1 | two\n"
    assert pair.run("logs hello --since yesterday").code == 3


def test_parse_since():
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert logs.parse_since("10m", now) == now - timedelta(minutes=10)
    assert logs.parse_since("2d", now) == now - timedelta(days=2)
    assert logs.parse_since("2026-01-01T00:00:00Z", now) == datetime(2026, 1, 1, tzinfo=UTC)
    assert logs.parse_since("2026-01-01T02:00:00+02:00", now) == datetime(2026, 1, 1, tzinfo=UTC)
    assert logs.parse_since("2026-01-01", now) == datetime(2026, 1, 1, tzinfo=UTC)
    for bad in ("", "10", "m", "-1m", "10y"):
        with pytest.raises(BadInput):
            logs.parse_since(bad, now)


class Watching:
    """`logs -t` in a thread of its own."""

    def __init__(self, desk, line: str) -> None:
        self.screen = Screen()
        self.thread = threading.Thread(target=cli.dispatch, args=(desk.flow.rt, self.screen, desk.actor, line.split()))
        self.thread.start()

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + 20
        while text.encode() not in self.screen.stdout:
            assert time.monotonic() < until, self.screen.stdout
            time.sleep(0.02)

    def leave(self) -> None:
        self.screen.alive = False
        self.thread.join(20)
        assert not self.thread.is_alive()


def eventually(true) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("option", ["-t", "--tail", "-f", "--follow"])
def test_following_shows_new_lines_until_the_caller_goes(pair, option):
    say(pair, "worker.1", "old")
    watching = Watching(pair, f"logs hello {option}")
    watching.wait_for("worker.1 | old")
    say(pair, "web.1", "new")
    watching.wait_for("web.1    | new")
    watching.leave()
    assert watching.screen.stdout == b"worker.1 | old\nweb.1    | new\n"


def test_following_goes_on_with_the_next_release(pair):
    watching = Watching(pair, "logs hello -t -n 0")
    pair.flow.deploy("two")
    say(pair, "web.1", "hello from v2")
    watching.wait_for("web.1 | hello from v2")
    watching.leave()
    assert not [thread for thread in threading.enumerate() if thread.name == "logs" and thread.is_alive()
                and not thread.join(5) and thread.is_alive()]


@pytest.mark.parametrize("option", ["-n 0", "-n 9"])
def test_following_goes_on_when_a_container_runs_again(pair, option):
    """As after a sleep of the app, or a restart of the engine: it is the same container."""
    say(pair, "web.1", "of long ago")
    watching = Watching(pair, f"logs hello -t {option} -p web")
    eventually(lambda: [one for one in threading.enumerate() if one.name == "logs"])
    say(pair, "web.1", "before")
    watching.wait_for("before")
    for word in ("first", "second"):
        pair.flow.containers.crash(container(pair, "web.1"), 0)
        eventually(lambda: not [one for one in threading.enumerate() if one.name == "logs"])
        pair.flow.containers.start(container(pair, "web.1"))
        say(pair, "web.1", f"the {word} time")
        watching.wait_for(f"the {word} time")
    watching.leave()
    said = ["of long ago"] * (option == "-n 9") + ["before", "the first time", "the second time"]
    assert watching.screen.stdout.decode().splitlines() == [f"web.1 | {one}" for one in said]


def test_a_slow_reader_holds_the_streams_up_and_loses_nothing(pair, monkeypatch):
    monkeypatch.setattr(logs, "BACKLOG", 3)
    say(pair, "web.1", *(f"line {number}" for number in range(50)))
    watching = Watching(pair, "logs hello -t -n 50")
    watching.wait_for("line 49")
    watching.leave()
    assert watching.screen.stdout.decode().splitlines() == [f"web.1 | line {number}" for number in range(50)]
