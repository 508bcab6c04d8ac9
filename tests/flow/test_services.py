"""Data services over fakes: names of config vars, promotion, what links change and what they leave."""

import io
from dataclasses import replace

import pytest

from paas.errors import BadInput, Conflict, EngineError, Forged, NoSpace, NotFound
from paas.ops import apps, config, doctor, ports, reconcile
from paas.services import container, copies, engine, exchange, links
from paas.services import upgrade as versions
from paas.services.links import COLOURS
from tests.flow.service_world import ALICE, attempt, config_of, data_of, made, rest, service_flow, toy


@pytest.fixture
def flow(tmp_path):
    return service_flow(tmp_path)


def link(flow, service, **given):
    return links.link(flow.rt, service, flow.app(), ALICE, **given)


def stored(flow):
    return config_of(flow)[0]


def test_the_first_has_the_datastore_s_name_then_come_the_colours_of_heroku_and_dokku(flow):
    services = [made(flow, f"db{number}") for number in range(4)]
    assert [link(flow, one).alias for one in services] == ["TOY", "TOY_AQUA", "TOY_BLACK", "TOY_BLUE"]
    assert stored(flow) == {f"{alias}_URL": links.url(flow.rt, one).reveal() for alias, one in
                            zip(("TOY", "TOY_AQUA", "TOY_BLACK", "TOY_BLUE"), services, strict=True)}


def test_a_config_var_that_is_there_is_never_overwritten(flow):
    config.set_vars(flow.rt, flow.app(), ALICE, {"TOY_URL": "mine", "TOY_AQUA_URL": "too"}, restart=False,
                    say=lambda line: None)
    assert link(flow, made(flow)).alias == "TOY_BLACK"
    assert stored(flow)["TOY_URL"] == "mine"


def test_no_colour_is_left(flow):
    taken = {f"{alias}_URL": "x" for alias in ("TOY", *(f"TOY_{colour}" for colour in COLOURS))}
    config.set_vars(flow.rt, flow.app(), ALICE, taken, restart=False, say=lambda line: None)
    with pytest.raises(Conflict):
        link(flow, made(flow))
    assert link(flow, made(flow, "other"), alias="OWN").alias == "OWN"


@pytest.mark.parametrize(("alias", "variable"), [("OTHER", "OTHER_URL"), ("OTHER_URL", "OTHER_URL")])
def test_an_alias_of_ones_own(flow, alias, variable):
    link(flow, made(flow), alias=alias)
    assert list(stored(flow)) == [variable]
    with pytest.raises(Conflict):
        link(flow, made(flow, "second"), alias="OTHER")


def test_an_alias_that_no_config_var_can_have(flow):
    service = made(flow)
    assert isinstance(attempt(lambda: link(flow, service, alias="no way")), BadInput)
    assert flow.rt.store.links() == []


def test_promotion_exchanges_the_names(flow):
    first, second = made(flow, "first"), made(flow, "second")
    link(flow, first)
    link(flow, second)
    links.promote(flow.rt, second, flow.app(), ALICE)
    assert stored(flow) == {"TOY_URL": links.url(flow.rt, second).reveal(),
                            "TOY_BLACK_URL": links.url(flow.rt, first).reveal()}
    assert {one.service_id: one.alias for one in flow.rt.store.links()} == {first.id: "TOY_BLACK", second.id: "TOY"}
    with pytest.raises(BadInput):
        links.promote(flow.rt, second, flow.app(), ALICE)


def test_promotion_keeps_a_foreign_url_under_a_colour(flow):
    config.set_vars(flow.rt, flow.app(), ALICE, {"TOY_URL": "foreign"}, restart=False, say=lambda line: None)
    service = made(flow)
    link(flow, service)
    links.promote(flow.rt, service, flow.app(), ALICE)
    assert stored(flow)["TOY_BLACK_URL"] == "foreign"
    assert stored(flow)["TOY_URL"] == links.url(flow.rt, service).reveal()


@pytest.mark.parametrize("names", [("first", "second"), ("second", "first")])
def test_a_promotion_that_was_cut_before_it_was_noted(flow, names):
    first, second = (made(flow, name) for name in names)
    link(flow, first)
    link(flow, second)
    before = {one.service_id: one.alias for one in flow.rt.store.links()}
    links.promote(flow.rt, second, flow.app(), ALICE)
    after = {one.service_id: one.alias for one in flow.rt.store.links()}
    flow.rt.store.put_link(second.id, flow.app().id, "NOWHERE")
    for service_id, alias in before.items():
        flow.rt.store.put_link(service_id, flow.app().id, alias)
    rest(flow)
    assert {one.service_id: one.alias for one in flow.rt.store.links()} == after


