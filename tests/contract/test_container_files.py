"""Files of containers, seen and linked by the engine: the same suite over the fake and a real engine."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from paas.errors import NotFound
from paas.ports import BindMount, FileFacts


@pytest.fixture
def place(rig, tmp_path):
    """A container that was not started, with one directory, and a way to put a file into it."""
    source = tmp_path / "mounted"
    source.mkdir()
    made = rig.containers.create(rig.spec("silent", "files", mounts=(BindMount(str(source), "/data"),)))

    def put(name: str, data: bytes, owner: int = 1000) -> None:
        if hasattr(rig.containers, "files"):
            facts = FileFacts("file", len(data), owner, owner, 0o640, data)
            rig.containers.files[(str(source), name)] = facts
        (source / name).write_bytes(data)
        os.chown(source / name, owner, owner)
        (source / name).chmod(0o640)

    return made, source, put


def test_what_a_file_is(rig, place):
    made, _, put = place
    put("app.db", b"SQLite format 3\0" + bytes(500_000))
    found = rig.containers.facts(made, "/data/app.db", 16)
    assert (found.kind, found.size, found.uid, found.gid, found.mode) == ("file", 500_016, 1000, 1000, 0o640)
    assert found.head == b"SQLite format 3\0"
    assert rig.containers.facts(made, "/data/app.db").head == b""


def test_what_is_not_there(rig, place):
    made, _, _ = place
    with pytest.raises(NotFound):
        rig.containers.facts(made, "/data/none", 16)
    with pytest.raises(NotFound):
        rig.containers.link(made, "/data", {"new": "none"})


def test_a_further_name_takes_the_place_of_what_had_it(rig, place):
    made, _, put = place
    put("app.db", b"one")
    put("kept", b"two", 7)
    rig.containers.link(made, "/data", {"kept": "app.db"})
    found = rig.containers.facts(made, "/data/kept", 10)
    assert (found.head, found.uid) == (b"one", 1000)
    assert rig.containers.facts(made, "/data/app.db", 10).head == b"one"


@pytest.mark.docker
def test_a_further_name_is_a_hard_link(real, tmp_path):
    (tmp_path / "app.db").write_bytes(b"one")
    os.chown(tmp_path / "app.db", 1000, 1000)
    made = real.containers.create(real.spec("silent", "links", mounts=(BindMount(str(tmp_path), "/data"),)))
    real.containers.link(made, "/data", {"kept": "app.db"})
    assert (tmp_path / "kept").stat().st_ino == (tmp_path / "app.db").stat().st_ino
    assert (tmp_path / "app.db").stat().st_uid == 1000


@pytest.mark.docker
def test_a_symbolic_link_is_seen_and_leads_nowhere(real, tmp_path):
    (tmp_path / "app.db").symlink_to("/etc/shadow")
    (tmp_path / "deep").symlink_to("/etc")
    made = real.containers.create(real.spec("silent", "links", mounts=(BindMount(str(tmp_path), "/data"),)))
    found = real.containers.facts(made, "/data/app.db", 100)
    assert (found.kind, found.head) == ("link", b"")
    with pytest.raises(NotFound):        # the container's own /etc has none; the host's has
        real.containers.facts(made, "/data/deep/shadow", 100)
    real.containers.link(made, "/data", {"kept": "app.db"})
    assert (tmp_path / "kept").is_symlink()


@pytest.mark.docker
def test_a_container_runs_as_the_user_it_is_given(real):
    spec = real.spec("silent", "user", user="1234:5678")
    made = real.containers.create(replace(spec, command=("cat", "/proc/self/status")))
    real.containers.start(made)
    real.containers.wait(made)
    said = b"\n".join(line.text for line in real.containers.logs(made)).decode()
    assert "Uid:\t1234\t1234" in said
    assert "Gid:\t5678\t5678" in said
    assert "CapEff:\t0000000000000000" in said
