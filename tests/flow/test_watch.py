"""A deploy is not over at the switch: the window in which a release is watched, over fakes."""

import threading
from dataclasses import replace

import pytest

from paas.model.incident import Kind
from paas.model.release import InstanceState, ReleaseState
from paas.model.watch import Outcome
from paas.ops import config, ps, releases, watch
from paas.ops.reconcile import reconcile
from paas.ports import ProxyAnswer
from tests.flow.over_fakes import ALICE, Lines
from tests.flow.watch_world import (
    PLENTY,
    WORKER,
    Host,
    deploy,
    die,
    events,
    healthy,
    incidents,
    live,
    pass_time,
    rows,
    there,
    version,
    windows,
)

# --- the window --------------------------------------------------------------------------------------------------


def test_a_first_release_has_nothing_to_go_back_to(flow):
    flow.rt.store.set_setting("watch-seconds", None)
    deploy(flow)
    assert windows(flow) == []


def test_the_old_web_instances_stay_warm_until_the_window_closes(watched):
    assert there(watched) == [("web.1", "healthy", 2), ("web.1", "warm", 1)]
    assert watched.router.pointed(watched.app().id) == (healthy(watched)[0].target,)
    assert len(watched.containers.running()) == 2
    one = watched.rt.store.watches(watched.app().id)[0]
    assert (one.ends_at - one.began_at).total_seconds() == 60
    pass_time(watched, (one.ends_at - watched.clock.now()).total_seconds() - 0.001)
    assert len(rows(watched)) == 2
    pass_time(watched, 0.002)
    assert there(watched) == [("web.1", "healthy", 2)]
    assert len(watched.containers.running()) == 1
    assert windows(watched) == [(2, Outcome.GOOD, "")]


def test_workers_of_the_old_release_do_not_stay(flow):
    flow.rt.store.set_setting("watch-seconds", "60")
    flow.rt = replace(flow.rt, host=Host(PLENTY))
    deploy(flow, WORKER)
    ps.scale(flow.rt, flow.app(), ALICE, {"beat": 1}, flow.lines.append)
    deploy(flow, WORKER)
    assert there(flow) == [("beat.1", "healthy", 3), ("web.1", "healthy", 3), ("web.1", "warm", 2)]


@pytest.mark.parametrize("setting", [("watch.keep-warm", "false"), ("strategy.web", "rolling"),
                                     ("strategy.web", "stop-first")])
def test_what_does_not_stay_warm_is_watched_all_the_same(watched, setting):
    watched.rt.store.set_app_setting(watched.app().id, *setting)
    deploy(watched)
    assert there(watched) == [("web.1", "healthy", 3)]
    assert windows(watched)[-1] == (3, Outcome.OPEN, "")


def test_where_memory_is_short_nothing_stays_warm(watched):
    watched.rt.host.free = 300 * 1024**2         # 256 MiB are to stay free, and the fake uses 50 MB
    deploy(watched)
    assert there(watched) == [("web.1", "healthy", 3)]


@pytest.mark.parametrize("turn_off", [
    lambda flow: flow.rt.store.set_setting("watch-seconds", "0"),
    lambda flow: flow.rt.store.set_app_setting(flow.app().id, "watch.seconds", "0"),
])
def test_no_window_no_warm_instances(watched, turn_off):
    turn_off(watched)
    deploy(watched)
    assert there(watched) == [("web.1", "healthy", 3)]
    assert windows(watched) == [(2, Outcome.CUT_SHORT, "")]


def test_the_pusher_is_told_that_it_is_watched_and_the_last_line_stays_the_url(watched):
    told = [line for line in watched.lines if "Watching v2 for 60 s; v1 comes back" in line]
    assert len(told) == 1
    assert watched.lines[-1].endswith("v2 http://hello.apps.example.com")
    assert watched.lines.index(told[0]) < len(watched.lines) - 2


# --- what ends it early ------------------------------------------------------------------------------------------

