"""resource:…, checks:…, storage:…: what the next release is given."""

import pytest

from paas.cli.base import Local
from paas.model.access import Actor
from paas.ports import BindMount
from paas.testing.fake_containers import Behaviour
from tests.flow.over_fakes import ALICE

KEY = ALICE


def spec(desk):
    (row,) = desk.flow.rt.store.instances(1)
    return desk.flow.containers.spec(row.container_id)


def test_limits_are_the_next_releases(deployed):
    said = deployed.ok("resource:limit --memory 512m --cpu 0.5 --pids 200 hello")
    assert "ps:rebuild" in said.text
    assert spec(deployed).memory == 0
    assert "Nothing changed" in deployed.ok("resource:limit --memory 512m hello").text
    deployed.ok("ps:rebuild hello")
    assert (spec(deployed).memory, spec(deployed).cpus, spec(deployed).pids) == (512 * 1024**2, 0.5, 200)


def test_a_types_own_limit_goes_before_that_of_all(deployed):
    deployed.ok("resource:limit --memory 512m --cpu 2 hello")
    deployed.ok("resource:limit --memory 64m --process-type web hello")
    deployed.ok("ps:rebuild hello")
    assert (spec(deployed).memory, spec(deployed).cpus) == (64 * 1024**2, 2.0)
    shown = deployed.ok("resource:limit hello --format json").json
    assert [(one["process"], one["memory"], one["source"]) for one in shown] == [
        ("(all)", "512m", "stored"), ("web", "64m", "stored"), ("web", str(64 * 1024**2), "v2")]


def test_limits_are_cleared(deployed):
    deployed.ok("resource:limit --memory 512m hello")
    deployed.ok("resource:limit --memory 64m --process-type web hello")
    deployed.ok("resource:limit-clear --process-type web hello")
    assert deployed.flow.rt.store.limits(1) == {"": {"memory": "512m"}}
    deployed.ok("resource:limit-clear hello")
    assert deployed.flow.rt.store.limits(1) == {}
    assert "Nothing changed" in deployed.ok("resource:limit-clear hello").text
    assert deployed.run("resource:limit-clear --process-type web hello").code == 20


@pytest.mark.parametrize("words", ["--memory 1x", "--memory 1k", "--cpu 0", "--pids 1", "--memory 64m --cpu much",
                                   "--memory 64m --process-type nope"])
def test_a_bad_limit_stores_nothing(deployed, words):
    assert deployed.run(f"resource:limit {words} hello").code == 3
    assert deployed.flow.rt.store.limits(1) == {}


def test_checks_show_what_is_in_force_and_what_waits(deployed):
    found = deployed.ok("checks hello --format json").json
    assert [(one["process"], one["kind"], one["waiting"]) for one in found["processes"]] == [("web", "listen", False)]
    assert "next release" in deployed.ok("checks:set hello path /up").text
    assert deployed.ok("checks hello --format json").json["processes"][0]["waiting"] is True
    deployed.ok("ps:rebuild hello")
    (web,) = deployed.ok("checks hello --format json").json["processes"]
    assert (web["kind"], web["path"], web["status"], web["waiting"]) == ("http", "/up", "200-399", False)
    deployed.ok("checks:unset hello path")
    assert deployed.ok("checks hello --format json").json["settings"]["path"] == ""
    assert "PATH" in deployed.ok("checks:report hello").text


def test_checks_disable_and_enable(deployed):
    deployed.ok("checks:disable hello")
    assert deployed.flow.rt.store.app("hello").settings["checks.enabled"] == "false"
    deployed.ok("checks:enable hello")
    assert deployed.flow.rt.store.app("hello").settings["checks.enabled"] == "true"
    assert deployed.run("checks:set hello nope 1").code == 3
    assert deployed.run("checks:set hello path nope").code == 3


def test_a_volume_is_the_apps_own(deployed):
    said = deployed.ok("storage:mount hello uploads:/data")
    assert "ps:restart" in said.text
    assert spec(deployed).mounts == ()
    deployed.ok("ps:restart hello")
    assert spec(deployed).mounts == (BindMount("paas-volume-1-uploads", "/data", False),)
    assert deployed.ok("storage:list hello --format json").json == [
        {"source": "uploads", "target": "/data", "read_only": False, "kind": "volume"}]


def test_a_directory_below_storage_is_made_and_mounted(deployed, tmp_path):
    wanted = tmp_path / "storage" / "hello"
    deployed.actor, deployed.local = KEY, None
    deployed.ok(f"storage:mount hello {wanted}:/data:ro --restart --chown 1234")
    assert (wanted.is_dir(), wanted.stat().st_uid) == (True, 1234)
    assert spec(deployed).mounts == (BindMount(str(wanted), "/data", True),)
    deployed.ok(f"storage:unmount hello {wanted}:/data --restart")
    assert spec(deployed).mounts == ()
    assert wanted.is_dir()


def test_only_root_on_the_server_mounts_other_directories(deployed, tmp_path):
    outside = tmp_path.parent
    deployed.actor, deployed.local = KEY, None
    for path in ("/", "/etc", "/root", str(outside), str(tmp_path / "storage"), str(tmp_path / "paas.db"),
                 f"{tmp_path}/storage/../x"):
        assert deployed.run(f"storage:mount hello {path}:/data").code in (3, 6), path
    deployed.actor, deployed.local = Actor("root"), Local()
    deployed.ok("storage:mount hello /srv:/srv")
    assert deployed.run("storage:mount hello /srv/not-there:/other").code == 3
    for own in ("/", tmp_path, tmp_path / "paas.db", tmp_path.parent, "/etc/paas", "/var/run/docker.sock"):
        assert deployed.run(f"storage:mount hello {own}:/own").code in (3, 6), own


def test_a_link_out_of_storage_is_followed_before_it_is_judged(deployed, tmp_path):
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "out").symlink_to("/etc")
    deployed.actor, deployed.local = KEY, None
    assert deployed.run(f"storage:mount hello {tmp_path}/storage/out:/data").code == 6


@pytest.mark.parametrize("words", ["data", "a:b", "a:/", "a:/proc/x", "a:/x/../y", "a:/x:rx", "A:/x", "../x:/x", ":/x",
                                   "a:/etc", "a:/x:ro:rw"])
def test_a_bad_mount_is_refused(deployed, words):
    assert deployed.run(["storage:mount", "hello", words]).code == 3
    assert deployed.flow.rt.store.mounts(1) == []


def test_one_mount_per_place(deployed):
    deployed.ok("storage:mount hello a:/data")
    assert deployed.run("storage:mount hello b:/data").code == 4
    deployed.ok("storage:unmount hello a:/data")
    assert deployed.run("storage:unmount hello a:/data").code == 20
    deployed.ok("storage:mount hello b:/data:ro")
    assert deployed.run("storage:unmount hello a:/data").code == 20
    deployed.ok("storage:unmount hello /data")


def test_a_restart_that_fails_says_what_is_stored(deployed):
    deployed.flow.containers.behave("paas.process=web", Behaviour(exits=1))
    said = deployed.run("storage:mount hello a:/data --restart")
    assert said.code == 12
    assert "The mounts are stored" in said.stderr


def test_restart_of_an_app_that_does_not_run(desk):
    assert "Nothing runs" in desk.ok("storage:mount hello a:/data --restart").text
