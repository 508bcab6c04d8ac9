"""Requests to apps that sleep: one start for all, whose host, scanners and probes, failures. Over fakes."""

import threading

import pytest

from paas.errors import StateError
from paas.model.incident import Kind
from paas.model.release import InstanceState
from paas.ops import autosleep
from paas.ops.waker import WAITING_MOST, Waker
from paas.ports import Answer
from paas.ports_sleep import Knock, Verdict
from tests.flow import cron_world
from tests.flow.sleep_world import HOST, asleep, maintained, put_to_sleep


class Caller:
    def __init__(self, waker):
        self.waker, self.said, self.changed = waker, [], threading.Condition()

    def knock(self, path="/", agent="Mozilla/5.0", host=HOST):
        self.waker.knock(Knock(host, path, agent), self.tell)

    def tell(self, verdict):
        with self.changed:
            self.said.append(verdict)
            self.changed.notify_all()

    def wait(self, number):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.said) >= number, 20), self.said
        return self.said


@pytest.fixture
def caller(awake):
    waker = Waker(awake.rt)
    yield Caller(waker)
    waker.end()


def settled(flow):
    """The flight has been recorded, too."""
    cron_world.wait_until(lambda: any(one.verb == "wake" for one in flow.rt.store.events()))


def test_all_who_ask_at_once_are_answered_by_one_start(awake, caller):
    awake.rt.store.add_domain(awake.app().id, "*.example.net")
    put_to_sleep(awake)
    go = threading.Event()
    get = awake.prober.get

    def slow(*words):
        assert go.wait(20)
        return get(*words)

    awake.prober.get = slow
    for number in range(500):
        caller.knock(host=(HOST, HOST.upper(), f"{number % 5}.example.net")[number % 3])
    assert caller.said == []
    go.set()
    [target] = {one.target for one in caller.wait(500)}
    assert target == awake.router.pointed(awake.app().id)[0]
    settled(awake)
    assert awake.faults.calls.count("containers.start") == 1
    assert not asleep(awake)


def test_those_beyond_the_limit_are_told_to_come_later(awake, caller):
    put_to_sleep(awake)
    go, get = threading.Event(), awake.prober.get
    awake.prober.get = lambda *words: go.wait(20) and get(*words)
    for _ in range(WAITING_MOST + 7):
        caller.knock()
    assert caller.wait(7) == [Verdict(status=503)] * 7
    go.set()
    caller.wait(WAITING_MOST + 7)
    assert sum(bool(one.target) for one in caller.said) == WAITING_MOST


@pytest.mark.parametrize("refused", ["waker-look", "waker_"])
def test_where_no_thread_is_left_they_are_told_to_come_later(awake, caller, monkeypatch, refused):
    put_to_sleep(awake)
    start, refusing = threading.Thread.start, [True]

    def refuse(thread):
        if refusing and thread.name.startswith(refused):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    caller.knock(), caller.knock()
    assert caller.wait(2) == [Verdict(status=503)] * 2
    refusing.clear()
    caller.knock()
    assert caller.wait(3)[2].target
    settled(awake)
    assert not asleep(awake)


def test_a_database_that_fails_meanwhile_keeps_nobody_waiting(awake, caller):
    put_to_sleep(awake)
    caller.knock()
    caller.wait(1)
    settled(awake)
    put_to_sleep(awake)
    owner, asked = caller.waker.owner, []

    def fails(host):
        asked.append(host)
        if len(asked) > 1:
            raise StateError("the database is locked")
        return owner(host)

    caller.waker.owner = fails
    caller.knock()
    assert caller.wait(2)[1] == Verdict(status=503)


@pytest.mark.parametrize(("path", "agent", "status"), [
    ("/.env", "curl/8", 404), ("/.git/config?x=1", "curl/8", 404), ("/wp-login.php", "curl/8", 404),
    ("/index.PHP", "curl/8", 404), ("/.well-known/acme-challenge/abc", "curl/8", 404),
    ("/", "kube-probe/1.29", 503), ("/health", "Mozilla/5.0+(compatible; UptimeRobot/2.0)", 503),
    ("/", "paas-check", 503), ("/.env", "GoogleHC/1.0", 503)])
def test_scanners_and_probes_do_not_wake_it(awake, caller, path, agent, status):
    put_to_sleep(awake)
    caller.knock(path, agent)
    assert caller.wait(1) == [Verdict(status=status)]
    assert asleep(awake)
    assert "containers.start" not in awake.faults.calls