ENDINGS = {
    "deploy": deploy,
    "scale": lambda flow: ps.scale(flow.rt, flow.app(), ALICE, {"web": 2}, flow.lines.append),
    "restart": lambda flow: ps.restart(flow.rt, flow.app(), ALICE, "", flow.lines.append),
    "restart of web": lambda flow: ps.restart(flow.rt, flow.app(), ALICE, "web", flow.lines.append),
    "stop": lambda flow: ps.stop(flow.rt, flow.app(), ALICE, flow.lines.append),
    "config": lambda flow: config.set_vars(flow.rt, flow.app(), ALICE, {"A": "b"}, restart=True,
                                           say=flow.lines.append),
}


@pytest.mark.parametrize("what", ENDINGS)
def test_what_a_person_does_ends_it_early(watched, what):
    ENDINGS[what](watched)
    watched.settle()
    assert windows(watched)[0] == (2, Outcome.CUT_SHORT, "")
    assert not [row for row in rows(watched) if version(watched, row) == 1]
    if what in ("deploy", "config"):
        assert there(watched) == [("web.1", "healthy", 3), ("web.1", "warm", 2)]
    else:
        assert len(windows(watched)) == 1                     # the same code: nothing to watch
        assert not rows(watched, InstanceState.WARM)


def test_a_deploy_that_fails_leaves_no_warm_instance_behind(watched):
    watched.router.answers = lambda target, host, path: ProxyAnswer(503, "10.9.9.9:1")
    assert deploy(watched) != 0
    assert there(watched) == [("web.1", "healthy", 2)]


def test_a_push_that_is_refused_does_not_end_it(watched):
    assert watched.push(watched.commit({"Procfile": b"nonsense"})) != 0
    watched.settle()
    assert windows(watched) == [(2, Outcome.OPEN, "")]
    assert rows(watched, InstanceState.WARM)


# --- going back --------------------------------------------------------------------------------------------------


def test_two_deaths_of_an_instance_bring_the_release_before_back_with_its_warm_instance(watched):
    old = rows(watched, InstanceState.WARM)[0]
    new = healthy(watched)[0]
    die(watched, new, 3)
    pass_time(watched, 1)
    assert live(watched).version == 2                         # once may happen
    die(watched, new, 3)
    pass_time(watched, 1)
    assert live(watched).version == 3
    assert live(watched).reason == "rollback to v1: web.1 died 2 times (exit code 3)"
    assert [(row.id, row.container_id, row.state) for row in rows(watched)] == [
        (old.id, old.container_id, InstanceState.HEALTHY)]
    assert watched.router.pointed(watched.app().id) == (old.target,)
    assert windows(watched) == [(2, Outcome.ROLLED_BACK, "web.1 died 2 times (exit code 3)")]
    told = events(watched, "rolled-back")[0]
    assert told.actor.startswith("paas")
    assert told.detail["from"] == "v2"
    assert told.detail["as"] == "v3"
    assert incidents(watched, Kind.ROLLED_BACK) == [
        (Kind.ROLLED_BACK, "v2 of hello was rolled back to v1: web.1 died 2 times (exit code 3)")]


def test_a_release_that_was_rolled_back_to_is_not_rolled_back(watched):
    for _ in range(2):
        die(watched, healthy(watched)[0])
    pass_time(watched, 1)
    assert live(watched).version == 3
    for _ in range(4):
        die(watched, healthy(watched)[0])
        pass_time(watched, 1)
    assert live(watched).version == 3
    assert len(windows(watched)) == 1


def test_the_next_push_is_watched_against_what_came_back(watched):
    for _ in range(2):
        die(watched, healthy(watched)[0])
    pass_time(watched, 1)
    watched.tips[watched.app().id, "main"] = watched.rt.repos.ref(watched.app().id, "main")
    assert deploy(watched) == 0, watched.lines.text
    assert windows(watched)[-1] == (4, Outcome.OPEN, "")
    assert there(watched) == [("web.1", "healthy", 4), ("web.1", "warm", 3)]


def test_config_comes_back_with_the_release(watched):
    config.set_vars(watched.rt, watched.app(), ALICE, {"BAD": "1"}, restart=True, say=watched.lines.append)
    watched.settle()
    assert "BAD" in watched.rt.store.config(watched.app().id)
    for _ in range(2):
        die(watched, healthy(watched)[0])
    pass_time(watched, 1)
    assert live(watched).version == 4
    assert "BAD" not in live(watched).config
    assert "BAD" not in watched.rt.store.config(watched.app().id)


