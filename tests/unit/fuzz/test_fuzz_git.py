"""Pushed objects: trees and commits of any bytes, packs with changed bytes; read within the budgets, or refused."""

import hashlib
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paas.adapters import git_tree
from paas.adapters.git_objects import Damaged, Missing, Objects
from paas.ports_source import Budgets, Tree
from tests.contract.gitbox import git
from tests.unit.fuzz.bounds import answer, small

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
BUDGETS = Budgets(entries=200, depth=6, blob_bytes=4096, tree_bytes=65536)
FORESEEN = (Damaged, Missing)            # the repository tells them as a broken push
BLOB = b"content\n"


def put(objects: Path, kind: bytes, data: bytes, *, raw: bytes | None = None) -> bytes:
    """A loose object; *raw* in the place of what zlib would make. Its id, hexadecimal."""
    whole = b"%s %d\0" % (kind, len(data)) + data
    sha = hashlib.sha1(whole).hexdigest()
    path = objects / sha[:2] / sha[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zlib.compress(whole, 1) if raw is None else raw)
    return sha.encode()


def commit(objects: Path, tree: bytes, more: bytes = b"") -> str:
    who = b"A <a@example.com> 1 +0000"
    lines = b"tree %s\nauthor %s\ncommitter %s\n%s\nfirst\n" % (tree, who, who, more)
    return put(objects, b"commit", lines).decode()


def read(directory: Path, commit: str) -> Tree | None:
    with Objects(directory) as objects:
        return answer(git_tree.read, objects, commit, BUDGETS, "Dockerfile", also=FORESEEN)


@pytest.fixture
def objects(tmp_path) -> Path:
    made = tmp_path / "objects"
    (made / "pack").mkdir(parents=True)
    return made


MODES = st.sampled_from([b"100644", b"40000", b"100755", b"120000", b"160000", b"0", b"", b"100664", b"8", b"-1",
                         b"9" * 30])
NAMES = st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(
    [b"Dockerfile", b"Procfile", b"app.json", b".git", b"..", b"a/b", b"x" * 300, b"GIT~1", b".gitmodules", b"a"]))


@QUIET
@given(st.data())
def test_a_tree_of_any_entries(objects, data):
    known = [put(objects, b"blob", BLOB), put(objects, b"blob", b""), put(objects, b"blob", bytes(5000)),
             put(objects, b"tree", b""), b"0" * 40]
    for _ in range(data.draw(st.integers(1, 4))):
        entries = data.draw(st.lists(st.tuples(MODES, NAMES, st.sampled_from(known)), max_size=5))
        known.append(put(objects, b"tree", b"".join(
            mode + b" " + name + b"\0" + bytes.fromhex(sha.decode()) for mode, name, sha in entries)))
    found = read(objects, commit(objects, known[-1], data.draw(st.binary(max_size=30))))
    assert found is None or (found.files <= BUDGETS.entries and found.size <= BUDGETS.tree_bytes)


@QUIET
@given(st.sampled_from([b"tree", b"commit", b"blob", b"tag", b""]), st.binary(max_size=120),
       st.one_of(st.none(), st.binary(max_size=60)))
def test_objects_of_any_bytes(objects, kind, data, raw):
    sha = put(objects, kind, data, raw=raw)
    read(objects, sha.decode())
    read(objects, commit(objects, sha))
    blob = put(objects, b"tree", b"100644 Dockerfile\0" + bytes.fromhex(sha.decode()))
    read(objects, commit(objects, blob))


class Bytes(bytes):
    """Not shown at length when a test fails."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> tuple[Path, str, Bytes, Bytes]:
    """A pack with deltas, as git makes it: its directory, the commit, the pack and the index."""
    bare = tmp_path_factory.mktemp("fuzz") / "bare.git"
    bare.mkdir()
    git(bare, "init", "--quiet", "--bare")
    lines = b"".join(b"line %d of a file\n" % n for n in range(150))
    entries = b""
    for number in range(4):
        sha = git(bare, "hash-object", "-w", "--stdin", data=lines + b"%d\n" % number)
        entries += b"100644 f%d\0" % number + bytes.fromhex(sha)
    tree = git(bare, "hash-object", "-w", "-t", "tree", "--stdin", data=entries)
    commit = git(bare, "commit-tree", tree, "-m", "first")
    git(bare, "update-ref", "refs/heads/main", commit)
    git(bare, "repack", "-adfq", "--depth=10", "--window=10")
    pack = next((bare / "objects/pack").glob("*.pack"))
    return bare / "objects", commit, Bytes(pack.read_bytes()), Bytes(pack.with_suffix(".idx").read_bytes())


def other(data: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    made = bytearray(data)
    for place, value in changes:
        made[place % len(made)] = value
    return bytes(made[:len(made) - cut])


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=4)
CUT = st.one_of(st.just(0), st.integers(0, 200))


@QUIET
@given(CHANGES, CUT, CHANGES, CUT)
def test_a_pack_with_other_bytes(packed, tmp_path, pack_changes, pack_cut, index_changes, index_cut):
    _, commit, pack, index = packed
    directory = tmp_path / "objects" / "pack"
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    name = directory / ("pack-" + "1" * 40)
    name.with_suffix(".pack").write_bytes(other(pack, pack_changes, pack_cut))
    name.with_suffix(".idx").write_bytes(other(index, index_changes, index_cut))
    with small(8 * 1024**2):
        found = read(directory.parent, commit)
    if not (pack_changes or pack_cut or index_changes or index_cut):
        assert found.files == 4


def test_the_unchanged_pack_is_read(packed):
    assert read(packed[0], packed[1]).files == 4


@pytest.mark.parametrize("data", [bytes(1 << 20), b"100644 a\0" + b"x" * (1 << 20), b" " * (1 << 20),
                                  b"100644 " * (1 << 17), b"40000 a\0" + bytes(19)])
def test_large_malformed_trees(objects, data):
    with small(32 * 1024**2):
        assert read(objects, commit(objects, put(objects, b"tree", data))) is None
