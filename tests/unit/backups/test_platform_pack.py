"""The tar of a backup of the platform, and the swap of what it holds: whole, by any tar, cut anywhere."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from paas.adapters.installation import ThisInstallation
from paas.backups.platform_pack import Pieced, packed, received, unpacked
from paas.errors import Forged, StateError
from paas.ports_platform import DATABASE, MASTER_KEY
from paas.settings import Settings

LONG = "storage/notes/" + "x" * 180 + "/ümläut"


@pytest.fixture
def home(tmp_path) -> Settings:
    settings = Settings(state_dir=tmp_path / "state", config_dir=tmp_path / "etc", run_dir=tmp_path / "run",
                        ssh_user="nobody", proxy_user="nobody")
    return filled(settings, "here")


def filled(settings: Settings, mark: str) -> Settings:
    shutil.rmtree(settings.state_dir, ignore_errors=True)
    shutil.rmtree(settings.config_dir, ignore_errors=True)
    for path, data in {settings.database: mark, settings.master_key: f"key of {mark}",
                       settings.config_dir / "paas.toml": "", settings.repos_dir / "1.git/HEAD": f"ref: {mark}",
                       settings.repos_dir / "1.git/refs/heads/main": "a" * 40,
                       settings.repos_dir / "1.git/objects/ab" / ("c" * 38): "object",
                       settings.repos_dir / "1.git/objects/tmp_objdir-incoming-x/ab/y": "quarantined",
                       settings.repos_dir / "1.git/objects/pack/tmp_pack_x": "half",
                       settings.proxy_dir / "data/certificates/ca/host/host.crt": mark,
                       settings.proxy_dir / "data/locks/x.lock": "ours",
                       settings.state_dir / LONG: "file"}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data)
    (settings.state_dir / "storage/notes/link").symlink_to("/etc/shadow")
    return settings


def stream(settings: Settings, **options: bool) -> bytes:
    return Pieced(packed(ThisInstallation(settings).pieces(**options))).read()


def names(data: bytes) -> list[str]:
    return subprocess.run(["tar", "-tf", "-"], input=data, capture_output=True, check=True,
                          env={"LC_ALL": "C.UTF-8"}).stdout.decode().splitlines()


def test_any_tar_reads_it_and_refs_come_before_objects(home):
    found = names(stream(home, storage=False))
    assert {"master.key", "paas.toml", "repos/1.git/HEAD", "proxy/certificates/ca/host/host.crt"} <= set(found)
    assert found.index("repos/1.git/refs/heads/main") < found.index("repos/1.git/objects/")
    assert not [name for name in found if "tmp_" in name or "lock" in name or name.startswith("storage")]
    assert [name for name in names(stream(home, storage=True)) if name.startswith("storage/notes/link")]


def test_what_is_packed_is_unpacked(home, tmp_path):
    goal = tmp_path / "goal"
    goal.mkdir()
    data = stream(home, storage=True)
    received(lambda sink: sink.write(data), lambda source: unpacked(source, goal))
    assert (goal / LONG).read_text() == "file"
    assert os.readlink(goal / "storage/notes/link") == "/etc/shadow"
    assert (goal / "repos/1.git/objects/ab" / ("c" * 38)).read_text() == "object"
    assert (goal / "master.key").read_text() == "key of here"


def test_a_file_that_shrinks_or_goes_does_not_break_the_stream(home, tmp_path):
    big = home.state_dir / "storage/notes/big"
    big.write_bytes(b"x" * 3_000_000)
    goal, pieces = tmp_path / "goal", packed(ThisInstallation(home).pieces(storage=True))
    goal.mkdir()
    data = b""
    for part in pieces:
        data += part
        if b"storage/notes/big" in part:
            big.write_bytes(b"y")
            (home.state_dir / LONG).unlink()
    received(lambda sink: sink.write(data), lambda source: unpacked(source, goal))
    assert (goal / "storage/notes/big").stat().st_size == 3_000_000
    assert not (goal / LONG).exists()


def hostile(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        head = tarfile.TarInfo(name)
        head.type, head.linkname = kind, target
        archive.addfile(head)
    return made.getvalue()


@pytest.mark.parametrize("data", [
    hostile("../outside"), hostile("/etc/outside"), hostile("repos/../../outside"),
    hostile("repos/1.git/HEAD", tarfile.SYMTYPE, "/etc/shadow"), hostile("storage/x", tarfile.LNKTYPE, "/etc/shadow"),
    hostile("storage/x", tarfile.CHRTYPE), hostile("storage/x", tarfile.FIFOTYPE), b"no tar at all" * 100])
def test_hostile_streams_are_refused(data, tmp_path):
    goal = tmp_path / "goal"
    goal.mkdir()
    with pytest.raises(Forged):
        received(lambda sink: sink.write(data), lambda source: unpacked(source, goal))
    assert not (tmp_path / "outside").exists()
    assert not [path for path in goal.rglob("*") if path.is_symlink() or path.is_file()]


def test_the_error_of_the_writer_comes_out(tmp_path):
    """A forged stream is cut: what counts is why, not that the tar ended early."""
    def write(sink) -> None:
        sink.write(hostile("a")[:700])
        raise Forged("another key")

    with pytest.raises(Forged, match="another key"):
        received(write, lambda source: unpacked(source, tmp_path))


# --- the swap ------------------------------------------------------------------------------------------------------


def staged(home: Settings, tmp_path: Path) -> ThisInstallation:
    """Another server's pieces, ready to be swapped in."""
    other = filled(Settings(state_dir=tmp_path / "other", config_dir=tmp_path / "other-etc", ssh_user="nobody",
                            proxy_user="nobody"), "there")
    this = ThisInstallation(home)
    place = this.staging()
    data = stream(other, storage=True)
    received(lambda sink: sink.write(data), lambda source: unpacked(source, place))
    (place / DATABASE).write_text("there")
    return this