def test_unlink_takes_only_its_own_url(flow):
    service = made(flow, linked=True)
    config.set_vars(flow.rt, flow.app(), ALICE, {"TOY_URL": "changed by hand", "KEPT": "1"}, restart=False,
                    say=lambda line: None)
    links.unlink(flow.rt, service, flow.app(), ALICE)
    assert stored(flow) == {"TOY_URL": "changed by hand", "KEPT": "1"}
    with pytest.raises(NotFound):
        links.unlink(flow.rt, service, flow.app(), ALICE)


def test_one_app_has_one_link_to_a_service_and_a_stopped_one_is_not_linked(flow):
    service = made(flow, linked=True)
    with pytest.raises(Conflict):
        link(flow, service)
    other = made(flow, "other")
    with pytest.raises(BadInput):
        link(flow, engine.stop(flow.rt, other))
    with pytest.raises(Conflict):
        engine.destroy(flow.rt, service)


def test_a_release_that_fails_leaves_config_path_and_link_as_they_were(tmp_path):
    flow = service_flow(tmp_path, deployed=True)
    service, before = made(flow), config_of(flow)
    flow.faults.fail_on("containers.create", 1, EngineError("Docker is gone"))
    with pytest.raises(EngineError):
        link(flow, service)
    rest(flow)
    assert config_of(flow) == before
    assert flow.rt.store.links() == []


def test_apps_that_are_destroyed_leave_no_path_behind(flow):
    service = made(flow, linked=True)
    apps.destroy(flow.rt, flow.app(), lambda line: None)
    assert flow.rt.store.links() == []
    rest(flow)
    assert flow.containers.networks_of(service.container_id) == (container.network_name(flow.rt, service),)


def test_reconcile_takes_away_a_path_that_nobody_asked_for(flow):
    service = made(flow)
    flow.app("other")
    network = container.app_network(flow.rt, flow.app("other").id)
    flow.containers.ensure_network(network, flow.app("other").subnet, {"paas.app": "2", "paas.kind": "network"})
    flow.containers.connect(service.container_id, network, "intruder")
    [repair] = reconcile.reconcile(flow.rt)
    assert (repair.kind, repair.error) == ("service-network", "")
    assert network not in flow.containers.networks_of(service.container_id)


def test_reconcile_leaves_a_service_alone_that_somebody_works_on(flow):
    service = made(flow)
    flow.containers.crash(service.container_id)
    with flow.rt.turns.hold(service.uid, "something"):
        assert reconcile.reconcile(flow.rt) == []
    rest(flow)


def test_a_service_whose_volume_is_gone_is_not_given_an_empty_one(flow):
    """X26: reconcile makes everything anew but data; the doctor asks for these."""
    service = made(flow)
    flow.containers.remove(service.container_id)
    flow.containers.remove_volume(service.volume)
    assert reconcile.reconcile(flow.rt) == []
    assert service.volume not in flow.containers.volumes()
    (found,) = [one for one in doctor.examine(flow.rt) if one.id == "data-missing"]
    assert (found.object, "toy:backups db" in found.fix) == (service.title, True)


# settings ------------------------------------------------------------------------------------------------------------


def test_settings_of_a_datastore_s_own(flow):
    service = made(flow)
    assert engine.set_(flow.rt, service, "mode", "fast").settings["mode"] == "fast"
    for key, value in (("mode", "sideways"), ("colour", "red"), ("colour", ""), ("memory", "2")):
        with pytest.raises(BadInput):
            engine.set_(flow.rt, service, key, value)
    assert "mode" not in engine.set_(flow.rt, flow.rt.store.service("toy", "db"), "mode", "").settings


@pytest.mark.parametrize("where", ["80", "70000", "1.2.3.256:5000", "host:5000", "0.0.0.0", ":5000", "5000;id"])
def test_ports_that_cannot_be_opened(flow, where):
    service = made(flow)
    with pytest.raises(BadInput):
        engine.expose(flow.rt, service, where)


