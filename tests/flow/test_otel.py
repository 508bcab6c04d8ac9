"""Which collector a container is told of, and what a change does; over fakes."""

import pytest

from paas.errors import BadInput, PaasError
from paas.model import otel as model
from paas.model.otel import Collector
from paas.ops import apps, collectors, config, otel
from paas.secret import Secret
from paas.testing.fake_containers import Behaviour
from tests.flow.over_fakes import ALICE

OURS = Collector("http://collector.test:4318", "http/protobuf", model.checked_headers("Authorization: Bearer a,b=c"))
OTHER = Collector("https://other.test", "grpc")


def told(flow, process: str = "web") -> dict[str, str]:
    """The variables of the newest instance."""
    row = max((one for one in flow.rt.store.instances(flow.app().id) if one.process_type == process),
              key=lambda one: one.id)
    found = flow.containers.spec(row.container_id).environment
    return {key: value.reveal() for key, value in found.items() if key.startswith("OTEL_")}


def set_app(flow, collector, **given):
    done = otel.set_app(flow.rt, flow.app(), ALICE, collector, **{"restart": True, "say": flow.lines.append, **given})
    flow.settle()
    return done


def test_nothing_is_told_by_itself(flow):
    flow.deploy()
    assert told(flow) == {}


def test_instances_are_replaced_and_told(flow):
    flow.deploy()
    assert set_app(flow, OURS)
    assert told(flow) == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.test:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20a%2Cb%3Dc", "OTEL_SERVICE_NAME": "hello",
        "OTEL_RESOURCE_ATTRIBUTES": "service.version=v1,service.instance.id=hello.web.1.v1"}
    assert len(flow.rt.store.instances(flow.app().id)) == 1
    assert not set_app(flow, OURS)
    flow.deploy("two")
    assert told(flow)["OTEL_RESOURCE_ATTRIBUTES"].startswith("service.version=v2,")
    assert set_app(flow, None)
    assert told(flow) == {}


def test_it_may_wait_for_the_next_release(flow):
    flow.deploy()
    set_app(flow, OURS, restart=False)
    assert told(flow) == {}
    flow.deploy("two")
    assert told(flow)["OTEL_SERVICE_NAME"] == "hello"


def test_an_app_without_a_release_only_stores_it(flow):
    set_app(flow, OURS)
    flow.deploy()
    assert told(flow)["OTEL_EXPORTER_OTLP_ENDPOINT"] == OURS.endpoint


def test_the_apps_own_goes_before_the_servers(flow):
    assert otel.set_server(flow.rt, OURS)
    assert not otel.set_server(flow.rt, OURS)
    flow.deploy()
    assert told(flow)["OTEL_EXPORTER_OTLP_ENDPOINT"] == OURS.endpoint
    set_app(flow, OTHER)
    assert told(flow)["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"
    assert "OTEL_EXPORTER_OTLP_HEADERS" not in told(flow), "the server's headers are for the server's collector"
    assert otel.report(flow.rt, flow.app()) == [("hello", OTHER.endpoint, "grpc", "app", False)]
    set_app(flow, None)
    assert otel.report(flow.rt, None) == [("hello", OURS.endpoint, "http/protobuf", "server", True)]
    assert otel.set_server(flow.rt, None)
    assert otel.report(flow.rt, None) == [("hello", "", "", "", False)]


def test_config_vars_win_and_no_header_goes_to_another_endpoint(flow):
    flow.deploy()
    set_app(flow, OURS)
    config.set_vars(flow.rt, flow.app(), ALICE, {"OTEL_SERVICE_NAME": "mine"}, restart=True, say=flow.lines.append)
    flow.settle()
    assert told(flow)["OTEL_SERVICE_NAME"] == "mine"
    assert "OTEL_EXPORTER_OTLP_HEADERS" in told(flow)
    config.set_vars(flow.rt, flow.app(), ALICE, {model.ENDPOINT: "http://own.test"}, restart=True,
                    say=flow.lines.append)
    flow.settle()
    assert told(flow)[model.ENDPOINT] == "http://own.test"
    assert not {model.HEADERS, model.PROTOCOL} & told(flow).keys()


def test_a_restart_that_fails_changes_nothing(flow):
    flow.deploy()
    set_app(flow, OTHER)
    before = {one.id for one in flow.rt.store.instances(flow.app().id)}
    flow.containers.behave("paas.process=web", Behaviour(exits=1))
    with pytest.raises(PaasError, match="web"):
        set_app(flow, OURS)
    assert collectors.of_app(flow.rt, flow.app().id) == OTHER
    assert {one.id for one in flow.rt.store.instances(flow.app().id)} == before


def test_headers_are_sealed_and_go_with_the_app(flow):
    set_app(flow, OURS)
    app = flow.app()
    assert "Bearer" not in repr(flow.rt.store.settings()) + repr(app.settings) + repr(OURS)
    apps.destroy(flow.rt, app, flow.lines.append)
    assert flow.rt.store.sealed_setting(f"{collectors.HEADERS}:{app.id}") is None


@pytest.mark.parametrize("text", [
    "", "collector:4318", "ftp://collector", "http://", "http://a b", "http://user:pass@host", "http://host:99999",
    "http://host:0", "http://host/?key=1", "http://host/#x", "http://hüst", "http://host/\n", "http://" + "a" * 500])
def test_what_is_no_collector(text):
    with pytest.raises(BadInput):
        model.checked_endpoint(text)


@pytest.mark.parametrize("text", ["http://collector", "https://c.example.com:4317", "http://[::1]:4318/v1", "http://h/a-b"])
def test_what_is_one(text):
    assert model.checked_endpoint(text) == text


@pytest.mark.parametrize("text", ["", "\n", "Authorization", ": x", "A B: c", "A: b\nnonsense", "A: \x01",
                                  "\n".join(f"h{n}: x" for n in range(11))])
def test_what_is_no_header(text):
    with pytest.raises(BadInput):
        model.checked_headers(text)


def test_headers_are_as_the_variable_has_them():
    found = model.checked_headers("Authorization: Basic YTpi=\nx-team=a;b %\n")
    assert isinstance(found, Secret)
    assert found.reveal() == "authorization=Basic%20YTpi%3D,x-team=a%3Bb%20%25"