def swapped_in(home: Settings) -> None:
    assert home.database.read_text() == "there"
    assert home.master_key.read_text() == "key of there"
    assert home.master_key.stat().st_mode & 0o777 == 0o400
    assert not home.database.with_name("paas.db-wal").exists()
    assert (home.repos_dir / "1.git/HEAD").read_text() == "ref: there"
    assert (home.proxy_dir / "data/certificates/ca/host/host.crt").read_text() == "there"
    assert (home.state_dir / LONG).read_text() == "file"
    before = home.state_dir / "before-restore"
    assert (before / DATABASE).read_text() == "here"
    assert (before / MASTER_KEY).read_text() == "key of here"
    assert (before / "paas.db-wal").read_text() == "log of here"
    assert (before / "repos/1.git/HEAD").read_text() == "ref: here"
    assert not (home.state_dir / "restore").exists()


def test_a_swap_takes_the_place_of_everything_and_keeps_what_was(home, tmp_path):
    home.database.with_name("paas.db-wal").write_text("log of here")
    staged(home, tmp_path)
    assert ThisInstallation(home).swap() is None
    assert home.database.read_text() == "here"
    assert not (home.state_dir / "restore").exists()
    this = staged(home, tmp_path)
    this.commit()
    this.swap()
    swapped_in(home)
    assert this.swap() is None


def test_a_swap_that_is_cut_at_any_step_is_finished_by_the_next(home, tmp_path, monkeypatch):
    """Each rename, write and removal in turn is where the process dies."""
    steps = ("rename", "replace", "unlink", "chown", "mkdir")
    for cut in range(1, 60):
        filled(home, "here")
        home.database.with_name("paas.db-wal").write_text("log of here")
        this = staged(home, tmp_path)
        this.commit()
        done = dies_after(monkeypatch, steps, cut, this)
        ThisInstallation(home).swap()
        swapped_in(home)
        if done:
            break
    assert cut > 10


class Died(BaseException):
    pass


def dies_after(monkeypatch, steps: tuple[str, ...], cut: int, this: ThisInstallation) -> bool:
    """True: the swap came to its end before its *cut*-th call."""
    calls = 0

    def dying(real):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == cut:
                raise Died
            return real(*args, **kwargs)
        return call

    with monkeypatch.context() as patch:
        for name in steps:
            patch.setattr(os, name, dying(getattr(os, name)))
        try:
            this.swap()
            return True
        except Died:
            return False


def test_what_is_staged_and_not_committed_is_dropped(home, tmp_path):
    this = staged(home, tmp_path)
    this.drop()
    assert not (home.state_dir / "restore").exists()
    this = staged(home, tmp_path)
    this.commit()
    this.drop()
    with pytest.raises(StateError):
        this.staging()
