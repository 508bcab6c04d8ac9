"""Apps that fall asleep and wake, over fakes: when, how, what is cut, who may wake one."""

import json

import pytest

from paas.errors import BadInput, CheckFailed, EngineError, PaasError
from paas.ops import autosleep, config, ps, sleep
from paas.ops.reconcile import reconcile
from paas.ports import Answer, Page
from paas.testing.fake_containers import Behaviour
from paas.testing.faults import Crash
from tests.flow import cron_world
from tests.flow.over_fakes import ALICE, make_flow
from tests.flow.sleep_world import HOST, asleep, maintained, pass_time, put_to_sleep

# --- when ------------------------------------------------------------------------------------------------------------


def test_it_sleeps_after_its_span_without_a_request(awake):
    pass_time(awake, 14)
    assert not asleep(awake)
    pass_time(awake, 2)
    assert asleep(awake)
    assert [line.state for line in ps.listed(awake.rt, awake.app())] == ["asleep"]
    [event] = [one for one in awake.rt.store.events() if one.verb == "sleep"]
    assert (event.app, event.detail["memory"]) == ("hello", "50000000")


@pytest.mark.parametrize("host", [HOST, "www.example.org", "a.example.net"])
def test_a_request_to_any_of_its_hosts_begins_the_span_anew(awake, host):
    for name in ("www.example.org", "*.example.net"):
        awake.rt.store.add_domain(awake.app().id, name)
    awake.rt.traffic.hosts = {HOST, "www.example.org", "*.example.net", "other.apps.example.com"}
    pass_time(awake, 10)
    awake.rt.traffic.request(host, 404)
    pass_time(awake, 10)
    assert not asleep(awake)
    awake.rt.traffic.request("other.apps.example.com")
    pass_time(awake, 14)
    assert not asleep(awake)
    pass_time(awake, 1)
    assert asleep(awake)


def test_a_request_that_is_being_served_keeps_it_awake(awake):
    """An open websocket, however quiet."""
    awake.router.serving = {awake.router.pointed(awake.app().id)[0]: 1}
    for _ in range(10):
        pass_time(awake, 10)
    assert not asleep(awake)
    awake.router.serving = {}
    pass_time(awake, 14)
    assert not asleep(awake)
    pass_time(awake, 1)
    assert asleep(awake)


def test_one_that_comes_while_it_is_being_decided_keeps_it_awake(awake):
    """The count is read once more when nothing else can happen to the app."""
    read, reads = awake.rt.traffic.read, []

    def counted():
        reads.append(1)
        if len(reads) == 2:
            awake.rt.traffic.request(HOST)
        return read()

    awake.rt.traffic.read = counted
    pass_time(awake, 20)
    assert len(reads) == 2
    assert not asleep(awake)


def test_one_that_outlasts_the_drain_keeps_it_awake(awake):
    app = awake.app()
    target = awake.router.pointed(app.id)[0]
    point = awake.router.point

    def pointed(app_id, targets):                # a websocket slips in with the last request before the turn
        awake.router.serving = {target: 1}
        point(app_id, targets)

    awake.router.point = pointed
    pass_time(awake, 20)
    assert not asleep(awake)
    assert awake.containers.signals == []


def test_falling_asleep_and_waking_are_no_deploys(awake, monkeypatch):
    """So that a command waits for their end, and `builds:cancel` does not take them for one."""
    app_id, seen, rise = awake.app().id, [], sleep.rise

    def look(*words):
        seen.append((awake.rt.jobs.running(app_id).title, awake.rt.jobs.deploys(app_id)))
        return rise(*words) if words else True

    assert sleep.fall_asleep(awake.rt, app_id, look) == ""
    monkeypatch.setattr(sleep, "rise", look)
    sleep.wake(awake.rt, app_id)
    assert seen == [("sleep", []), ("wake", [])]
    assert not asleep(awake)


def busy_run(flow):
    flow.rt.store.create_run(flow.app().id, 1, ["sh"], ALICE)


def busy_deploy(flow):
    assert flow.rt.jobs.try_turn(flow.app().id, "a deploy")


def busy_draining(flow):
    flow.rt.store.reserve_instance(flow.app().id, 1, "web", 2)


def listed(flow):
    flow.rt.store.set_setting("never-sleep", "shop, hello")


def without_domain(flow):
    flow.rt.store.remove_domain(flow.app().id, HOST)


@pytest.mark.parametrize("busy", [busy_run, busy_deploy, busy_draining, maintained, listed, without_domain])
def test_what_else_keeps_it_awake(awake, busy):
    busy(awake)
    pass_time(awake, 60)
    pass_time(awake, 60)
    assert not awake.app().asleep
    assert awake.containers.running()
    with pytest.raises(BadInput):
        autosleep.sleep_now(awake.rt, awake.app())