def test_out_of_memory_counts_at_once(watched):
    die(watched, healthy(watched)[0], 137, oom=True)
    pass_time(watched, 1)
    assert live(watched).reason == "rollback to v1: web.1 ran out of memory and was killed"


def test_one_that_is_not_started_again_counts_at_once(watched):
    die(watched, healthy(watched)[0], 0, again=False)
    pass_time(watched, 1)
    assert live(watched).reason == "rollback to v1: web.1 ended (exit code 0) and is not started again"


def test_an_engine_that_is_restarted_is_no_fault_of_the_release(watched):
    for row in rows(watched):
        die(watched, row, 0, again=False)
    pass_time(watched, 1)
    assert live(watched).version == 2


def test_answers_with_5xx_bring_it_back(watched):
    counters = watched.rt.traffic
    counters.add(good=80, bad=20)
    pass_time(watched, 1)
    assert live(watched).version == 2
    counters.add(bad=10)
    pass_time(watched, 1)
    assert live(watched).version == 3
    assert "30 of 110 requests were answered with 5xx" in live(watched).reason


def test_a_release_is_measured_against_the_one_before(watched):
    watched.rt.traffic.add(good=50, bad=11)
    pass_time(watched, 60)
    deploy(watched)
    watched.rt.traffic.add(good=70, bad=30)              # 30 %, 18 % before
    pass_time(watched, 60)
    assert windows(watched)[-1] == (3, Outcome.GOOD, "")


def test_maintenance_is_no_fault_of_the_release(watched):
    watched.rt.store.update_app(watched.app().id, maintenance=True)
    watched.rt.traffic.add(bad=100)
    pass_time(watched, 1)
    assert live(watched).version == 2


@pytest.mark.parametrize("how", ["setting", "lock"])
def test_where_it_may_not_go_back_it_says_so_and_stays(watched, how):
    app = watched.app()
    if how == "lock":
        watched.rt.store.update_app(app.id, locked="hands off")
    else:
        watched.rt.store.set_app_setting(app.id, "watch.rollback", "false")
    for _ in range(2):
        die(watched, healthy(watched)[0])
    for _ in range(3):
        pass_time(watched, 1)
    assert live(watched).version == 2
    assert len(events(watched, "watch")) == 1
    assert "does badly" in incidents(watched, Kind.DEPLOY_FAILED)[0][1]
    assert rows(watched, InstanceState.WARM)                  # a person may go back by hand
    pass_time(watched, 60)
    assert windows(watched)[0][1] == Outcome.BAD
    assert not rows(watched, InstanceState.WARM)


def test_a_rollback_by_hand_in_the_window_takes_the_warm_instances(watched):
    old = rows(watched, InstanceState.WARM)[0]
    started = len(watched.containers.happenings)
    releases.rollback(watched.rt, watched.app(), ALICE, None, watched.lines.append, Lines().append)
    watched.settle()
    assert [(row.id, row.state) for row in rows(watched)] == [(old.id, InstanceState.HEALTHY)]
    assert "start" not in [one.kind for one in watched.containers.happenings[started:]]
    assert windows(watched) == [(2, Outcome.ROLLED_BACK, "")]


def test_a_rollback_to_another_release_starts_it_anew(watched):
    pass_time(watched, 60)
    deploy(watched)
    releases.rollback(watched.rt, watched.app(), ALICE, 1, watched.lines.append, Lines().append)
    watched.settle()
    assert there(watched) == [("web.1", "healthy", 4)]
    assert windows(watched)[-1] == (3, Outcome.CUT_SHORT, "")


def test_a_warm_instance_that_died_is_not_taken(watched):
    watched.containers.crash(rows(watched, InstanceState.WARM)[0].container_id, 1)
    releases.rollback(watched.rt, watched.app(), ALICE, None, watched.lines.append, Lines().append)
    watched.settle()
    assert there(watched) == [("web.1", "healthy", 3)]
    assert len(watched.containers.running()) == 1


