"""What the tests of watched releases share: two deploys, deaths, traffic, time that passes."""

from paas.model.release import InstanceState
from paas.model.traffic import Traffic
from paas.ops import crashes, watch

WORKER = {"Procfile": b"web: serve\nbeat: work\n"}
PLENTY = 8 * 1024**3


class Host:
    def __init__(self, free):
        self.free = free

    def memory(self):
        return self.free


class Counters:
    """What the proxy would count."""

    def __init__(self):
        self.of = {}

    def read(self):
        return self.of

    def add(self, good=0, bad=0, host="hello.apps.example.com"):
        counted = Traffic((0, good, 0, 0, bad), (0, 0, 0, good + bad, *[0] * 8))
        self.of = {**self.of, host: self.of.get(host, Traffic()) + counted}


def deploy(flow, files=None):
    commit = flow.commit({**(files or {}), "count": str(len(flow.faults.calls)).encode()})
    code = flow.push(commit)
    flow.settle()
    return code


def rows(flow, state=None):
    return [row for row in flow.rt.store.instances(flow.app().id) if state is None or row.state == state]


def version(flow, row):
    return flow.rt.store.release_by_id(row.release_id).version


def there(flow):
    return sorted((row.name, str(row.state), version(flow, row)) for row in rows(flow))


def live(flow):
    return flow.rt.store.live_release(flow.app().id)


def windows(flow):
    """Oldest first: the watched version, and how it ended."""
    return [(flow.rt.store.release_by_id(one.release_id).version, one.outcome, one.reason)
            for one in flow.rt.store.watches(flow.app().id)][::-1]


def pass_time(flow, seconds):
    flow.clock.passed += seconds
    watch.tick(flow.rt)
    flow.settle()


def die(flow, row, code=1, *, oom=False, again=True):
    """It ends, the engine says so, and starts it again."""
    seen = len(flow.containers.happenings)
    flow.containers.crash(row.container_id, code, oom=oom)
    if again:
        flow.containers.start(row.container_id)
    for one in flow.containers.happenings[seen:]:
        crashes.happened(flow.rt, one)


def healthy(flow):
    return rows(flow, InstanceState.HEALTHY)


def events(flow, verb):
    return [one for one in flow.rt.store.events(limit=1000) if one.verb == verb]


def incidents(flow, *kinds):
    return [(one.kind, one.what) for one in flow.rt.store.incidents(kinds=kinds)]
