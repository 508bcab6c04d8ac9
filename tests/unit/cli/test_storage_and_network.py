"""Owners of storage, and extra hosts, at the commands."""

import os

import pytest

from paas.ops.storage import OWNER_MARK
from paas.testing.fake_containers import Behaviour
from tests.unit.cli.test_run import Person


def spec(desk):
    (row,) = desk.flow.rt.store.instances(1)
    return desk.flow.containers.spec(row.container_id)


def test_chown_root_is_noted_on_the_directory(deployed, tmp_path):
    deployed.ok(f"storage:mount hello {tmp_path}/storage/kept:/kept --chown 0")
    deployed.ok(f"storage:mount hello {tmp_path}/storage/free:/free")
    assert os.getxattr(tmp_path / "storage" / "kept", OWNER_MARK) == b"0"
    assert os.listxattr(tmp_path / "storage" / "free") == []


def test_where_that_cannot_be_noted_nothing_is_made(deployed, tmp_path, monkeypatch):
    def unable(*words):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", unable)
    said = deployed.run(f"storage:mount hello {tmp_path}/storage/kept:/kept --chown 0")
    assert (said.code, "put a file into it" in said.all) == (3, True)
    assert not (tmp_path / "storage" / "kept").exists()
    assert deployed.flow.rt.store.mounts(1) == []


def test_a_volume_has_no_chown(deployed):
    assert deployed.run("storage:mount hello data:/data --chown 1000").code == 3
    assert deployed.flow.rt.store.mounts(1) == []


@pytest.mark.parametrize(("first", "second"), [("x", "x/sub"), ("x/sub", "x"), ("x", "x/a/b")])
def test_directories_in_one_another_are_refused(deployed, tmp_path, first, second):
    """The app that has the outer one could turn the inner one into a link to any file of the server."""
    deployed.ok(f"storage:mount hello {tmp_path}/storage/{first}:/one")
    said = deployed.run(f"storage:mount hello {tmp_path}/storage/{second}:/two")
    assert (said.code, "in one another" in said.stderr) == (3, True)
    deployed.ok(f"storage:mount hello {tmp_path}/storage/{first}:/three")
    deployed.ok(f"storage:mount hello {tmp_path}/storage/{first}-beside:/four")


def test_a_directory_that_became_a_link_is_not_mounted(deployed, tmp_path):
    deployed.ok(f"storage:mount hello {tmp_path}/storage/x:/data")
    (tmp_path / "storage" / "x").rmdir()
    (tmp_path / "storage" / "x").symlink_to("/etc")
    said = deployed.run("ps:rebuild hello")
    assert (said.code, "symbolic link" in said.all) == (3, True), said.all
    assert deployed.run("run hello true").code == 3


def test_run_gives_new_storage_and_tells_what_it_could_not(deployed):
    deployed.flow.containers.behave("paas.kind=run", Behaviour(exits=0, user="app"))
    deployed.ok("storage:mount hello data:/data")
    assert Person(deployed, ["run", "hello", "true"]).end() == 0
    assert deployed.flow.containers.owners == {"paas-volume-1-data": "app"}
    deployed.flow.containers.behave("paas.kind=run", Behaviour(exits=0, user="ghost"))
    deployed.ok("storage:mount hello more:/more")
    person = Person(deployed, ["run", "hello", "true"])
    assert person.end() == 0
    assert b" !     the image's user 'ghost'" in person.stderr
    deployed.flow.containers.behave("paas.kind=run", Behaviour(exits=0, user="1000"))
    deployed.ok("run:detached hello true")
    assert deployed.flow.containers.owners["paas-volume-1-more"] == "1000"


def test_extra_hosts(deployed):
    said = deployed.ok(["network:set", "hello", "extra-hosts", "db:10.0.0.5, api:192.0.2.7"])
    assert "From the next release on" in said.text
    assert spec(deployed).hosts == ()
    deployed.ok("ps:rebuild hello")
    assert spec(deployed).hosts == ("db:10.0.0.5", "api:192.0.2.7")
    assert deployed.ok("network:report hello --format json").json["extra_hosts"] == ["db:10.0.0.5", "api:192.0.2.7"]
    (line,) = deployed.ok("network:settings hello --format json").json
    assert (line["key"], line["value"], line["set"]) == ("extra-hosts", "db:10.0.0.5,api:192.0.2.7", True)
    deployed.ok("network:set hello extra-hosts")
    deployed.ok("ps:rebuild hello")
    assert spec(deployed).hosts == ()


@pytest.mark.parametrize("bad", ["db", "db:x", "db:10.0.0.5 --privileged", "a_b:10.0.0.5"])
def test_a_bad_extra_host_is_refused_and_nothing_changes(deployed, bad):
    assert deployed.run(["network:set", "hello", "extra-hosts", bad]).code == 3
    assert "network.extra-hosts" not in deployed.flow.rt.store.app("hello").settings


def test_an_unknown_setting_of_the_network_is_refused(deployed):
    assert deployed.run("network:set hello host on").code == 3
