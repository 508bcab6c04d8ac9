"""Which incidents the platform opens by itself, and when they are over."""

from dataclasses import replace
from datetime import timedelta

import pytest

from paas.errors import BuildFailed, EngineError, ProxyError
from paas.model.incident import Kind
from paas.model.ports import SETTING, parse, to_setting
from paas.ops import apps, deploys, night_watch
from paas.ops.night_watch import Vigil
from paas.testing.fake_containers import Behaviour
from tests.flow.cron_world import CRON, DAILY, EVERY_MINUTE, ids, pass_time, push
from tests.flow.over_fakes import ALICE


def seen(flow, **given):
    """Oldest first: (kind, object, over)."""
    return [(one.kind, one.object, one.closed_at is not None) for one in flow.rt.store.incidents(**given)[::-1]]


def newest(flow):
    return flow.rt.store.incidents(limit=1)[0]


# Deploys


def fail(flow):
    flow.faults.plan("images.build", BuildFailed("step 3 failed"))
    assert flow.push(flow.commit({"a": str(flow.clock.passed).encode()})) != 0
    flow.settle()


def test_a_failed_deploy_is_over_with_the_next_good_one(flow):
    flow.deploy()
    fail(flow), fail(flow)
    assert seen(flow) == [(Kind.DEPLOY_FAILED, "hello", False)]
    flow.deploy("better")
    assert seen(flow) == [(Kind.DEPLOY_FAILED, "hello", True)]
    assert newest(flow).ending == "v2 is live"


def test_a_refused_push_is_no_incident(flow):
    flow.deploy()
    commit = flow.commit({"app.json": b"{"})
    assert flow.push(commit) != 0
    flow.settle()
    assert seen(flow) == []


def test_a_job_that_makes_no_release_ends_no_incident(flow):
    flow.deploy()
    fail(flow)
    deploys.run(flow.rt, flow.app(), ALICE, "nothing", lambda work: None, lambda line: None)
    assert seen(flow) == [(Kind.DEPLOY_FAILED, "hello", False)]


# Scheduled jobs


def test_a_failed_job_is_over_when_it_succeeds(begun):
    push(begun, EVERY_MINUTE, DAILY)
    begun.containers.behave(CRON, Behaviour(exits=3))
    pass_time(begun), pass_time(begun)
    assert seen(begun) == [(Kind.CRON, f"hello {ids(begun)[0]}", False)]
    assert newest(begun).what == f"the job {ids(begun)[0]} of hello failed: exit code 3"
    assert newest(begun).app == "hello"
    begun.containers.behave(CRON, Behaviour(exits=0))
    pass_time(begun)
    assert seen(begun) == [(Kind.CRON, f"hello {ids(begun)[0]}", True)]


def test_a_job_that_was_due_while_the_daemon_was_down_is_told(begun):
    push(begun, EVERY_MINUTE, DAILY)
    pass_time(begun)
    pass_time(begun, 60 * 5)                               # 05:01: the one of 03:00 is gone, the minutely one goes on
    assert seen(begun) == [(Kind.CRON, f"hello {ids(begun)[1]}", False)]
    assert "was due at 2026-01-01 03:00 UTC while paasd did not run" in newest(begun).what
    pass_time(begun)
    assert len(seen(begun)) == 1


def test_a_job_that_is_made_up_for_was_not_missed(begun):
    push(begun, DAILY)
    pass_time(begun, 60 * 3 - 10)
    pass_time(begun, 12)
    assert seen(begun) == []


def test_a_job_that_is_no_more_has_no_incident(begun):
    push(begun, EVERY_MINUTE)
    begun.containers.behave(CRON, Behaviour(exits=3))
    pass_time(begun)
    night_watch.gone(begun.rt)
    assert seen(begun, open_only=True)
    begun.rt.store.suspend_job(begun.app().id, ids(begun)[0], ALICE)
    night_watch.gone(begun.rt)
    assert not seen(begun, open_only=True)


