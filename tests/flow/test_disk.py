"""What uses space, the incident of a disk that fills up, and the reserve, over fakes of the engine and the machine."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from paas.adapters.disk_files import ThisDisk
from paas.adapters.host import ThisHost
from paas.errors import NoSpace
from paas.model.incident import Kind
from paas.ops import disk
from paas.ports_watch import EngineUse, Used
from tests.unit.cli.desk import Desk

GB = 10**9


class Machine(ThisHost):
    def __init__(self) -> None:
        self.free, self.total = 50 * GB, 100 * GB

    def disk(self, path: Path) -> tuple[int, int]:
        return self.free, self.total


class EngineDisk:
    def use(self) -> EngineUse:
        mine = {"paas.app": "1", "paas.server": "server"}
        return EngineUse(
            images=(Used("sha256:1", mine, 100), Used("sha256:2", mine, 20)),
            containers=(Used("web", mine, 7, 3), Used("db", {"paas.service": "1"}, 1, 1)),
            volumes=(Used("other", {}, 10**12),), layers=1000, cache=500)

    def root(self) -> Path:
        return Path("/")


@pytest.fixture
def box(flow):
    flow.rt = replace(flow.rt, host=Machine(), engine_disk=EngineDisk())
    flow.deploy()
    return flow


def test_what_uses_space(box):
    home = disk.storage.root(box.rt) / "hello"
    home.mkdir(parents=True)
    (home / "data").write_bytes(os.urandom(300_000))
    (home / "again").hardlink_to(home / "data")
    (home / "link").symlink_to("/usr")
    box.rt.store.add_mount(1, str(home), "/data", False)
    box.rt.store.add_mount(1, "/usr", "/usr-of-the-host", True)
    hello, server = disk.uses(box.rt)
    assert (hello.name, hello.images, hello.containers) == ("hello", 120, 7)
    assert 300_000 <= hello.data < 320_000       # once, and nothing of elsewhere
    assert hello.logs >= 3
    assert (server.name, server.images) == ("(server)", 1000 + 500 - 120)
    assert server.data < 300_000
    assert hello.total == hello.images + hello.containers + hello.logs + hello.data + hello.repository + hello.backups


def test_the_command(box):
    desk = Desk(box)
    said = desk.ok("disk")
    assert "hello" in said.text
    assert "50.0 GB  100.0 GB  not known yet (0 of 6 hourly samples)" in said.text
    found = desk.ok("disk --format json").json
    assert [one["disk"] for one in found["disks"]] == ["state", "docker"] or len(found["disks"]) == 1
    assert found["uses"][0]["images"] == 120


def hours(box, count, growth):
    for _ in range(count):
        disk.tick(box.rt)
        box.clock.passed += 3600
        box.rt.host.free -= growth


def incidents(box):
    return [one for one in box.rt.store.incidents(open_only=True) if one.kind is Kind.DISK]


def test_a_sample_each_hour_and_an_incident_before_it_is_full(box):
    hours(box, 10, 0)
    assert incidents(box) == []
    assert len(box.rt.store.disk_samples("state")) == 10
    hours(box, 24, GB)
    (found, *_) = incidents(box)
    assert "are free: at the pace of the last days full in" in found.what
    box.rt.host.free = GB
    disk.tick(box.rt)
    assert len(incidents(box)) == len({one.object for one in incidents(box)})
    box.rt.host.free = 60 * GB
    hours(box, 170, 0)
    assert incidents(box) == []
    assert len(box.rt.store.disk_samples("state")) <= 169


def test_an_incident_below_the_limit_and_its_end(box):
    box.rt.host.free = GB
    disk.tick(box.rt)
    assert "1.0 GB of 100.0 GB are free; pushes are refused below 2.0 GB" in incidents(box)[0].what
    box.rt.host.free = int(2.1 * GB)
    disk.tick(box.rt)
    assert incidents(box)                # not yet: it would come and go
    box.rt.host.free = 3 * GB
    disk.tick(box.rt)
    assert incidents(box) == []


# --- the reserve -----------------------------------------------------------------------------------------------------


def test_the_reserve_is_made_with_its_blocks_where_there_is_room(box):
    path = disk.reserve_path(box.rt)
    disk.keep_reserve(box.rt)
    assert path.stat().st_size == 64 * 1024**2
    assert path.stat().st_blocks * 512 >= 64 * 1024**2
    assert path.stat().st_mode & 0o777 == 0o600
    box.rt.store.set_setting("disk-reserve", "1000000")
    disk.keep_reserve(box.rt)
    assert path.stat().st_size == 1_000_000
    box.rt.store.set_setting("disk-reserve", "0")
    disk.keep_reserve(box.rt)
    assert not path.exists()


def test_never_when_little_is_free(box):
    box.rt.host.free = 600 * 1024**2
    disk.keep_reserve(box.rt)
    assert not disk.reserve_path(box.rt).exists()
    assert disk.ease(box.rt) is False


def test_only_a_command_that_changes_something_on_a_full_disk_is_given_it(box):
    desk = Desk(box)
    disk.keep_reserve(box.rt)
    desk.ok("config:set hello A=1")
    assert disk.reserve_path(box.rt).exists()
    box.rt.host.free = 0
    desk.ok("apps:list")
    desk.ok("logs hello")
    disk.tick(box.rt)
    assert disk.reserve_path(box.rt).exists()
    said = desk.ok("ps:stop hello")
    assert "this command has the reserve" in said.stderr
    assert not disk.reserve_path(box.rt).exists()
    assert "reserve" not in desk.ok("ps:start hello").stderr
    disk.tick(box.rt)
    assert not disk.reserve_path(box.rt).exists()
    box.rt.host.free = 50 * GB
    disk.tick(box.rt)
    assert disk.reserve_path(box.rt).exists()


def test_a_reserve_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NoSpace):
        ThisDisk().hold(tmp_path / "reserve", 1000)
    assert list(tmp_path.iterdir()) == []


# --- cleaning up -----------------------------------------------------------------------------------------------------


def test_cleanup_removes_by_label_what_no_kept_release_needs_and_no_volume(box):
    box.rt.store.set_setting("keep-releases", "1")
    for text in ("two", "three"):
        box.deploy(text)
    before = len(box.images.list({"paas.app": "1"}))
    box.containers.ensure_volume("paas-data-x", {"paas.uid": "x"})
    desk = Desk(box)
    said = desk.ok("cleanup")
    assert f"Images: {before - 1}," in said.text
    assert len(box.images.list({"paas.app": "1"})) == 1
    assert "paas-data-x" in box.containers.volumes()
    assert desk.ok("cleanup hello").text.startswith("Images: 0,")
