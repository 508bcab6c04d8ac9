"""A08: every verb with every role, on one's own app, on another's, and without a role: what the table says is so."""

from datetime import UTC, datetime

import pytest

from paas.errors import Forbidden, NotFound
from paas.model.access import Actor, Grant
from paas.model.rights import ROLES, SERVER_WIDE, VERBS, Right, Role, right_of
from paas.ops import access
from tests.flow.over_fakes import make_flow

MADE = datetime(2026, 1, 1, tzinfo=UTC)
ABOUT_AN_APP = sorted(verb for verb, right in VERBS.items() if right not in SERVER_WIDE and "DATASTORE" not in verb)


@pytest.fixture(scope="module")
def apps(tmp_path_factory):
    flow = make_flow(tmp_path_factory.mktemp("rights"))
    return flow.app("hello"), flow.app("other")


def verdict(actor, verb, app) -> str:
    try:
        access.authorise(actor, verb, app)
    except Forbidden:
        return "no"
    except NotFound:
        return "absent"
    return "yes"


def on(app, role) -> Actor:
    return Actor("bob", 7, "192.0.2.1", "bob", "SHA256:x", (Grant(1, "bob", role, app.id, None, MADE, "root"),))


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_a_role_on_an_app_is_the_tables_row_there_and_nothing_elsewhere(apps, role):
    own, other = apps
    assert len(ABOUT_AN_APP) > 80
    bob = on(own, role)
    for verb in ABOUT_AN_APP:
        assert verdict(bob, verb, own) == ("yes" if right_of(verb) in ROLES[role] else "no"), verb
        assert verdict(bob, verb, other) == "absent", verb


def test_a_key_without_a_role_sees_nothing(apps):
    nobody = Actor("eve", 8, "192.0.2.1", "eve", "SHA256:y", ())
    for verb in ABOUT_AN_APP:
        assert verdict(nobody, verb, apps[0]) == "absent", verb


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_what_is_an_admins_is_nobody_elses(apps, role):
    for verb in (verb for verb, right in VERBS.items() if right is Right.ADMIN):
        assert verdict(on(apps[0], role), verb, None) == "no", verb
