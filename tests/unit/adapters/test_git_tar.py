"""The hand-written tar is what tarfile and GNU tar understand."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from paas.adapters import git_tar

LENGTHS = [1, 99, 100, 101, 155, 255, 256, 1000, 4095]


def archive(*members: tuple[bytes, int, bytes, bytes, bytes]) -> bytes:
    """(name, mode, kind, data, link) each."""
    parts = [git_tar.header(name, mode, len(data), kind, link) + data + git_tar.padding(len(data))
             for name, mode, kind, data, link in members]
    return b"".join(parts) + git_tar.END


def read(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as opened:
        return opened.getmembers()


@pytest.mark.parametrize("length", LENGTHS)
def test_names_and_targets_of_any_length(length: int) -> None:
    name = (b"a\xff/" * length)[:length].rstrip(b"/").ljust(length, b"b")
    file, link, after = read(archive((name, 0o644, b"0", b"data", b""), (b"l", 0o777, b"2", b"", name),
                                     (b"after", 0o644, b"0", b"", b"")))
    assert file.name.encode("utf-8", "surrogateescape") == name
    assert link.linkname.encode("utf-8", "surrogateescape") == name
    assert (file.size, file.isreg(), link.issym(), after.name) == (4, True, True, "after")


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513])
def test_data_is_padded_to_blocks(size: int) -> None:
    data = archive((b"x", 0o755, b"0", b"d" * size, b""), (b"y/", 0o755, b"5", b"", b""))
    assert len(data) % git_tar.BLOCK == 0
    file, folder = read(data)
    assert (file.size, file.mode, file.mtime, file.uid, file.gid) == (size, 0o755, 0, 0, 0)
    assert folder.isdir()


@pytest.mark.parametrize("size", [8**11 - 1, 8**11, 10**11])
def test_sizes_beyond_octal(size: int) -> None:
    info = tarfile.TarInfo.frombuf(git_tar.header(b"big", 0o644, size, b"0"), "utf-8", "strict")
    assert info.size == size


def test_gnu_tar_extracts_hostile_names(tmp_path: Path) -> None:
    names = [b"new\nline", b"-dash", b"back\\slash", b"\xff\xfe", b"\x1b[31m", "ä".encode(), b"d/" + b"n" * 255]
    data = archive((b"d/", 0o755, b"5", b"", b""), *((name, 0o644, b"0", name, b"") for name in names))
    subprocess.run(["tar", "-x", "-C", tmp_path], input=data, check=True)
    for name in names:
        path = bytes(tmp_path) + b"/" + name
        with open(path, "rb") as file:
            assert file.read() == name


def test_gathered_keeps_every_byte_in_few_pieces() -> None:
    pieces = [bytes([number % 256]) * 1000 for number in range(1000)]
    chunks = list(git_tar.gathered(pieces))
    assert b"".join(chunks) == b"".join(pieces)
    assert all(len(chunk) >= git_tar.CHUNK for chunk in chunks[:-1])
    assert len(chunks) < 10
    assert list(git_tar.gathered([])) == []
