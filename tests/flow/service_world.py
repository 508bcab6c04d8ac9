"""Data services over fakes: a datastore whose data are what a test says lies on a volume."""

import io
import json
from contextlib import contextmanager
from dataclasses import replace

from paas.api import Contents, Datastore, Forged, Plan, Program, ServiceError, Table
from paas.errors import PaasError
from paas.model.service import ServiceState
from paas.ops.reconcile import reconcile
from paas.plugin import Plugins
from paas.services import container, engine, links
from tests.flow.over_fakes import ALICE, Flow, make_flow


class Toy(Datastore):
    """``data``: volume → key → value. Every question goes through a shell in the service's container."""

    name, title, image = "toy", "Toy", "busybox"
    versions, default = ("1", "2"), "1"
    port, variable, kind = 7000, "TOY", "toy"
    settings = {"mode": ("safe", "fast")}

    def __init__(self, compress) -> None:
        self.data: dict[str, dict[str, str]] = {}
        self.compress = compress
        self.spoilt = False                          # a load loses a key
        self.prepared: list[str] = []

    def plan(self, service):
        return Plan("/data", {"TOY_PASSWORD": service.secrets["password"]})

    def ready(self, shell, service):
        shell.run(("ready",))
        self.data.setdefault(service.volume, {})
        return True

    def prepare(self, shell, service):
        shell.run(("prepare",))
        self.prepared.append(service.volume)

    def url(self, service, host, port):
        return f"toy://:{service.secrets['password'].reveal()}@{host}:{port}"

    def console(self, service):
        return Program(("toy",))

    def facts(self, shell, service):
        shell.run(("facts",))
        return {"version": f"{service.version}.4", "size": 1000, "connections": 0}

    @contextmanager
    def snapshot(self, shell, service, label):
        shell.run(("begin",))
        yield Snapshot(self, dict(self.data[service.volume]))
        shell.run(("end",))

    def load(self, shell, service, write):
        sink = io.BytesIO()
        write(sink)
        shell.run(("load",))
        try:
            loaded = json.loads(sink.getvalue())
        except ValueError:
            raise Forged("that is no dump") from None
        assert service.volume in self.prepared
        assert not self.data[service.volume]
        if self.spoilt:
            loaded.popitem()
        self.data[service.volume] = loaded

    def contents(self, shell, service):
        shell.run(("contents",))
        return contents_of(self.data[service.volume])

    def inspect(self, shell, service):
        shell.run(("inspect",))
        return ()


class Snapshot:
    def __init__(self, store, data):
        self.store, self.data = store, data

    def dump(self):
        return self.store.compress(io.BytesIO(json.dumps(self.data).encode()))

    def contents(self):
        return contents_of(self.data)


def contents_of(data):
    return Contents(tuple(Table(key, 1, value) for key, value in data.items()), {}, "toy")


def service_flow(tmp_path, deployed=False) -> Flow:
    """With the app hello, live or just created, and nothing else."""
    flow = make_flow(tmp_path)
    toy = Toy(flow.rt.sealing.compress)
    flow = replace(flow, rt=replace(flow.rt, plugins=Plugins({"toy": toy})))
    removed = flow.containers.remove_volume

    def remove_volume(name):
        try:
            removed(name)
        finally:
            if name not in flow.containers._volumes:
                toy.data.pop(name, None)

    flow.containers.remove_volume = remove_volume
    flow.deploy() if deployed else flow.app()
    flow.faults.clear()
    return flow


def toy(flow) -> Toy:
    return flow.rt.plugins.datastores["toy"]


def made(flow, name="db", linked=False, **data):
    service = engine.create(flow.rt, ALICE, toy(flow), name, version="1")
    toy(flow).data[service.volume] = dict(data)
    if linked:
        links.link(flow.rt, service, flow.app(), ALICE)
        flow.settle()
    flow.faults.clear()
    return service


def data_of(flow, name="db"):
    service = flow.rt.store.service("toy", name)
    return toy(flow).data[service.volume]


def rest(flow):
    """Reconcile until there is nothing more to do; then everything has to be in order."""
    flow.faults.clear()
    flow.settle()
    for _ in range(4):
        if not reconcile(flow.rt):
            break
    assert reconcile(flow.rt) == []
    flow.settle()
    in_order(flow)


def in_order(flow):
    """Each service has one container on its volume, in the right networks; nothing is there that nobody knows."""
    store, containers, known = flow.rt.store, flow.containers, set()
    for service in store.services():
        assert service.state in (ServiceState.RUNNING, ServiceState.STOPPED)
        assert "exchange" not in service.settings
        assert service.volume in containers.volumes()
        assert service.volume in toy(flow).data
        if service.state == ServiceState.RUNNING:
            known.add(service.container_id)
            check_container(flow, service)
    assert {one.id for one in containers.list({"paas.kind": "service"})} == known
    uids = {service.uid for service in store.services()}
    assert {marks["paas.uid"] for marks in containers.volumes().values() if "paas.uid" in marks} <= uids
    ids = {str(service.id) for service in store.services()}
    assert {marks["paas.service"] for marks in containers.networks().values() if "paas.service" in marks} <= ids


def check_container(flow, service):
    spec, found = flow.containers.spec(service.container_id), flow.containers.state(service.container_id)
    assert found.running
    assert found.name == container.container_name(flow.rt, service)
    assert [mount.source for mount in spec.mounts] == [service.volume]
    assert found.image == spec.image == service.image
    assert spec.publish == container.published(service, 7000)
    assert set(flow.containers.networks_of(found.id)) == {
        container.network_name(flow.rt, service),
        *(container.app_network(flow.rt, link.app_id) for link in flow.rt.store.links(service_id=service.id))}


def config_of(flow):
    """(what is stored, what the live release has), secrets revealed."""
    app = flow.app()
    live = flow.rt.store.live_release(app.id)
    return tuple({key: value.reveal() for key, value in one.items()}
                 for one in (flow.rt.store.config(app.id), live.config if live else {}))


def attempt(work):
    """The error that came of it, or None."""
    try:
        work()
    except PaasError as error:
        return error
    return None


__all__ = ["ALICE", "ServiceError", "Toy", "attempt", "config_of", "data_of", "in_order", "made", "rest",
           "service_flow", "toy"]
