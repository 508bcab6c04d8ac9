"""Apps, server settings, scale, limits, mounts, domains, certificates, keys, runs, events."""

from datetime import UTC, datetime

import pytest

from paas.errors import Conflict, NotFound
from paas.model.access import Actor, Certificate, Domain
from paas.secret import Secret

# apps


def test_a_new_app_is_found_by_name_and_id(store, app, anna, time):
    assert (app.name, app.subnet, app.created_by, app.created_at) == ("blog", "10.89.0.0/25", "anna", time.now)
    assert (app.locked, app.maintenance, app.stopped, app.settings) == ("", False, False, {})
    assert store.app("blog") == store.app_by_id(app.id) == store.find_app("blog") == app


def test_an_unknown_app(store):
    assert store.find_app("none") is None
    for ask in (lambda: store.app("none"), lambda: store.app_by_id(99), lambda: store.delete_app(99),
                lambda: store.rename_app(99, "x"), lambda: store.update_app(99, locked="x"),
                lambda: store.set_app_setting(99, "k", "v"), lambda: store.replace_config(99, {"A": Secret("1")}),
                lambda: store.set_scale(99, {"web": 1}), lambda: store.add_domain(99, "a.example"),
                lambda: store.add_mount(99, "a", "/a", False)):
        with pytest.raises(NotFound):
            ask()


def test_name_and_network_are_unique(store, app, other, anna):
    with pytest.raises(Conflict, match="blog"):
        store.create_app("blog", "10.89.1.0/25", anna)
    with pytest.raises(Conflict, match=r"10\.89\.0\.0/25"):
        store.create_app("third", app.subnet, anna)
    with pytest.raises(Conflict):
        store.rename_app(other.id, "blog")
    assert [one.name for one in store.apps()] == ["blog", "shop"]


def test_apps_come_by_name_each_with_its_own_settings(store, app, other):
    store.create_app("api", "10.89.1.0/25", Actor("root"))
    store.set_app_setting(app.id, "checks.path", "/up")
    store.set_app_setting(other.id, "checks.path", "/ok")
    store.set_app_setting(other.id, "ps.stop-timeout", "3")
    assert [(one.name, one.settings) for one in store.apps()] == [
        ("api", {}), ("blog", {"checks.path": "/up"}), ("shop", {"checks.path": "/ok", "ps.stop-timeout": "3"})]
    store.set_app_setting(app.id, "checks.path", "/new")
    store.set_app_setting(other.id, "checks.path", None)
    assert store.app("blog").settings == {"checks.path": "/new"}
    assert store.find_app("shop").settings == {"ps.stop-timeout": "3"}


def test_update_changes_what_is_given(store, app):
    assert store.update_app(app.id, locked="moving", maintenance=True).locked == "moving"
    store.update_app(app.id, stopped=True)
    changed = store.update_app(app.id)
    assert (changed.locked, changed.maintenance, changed.stopped) == ("moving", True, True)
    assert store.update_app(app.id, locked="", stopped=False) == store.app("blog")
    assert (store.app("blog").locked, store.app("blog").maintenance, store.app("blog").stopped) == ("", True, False)


def test_rename(store, app):
    assert store.rename_app(app.id, "diary").id == app.id
    assert store.find_app("blog") is None
    assert store.app("diary").subnet == app.subnet


def test_an_app_goes_with_all_that_is_its_and_its_id_never_comes_back(store, app, other, anna, new_release, go_live):
    build = store.create_build(app.id, commit="c", tree="t", subject="s", actor=anna)
    release = go_live(new_release(app, {"A": Secret("1")}, build_id=build.id))
    store.reserve_instance(app.id, release.id, "web", 1)
    store.create_run(app.id, release.id, ["sh"], anna)
    store.replace_config(app.id, {"A": Secret("1")})
    store.set_app_setting(app.id, "checks.path", "/")
    store.set_scale(app.id, {"web": 2})
    store.set_limit(app.id, "", "memory", "1g")
    store.add_mount(app.id, "/srv", "/data", False)
    store.add_domain(app.id, "blog.example")
    store.put_certificate(certificate(app.id), Secret("key"))
    kept = new_release(other)
    store.delete_app(app.id)
    assert store.find_app("blog") is None
    assert store.builds() == store.instances() == store.runs() == store.domains() == []
    assert (store.config(app.id), store.scale(app.id), store.limits(app.id), store.mounts(app.id)) == ({}, {}, {}, [])
    assert store.releases(app.id) == []
    assert store.certificate(app.id) is None
    assert store.unfinished_releases() == [kept]
    assert store.integrity() == []
    assert store.create_app("blog", app.subnet, anna).id > other.id > app.id


def test_a_last_id_is_not_used_again(store, app, anna):
    store.delete_app(app.id)
    assert store.create_app("blog", app.subnet, anna).id == app.id + 1


# server settings, scale, limits, mounts


def test_settings_of_the_server_hide_the_key_check(store):
    assert store.settings() == {}
    store.set_setting("https", "true")
    store.set_setting("https", "false")
    store.set_setting("acme-email", "a@b.example")
    assert store.settings() == {"acme-email": "a@b.example", "https": "false"}
    store.set_setting("https", None)
    assert store.settings() == {"acme-email": "a@b.example"}
    with pytest.raises(AssertionError):
        store.set_setting("key-check", None)


