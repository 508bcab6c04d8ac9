"""What every `Repos` must do. Subclass, and give a `world` fixture with the four members named in :class:`World`."""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import pytest

from paas.errors import NotFound, PaasError, PushRefused
from paas.ports_source import Budgets, Quarantine, Repos, SourceFile, Tree
from paas.testing.fake_repos import Content

APP = {"Dockerfile": b"FROM scratch\n", "Procfile": b"web: ./run\n", "src/run": (0o100755, b"#!/bin/sh\n"),
       "link": (0o120000, b"src/run")}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"


class World(Protocol):
    repos: Repos

    def commit(self, app_id: int, files: Mapping[str, Content], subject: str = "", parent: str | None = None) -> str:
        """Put a commit into the repository."""

    def push(self, app_id: int, files: Mapping[str, Content], subject: str = "",
             parent: str | None = None) -> tuple[str, Quarantine]:
        """Put a commit into a fresh quarantine of the repository."""

    def lose(self, quarantine: Quarantine) -> None: ...

    def leave(self, app_id: int, age: float) -> None:
        """A leftover of an interrupted push, *age* seconds old."""


def untar(data: bytes) -> dict[str, tuple[int, str, bytes]]:
    """path → (mode, link target, content) of everything but directories."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        for member in archive:
            assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
            if not member.isdir():
                content = archive.extractfile(member).read() if member.isreg() else b""
                found[member.name] = (member.mode, member.linkname, content)
    return found


def read(world: World, sha: str, quarantine: Quarantine | None = None, path: str = "Dockerfile", **limits: int) -> Tree:
    return world.repos.read(1, sha, quarantine, replace(Budgets(), **limits), path)


class ReposContract:
    @pytest.fixture(autouse=True)
    def _repository(self, world: World) -> None:
        world.repos.ensure(1)

    def test_ensure_is_idempotent_and_listed(self, world: World) -> None:
        assert world.repos.ensure(1) == world.repos.ensure(1)
        world.repos.ensure(12)
        assert world.repos.ids() == [1, 12]

    def test_remove(self, world: World) -> None:
        world.commit(1, APP)
        world.repos.remove(1)
        world.repos.remove(1)
        assert world.repos.ids() == []
        assert world.repos.ref(1, "main") is None
        assert world.repos.branches(1) == {}

    def test_a_commit_is_read(self, world: World) -> None:
        tree = read(world, world.commit(1, APP, "Sell \x1b[31m apples"))
        assert (tree.subject, tree.files, tree.size) == ("Sell \\x1b[31m apples", 4, 41)
        assert tree.author == "Ada <ada@example.com>"
        assert tree.special == {"Dockerfile": b"FROM scratch\n", "Procfile": b"web: ./run\n"}
        assert tree.names == {"Dockerfile", "Procfile", "src", "link"}

    def test_same_files_same_tree(self, world: World) -> None:
        first, second = world.commit(1, APP, "one"), world.commit(1, APP, "two")
        third = world.commit(1, {**APP, "new": b""}, "two")
        assert first != second
        assert read(world, first).tree == read(world, second).tree != read(world, third).tree

    def test_archive(self, world: World) -> None:
        tree = read(world, world.commit(1, APP))
        assert untar(b"".join(world.repos.archive(1, tree, None))) == {
            "Dockerfile": (0o644, "", b"FROM scratch\n"), "Procfile": (0o644, "", b"web: ./run\n"),
            "src/run": (0o755, "", b"#!/bin/sh\n"), "link": (0o777, "src/run", b"")}

    def test_dockerfile_elsewhere(self, world: World) -> None:
        sha = world.commit(1, {**APP, "deploy/Dockerfile.web": b"FROM web\n"})
        assert read(world, sha, path="deploy/Dockerfile.web").special["deploy/Dockerfile.web"] == b"FROM web\n"
        assert "deploy/no" not in read(world, sha, path="deploy/no").special
        for path in ("link", "src", "link/x"):
            with pytest.raises(PushRefused, match="regular file"):
                read(world, sha, path=path)

    def test_one_directory_is_read_as_if_there_were_nothing_else(self, world: World) -> None:
        files = {"api/Procfile": b"web: api\n", "api/src/run": (0o100755, b"x"), "api/docker/web": b"FROM web\n"}
        sha = world.commit(1, {**APP, **files})
        tree = world.repos.read(1, sha, None, Budgets(), "docker/web", "api")
        assert (tree.directory, tree.files, tree.names) == ("api", 3, {"Procfile", "src", "docker"})
        assert tree.special == {"Procfile": b"web: api\n", "docker/web": b"FROM web\n"}
        assert untar(b"".join(world.repos.archive(1, tree, None))).keys() == {"Procfile", "src/run", "docker/web"}
        other = world.commit(1, {**APP, **files, "Procfile": b"web: changed\n"})
        assert world.repos.read(1, other, None, Budgets(), "docker/web", "api").tree == tree.tree
        deeper = world.repos.read(1, sha, None, Budgets(), directory="api/src")
        assert deeper.names == {"run"}

    @pytest.mark.parametrize("directory", ["nope", "api/nope", "nope/deeper"])
    def test_a_directory_that_is_not_there(self, world: World, directory: str) -> None:
        sha = world.commit(1, {**APP, "api/x": b""})
        with pytest.raises(PushRefused, match="no directory"):
            world.repos.read(1, sha, None, Budgets(), directory=directory)

    def test_source(self, world: World) -> None:
        sha, quarantine = world.push(1, {**APP, "package.json": b"{}", "src/package.json": b"no"})
        tree = read(world, sha, quarantine)
        found = world.repos.source(1, tree, quarantine, frozenset({"package.json", "go.mod"}))
        assert found.paths == {"Dockerfile", "Procfile", "src/run", "link", "package.json", "src/package.json"}
        assert found.contents == {"package.json": b"{}"}

    def test_a_commit_is_written_into_quarantine(self, world: World) -> None:
        files = [SourceFile("Dockerfile", 0o100644, b"FROM scratch\n"), SourceFile("src/a/run", 0o100755, b"x"),
                 SourceFile("src/b", 0o120000, b"a/run")]
        first, quarantine = world.repos.write(1, files, "An archive", "ada", None)
        with pytest.raises(PushRefused):
            read(world, first)
        assert (read(world, first, quarantine).subject, read(world, first, quarantine).files) == ("An archive", 3)
        world.repos.adopt(1, quarantine)
        world.lose(quarantine)
        found = untar(b"".join(world.repos.archive(1, read(world, first), None)))
        assert found.keys() == {"Dockerfile", "src/a/run", "src/b"}
        assert (found["src/a/run"], found["src/b"]) == ((0o755, "", b"x"), (0o777, "a/run", b""))
        world.repos.set_ref(1, "main", first)
        second, quarantine = world.repos.write(1, files[:1], "Another", "ada", first)
        assert world.repos.is_ancestor(1, first, second, quarantine)

    def test_wanted_files_are_regular(self, world: World) -> None:
        tree = read(world, world.commit(1, APP))
        with pytest.raises(PushRefused, match="must be a regular file"):
            world.repos.source(1, tree, None, frozenset({"link"}))

    def test_files_added_to_the_archive_replace_its_own(self, world: World) -> None:
        tree = read(world, world.commit(1, APP))
        data = b"".join(world.repos.archive(1, tree, None, added={"Dockerfile": b"FROM new\n", "new": b"x" * 600}))
        found = untar(data)
        assert found["Dockerfile"] == (0o644, "", b"FROM new\n")
        assert found["new"] == (0o644, "", b"x" * 600)
        assert found.keys() == {*APP, "new"}

    @pytest.mark.parametrize("name", ["Dockerfile", "Procfile", "app.json"])
    @pytest.mark.parametrize("target", [b"/etc/passwd", b"/proc/self/environ", b"src/run"])
    def test_special_files_are_regular(self, world: World, name: str, target: bytes) -> None:
        sha = world.commit(1, {**APP, name: (0o120000, target)})
        with pytest.raises(PushRefused, match=f"'{name}' must be a regular file"):
            read(world, sha)

    def test_a_foreign_frontend(self, world: World) -> None:
        sha = world.commit(1, {**APP, "Dockerfile": b"# syntax=attacker/image\nFROM scratch\n"})
        with pytest.raises(PushRefused, match="'Dockerfile' asks to be read by the frontend image attacker/image"):
            read(world, sha)
        sha = world.commit(1, {**APP, "Dockerfile": b"# syntax=docker/dockerfile:1\nFROM scratch\n"})
        assert read(world, sha).special["Dockerfile"]

    def test_special_file_as_directory(self, world: World) -> None:
        sha = world.commit(1, {"Procfile/x": b""})
        with pytest.raises(PushRefused, match="must be a regular file"):
            read(world, sha)

    def test_no_files(self, world: World) -> None:
        sha = world.commit(1, {})
        with pytest.raises(PushRefused, match="no files"):
            read(world, sha)

    def test_submodule(self, world: World) -> None:
        sha = world.commit(1, {**APP, "vendor/lib": (0o160000, b"1" * 40)})
        with pytest.raises(PushRefused, match="'vendor/lib' is a submodule"):
            read(world, sha)

    def test_lfs_pointer(self, world: World) -> None:
        sha = world.commit(1, {**APP, "img/logo.png": LFS})
        with pytest.raises(PushRefused, match="'img/logo.png' is a Git LFS pointer"):
            read(world, sha)

    @pytest.mark.parametrize(("limits", "word"), [
        ({"entries": 4}, "files and directories"), ({"depth": 1}, "levels"), ({"blob_bytes": 12}, "a file may hold"),
        ({"tree_bytes": 40}, "files of the source hold")])
    def test_budgets(self, world: World, limits: dict[str, int], word: str) -> None:
        sha = world.commit(1, APP)
        with pytest.raises(PushRefused, match=word) as caught:
            read(world, sha, **limits)
        assert caught.value.hint
        read(world, sha, **{key: value + 1 for key, value in limits.items()})

    def test_unknown_commit(self, world: World) -> None:
        with pytest.raises(PushRefused, match="shallow"):
            read(world, "1" * 40)

    def test_quarantined_commit_is_seen_through_its_quarantine_only(self, world: World) -> None:
        sha, quarantine = world.push(1, APP)
        tree = read(world, sha, quarantine)
        assert untar(b"".join(world.repos.archive(1, tree, quarantine))).keys() == APP.keys()
        with pytest.raises(PushRefused):
            read(world, sha)

    def test_adopted_commit_outlives_its_quarantine(self, world: World) -> None:
        sha, quarantine = world.push(1, APP)
        tree = read(world, sha, quarantine)
        world.repos.adopt(1, quarantine)
        world.repos.adopt(1, quarantine)
        world.lose(quarantine)
        assert read(world, sha) == tree
        for place in (None, quarantine):
            assert untar(b"".join(world.repos.archive(1, tree, place))).keys() == APP.keys()
        world.repos.set_ref(1, "main", sha)
        assert world.repos.ref(1, "main") == sha

    def test_lost_quarantine(self, world: World) -> None:
        sha, quarantine = world.push(1, APP)
        world.lose(quarantine)
        world.repos.adopt(1, None)
        with pytest.raises(PushRefused, match="broken off"):
            world.repos.adopt(1, quarantine)
        with pytest.raises(PushRefused):
            read(world, sha, quarantine)

    def test_what_a_killed_push_left(self, world: World) -> None:
        assert world.repos.abandoned(1) == []
        sha, quarantine = world.push(1, APP)
        assert [one.objects for one in world.repos.abandoned(1)] == [quarantine.objects]
        assert world.repos.abandoned(2) == []
        world.repos.discard(1, quarantine)
        world.repos.discard(1, quarantine)
        assert world.repos.abandoned(1) == []
        with pytest.raises(PushRefused, match="broken off"):
            world.repos.adopt(1, quarantine)

    def test_ancestors(self, world: World) -> None:
        first = world.commit(1, APP, "1")
        second = world.commit(1, APP, "2", parent=first)
        third, quarantine = world.push(1, APP, "3", parent=second)
        other = world.commit(1, APP, "other")
        ancestor = world.repos.is_ancestor
        assert ancestor(1, first, third, quarantine)
        assert ancestor(1, first, first, None)
        assert not ancestor(1, third, first, quarantine)
        assert not ancestor(1, other, third, quarantine)
        assert not ancestor(1, "1" * 40, third, quarantine)

    def test_refs(self, world: World) -> None:
        first = world.commit(1, APP, "1")
        second = world.commit(1, APP, "2", parent=first)
        world.repos.set_ref(1, "main", first)
        world.repos.set_ref(1, "feature/x-1", second)
        world.repos.set_ref(1, "main", second)
        world.repos.set_ref(1, "main", first)
        assert world.repos.branches(1) == {"feature/x-1": second, "main": first}
        assert world.repos.ref(1, "feature/x-1") == second
        assert world.repos.ref(1, "nothing") is None
        with pytest.raises(PaasError):
            world.repos.set_ref(1, "main", "1" * 40)
        with pytest.raises(NotFound):
            world.repos.set_ref(2, "main", first)
        assert world.repos.ref(1, "main") == first

    def test_sweep(self, world: World) -> None:
        world.leave(1, 10)
        world.leave(1, 5000)
        world.leave(1, 6000)
        assert world.repos.sweep(1, 3600) == 2
        assert world.repos.sweep(1, 3600) == 0
        assert world.repos.sweep(1, 1) == 1