def test_a_scheduled_job_that_runs_keeps_it_awake(threaded):
    cron_world.push(threaded, cron_world.EVERY_MINUTE)
    cron_world.pass_time(threaded)
    cron_world.wait_until(lambda: cron_world.job_containers(threaded))
    assert "cron." in sleep.business(threaded.rt, threaded.app())
    with pytest.raises(BadInput, match="under way"):
        autosleep.sleep_now(threaded.rt, threaded.app())


def test_a_worker_keeps_it_awake(awake):
    commit = awake.commit({"Procfile": b"web: serve\nworker: work\n"})
    assert awake.push(commit) == 0
    awake.settle()
    ps.scale(awake.rt, awake.app(), ALICE, {"worker": 1}, awake.lines.append)
    pass_time(awake, 60)
    pass_time(awake, 60)
    assert not awake.app().asleep
    autosleep.set_after(awake.rt, awake.app(), 0)
    with pytest.raises(BadInput, match="worker=1"):
        autosleep.set_after(awake.rt, awake.app(), 900)
    ps.scale(awake.rt, awake.app(), ALICE, {"worker": 0}, awake.lines.append)
    assert autosleep.set_after(awake.rt, awake.app(), 900)


def test_without_a_count_nobody_sleeps(awake):
    awake.rt.traffic.up = False
    with pytest.raises(PaasError):
        pass_time(awake, 60)
    assert not asleep(awake)


def test_where_counting_is_turned_off_nobody_sleeps_by_itself(awake):
    awake.rt.store.set_setting("metrics", "false")
    awake.rt.traffic.up = False                  # as the real one, which then says that it does not count
    pass_time(awake, 60)
    pass_time(awake, 60)
    assert not asleep(awake)
    assert "metrics" in autosleep.report(awake.rt, awake.app())["kept_awake_by"]
    put_to_sleep(awake)


def test_it_is_not_for_apps_that_did_not_ask_for_it(awake):
    assert autosleep.set_after(awake.rt, awake.app(), 0)
    pass_time(awake, 6000)
    pass_time(awake, 6000)
    assert not asleep(awake)


# --- awake again -----------------------------------------------------------------------------------------------------


def test_it_wakes_as_it_was(awake):
    [before] = awake.rt.store.instances(awake.app().id)
    put_to_sleep(awake)
    assert sleep.wake(awake.rt, awake.app().id) == (before.target,)
    assert awake.rt.store.instances(awake.app().id) == [before]
    assert not asleep(awake)
    assert awake.containers.spec(before.container_id).restart == "on-failure:10"
    assert awake.faults.calls.count("containers.start") == 1
    assert "containers.create" not in awake.faults.calls


def test_it_is_asked_until_it_is_ready(awake):
    put_to_sleep(awake)
    answers = iter([Answer(0, "connection refused")] * 3 + [Answer(503)] * 2)
    get, asked = awake.prober.get, []

    def answering(*words):
        asked.append(words[:2])
        return next(answers, None) or get(*words)

    awake.prober.get = answering
    [target] = sleep.wake(awake.rt, awake.app().id)
    assert [f"{address}:{port}" for address, port in asked] == [target] * 6


@pytest.mark.parametrize(("check", "speaks", "sees"), [
    ({"path": "/up", "scheme": "https", "port": 8443}, {8443}, Answer(404)),       # as for an app without a check
    ({"path": "/up", "scheme": "https"}, {8080}, Answer(200))])
def test_the_site_itself_is_asked_in_the_words_of_its_check_or_for_any_answer(awake, check, speaks, sees):
    awake.prober.secure |= speaks
    described = json.dumps({"healthchecks": {"web": [check]}}).encode()
    assert awake.push(awake.commit({"app.json": described})) == 0, awake.lines.text
    awake.settle()
    put_to_sleep(awake)
    awake.prober.asked.clear()
    awake.prober.answers[8080] = sees
    sleep.wake(awake.rt, awake.app().id)
    assert [one[1:3] for one in awake.prober.asked] == [(8080, "/up")]


def test_a_container_that_is_gone_is_made_anew(awake):
    put_to_sleep(awake)
    [row] = awake.rt.store.instances(awake.app().id)
    awake.containers.remove(row.container_id)
    assert sleep.wake(awake.rt, awake.app().id) == (row.target,)
    assert not asleep(awake)


def test_one_that_ends_while_it_starts_sleeps_on(awake):
    put_to_sleep(awake)
    [row] = awake.rt.store.instances(awake.app().id)
    awake.prober.default = Answer(0, "connection refused")
    awake.containers._get(row.container_id).behaviour = Behaviour(exits=3)
    with pytest.raises(CheckFailed, match=r"web\.1 ended with exit code 3"):
        sleep.wake(awake.rt, awake.app().id)
    assert asleep(awake)
    awake.containers._get(row.container_id).behaviour = Behaviour()
    awake.prober.default = Answer(200)
    sleep.wake(awake.rt, awake.app().id)
    assert not asleep(awake)


