"""Is an app reachable? Checks through the proxy, by a clock that the test moves."""

from dataclasses import replace

import pytest

from paas.errors import StateError
from paas.model.incident import Kind
from paas.model.uptime import SLOT_SECONDS, Checks
from paas.ops import apps, maintenance, ps, settings, uptime
from paas.ops.uptime import Monitor
from paas.ports import Page, ProxyAnswer
from paas.ports_watch import Happening
from tests.flow.over_fakes import ALICE


class Visits:
    """What the app answers, and what it was asked."""

    def __init__(self, clock):
        self.status, self.seconds, self.dead, self.paths, self.clock = 200, 0.0, False, [], clock

    def __call__(self, target, host, path):
        self.paths.append(path)
        self.clock.passed += self.seconds
        if self.dead:
            raise ConnectionError
        return ProxyAnswer(self.status, target)


@pytest.fixture
def up(flow):
    """An app that is reachable; the grace after the start is over."""
    flow.deploy()
    flow.visits = flow.router.answers = Visits(flow.clock)
    pass_seconds(flow, uptime.GRACE_SECONDS)
    flow.visits.paths.clear()
    return flow


def pass_seconds(flow, seconds):
    for _ in range(int(seconds)):
        uptime.tick(flow.rt)
        flow.clock.passed += 1


def seen(flow):
    """Oldest first: (object, over)."""
    return [(one.object, one.closed_at is not None)
            for one in flow.rt.store.incidents(kinds=(Kind.APP_DOWN,))[::-1]]


def stored(flow):
    return flow.rt.store.uptime(0, flow.app().id)


def day(flow):
    return uptime.report(flow.rt, flow.app())[0]


def test_an_app_that_answers_is_up(up):
    pass_seconds(up, 60)
    assert (len(up.visits.paths), seen(up)) == (6, [])
    assert (day(up).availability, uptime.state_of(up.rt, up.app())) == (100.0, "up")


def test_two_failures_in_a_row_are_an_incident_and_one_answer_ends_it(up):
    pass_seconds(up, 10)
    up.visits.dead = True
    began = up.clock.passed
    while not seen(up):
        pass_seconds(up, 1)
    assert up.clock.passed - began <= 20
    assert up.rt.store.incidents()[0].what == "hello is down: it answers 502 for /, twice in a row"
    pass_seconds(up, 120)
    assert seen(up) == [("hello", False)]
    up.visits.dead = False
    pass_seconds(up, 11)
    assert seen(up) == [("hello", True)]


def test_a_container_that_ends_is_not_waited_for(up):
    pass_seconds(up, 11)
    up.visits.dead, began = True, up.clock.passed
    (row,) = up.rt.store.instances(up.app().id)
    up.rt.happenings.note(Happening("die", row.container_id, up.clock.now()))
    pass_seconds(up, 6)
    assert seen(up) == [("hello", False)]
    asked = len(up.visits.paths)
    pass_seconds(up, 9)
    assert len(up.visits.paths) <= asked + 1               # and then in its own time again
    assert up.clock.passed - began < 20


def test_one_failure_is_none(up):
    up.visits.dead = True
    pass_seconds(up, 1)
    up.visits.dead = False
    pass_seconds(up, 100)
    assert seen(up) == []
    assert day(up).failures == 1


def test_an_app_that_gives_no_answer_is_told_within_half_a_minute(up):
    pass_seconds(up, 1)                                    # it was just checked: the worst moment
    up.visits.seconds, up.visits.status = 5.0, 503         # as long as the time-out
    began = up.clock.now()
    pass_seconds(up, 40)
    assert (up.rt.store.incidents()[0].opened_at - began).total_seconds() < 29


@pytest.mark.parametrize("stop", ["stopped", "maintenance", "asleep", "disabled", "off", "unset", "scaled"])
def test_what_nobody_expects_to_be_reachable_is_not_down(up, stop):
    if stop == "stopped":
        ps.stop(up.rt, up.app(), ALICE, lambda line: None)
    elif stop == "maintenance":
        maintenance.turn(up.rt, up.app(), True)
    elif stop == "asleep":
        up.rt.store.update_app(up.app().id, asleep=True)
    elif stop == "disabled":
        settings.set_app(up.rt, up.app(), "uptime", "enabled", "false")
    elif stop == "off":
        up.rt.store.set_setting("uptime-interval", "0")
    elif stop == "scaled":
        up.router.point(up.app().id, Page.STOPPED)
    else:
        for domain in up.rt.store.domains(up.app().id):
            up.rt.store.remove_domain(up.app().id, domain.name)
    up.visits.dead = True
    pass_seconds(up, 60)
    assert (up.visits.paths, seen(up)) == ([], [])
    assert uptime.state_of(up.rt, up.app()) == "not checked"


def test_an_app_without_a_release_is_not_down(flow):
    flow.app()
    pass_seconds(flow, 120)
    assert seen(flow) == []


def test_a_down_app_that_is_stopped_is_not_down_any_more(up):
    up.visits.dead = True
    pass_seconds(up, 30)
    ps.stop(up.rt, up.app(), ALICE, lambda line: None)
    pass_seconds(up, 11)
    assert seen(up) == [("hello", True)]