def test_an_app_in_php_is_asked_for_php(awake, caller):
    commit = awake.commit({"index.php": b"<?php"})
    assert awake.push(commit) == 0
    awake.settle()
    put_to_sleep(awake)
    caller.knock("/.env")
    assert caller.wait(1) == [Verdict(status=404)]
    caller.knock("/wp-login.php")
    assert caller.wait(2)[1].target
    assert not asleep(awake)


def test_what_does_not_wake_it_can_be_chosen(awake, caller):
    autosleep.set_rule(awake.rt, awake.app(), "ignore-paths", "/quiet/*")
    autosleep.set_rule(awake.rt, awake.app(), "ignore-agents", "none")
    put_to_sleep(awake)
    caller.knock("/quiet/one", "UptimeRobot")
    assert caller.wait(1) == [Verdict(status=404)]
    caller.knock("/.env", "UptimeRobot")
    assert caller.wait(2)[1].target


def test_a_host_of_nobody_and_one_that_is_awake(awake, caller):
    caller.knock(host="other.example.com")
    assert caller.wait(1) == [Verdict(status=404)]
    caller.knock()
    assert caller.wait(2)[1].target == awake.router.pointed(awake.app().id)[0]
    assert "containers.start" not in awake.faults.calls


def test_a_host_that_goes_to_another_app_meanwhile_is_not_sent_here(awake, caller):
    awake.rt.store.add_domain(awake.app().id, "www.example.org")
    put_to_sleep(awake)
    get = awake.prober.get

    def moving(*words):
        awake.rt.store.remove_domain(awake.app().id, "www.example.org")
        awake.rt.store.add_domain(awake.app("other").id, "www.example.org")
        awake.prober.get = get
        return get(*words)

    awake.prober.get = moving
    caller.knock(host="www.example.org")
    assert caller.wait(1) == [Verdict(status=503)]


def test_a_start_that_fails_is_tried_again_later(awake, caller):
    put_to_sleep(awake)
    awake.prober.default = Answer(500)
    caller.knock()
    assert caller.wait(1) == [Verdict(status=503)]
    settled(awake)
    [event] = [one for one in awake.rt.store.events() if one.verb == "wake"]
    assert event.result == "failed"
    assert "not ready" in event.detail["reason"]
    assert [(one.kind, one.object) for one in awake.rt.store.incidents(open_only=True, limit=9)] == [
        (Kind.APP_DOWN, "hello")]
    awake.prober.default = Answer(200)
    tried = awake.faults.calls.count("containers.start")
    caller.knock()                               # too early
    assert caller.wait(2)[1] == Verdict(status=503)
    assert awake.faults.calls.count("containers.start") == tried
    awake.clock.passed += 1
    caller.knock()
    assert caller.wait(3)[2].target
    cron_world.wait_until(lambda: awake.rt.store.incidents(open_only=True, limit=9) == [])


def test_a_daemon_that_stops_gives_up_what_is_on_its_way(awake, caller):
    put_to_sleep(awake)
    awake.prober.default = Answer(503)
    awake.clock.sleep = lambda seconds: threading.Event().wait(0.001)        # an app that takes for ever
    awake.prober.asked.clear()
    caller.knock()
    cron_world.wait_until(lambda: awake.prober.asked)
    caller.waker.end()
    assert caller.wait(1) == [Verdict(status=503)]
    assert asleep(awake)
    assert [one for one in awake.rt.store.events() if one.verb == "wake"] == []


def test_a_page_in_its_place_is_no_target(awake, caller):
    put_to_sleep(awake)
    maintained(awake)
    caller.knock()
    assert caller.wait(1)[0] == Verdict(status=503)


def test_a_request_during_a_deploy_waits_for_it(awake, caller):
    """Its turn is taken; the deploy has found it asleep and could not wake it."""
    put_to_sleep(awake)
    turn = awake.rt.jobs.try_turn(awake.app().id, "a deploy")
    begun = threading.Event()
    sleeping = awake.clock.sleep
    awake.clock.sleep = lambda seconds: (begun.set(), sleeping(0.001), threading.Event().wait(0.001))
    caller.knock()
    assert begun.wait(20)
    assert caller.said == []
    awake.rt.jobs.leave(turn)
    assert caller.wait(1)[0].target
    assert [one.state for one in awake.rt.store.instances(awake.app().id)] == [InstanceState.HEALTHY]
