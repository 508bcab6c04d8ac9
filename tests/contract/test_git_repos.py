"""What only real git can show: hostile objects, bombs, owners, packs, refs."""

import hashlib
import io
import os
import pwd
import shutil
import struct
import subprocess
import tarfile
import tempfile
import threading
import tracemalloc
import zlib
from pathlib import Path

import pytest

from paas.adapters.git import GitRepos
from paas.adapters.git_objects import Objects
from paas.adapters.git_tree import Survey
from paas.errors import PushRefused
from paas.ports_source import Budgets, Quarantine, SourceFile
from paas.settings import Settings
from tests.contract.gitbox import ENVIRONMENT, git

MEMORY = 50 * 1024**2


def tree_of(bare: Path, *entries: tuple[int, bytes, str]) -> str:
    """A tree object byte for byte: (mode, name, id)."""
    data = b"".join(b"%o %s\0" % (mode, name) + bytes.fromhex(sha) for mode, name, sha in entries)
    return git(bare, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", data=data)


def blob_of(bare: Path, data: bytes = b"x") -> str:
    return git(bare, "hash-object", "-w", "--stdin", data=data)


def commit_of(bare: Path, tree: str) -> str:
    return git(bare, "commit-tree", tree, "-m", "hostile")


def refusal(repos: GitRepos, commit: str, **limits: int) -> str:
    with pytest.raises(PushRefused) as caught:
        repos.read(1, commit, None, Budgets(**limits))
    assert caught.value.hint
    assert str(caught.value).isprintable()
    return str(caught.value)


# --- L13, C01, C02, C04: names and modes


@pytest.mark.parametrize("name", [
    b".git", b".GIT", b".giT", b"git~1", b"GIT~2", b".git ", b".git.", b".git::$INDEX_ALLOCATION",
    ".g\u200cit".encode(), b"..", b".", b"", b"a/b", b"n" * 256])
def test_names_that_are_refused(repos: GitRepos, bare: Path, name: bytes) -> None:
    tree = tree_of(bare, (0o100644, name, blob_of(bare)))
    refusal(repos, commit_of(bare, tree))
    refusal(repos, commit_of(bare, tree_of(bare, (0o100644, b"a", blob_of(bare)), (0o40000, b"sub", tree))))


@pytest.mark.parametrize("name", [
    b".github", b".gitignore", b"digit", b"git", b"...", b"-rf", b"a\\b", b"a\nb", b"\xff", b"\x1b[2J", b"n" * 255,
    ".g\u00efit".encode(), b"con", b"a:b"])
def test_names_that_pass(repos: GitRepos, bare: Path, name: bytes) -> None:
    commit = commit_of(bare, tree_of(bare, (0o100644, name, blob_of(bare))))
    tree = repos.read(1, commit, None, Budgets())
    assert tree.names == {name.decode("utf-8", "surrogateescape")}
    with tarfile.open(fileobj=io.BytesIO(b"".join(repos.archive(1, tree, None))), errors="surrogateescape") as archive:
        assert [member.name.encode("utf-8", "surrogateescape") for member in archive] == [name]


def test_two_entries_of_one_name(repos: GitRepos, bare: Path) -> None:
    blob = blob_of(bare)
    inner = tree_of(bare, (0o100644, b"x", blob))
    for second in ((0o100644, b"a", blob), (0o40000, b"a", inner)):
        assert "two entries" in refusal(repos, commit_of(bare, tree_of(bare, (0o120000, b"a", blob), second)))


def test_entries_that_lie_about_their_type(repos: GitRepos, bare: Path) -> None:
    blob = blob_of(bare)
    inner = tree_of(bare, (0o100644, b"x", blob))
    assert "not a file" in refusal(repos, commit_of(bare, tree_of(bare, (0o100644, b"Dockerfile", inner))))
    assert "not a directory" in refusal(repos, commit_of(bare, tree_of(bare, (0o40000, b"src", blob))))
    assert "unknown mode" in refusal(repos, commit_of(bare, tree_of(bare, (0o20644, b"tty", blob))))
    assert "regular file" in refusal(repos, commit_of(bare, tree_of(bare, (0o120000, b".gitmodules", blob))))
    tag = git(bare, "hash-object", "-w", "-t", "tag", "--literally", "--stdin", data=b"object x\n")
    assert "not a commit" in refusal(repos, tag)
    assert "not a commit" in refusal(repos, inner)


def test_malformed_tree(repos: GitRepos, bare: Path) -> None:
    tree = git(bare, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", data=b"100644 cut\0abc")
    assert "malformed" in refusal(repos, commit_of(bare, tree))


@pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * 5000])
def test_links_without_usable_target(repos: GitRepos, bare: Path, target: bytes) -> None:
    assert "symbolic link" in refusal(repos, commit_of(bare, tree_of(bare, (0o120000, b"l", blob_of(bare, target)))))