def test_an_app_that_is_no_more_has_no_incident(flow):
    flow.deploy()
    fail(flow)
    apps.rename(flow.rt, flow.app(), "world")
    night_watch.gone(flow.rt)
    assert seen(flow) == [(Kind.DEPLOY_FAILED, "hello", True)]


# The daemon, the engine, the proxy


def restart(flow):
    flow.rt = replace(flow.rt, vigil=Vigil())
    night_watch.begin(flow.rt)


def test_only_a_daemon_that_was_cut_off_is_told_of_once(flow):
    night_watch.begin(flow.rt)
    flow.clock.passed += 300
    night_watch.poll(flow.rt)
    night_watch.end(flow.rt)
    night_watch.poll(flow.rt)                              # a thread that was late
    restart(flow)
    assert seen(flow) == []
    flow.clock.passed += 600
    night_watch.poll(flow.rt)
    flow.clock.passed += 40
    restart(flow)
    assert seen(flow) == [(Kind.DAEMON_RESTARTED, "server", True)]
    assert "was cut off after 2026-01-01 00:15 UTC" in newest(flow).what


@pytest.mark.parametrize("kind", [Kind.ENGINE, Kind.PROXY])
def test_what_every_app_needs_must_fail_twice(flow, kind):
    def look(up):
        flow.router.up = up or kind is not Kind.PROXY
        if not up and kind is Kind.ENGINE:
            flow.faults.plan("containers.version", EngineError("Docker does not answer"))
        night_watch.parts(flow.rt)

    look(up=True), look(up=False), look(up=True)
    assert seen(flow) == []
    look(up=False), look(up=False), look(up=False)
    assert seen(flow) == [(kind, "server", False)]
    flow.rt = replace(flow.rt, vigil=Vigil())              # another daemon finds it mended
    look(up=True)
    assert seen(flow) == [(kind, "server", True)]


# Certificates, public ports


def test_a_public_port_that_another_program_holds(flow):
    flow.deploy()
    flow.rt.store.set_app_setting(flow.app().id, SETTING, to_setting([parse("http:8080:5000")]))
    night_watch.poll(flow.rt)
    assert seen(flow) == []
    flow.router.taken_ports = {8080}
    night_watch.poll(flow.rt), night_watch.poll(flow.rt)
    assert seen(flow) == [(Kind.PORT, "port 8080", False)]
    assert newest(flow).what == "another program holds the public port 8080 of hello"
    flow.router.taken_ports = set()
    night_watch.poll(flow.rt)
    assert seen(flow) == [(Kind.PORT, "port 8080", True)]


def test_a_certificate_that_ends_soon(flow):
    flow.deploy()
    flow.router.held["a.example"] = flow.clock.now() + timedelta(days=10)
    flow.router.held["b.example"] = flow.clock.now() + timedelta(days=60)
    night_watch.poll(flow.rt), night_watch.poll(flow.rt)
    assert seen(flow) == [(Kind.CERTIFICATE, "certificate of a.example", False)]
    assert newest(flow).what == "the certificate of a.example ends 2026-01-11"
    flow.router.held["a.example"] += timedelta(days=80)
    night_watch.poll(flow.rt)
    assert seen(flow) == [(Kind.CERTIFICATE, "certificate of a.example", True)]


def test_one_look_that_fails_keeps_nobody_from_theirs(flow):
    flow.router.held["a.example"] = flow.clock.now()
    flow.faults.plan("router.certificates", ProxyError("no answer"))
    night_watch.poll(flow.rt)
    assert flow.rt.store.settings()[night_watch.ALIVE]
    night_watch.poll(flow.rt)
    assert [kind for kind, *_ in seen(flow)] == [Kind.CERTIFICATE]


def test_what_is_long_over_goes_with_the_events(flow):
    flow.deploy()
    fail(flow)
    flow.deploy("better")
    fail(flow)
    flow.clock.passed += 401 * 86400
    night_watch.clean(flow.rt)
    assert seen(flow) == [(Kind.DEPLOY_FAILED, "hello", False)]
