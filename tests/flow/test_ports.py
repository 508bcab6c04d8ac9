"""Requests on further public ports, over fakes: an instance that serves one is neither stopped nor put to sleep."""

from paas.ops import ports
from tests.flow.sleep_world import asleep, pass_time


def test_a_deploy_waits_for_the_requests_of_every_port(flow, monkeypatch):
    flow.deploy("one")
    ports.add(flow.rt, flow.app(), ["http:8081:5000"])
    (old,) = flow.rt.store.instances(flow.app().id)
    sleep, looks, running = flow.clock.sleep, [], []

    def passes(seconds):
        sleep(seconds)
        if flow.router.pointed(old.app_id) == (old.target,):
            return
        looks.append(seconds)
        if flow.router.serving and sum(looks) > 10:
            running.append(flow.containers.state(old.container_id).running)
            flow.router.serving.clear()

    monkeypatch.setattr(flow.clock, "sleep", passes)
    flow.router.serving = {f"{old.address}:5000": 1}
    flow.deploy("two")
    assert running == [True]
    assert (old.container_id, "SIGTERM") in flow.containers.signals


def test_a_request_on_a_further_port_keeps_an_app_awake(awake, monkeypatch):
    ports.add(awake.rt, awake.app(), ["http:8081:5000"])
    address = awake.router.pointed(awake.app().id)[0].partition(":")[0]
    awake.router.serving = {f"{address}:5000": 1}
    with monkeypatch.context() as patched:
        patched.setattr(awake.router, "point", None)             # nobody is turned away for a look
        pass_time(awake, 60)
    assert not asleep(awake)
    awake.router.serving = {}
    pass_time(awake, 1)
    pass_time(awake, 15)
    assert asleep(awake)
