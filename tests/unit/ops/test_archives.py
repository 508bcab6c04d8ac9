"""D11: hostile archives are refused before anything is kept, within memory."""

import gzip
import io
import os
import subprocess
import tarfile
import tracemalloc

import pytest

from paas.errors import PushRefused
from paas.ops.archives import read_archive
from paas.ports_source import Budgets

BUDGETS = Budgets(entries=1000, blob_bytes=1024**2, tree_bytes=4 * 1024**2)


def archive(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for info, content in members:
            info.size = len(content) or info.size
            made.addfile(info, io.BytesIO(content) if content else None)
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/./../x", "//x", ".git/config", "a/.GIT/x",
                                  "a//b", "..", "./"])
def test_names_that_lead_elsewhere(name):
    with pytest.raises(PushRefused, match="is not an allowed name in an archive"):
        read_archive(archive((member(name), b"x")), BUDGETS)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE])
def test_devices_pipes_and_hard_links(kind):
    with pytest.raises(PushRefused, match="neither a file nor a symbolic link"):
        read_archive(archive((member("x", kind, "/etc/passwd"), b"")), BUDGETS)


def test_a_link_is_kept_as_a_link_and_what_lies_below_it_never_written():
    """Git holds no tree in which one name is both, so the push's own rules judge it; nothing is unpacked here."""
    found = read_archive(archive((member("a", tarfile.SYMTYPE, "/etc"), b""), (member("a/passwd"), b"x")), BUDGETS)
    assert [(file.path, file.content) for file in found] == [("a", b"/etc"), ("a/passwd", b"x")]


def test_too_many_files():
    many = archive(*((member(f"d{number}"), b"") for number in range(1001)))
    with pytest.raises(PushRefused, match="holds more than a push may hold"):
        read_archive(many, BUDGETS)


def test_a_sparse_file_counts_with_its_whole_size(tmp_path):
    """One TB that takes no space on any disk."""
    with open(tmp_path / "x", "wb") as file:
        os.truncate(file.fileno(), 10**12)
    made = subprocess.run(["tar", "--sparse", "-C", tmp_path, "-c", "x"], capture_output=True, check=True).stdout
    assert len(made) < 100_000
    with pytest.raises(PushRefused, match="holds more than a push may hold"):
        read_archive(made, BUDGETS)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_bomb_in_what_describes_a_file(kind):
    """256 MB of zeros, 250 KB in gzip, where a reader expects a long name or the like, which it takes into memory."""
    head = member("x", kind)
    head.size = 256 * 1024**2
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as packed:
        packed.write(head.tobuf(tarfile.GNU_FORMAT))
        for _ in range(256):
            packed.write(bytes(1024**2))
        packed.write(archive((member("x"), b"x")))
    tracemalloc.start()
    try:
        with pytest.raises(PushRefused):
            read_archive(out.getvalue(), BUDGETS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024**2


@pytest.mark.parametrize("data", [b"", b"x" * 5000, bytes(10240), gzip.compress(b"x" * 5000),
                                  gzip.compress(archive((member("x"), b"x" * 5000)))[:60], b"BZh9" + b"x" * 500,
                                  b"\xfd7zXZ\0" + b"x" * 500], ids=range(7))
def test_what_is_no_archive(data):
    with pytest.raises(PushRefused):
        read_archive(data, BUDGETS)
