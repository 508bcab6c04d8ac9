"""What the tests of apps that sleep share."""

from paas.ops import autosleep
from paas.ports import Page

HOST = "hello.apps.example.com"


def pass_time(flow, minutes):
    flow.clock.passed += 60 * minutes
    flow.idle.tick(flow.rt)


def asleep(flow):
    """By the database, the route and the engine: all of them or none."""
    app = flow.app()
    [row] = flow.rt.store.instances(app.id)
    found = {app.asleep, flow.router.pointed(app.id) is Page.ASLEEP,
             not flow.containers.state(row.container_id).running,
             flow.containers.spec(row.container_id).restart == "no"}
    assert len(found) == 1, "half asleep"
    return found.pop()


def put_to_sleep(flow):
    assert autosleep.sleep_now(flow.rt, flow.app())
    assert asleep(flow)
    flow.faults.clear()
    return flow


def maintained(flow):
    flow.rt.store.update_app(flow.app().id, maintenance=True)