def test_setuid_bits_do_not_reach_the_tar(repos: GitRepos, bare: Path) -> None:
    blob = blob_of(bare)
    commit = commit_of(bare, tree_of(bare, (0o104777, b"a", blob), (0o100666, b"b", blob)))
    tree = repos.read(1, commit, None, Budgets())
    with tarfile.open(fileobj=io.BytesIO(b"".join(repos.archive(1, tree, None)))) as archive:
        assert [member.mode for member in archive] == [0o755, 0o644]


# --- L11, L12, C05, C06: bombs


def test_git_bomb_is_counted_not_walked(repos: GitRepos, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    level = Survey._level
    monkeypatch.setattr(Survey, "_level", lambda self, *words: parsed.append(1) or level(self, *words))
    tree = tree_of(bare, *((0o100644, b"f%d" % n, blob_of(bare)) for n in range(10)))
    for _ in range(10):
        tree = tree_of(bare, *((0o40000, b"d%d" % n, tree) for n in range(10)))
    assert "files and directories" in refusal(repos, commit_of(bare, tree))
    assert len(parsed) <= 11


def test_depth_counts_below_shared_trees_too(repos: GitRepos, bare: Path) -> None:
    tree = tree_of(bare, (0o100644, b"f", blob_of(bare)))
    for _ in range(60):
        tree = tree_of(bare, (0o40000, b"d", tree))
    low = tree
    for _ in range(60):
        tree = tree_of(bare, (0o40000, b"e", tree))
    commit = commit_of(bare, tree_of(bare, (0o40000, b"a", low), (0o40000, b"b", tree)))
    assert "levels" in refusal(repos, commit)
    repos.read(1, commit, None, Budgets(depth=122))


def test_one_blob_many_times_is_counted_each_time(repos: GitRepos, bare: Path) -> None:
    blob = blob_of(bare, b"z" * 1000)
    commit = commit_of(bare, tree_of(bare, *((0o100644, b"f%03d" % n, blob) for n in range(100))))
    assert "files of the source hold" in refusal(repos, commit, tree_bytes=99_999)
    assert repos.read(1, commit, None, Budgets(tree_bytes=100_000)).size == 100_000


def packed(*entries: tuple[int, int, bytes, bytes]) -> bytes:
    """A pack made by hand: (type, declared size, what stands before the deflated data, deflated data)."""
    out = b"PACK" + struct.pack(">II", 2, len(entries))
    for kind, size, before, data in entries:
        first, rest = kind << 4 | size & 15, size >> 4
        while rest:
            out += bytes([first | 128])
            first, rest = rest & 127, rest >> 7
        out += bytes([first]) + before + data
    return out + hashlib.sha1(out).digest()


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def zeros(count: int) -> tuple[bytes, str]:
    """(deflated, blob id) of so many zeros, without holding them."""
    deflate, sha, block = zlib.compressobj(1), hashlib.sha1(b"blob %d\0" % count), bytes(1024**2)
    data = b""
    for _ in range(count // len(block)):
        data += deflate.compress(block)
        sha.update(block)
    return data + deflate.flush(), sha.hexdigest()


def test_huge_blobs_are_refused_by_declared_size(repos: GitRepos, bare: Path) -> None:
    """The huge blob itself, and a tiny one that is a delta of it: neither is inflated to find out."""
    length = 128 * 1024**2
    deflated, huge = zeros(length)
    delta = varint(length) + varint(5) + b"\x90\x05"             # copy 5 bytes from offset 0
    pack = packed((3, length, b"", deflated), (7, len(delta), bytes.fromhex(huge), zlib.compress(delta)))
    git(bare, "index-pack", "--stdin", data=pack)
    tiny = hashlib.sha1(b"blob 5\0" + bytes(5)).hexdigest()
    direct = commit_of(bare, tree_of(bare, (0o100644, b"huge.bin", huge)))
    hidden = commit_of(bare, tree_of(bare, (0o100644, b"tiny.bin", tiny)))
    as_commit = commit_of(bare, tree_of(bare, (0o100644, b"Dockerfile", huge)))
    tracemalloc.start()
    try:
        assert "'huge.bin' holds 128.0 MiB" in refusal(repos, direct, blob_bytes=16 * 1024**2)
        assert "'tiny.bin' takes too much work" in refusal(repos, hidden, blob_bytes=16 * 1024**2)
        assert "'Dockerfile' is larger than" in refusal(repos, as_commit)
        tree = repos.read(1, direct, None, Budgets())
        assert sum(len(chunk) for chunk in repos.archive(1, tree, None)) == length + 3 * 512
        assert tracemalloc.get_traced_memory()[1] < MEMORY       # a whole blob is streamed, too
    finally:
        tracemalloc.stop()
    assert repos.read(1, hidden, None, Budgets()).size == 5


def test_huge_commit_message_is_cut(repos: GitRepos, bare: Path) -> None:
    tree = tree_of(bare, (0o100644, b"f", blob_of(bare)))
    text = (b"tree %s\nauthor \x1b]0;x\x07 \xff <a@b> 253402300800 +0000\n"
            b"committer x <a@b> 99999999999999999999 +0000\n\n" % tree.encode())
    text += b"\x1b[31mred \xe2\x80\xae" + b"m" * 32 * 1024**2
    sha = git(bare, "hash-object", "-w", "-t", "commit", "--literally", "--stdin", data=text)
    tracemalloc.start()
    try:
        found = repos.read(1, sha, None, Budgets())
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024**2
    finally:
        tracemalloc.stop()
    assert found.subject.startswith("\\x1b[31mred \\u202em")
    assert len(found.subject) == 100
    assert found.author.isprintable()
    assert found.author.endswith("<a@b>")


# --- deltas and tar


def test_tar_equals_git_archive(repos: GitRepos, bare: Path, root: Path) -> None:
    work = root / "work"
    long = Path("d" * 90) / ("e" * 90) / ("f" * 200)
    for path in (Path("a"), Path("run.sh"), long, Path("sub/x"), Path("sub.y"), Path("sub-z")):
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(b"".join(b"%d %s\n" % (n, bytes(path)) for n in range(2000)))
    (work / "run.sh").chmod(0o755)
    (work / "link").symlink_to("../" + "t" * 150)
    with open(os.fsencode(work) + b"/caf\xe9\nname", "wb") as file:
        file.write(b"latin")
    git(work.parent, "init", "-q", "-b", "main", "work")
    for number in range(3):                                      # versions that git stores as deltas
        (work / "a").write_bytes((work / "a").read_bytes() + b"%d\n" % number)
        git(work, "add", "-A")
        git(work, "commit", "-qm", str(number))
    git(work, "push", "-q", str(bare), "main")
    git(bare, "repack", "-adfq")
    for revision in ("main", "main~1", "main~2"):
        tree = repos.read(1, git(bare, "rev-parse", revision), None, Budgets())
        want = subprocess.run(["git", "-C", bare, "-c", "tar.umask=0022", "archive", tree.tree], env=ENVIRONMENT,
                              capture_output=True, check=True).stdout
        assert members(b"".join(repos.archive(1, tree, None))) == members(want)


def members(data: bytes) -> list[tuple[str, int, bytes, str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        return [(m.name, m.mode, m.type, m.linkname, archive.extractfile(m).read() if m.isreg() else b"")
                for m in archive]


def test_attributes_and_filters_of_the_tree_do_nothing(repos: GitRepos, bare: Path) -> None:
    """C12: `git archive` would leave out, expand or filter; the builder gets what was committed."""
    attributes = blob_of(bare, b"secret export-ignore\nversion export-subst\n* filter=evil\n")
    commit = commit_of(bare, tree_of(bare, (0o100644, b".gitattributes", attributes),
                                     (0o100644, b"secret", blob_of(bare, b"s")),
                                     (0o100644, b"version", blob_of(bare, b"$Format:%H$"))))
    tree = repos.read(1, commit, None, Budgets())
    assert [(name, data) for name, _, _, _, data in members(b"".join(repos.archive(1, tree, None)))][1:] == [
        ("secret", b"s"), ("version", b"$Format:%H$")]


# --- the repository


def test_config_is_pinned_and_repaired(repos: GitRepos, bare: Path, root: Path) -> None:
    want = {"receive.fsckobjects": "true", "receive.maxinputsize": "1g", "receive.advertisepushoptions": "false",
            "receive.shallowupdate": "true", "transfer.hiderefs": "refs/paas", "gc.auto": "0", "core.fsync": "all",
            "core.hookspath": str(root / "lib" / "hooks"), "receive.denynonfastforwards": "false"}
    assert {key: git(bare, "config", key) for key in want} == want
    git(bare, "config", "core.hooksPath", "/tmp/evil")
    inode = (bare / "objects").stat().st_ino
    repos.ensure(1)
    assert git(bare, "config", "core.hooksPath") == want["core.hookspath"]
    assert (bare / "objects").stat().st_ino == inode


def test_many_threads_make_one_repository(repos: GitRepos, root: Path) -> None:
    threads = [threading.Thread(target=repos.ensure, args=(7,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert git(root / "repos" / "7.git", "rev-parse", "--is-bare-repository") == "true"
    assert [path.name for path in (root / "repos").iterdir()] == ["7.git"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_everything_belongs_to_the_ssh_user() -> None:
    top = Path(tempfile.mkdtemp())
    try:
        top.chmod(0o755)
        user = pwd.getpwnam("nobody")
        repos = GitRepos(Settings(state_dir=top, lib_dir=top, ssh_user="nobody"))
        bare = repos.ensure(1)
        trusted = ["-c", f"safe.directory={bare}"]
        place = bare / "objects" / "tmp_objdir-incoming-abc"
        place.mkdir()
        (place / "pack").mkdir()
        env = {**ENVIRONMENT, "GIT_OBJECT_DIRECTORY": str(place)}
        run = ["git", *trusted, "--git-dir", str(bare)]

        def made(*words: str, data: bytes = b"") -> str:
            done = subprocess.run([*run, *words], input=data, env=env, check=True, capture_output=True)
            return done.stdout.decode().strip()

        blob = made("hash-object", "-w", "--stdin", data=b"x")
        commit = made("commit-tree", "-m", "x", made("mktree", data=b"100644 blob %s\tf\n" % blob.encode()))
        for path in (place, *place.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)
        repos.adopt(1, Quarantine(place))
        shutil.rmtree(place)
        repos.set_ref(1, "main", commit)
        assert {(path.stat().st_uid, path.stat().st_gid) for path in (bare.parent, *bare.parent.rglob("*"))} \
            == {(user.pw_uid, user.pw_gid)}
    finally:
        shutil.rmtree(top)


def test_foreign_directories_are_no_quarantine(repos: GitRepos, bare: Path, root: Path) -> None:
    other = repos.ensure(2) / "objects" / "tmp_objdir-incoming-x"
    for place in (other, root / "tmp_objdir-incoming-y", bare / "objects" / "pack"):
        place.mkdir(parents=True, exist_ok=True)
        for use in (lambda q: repos.adopt(1, q), lambda q: repos.read(1, "1" * 40, q, Budgets())):
            with pytest.raises(PushRefused, match="broken off"):
                use(Quarantine(place))
    link = bare / "objects" / "tmp_objdir-incoming-z"
    link.symlink_to(root)
    with pytest.raises(PushRefused):
        repos.adopt(1, Quarantine(link))


def test_symlinks_in_a_quarantine_are_not_followed(repos: GitRepos, bare: Path) -> None:
    place = bare / "objects" / "tmp_objdir-incoming-q"
    (place / "ab").mkdir(parents=True)
    (place / "ab" / ("c" * 38)).symlink_to("/etc/passwd")
    with pytest.raises(PushRefused):
        repos.adopt(1, Quarantine(place))
    assert not (bare / "objects" / "ab" / ("c" * 38)).exists()


def test_a_push_that_git_works_on_has_left_nothing(repos: GitRepos, bare: Path) -> None:
    _, quarantine = repos.write(1, [SourceFile("f", 0o100644, b"x")], "m", "ada", None)
    words = ["/usr/bin/git", "receive-pack", str(bare)]
    with subprocess.Popen(["/bin/sh", "-c", "echo; read x", *words], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as receiving:
        receiving.stdout.readline()
        assert repos.abandoned(1) == []
    assert repos.abandoned(1) == [quarantine]


def test_a_quarantine_that_was_being_emptied_is_no_source(repos: GitRepos, bare: Path) -> None:
    """A receive-pack whose hook died removes object by object; whichever was gone first, nothing is taken for whole."""
    files = [SourceFile("Dockerfile", 0o100644, b"FROM scratch\n"), SourceFile("src/run", 0o100755, b"x")]
    for number in range(5):                              # a commit, two trees, two blobs
        commit, quarantine = repos.write(1, [*files, SourceFile("n", 0o100644, b"%d" % number)], "m", "ada", None)
        fresh = [path for path in sorted(quarantine.objects.glob("??/*"))
                 if not (bare / "objects" / path.parent.name / path.name).exists()]
        assert fresh
        fresh[number % len(fresh)].unlink()
        with pytest.raises(PushRefused, match="broken off"):
            repos.adopt(1, quarantine, commit)
    commit, quarantine = repos.write(1, files, "m", "ada", None)
    repos.adopt(1, quarantine, commit)
    repos.set_ref(1, "main", commit)


def test_sweep_rolls_many_packs_together_and_loses_nothing(repos: GitRepos, bare: Path) -> None:
    commits = []
    for number in range(55):
        blob = blob_of(bare, b"%d" % number)
        commits.append(commit_of(bare, tree_of(bare, (0o100644, b"f", blob))))
        git(bare, "pack-objects", "-q", "objects/pack/pack", data="\n".join(
            [commits[-1], git(bare, "rev-parse", commits[-1] + ":"), blob]).encode() + b"\n")
        git(bare, "prune-packed")
    repos.set_ref(1, "main", commits[0])
    with Objects(bare / "objects") as opened:                    # a reader from before the repack goes on
        assert repos.sweep(1, 3600) == 0
        assert len(list(bare.glob("objects/pack/*.pack"))) < 5
        assert all(opened.info(commit.encode()) for commit in commits)
    assert [repos.read(1, commit, None, Budgets()).files for commit in commits] == [1] * 55


def test_a_reader_sees_packs_that_come_later(bare: Path) -> None:
    with Objects(bare / "objects") as opened:
        sha = hashlib.sha1(b"blob 4\0late").hexdigest().encode()
        assert sha not in opened
        git(bare, "index-pack", "--stdin", data=packed((3, 4, b"", zlib.compress(b"late"))))
        assert opened.content(sha, 100) == b"late"


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: data[:40], lambda data: data[:12] + bytes(len(data))])
@pytest.mark.parametrize("kind", ["pack", "idx"])
def test_damaged_packs_are_told_not_traced(repos: GitRepos, bare: Path, kind: str, spoil: object) -> None:
    commit = commit_of(bare, tree_of(bare, (0o100644, b"f", blob_of(bare, b"data" * 100))))
    repos.set_ref(1, "main", commit)
    git(bare, "repack", "-adq")
    git(bare, "prune-packed")
    path = next(bare.glob(f"objects/pack/*.{kind}"))
    path.chmod(0o644)
    path.write_bytes(spoil(path.read_bytes()))
    refusal(repos, commit)
    assert not repos.is_ancestor(1, "1" * 40, commit, None)


def test_hostile_ref_names_are_just_names(repos: GitRepos, bare: Path) -> None:
    commit = commit_of(bare, tree_of(bare, (0o100644, b"f", blob_of(bare))))
    for name in (";id;", "$(touch${IFS}x)", "-rf", "a'b\"c", "\u202ex"):
        repos.set_ref(1, name, commit)
        assert repos.ref(1, name) == commit
    for name in ("a..b", "a b", "../../HEAD", "x.lock", "", "a\n", "a~1"):
        assert repos.ref(1, name) is None
        with pytest.raises(Exception, match="no repository for a branch"):
            repos.set_ref(1, name, commit)
    assert len(repos.branches(1)) == 5
