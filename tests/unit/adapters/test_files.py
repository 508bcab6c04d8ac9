"""write_atomic: whole or not at all."""

import os
import stat

import pytest

from paas.adapters import files
from paas.adapters.files import write_atomic


def test_content_mode_and_nothing_left_over(tmp_path):
    path = tmp_path / "f"
    write_atomic(path, b"one")
    write_atomic(path, b"two", mode=0o644)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_owner(tmp_path):
    write_atomic(tmp_path / "f", b"", owner=(1, 2))
    assert ((tmp_path / "f").stat().st_uid, (tmp_path / "f").stat().st_gid) == (1, 2)


@pytest.mark.parametrize("call", ["fsync", "fchmod", "rename"])
def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "f"
    write_atomic(path, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(files.os, call, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_order_is_data_then_name_then_directory(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "rename"):
        real = getattr(os, name)
        monkeypatch.setattr(files.os, name, lambda *a, real=real, name=name: (calls.append(name), real(*a)))
    write_atomic(tmp_path / "f", b"x")
    assert calls == ["fsync", "rename", "fsync"]
