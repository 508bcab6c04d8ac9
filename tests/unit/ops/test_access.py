"""Roles over the real store: what each may do to which object, who gives them, what is hidden."""

import pytest

from paas.errors import BadInput, Forbidden, NotFound
from paas.model.access import Actor
from paas.model.rights import Role
from paas.ops import access
from paas.ops.sessions import Sessions
from paas.ops.visible import Visible
from tests.flow.over_fakes import ALICE, make_flow

STORES = frozenset({"postgres"})


@pytest.fixture
def flow(tmp_path):
    made = make_flow(tmp_path)
    for name in ("bob", "carol"):
        made.rt.store.add_key(name, "ssh-ed25519", f"AAAA{name}", f"SHA256:{name}")
    return made


def actor(flow, name):
    key = next(key for key in flow.rt.store.keys() if key.name == name)
    return Actor(name, key.id, "192.0.2.1", key.user, key.fingerprint,
                 tuple(flow.rt.store.grants(user=key.user)))


def service(flow, name="db", number=1):
    return flow.rt.store.create_service("postgres", name, uid=f"uid{number}", version="17", image="sha256:1",
                                        subnet=f"10.99.{number}.0/25", volume="v", settings={}, secrets={},
                                        actor=ALICE)


def test_a_role_on_one_app_says_nothing_of_another(flow):
    hello, other = flow.app("hello"), flow.app("other")
    access.grant(flow.rt, ALICE, "bob", Role.OPERATE, app=hello)
    bob = actor(flow, "bob")
    access.authorise(bob, "config:set", hello)
    with pytest.raises(NotFound) as hidden:
        access.authorise(bob, "config:set", other)
    with pytest.raises(NotFound) as absent:
        flow.rt.store.app("nothing")
    assert hidden.value.what.replace("other", "nothing") == absent.value.what
    assert hidden.value.exit_code == absent.value.exit_code
    with pytest.raises(Forbidden, match="domains:add"):
        access.authorise(bob, "domains:add", hello)


def test_without_a_role_there_is_nothing(flow):
    bob = actor(flow, "bob")
    for verb in ("apps:create", "doctor", "ssh-keys:add", "events", "invented"):
        with pytest.raises(Forbidden):
            access.authorise(bob, verb)
    access.authorise(bob, "help", mutates=False)


def test_a_link_needs_both_sides(flow):
    hello, db = flow.app("hello"), service(flow)
    access.grant(flow.rt, ALICE, "bob", Role.OPERATE, app=hello)
    with pytest.raises(NotFound, match="service"):
        access.authorise(actor(flow, "bob"), "postgres:link", hello, db, datastores=STORES)
    access.grant(flow.rt, ALICE, "bob", Role.READ, service=db)
    with pytest.raises(Forbidden):
        access.authorise(actor(flow, "bob"), "postgres:link", hello, db, datastores=STORES)
    access.grant(flow.rt, ALICE, "bob", Role.OPERATE, service=db)
    access.authorise(actor(flow, "bob"), "postgres:link", hello, db, datastores=STORES)


def test_nobody_gives_what_he_has_not_and_only_owners_give(flow):
    hello = flow.app("hello")
    access.grant(flow.rt, ALICE, "bob", Role.OPERATE, app=hello)
    with pytest.raises(Forbidden):
        access.grant(flow.rt, actor(flow, "bob"), "carol", Role.READ, app=hello)
    access.grant(flow.rt, ALICE, "bob", Role.OWNER, app=hello)
    access.grant(flow.rt, actor(flow, "bob"), "carol", Role.DEPLOY, app=hello)
    for role in (Role.ADMIN, Role.OWNER, Role.READ):
        with pytest.raises(Forbidden):
            access.grant(flow.rt, actor(flow, "bob"), "carol", role)
    access.revoke(flow.rt, actor(flow, "bob"), "carol", None, app=hello)
    with pytest.raises(NotFound):
        access.authorise(actor(flow, "carol"), "apps:info", hello)


def test_a_global_owner_does_not_become_an_admin(flow):
    access.grant(flow.rt, ALICE, "bob", Role.OWNER)
    with pytest.raises(Forbidden):
        access.grant(flow.rt, actor(flow, "bob"), "bob", Role.ADMIN)
    access.authorise(actor(flow, "bob"), "apps:create")


def test_the_last_admin_with_a_key_stays(flow):
    access.grant(flow.rt, Actor("root"), "bob", Role.ADMIN)
    with pytest.raises(BadInput, match="last admin"):
        access.revoke(flow.rt, Actor("root"), "bob", Role.ADMIN)
    access.grant(flow.rt, Actor("root"), "carol", Role.ADMIN)
    access.revoke(flow.rt, Actor("root"), "bob", Role.ADMIN)


def test_a_role_for_nobody_is_refused(flow):
    with pytest.raises(NotFound, match="nobody is called"):
        access.grant(flow.rt, ALICE, "dave", Role.READ)


def test_lists_show_what_is_permitted(flow):
    hello, _, db = flow.app("hello"), flow.app("other"), service(flow)
    service(flow, "second", 2)
    access.grant(flow.rt, ALICE, "bob", Role.READ, app=hello)
    access.grant(flow.rt, ALICE, "bob", Role.READ, service=db)
    for app in ("hello", "other", "postgres/db", "postgres/second", ""):
        flow.rt.store.add_event(ALICE, "x", app, "ok", {})
    seen = Visible(flow.rt.store, actor(flow, "bob"))
    assert [one.name for one in seen.apps()] == ["hello"]
    assert [one.name for one in seen.services()] == ["db"]
    assert {one.app for one in seen.events()} == {"hello", "postgres/db"}
    assert [one.name for one in seen.keys()] == ["bob"]
    assert {one.user for one in seen.grants()} == {"bob"}


def test_roles_go_with_their_object(flow):
    hello = flow.app("hello")
    access.grant(flow.rt, ALICE, "bob", Role.READ, app=hello)
    flow.rt.store.delete_app(hello.id)
    assert flow.rt.store.grants(user="bob") == []


def test_sessions_of_a_key_or_a_user_are_cut():
    class Session:
        cut = False

        def drop(self):
            self.cut = True

    sessions, one, two, root = Sessions(), Session(), Session(), Session()
    sessions.begin(one, 1, "bob")
    sessions.begin(two, 2, "bob")
    sessions.begin(root, None, "")
    assert sessions.end_key(1) == 1
    assert (one.cut, two.cut) == (True, False)
    sessions.end(one)
    assert sessions.end_user("bob") == 1
    assert (two.cut, root.cut) == (True, False)