def test_scale_merges(store, app, other):
    store.set_scale(app.id, {"web": 2, "worker": 1})
    store.set_scale(app.id, {"worker": 0})
    store.set_scale(app.id, {})
    assert store.scale(app.id) == {"web": 2, "worker": 0}
    assert store.scale(other.id) == {}


def test_limits(store, app):
    store.set_limit(app.id, "", "memory", "512m")
    store.set_limit(app.id, "web", "memory", "1g")
    store.set_limit(app.id, "web", "memory", "2g")
    store.set_limit(app.id, "web", "cpu", "1")
    assert store.limits(app.id) == {"": {"memory": "512m"}, "web": {"cpu": "1", "memory": "2g"}}
    store.set_limit(app.id, "", "memory", None)
    assert store.limits(app.id) == {"web": {"cpu": "1", "memory": "2g"}}


def test_mounts(store, app, other):
    made = store.add_mount(app.id, "/srv/a", "/data", True)
    assert store.mounts(app.id) == [made]
    assert (made.source, made.target, made.read_only) == ("/srv/a", "/data", True)
    with pytest.raises(Conflict):
        store.add_mount(app.id, "/srv/b", "/data", False)
    store.add_mount(other.id, "/srv/b", "/data", False)
    store.remove_mount(made.id)
    assert store.mounts(app.id) == []
    with pytest.raises(NotFound):
        store.remove_mount(made.id)


# domains, certificates


def certificate(app_id, chain="-----BEGIN"):
    ends = datetime(2027, 1, 1, tzinfo=UTC)
    return Certificate(app_id, chain, ("a.example", "*.a.example"), "CN=Ünïcode", ends, "ff")


def test_domains(store, app, other):
    first = store.add_domain(app.id, "blog.example", generated=True)
    second = store.add_domain(other.id, "shop.example")
    assert first == Domain(first.id, app.id, "blog.example", True)
    assert store.domains() == [first, second]
    assert store.domains(other.id) == [second]
    with pytest.raises(Conflict, match="another app"):
        store.add_domain(other.id, "blog.example")
    with pytest.raises(Conflict, match="the app has"):
        store.add_domain(app.id, "blog.example")
    with pytest.raises(NotFound):
        store.remove_domain(other.id, "blog.example")
    store.remove_domain(app.id, "blog.example")
    assert store.domains() == [second]


def test_certificates(store, app):
    assert store.certificate(app.id) is None
    store.put_certificate(certificate(app.id), Secret("old"))
    store.put_certificate(certificate(app.id, "new chain"), Secret("new\nkey"))
    held, key = store.certificate(app.id)
    assert (held, key.reveal()) == (certificate(app.id, "new chain"), "new\nkey")
    store.remove_certificate(app.id)
    assert store.certificate(app.id) is None
    with pytest.raises(NotFound):
        store.remove_certificate(app.id)


# keys, runs, events


def test_keys(store, time):
    key = store.add_key("anna", "ssh-ed25519", "AAAA", "SHA256:x")
    assert store.keys() == [store.key(key.id)] == [key]
    assert key.created_at == time.now
    with pytest.raises(Conflict, match="this name is taken"):
        store.add_key("anna", "ssh-ed25519", "BBBB", "SHA256:y")
    with pytest.raises(Conflict, match="this key is there already"):
        store.add_key("ben", "ssh-ed25519", "AAAA", "SHA256:x")
    store.remove_key(key.id)
    for ask in (store.key, store.remove_key):
        with pytest.raises(NotFound):
            ask(key.id)
    assert store.add_key("anna", "ssh-ed25519", "AAAA", "SHA256:x").id > key.id


def test_runs(store, app, other, anna, new_release):
    release = new_release(app)
    run = store.create_run(app.id, release.id, ["sh", "-c", "echo 'a\nb'"], anna)
    assert (run.command, run.container_id, run.created_by) == (("sh", "-c", "echo 'a\nb'"), "", "anna")
    assert store.update_run(run.id, "abc").container_id == "abc"
    assert [one.id for one in store.runs()] == [one.id for one in store.runs(app.id)] == [run.id]
    assert store.runs(other.id) == []
    store.delete_run(run.id)
    store.delete_run(run.id)
    assert store.runs() == []
    with pytest.raises(NotFound):
        store.update_run(run.id, "x")


def test_events_newest_first(store, anna, time):
    made = [store.add_event(anna, "deploy", app, "ok", {"n": str(n)}) for n, app in enumerate(["a", "b", "a"])]
    assert store.events() == made[::-1]
    assert store.events(app="a") == [made[2], made[0]]
    assert store.events(limit=1) == [made[2]]
    assert store.events(after=made[0].id) == [made[2], made[1]]
    assert (made[0].actor, made[0].at, made[0].detail) == (
        "anna", time.now, {"n": "0", "address": "192.0.2.9"})


def test_foreign_text_never_fails_an_event(store, anna):
    store.add_event(anna, "deploy", "a\udcff", "ok", {"why": "\udcff\x00"})
    assert [event.app for event in store.events()] == [r"a\udcff"]


def test_events_are_trimmed_by_age_alone(store, anna, time):
    old = store.add_event(anna, "deploy", "a", "ok", {})
    time.now += time.second
    new = store.add_event(anna, "deploy", "a", "ok", {})
    assert store.trim_events(new.at) == 1
    assert store.events() == [new]
    assert store.trim_events(new.at) == 0
    assert store.add_event(anna, "deploy", "a", "ok", {}).id > new.id > old.id