def test_a_rollback_that_fails_leaves_what_serves_and_nothing_else(watched):
    watched.router.answers = lambda target, host, path: ProxyAnswer(502, "10.9.9.9:1")
    for _ in range(2):
        die(watched, healthy(watched)[0])
    pass_time(watched, 1)
    pass_time(watched, 1)
    assert live(watched).version == 2
    assert there(watched) == [("web.1", "healthy", 2)]
    assert "the rollback to v1 failed" in incidents(watched, Kind.DEPLOY_FAILED)[0][1]
    assert len([one for one in watched.rt.store.releases(watched.app().id) if one.state == ReleaseState.FAILED]) == 1


# --- a daemon that dies in it ------------------------------------------------------------------------------------


def test_a_new_daemon_goes_on_with_the_window(watched):
    again = watched.restarted()
    assert [repair.kind for repair in reconcile(again.rt)] == []
    for _ in range(2):
        die(again, healthy(again)[0])
    pass_time(again, 1)
    assert live(again).version == 3


def test_a_window_whose_time_passed_while_nobody_looked_is_closed(watched):
    watched.clock.passed += 600
    again = watched.restarted()
    pass_time(again, 0)
    assert there(again) == [("web.1", "healthy", 2)]
    assert windows(again) == [(2, Outcome.GOOD, "")]
    assert [repair.kind for repair in reconcile(again.rt)] == []


def test_warm_instances_without_a_window_are_removed_by_reconcile(watched):
    watched.rt.store.end_watch(live(watched).id, Outcome.CUT_SHORT)      # and then the daemon died
    again = watched.restarted()
    assert [repair.kind for repair in reconcile(again.rt)] == ["instance-left"]
    assert there(again) == [("web.1", "healthy", 2)]
    assert [repair.kind for repair in reconcile(again.rt)] == []


# --- a push that waits -------------------------------------------------------------------------------------------


def waiting_push(flow, meanwhile):
    """A push under `watch.wait`; *meanwhile* happens when it waits. Its exit code."""
    flow.rt.store.set_app_setting(flow.app().id, "watch.wait", "true")
    sleep, once = flow.clock.sleep, []

    def slept(seconds):
        sleep(seconds)
        if threading.current_thread().name.startswith("job-") and flow.rt.jobs.awaited and not once:
            once.append(True)
            meanwhile()
        if flow.rt.jobs.awaited:
            watch.tick(flow.rt)

    flow.clock.sleep = slept
    return deploy(flow)


def test_a_push_that_waits_gets_its_verdict_at_the_end_of_the_window(watched):
    assert waiting_push(watched, lambda: None) == 0
    assert watched.clock.passed >= 60
    assert windows(watched)[-1] == (3, Outcome.GOOD, "")
    assert watched.lines[-1].endswith("v3 http://hello.apps.example.com")
    assert watched.rt.repos.ref(watched.app().id, "main") == live(watched).commit


def test_a_push_that_waits_is_refused_when_its_release_was_rolled_back(watched):
    def fall():
        for _ in range(2):
            die(watched, healthy(watched)[0], 3)
        watched.containers.say(healthy(watched)[0].container_id, "last words")

    assert waiting_push(watched, fall) == 12
    assert live(watched).version == 4
    assert any("last words" in line for line in watched.lines)
    assert any("v3 was rolled back to v2: web.1 died 2 times (exit code 3)" in line for line in watched.lines)
    assert not any("Live: v3" in line for line in watched.lines)
    assert watched.rt.repos.ref(watched.app().id, "main") == live(watched).commit


def test_a_push_that_waits_is_refused_also_where_the_rollback_comes_while_the_old_ones_still_drain(watched):
    watched.router.serving[healthy(watched)[0].target] = 1

    def fall():
        assert watched.clock.passed < 60, "the drain goes on"
        for _ in range(2):
            die(watched, healthy(watched)[0], 3)

    assert waiting_push(watched, fall) == 12
    assert not any("Live: v3" in line for line in watched.lines)
    assert not watched.rt.jobs.awaited