def test_one_that_the_engine_is_just_starting_again_is_stopped_all_the_same(awake):
    """Docker does not change a container then."""
    awake.faults.fail_on("containers.set_restart", 1, EngineError("it is being restarted"))
    assert autosleep.sleep_now(awake.rt, awake.app())
    assert asleep(awake)


def test_one_that_never_answers_sleeps_on(awake):
    put_to_sleep(awake)
    awake.prober.default = Answer(500)
    with pytest.raises(CheckFailed, match="not ready within 60 s"):
        sleep.wake(awake.rt, awake.app().id)
    assert asleep(awake)


@pytest.mark.parametrize("done", [False, True])
def test_cut_anywhere_reconcile_finds_it_asleep_or_awake(tmp_path, done):
    """Kill the daemon at each call of a port while the app falls asleep, and while it wakes."""
    def world():
        made = make_flow(tmp_path)
        made.deploy()
        made.faults.clear()
        return made

    def nap(flow):
        autosleep.sleep_now(flow.rt, flow.app())
        sleep.wake(flow.rt, flow.app().id)

    plain = world()
    nap(plain)
    points = [one for one in plain.faults.points() if one[0].startswith(("containers.", "router."))
              and one[0] != "containers.state"]          # looked at beside the probe: as often as there is time
    assert len(points) > 8
    for name, nth in points:
        flow = world()
        flow.dead_after_crash()
        flow.faults.fail_on(name, nth, after=done)
        with pytest.raises(Crash):
            nap(flow)
        later = flow.restarted()
        reconcile(later.rt)
        asleep(later)                    # wholly, or not at all
        assert reconcile(later.rt) == []
        if not later.app().asleep:
            autosleep.sleep_now(later.rt, later.app())
        assert sleep.wake(later.rt, later.app().id)
        assert not asleep(later), (name, nth)


def test_a_reboot_finds_it_asleep(awake):
    """The engine starts nothing of it, and reconcile neither; started by hand it is stopped again."""
    put_to_sleep(awake)
    later = awake.restarted()
    assert reconcile(later.rt) == []
    assert asleep(later)
    [row] = later.rt.store.instances(later.app().id)
    later.containers.start(row.container_id)
    assert [one.kind for one in reconcile(later.rt)] == ["instance-awake"]
    assert asleep(later)


# --- other commands --------------------------------------------------------------------------------------------------


def test_a_deploy_wakes_it_first_so_that_its_release_serves_meanwhile(awake):
    put_to_sleep(awake)
    build, seen = awake.images.build, []

    def watched(*words):
        seen.append(asleep(awake))
        return build(*words)

    awake.images.build = watched
    awake.deploy("two")
    assert seen == [False]
    assert not asleep(awake)
    assert awake.rt.store.live_release(awake.app().id).version == 2


def test_a_deploy_goes_on_where_it_does_not_wake(awake):
    put_to_sleep(awake)
    [row] = awake.rt.store.instances(awake.app().id)
    awake.faults.fail_on("containers.start", 1, EngineError("no"))
    awake.faults.fail_on("containers.start", 2, EngineError("no"))
    awake.deploy("two")
    assert "it did not wake" in awake.lines.text
    assert not asleep(awake)
    assert [one.id for one in awake.rt.store.instances(awake.app().id)] != [row.id]


def test_config_and_scale_wake_it(awake):
    put_to_sleep(awake)
    config.set_vars(awake.rt, awake.app(), ALICE, {"A": "1"}, restart=False, say=awake.lines.append)
    assert asleep(awake)
    config.set_vars(awake.rt, awake.app(), ALICE, {"A": "2"}, restart=True, say=awake.lines.append)
    awake.settle()
    assert not asleep(awake)
    put_to_sleep(awake)
    ps.scale(awake.rt, awake.app(), ALICE, {"web": 2}, awake.lines.append)
    awake.settle()
    assert not awake.app().asleep
    assert len(awake.router.pointed(awake.app().id)) == 2


def test_a_stopped_one_does_not_wake(awake):
    put_to_sleep(awake)
    assert ps.stop(awake.rt, awake.app(), ALICE, awake.lines.append) == 1
    app = awake.app()
    assert (app.stopped, app.asleep, awake.router.pointed(app.id)) == (True, False, Page.STOPPED)
    assert "containers.start" not in awake.faults.calls
    assert sleep.wake(awake.rt, app.id) is Page.STOPPED
    ps.start(awake.rt, app, ALICE, awake.lines.append)
    assert not asleep(awake)


def test_another_apps_deploy_leaves_it_asleep(awake):
    put_to_sleep(awake)
    awake.deploy("one", app="other")
    awake.rt.store.add_domain(awake.app().id, "www.example.org")
    assert reconcile(awake.rt) != []             # the proxy's config
    assert asleep(awake)


def test_off_wakes_it(awake):
    put_to_sleep(awake)
    assert autosleep.set_after(awake.rt, awake.app(), 0)
    assert not asleep(awake)
