"""What every EngineEvents does, fake and real."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from paas.adapters.docker_containers import DockerContainers
from paas.adapters.docker_events import DockerEvents, happening
from paas.errors import EngineError
from paas.testing.fake_events import FakeEngineEvents
from tests.contract.container_rig import Rig, until
from tests.contract.docker_lab import SOCKET

GREEDY = ("dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1")


class Follower:
    """Collects what a stream tells, in a thread of its own."""

    def __init__(self, events, since=None) -> None:
        self.events, self.since, self.seen, self.error = events, since, [], None
        self.watched, self.asked = True, threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self):
        self.thread.start()
        assert self.asked.wait(20)       # it is connected: what happens from here on is told
        return self

    def __exit__(self, *_):
        self.watched = False
        self.thread.join(20)
        assert not self.thread.is_alive(), "it goes on although nobody watches"

    def _follow(self) -> None:
        try:
            for one in self.events.follow(self.since, self._watching):
                self.seen.append(one)
        except EngineError as error:
            self.error = error

    def _watching(self) -> bool:
        self.asked.set()
        return self.watched

    def of(self, container: str) -> list[tuple[str, int | None]]:
        return [(one.kind, one.exit_code) for one in self.seen if one.container_id == container]


@pytest.fixture
def events(rig, request):
    if isinstance(rig, Rig) and request.node.callspec.params["rig"] == "real":
        return DockerEvents(SOCKET, request.getfixturevalue("lab").server)
    return FakeEngineEvents(rig.containers)


def test_starts_and_ends_are_told_as_they_come(rig, events):
    with Follower(events) as follower:
        made = rig.run("dies", labels={"kind": "dies", "paas.instance": "7"})
        rig.containers.wait(made)
        until(lambda: len(follower.of(made)) == 2, "both are told")
    assert follower.of(made) == [("start", None), ("die", 3)]
    start, end = [one for one in follower.seen if one.container_id == made]
    assert start.at < end.at
    assert start.at.tzinfo is not None
    assert end.labels["paas.instance"] == "7"


def test_what_was_missed_is_told_first(rig, events):
    made = rig.run("silent")
    with Follower(events) as follower:
        rig.containers.kill(made, "SIGKILL")
        until(lambda: follower.of(made), "the end is told")
    end = follower.seen[-1].at
    rig.containers.start(made)
    rig.containers.kill(made, "SIGKILL")
    rig.containers.wait(made)
    with Follower(events, since=end) as later:
        until(lambda: len(later.of(made)) == 2, "what was missed is told")
    assert later.of(made) == [("start", None), ("die", 137)]


@pytest.mark.docker
def test_containers_of_others_are_not_told(real, lab):
    stranger = DockerContainers(SOCKET, lab.server + "x", "ct")
    with Follower(DockerEvents(SOCKET, lab.server)) as follower:
        theirs = stranger.create(real.spec("silent", "theirs"))
        try:
            stranger.start(theirs)
            ours = real.run("silent")
            until(lambda: follower.of(ours), "our start is told")
        finally:
            stranger.remove(theirs)
    assert not follower.of(theirs)


@pytest.mark.docker
def test_one_that_needs_too_much_memory_is_told(real, lab):
    """Not every engine tells the kill as such (the event "oom"); the end with 137 always comes."""
    with Follower(DockerEvents(SOCKET, lab.server)) as follower:
        made = real.containers.create(replace(real.spec("silent", memory=16 * 1024**2), command=GREEDY))
        real.containers.start(made)
        real.containers.wait(made)
        until(lambda: ("die", 137) in follower.of(made), "the end is told")


def test_an_oom_kill_as_engines_write_it():
    told = {"Action": "oom", "Type": "container", "timeNano": 1767225600123456789,
            "Actor": {"ID": "c" * 64, "Attributes": {"image": "x", "name": "n", "paas.instance": "7"}}}
    found = happening(told)
    assert (found.kind, found.exit_code, dict(found.labels)) == ("oom", None, {"paas.instance": "7"})
    assert found.at.isoformat() == "2026-01-01T00:00:00.123456+00:00"


@pytest.mark.docker
def test_an_engine_that_is_not_there_is_named(tmp_path):
    with pytest.raises(EngineError, match="does not answer"):
        next(DockerEvents(tmp_path / "none.sock", "x").follow(None, lambda: True))