def test_one_that_is_put_into_maintenance_during_the_check_did_not_fail(up):
    def dies(target, host, path):
        up.rt.store.update_app(up.app().id, maintenance=True)
        raise ConnectionError
    up.router.answers = dies
    before = day(up)
    pass_seconds(up, 30)
    assert (seen(up), day(up)) == ([], before)


def test_an_incident_survives_the_daemon(up):
    up.visits.dead = True
    pass_seconds(up, 30)
    up.rt = replace(up.rt, monitor=Monitor())
    pass_seconds(up, 60)
    assert seen(up) == [("hello", False)]
    up.visits.dead = False
    pass_seconds(up, 11)
    assert seen(up) == [("hello", True)]


def test_nothing_is_checked_right_after_the_start(up):
    up.rt = replace(up.rt, monitor=Monitor())
    pass_seconds(up, uptime.GRACE_SECONDS)
    assert up.visits.paths == []


def test_a_dead_proxy_is_no_failure_of_each_app_but_their_time_counts(up):
    pass_seconds(up, 10)
    up.router.up = False
    pass_seconds(up, 60)
    assert seen(up) == []
    assert day(up).failures >= 5


def test_path_status_interval(up):
    for key, value in (("path", "/healthz"), ("status", "200-299"), ("interval", "30")):
        settings.set_app(up.rt, up.app(), "uptime", key, value)
    pass_seconds(up, 20)
    up.visits.paths.clear()
    pass_seconds(up, 300)
    assert up.visits.paths == ["/healthz"] * 10
    up.visits.status = 404
    pass_seconds(up, 60)
    assert seen(up) == [("hello", False)]


@pytest.mark.parametrize(("status", "down"), [(404, False), (401, False), (302, False), (500, True), (503, True)])
def test_what_the_app_itself_answers_below_500_is_up(up, status, down):
    up.visits.status = status
    pass_seconds(up, 30)
    assert bool(seen(up)) is down


def test_checks_are_stored_and_added_up(up):
    up.visits.seconds = 0.03
    before = day(up).checks
    pass_seconds(up, 300)
    kept = stored(up)
    assert sum(one.checks for one in kept) > 20          # what came since the last minute waits in memory
    assert day(up).checks > before + 25
    up.rt = replace(up.rt, monitor=Monitor())
    found = day(up)
    assert found.checks == sum(one.checks for one in kept)
    assert 0.025 <= found.p50 <= 0.05
    assert found.availability == 100.0


def test_day_week_month_and_what_is_older(up):
    now, app = uptime.slot_now(up.rt), up.app().id
    for days, failures in ((0, 1), (2, 2), (10, 3), (40, 4)):
        up.rt.store.add_uptime([Checks(app, now - days * 86400 // SLOT_SECONDS, 10, failures)])
    up.rt.monitor.samples.clear()
    assert [(one.span, one.checks, one.failures) for one in uptime.report(up.rt, up.app())] == [
        ("day", 10, 1), ("week", 20, 3), ("month", 30, 6)]
    assert uptime.overview(up.rt, [up.app()]) == [(up.app(), "not known yet", [90.0, 85.0, 80.0])]
    assert len(stored(up)) == 4
    pass_seconds(up, 120)
    assert min(one.slot for one in stored(up)) > now - 32 * 86400 // SLOT_SECONDS


def test_an_app_that_goes_while_it_is_checked(up):
    def goes(target, host, path):
        if up.rt.store.find_app("hello"):
            apps.rename(up.rt, up.app(), "other")
        raise ConnectionError
    up.router.answers = goes
    pass_seconds(up, 30)
    assert [one for one, over in seen(up) if one == "hello"] == []
    up.rt.store.delete_app(up.app("other").id)
    pass_seconds(up, 90)
    assert (up.rt.store.uptime_totals(0), up.rt.monitor.probes) == ({}, {})


def test_not_more_at_once_than_allowed(up):
    waiting = []
    up.rt = replace(up.rt, spawn=waiting.append, monitor=Monitor())
    for number in range(uptime.AT_ONCE + 5):
        up.app(f"a{number}")
    up.rt.monitor.began = -100.0
    uptime.tick(up.rt), uptime.tick(up.rt)
    assert len(waiting) == uptime.AT_ONCE
    for work in list(waiting):
        work()
    uptime.tick(up.rt)
    assert len(waiting) == uptime.AT_ONCE + 6


def test_a_page_of_the_platforms_own_is_not_the_app(up):
    up.router.answers = lambda target, host, path: ProxyAnswer(404, "")
    pass_seconds(up, 30)
    assert seen(up) == [("hello", False)]


def test_a_check_that_cannot_begin_is_made_again(up, monkeypatch):
    def fails(rt, app):
        raise StateError("the database is locked")

    with monkeypatch.context() as locked:
        locked.setattr(uptime, "interval_of", fails)
        pass_seconds(up, 20)
    assert not up.visits.paths
    pass_seconds(up, 20)
    assert up.visits.paths
