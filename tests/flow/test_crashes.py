"""Instances that die outside of a window: incidents, over fakes."""

import pytest

from paas.jobs import Job
from paas.model.incident import Kind
from paas.ops import crashes, ps
from tests.flow.over_fakes import ALICE
from tests.flow.watch_world import deploy, die, healthy, incidents, pass_time


def test_three_deaths_within_a_minute_are_a_crash_loop_until_it_has_been_up_for_one(watched):
    pass_time(watched, 60)
    one = healthy(watched)[0]
    for _ in range(2):
        die(watched, one, 3)
        watched.clock.passed += 5
    assert incidents(watched, Kind.CRASH_LOOP) == []
    die(watched, one, 3)
    die(watched, one, 3)
    assert incidents(watched, Kind.CRASH_LOOP) == [
        (Kind.CRASH_LOOP, "web.1 of hello (v2) died 3 times within a minute (exit code 3)")]
    crashes.tick(watched.rt)
    assert watched.rt.store.incidents(open_only=True)
    watched.clock.passed += 61
    crashes.tick(watched.rt)
    assert not watched.rt.store.incidents(open_only=True)


def test_deaths_that_lie_apart_are_no_loop(watched):
    pass_time(watched, 60)
    for _ in range(5):
        die(watched, healthy(watched)[0])
        watched.clock.passed += 40
    assert incidents(watched, Kind.CRASH_LOOP) == []


def test_another_release_ends_the_incident(watched):
    pass_time(watched, 60)
    die(watched, healthy(watched)[0], 137, oom=True)
    assert incidents(watched, Kind.OUT_OF_MEMORY) == [
        (Kind.OUT_OF_MEMORY, "web.1 of hello (v2) ran out of memory and was killed")]
    deploy(watched)
    assert not watched.rt.store.incidents(open_only=True)


def test_what_ends_while_a_deploy_runs_may_have_been_told_to(watched):
    pass_time(watched, 60)
    with watched.rt.jobs.turn(watched.app().id, "a rolling deploy"):
        die(watched, healthy(watched)[0], 0, again=False)
    assert incidents(watched, Kind.CRASH_LOOP) == []
    watched.containers.start(healthy(watched)[0].container_id)
    die(watched, healthy(watched)[0], 0, again=False)
    assert incidents(watched, Kind.CRASH_LOOP) == [
        (Kind.CRASH_LOOP, "web.1 of hello (v2) ended (exit code 0) and is not started again by its restart policy")]


@pytest.mark.parametrize(("code", "oom", "kind"), [(0, False, Kind.CRASH_LOOP), (137, True, Kind.OUT_OF_MEMORY)])
def test_what_ends_in_a_turn_of_reconcile_ended_by_itself_whatever_waits(watched, code, oom, kind):
    pass_time(watched, 60)
    jobs, app_id, one = watched.rt.jobs, watched.app().id, healthy(watched)[0]
    turn = jobs.try_turn(app_id, "reconcile", housekeeping=True)
    waits = jobs.submit(Job(app_id, "a push"), lambda job: None)
    watched.containers.crash(one.container_id, code, oom=oom)
    for event in watched.containers.happenings:
        if event.kind == "die":          # that it was for want of memory says its state alone
            crashes.happened(watched.rt, event)
    jobs.leave(turn)
    assert waits.wait(5)
    assert [found for found, _ in incidents(watched, kind)] == [kind]


def test_what_ends_because_it_was_told_to_opens_nothing(watched):
    ps.stop(watched.rt, watched.app(), ALICE, watched.lines.append)
    for one in watched.containers.happenings:
        crashes.happened(watched.rt, one)
    assert incidents(watched, Kind.CRASH_LOOP, Kind.OUT_OF_MEMORY) == []
