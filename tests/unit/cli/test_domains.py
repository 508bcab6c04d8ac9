"""The commands of domains: one name, one app; the proxy follows or nothing changes."""

import pytest

from paas.errors import ProxyError


@pytest.fixture
def two(desk):
    """`hello`, and `shop` with shop.example.org and *.wild.example.org."""
    desk.ok("apps:create shop")
    desk.ok("domains:add shop shop.example.org *.wild.example.org")
    return desk


def names(desk, app="hello"):
    return [row["domain"] for row in desk.ok(f"domains {app} --format json").json]


def routed(desk, app="hello"):
    """What the proxy was told last."""
    return list(desk.site(app).hosts)


def test_add_remove_set_clear_reset(desk):
    desk.ok("domains:add hello WWW.Example.org. www.example.org a.example.org")
    assert names(desk) == routed(desk) == ["hello.apps.example.com", "www.example.org", "a.example.org"]
    desk.ok("domains:remove hello a.example.org")
    assert names(desk) == ["hello.apps.example.com", "www.example.org"]
    desk.ok("domains:set hello b.example.org www.example.org")
    assert sorted(names(desk)) == sorted(routed(desk)) == ["b.example.org", "www.example.org"]
    desk.ok("domains:clear hello")
    assert names(desk) == routed(desk) == []
    desk.ok("domains:reset hello")
    assert [row["generated"] for row in desk.ok("domains:report hello --format json").json] == [True]


def test_one_load_of_the_proxy_for_a_change(desk):
    loads = desk.flow.router.loads
    desk.ok("domains:set hello a.example.org b.example.org c.example.org")
    assert desk.flow.router.loads == loads + 1


@pytest.mark.parametrize(("name", "code"), [
    ("shop.example.org", 4), ("SHOP.example.org.", 4), ("x.wild.example.org", 4), ("*.example.org", 4),
    ("*.a.wild.example.org", 4), ("shop.apps.example.com", 4), ("x.shop.apps.example.com", 4),
    ("*.apps.example.com", 4), ("*.shop.apps.example.com", 4),
    ("192.0.2.1", 3), ("http://a.com", 3), ("a.com:8080", 3), ("a.com; location /x{}", 3), ("a.com {", 3),
    ("*", 3), ("*.com", 3), ("a..b.com", 3), ("a\nb.com", 3), ("localhost", 3), ("", 3)])
def test_names_that_are_not_to_be_had(two, name, code):
    before = names(two)
    assert two.run(["domains:add", "hello", "fine.example.net", name]).code == code
    assert names(two) == routed(two) == before


def test_names_that_are(two):
    two.ok("domains:add hello wild.example.org apps.example.com extra.apps.example.com x.hello.apps.example.com")


def test_removing_what_is_not_there_removes_nothing(desk):
    desk.ok("domains:add hello a.example.org")
    assert desk.run("domains:remove hello a.example.org b.example.org").code == 20
    assert "a.example.org" in names(desk)


def test_what_the_proxy_does_not_take_is_put_back(desk):
    desk.flow.router.refuse(desk.flow.app().id, "no such zone")
    said = desk.run("domains:add hello a.example.org")
    assert said.code == ProxyError.exit_code
    assert "no such zone" in said.stderr
    assert "as they were" in said.stderr
    assert names(desk) == routed(desk) == ["hello.apps.example.com"]


def test_a_proxy_that_is_gone_changes_nothing(desk):
    desk.flow.faults.fail_on("router.apply", error=ProxyError("the proxy does not answer"))
    assert desk.run("domains:set hello a.example.org").code == ProxyError.exit_code
    assert names(desk) == routed(desk) == ["hello.apps.example.com"]
    assert desk.ok("domains hello --format json").json[0]["generated"]


def test_another_app_that_the_proxy_leaves_out_is_named(two):
    two.flow.router.refuse(two.flow.rt.store.app("shop").id, "bad row")
    assert "shop is not routed: bad row" in two.ok("domains:add hello a.example.org").stderr


def test_default_names_follow_the_global_domain(two):
    two.ok("domains:set shop own.example.org")
    said = two.ok("domains:set-global New.Example.net")
    assert "hello: hello.apps.example.com → hello.new.example.net" in said.text
    assert "shop" not in said.text
    assert names(two) == routed(two) == ["hello.new.example.net"]
    assert names(two, "shop") == ["own.example.org"]
    two.ok("domains:clear-global")
    assert names(two) == ["hello.new.example.net"]
    two.ok("apps:create third")
    assert names(two, "third") == []
    two.ok("server:set global-domain again.example.net")
    assert (names(two, "third"), names(two)) == (["third.again.example.net"], ["hello.again.example.net"])
    assert two.ok("domains --global --format json").json == {"global_domain": "again.example.net"}


def test_a_default_name_that_somebody_has_is_left_alone(two):
    two.ok("domains:add shop hello.taken.example.net")
    assert "keeps its domains" in two.ok("domains:set-global taken.example.net").text
    assert names(two) == ["hello.apps.example.com"]


@pytest.mark.parametrize("words", ["a.com b.com", "*.example.com", "not_a_name"])
def test_a_global_domain_that_is_none(desk, words):
    assert desk.run(f"domains:set-global {words}").code in (2, 3)
    assert names(desk) == ["hello.apps.example.com"]