def test_ports_of_apps_and_of_services_are_not_the_same(flow):
    service = made(flow)
    ports.add(flow.rt, flow.app(), ["http:15998"])
    with pytest.raises(BadInput, match="public port of hello"):
        engine.expose(flow.rt, service, "15998")
    engine.expose(flow.rt, service, "15999")
    with pytest.raises(BadInput, match="which is exposed there"):
        ports.add(flow.rt, flow.app(), ["http:15999"])


def test_two_at_once_are_refused_in_words(flow):
    service = made(flow)
    with flow.rt.turns.hold(service.uid, "toy:upgrade db"), pytest.raises(Conflict, match="toy:upgrade db"):
        engine.restart(flow.rt, service)


# versions and copies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("running", "wanted", "refused"), [
    ("17.6", "17", False), ("17.6", "17.6", False), ("17.6", "17.10", False), ("17.6", "18", False),
    ("17.6", "17.5", True), ("17.6", "16", True), ("17.6", "9", True), ("7.0.15", "7.0.9", True),
    ("7.0.15", "7.2", False),
    ("17.6 (Debian 17.6-1)", "17.6-bookworm", False)])
def test_what_a_downgrade_is(flow, running, wanted, refused):
    error = attempt(lambda: versions.refuse_downgrade(made(flow), wanted, running))
    assert isinstance(error, BadInput) == refused


def test_an_upgrade_whose_data_differ_is_undone(flow):
    service = made(flow, linked=True, a="1", b="2")
    toy(flow).spoilt = True
    with pytest.raises(Forged):
        versions.upgrade(flow.rt, service, "2")
    rest(flow)
    assert (flow.rt.store.service("toy", "db").version, data_of(flow)) == ("1", {"a": "1", "b": "2"})


def test_nothing_leads_to_the_new_data_until_they_are_proved(flow):
    service = made(flow, linked=True, a="1")
    service = engine.expose(flow.rt, service, "15999")
    network, seen = container.app_network(flow.rt, flow.app().id), []
    create, start = flow.containers.create, flow.containers.start

    def started(container_id):
        spec = flow.containers.spec(container_id)
        seen.append((spec.name.removeprefix("paas-service-1"), spec.mounts[0].source == service.volume,
                     bool(spec.publish), network in flow.containers.networks_of(container_id)))
        start(container_id)

    flow.containers.start = started
    versions.upgrade(flow.rt, service, "2")
    assert create
    assert seen == [("-next", False, False, False), ("-last", True, False, False), ("", False, False, False),
                    ("", False, True, True)]


def test_what_is_imported_is_whole_or_nothing(flow):
    service = made(flow, linked=True, a="1")
    for data, error in ((b"", BadInput), (b"{}", BadInput), (b"no dump", Forged)):
        with pytest.raises(error):
            copies.import_(flow.rt, service, io.BytesIO(data), force=True)
        rest(flow)
        assert data_of(flow) == {"a": "1"}
    with pytest.raises(Conflict):
        copies.import_(flow.rt, service, io.BytesIO(b'{"b": "2"}'))
    copies.import_(flow.rt, service, io.BytesIO(b'{"b": "2"}'), force=True)
    assert data_of(flow) == {"b": "2"}
    now = flow.rt.store.service("toy", "db")
    assert exchange.kept(flow.rt, now) == (service.volume,)
    assert exchange.drop_kept(flow.rt, now) == (service.volume,)
    rest(flow)


def test_an_import_into_an_empty_one_keeps_no_empty_volume(flow):
    service = made(flow)
    compressed = flow.rt.sealing.compress(io.BytesIO(b'{"b": "2"}'))
    copies.import_(flow.rt, service, compressed)
    assert data_of(flow) == {"b": "2"}
    assert exchange.kept(flow.rt, flow.rt.store.service("toy", "db")) == ()


def test_copies_need_room(flow):
    service = made(flow, a="1")
    flow.images.free = 100
    for work in (lambda: copies.clone(flow.rt, ALICE, service, "db2"), lambda: versions.upgrade(flow.rt, service, "2")):
        with pytest.raises(NoSpace):
            work()
    rest(flow)
    assert [one.name for one in flow.rt.store.services()] == ["db"]


def test_a_clone_has_passwords_of_its_own(flow):
    service = engine.set_(flow.rt, made(flow, a="1"), "mode", "fast")
    service = engine.expose(flow.rt, service, "15999")
    made_ = copies.clone(flow.rt, ALICE, service, "db2")
    assert made_.secrets != service.secrets
    assert made_.settings == {"mode": "fast"}
    assert replace(made_, settings={}).version == service.version
