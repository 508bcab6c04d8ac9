"""logs --search and --grep: what is found, in which order, and what a hostile pattern can do."""

import json
import threading
import time

import pytest

from paas.adapters import confined
from paas.adapters.patterns import ChildPatterns
from paas.errors import BadInput
from paas.ops import log_search, logs
from paas.ops.log_search import Search
from paas.ops.logs import Wanted

EVIL = "(a+)+$"
LONG = b"a" * 60 + b"!"


def say(desk, name, *texts):
    row = next(row for row in desk.flow.rt.store.instances(1) if row.name == name)
    for text in texts:
        desk.flow.containers.say(row.container_id, text)


def test_lines_of_all_instances_come_in_order_of_time(pair):
    say(pair, "web.1", "GET /a", "GET /b")
    say(pair, "worker.1", "job a")
    say(pair, "web.1", "GET /a again")
    said = pair.ok("logs hello --search a")
    assert said.text == "web.1 | GET /a\nworker.1 | job a\nweb.1    | GET /a again\n"
    assert "Searched 4 lines" in said.stderr
    assert "of web.1, worker.1: 3 found." in said.stderr
    assert pair.ok("logs hello --search A").text == ""
    assert pair.ok("logs hello --search JOB -i").text == "worker.1 | job a\n"
    assert pair.ok("logs hello --search a -p worker").text == "worker.1 | job a\n"
    assert pair.ok("--quiet logs hello --search job").all == "job a\n"


def test_plain_text_is_no_pattern(pair):
    say(pair, "web.1", "a.c", "abc", EVIL)
    assert pair.ok("logs hello --search a.c").text == "web.1 | a.c\n"
    assert pair.ok("logs hello --grep a.c").text == "web.1 | a.c\nweb.1 | abc\n"
    assert pair.ok(["logs", "hello", "--search", EVIL]).text == f"web.1 | {EVIL}\n"
    (line,) = pair.ok(["logs", "hello", "--grep", "^AB", "-i", "--format", "json"]).text.splitlines()
    assert json.loads(line)["text"] == "abc"


def test_only_the_newest_bytes_of_each_instance(pair):
    say(pair, "web.1", *(f"line {number:04}" for number in range(1000)))
    found = pair.ok("logs hello --search line --last 10k").text.splitlines()
    assert found[-1] == "web.1 | line 0999"
    assert 10 * 1024 / 60 < len(found) < 10 * 1024 / 30
    assert len(pair.ok("logs hello --search line").text.splitlines()) == 1000


def test_words_that_do_not_go_together(pair):
    assert pair.run("logs hello --search a --grep b").code == 2
    assert pair.run("logs hello --search a -t").code == 2
    assert pair.run("logs hello --search a --last much").code == 3
    assert "missing" in pair.run(["logs", "hello", "--grep", "(a"]).stderr
    assert pair.run(["logs", "hello", "--grep", "a" * 2000]).code == 3


def test_pages_are_all_that_is_held(pair):
    say(pair, "web.1", "x" * (log_search.LINE_LIMIT + 1000), *("y" * 100_000 for _ in range(40)))
    rt = pair.flow.rt
    lines = list(log_search.search(rt, rt.store.app("hello"), Wanted(), Search(text="x")))
    assert [len(line.text) for line in lines] == [log_search.LINE_LIMIT]
    all_lines = logs.stored(rt, rt.store.app("hello"), Wanted())
    assert max(sum(len(line.text) for line in page) for page in log_search.pages(iter(all_lines))) < 1_200_000


def test_a_pattern_that_takes_for_ever_is_stopped_and_holds_nobody_up(monkeypatch):
    """Python's matcher cannot be stopped inside this process, and would hold up every thread of it."""
    monkeypatch.setattr(confined, "CPU_SECONDS", 1)
    beats = []
    stop = threading.Event()

    def beat():
        while not stop.wait(0.01):
            beats.append(time.monotonic())

    other = threading.Thread(target=beat)
    other.start()
    try:
        with ChildPatterns().tried(EVIL, False) as tried, pytest.raises(BadInput, match="processor time"):
            tried.on([b"short", LONG])
    finally:
        stop.set()
        other.join()
    assert len(beats) > 10


def test_a_pattern_that_takes_all_memory_is_stopped():
    with pytest.raises(BadInput), ChildPatterns().tried("(" * 400 + "a" + "){50}" * 60 + ")" * 340, False) as tried:
        tried.on([b"a" * 1000])
