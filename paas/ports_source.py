"""Ports on the way from a push to a build: the repositories, and the buildpacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from paas.model.buildpack import BuildEnvironment, Recipe, SourceFiles


class Buildpacks(Protocol):
    """From a source without a Dockerfile to one. The languages are the directories of ``buildpacks/``."""

    def names(self) -> tuple[str, ...]:
        """The languages, in the order in which they are looked for."""

    def wanted(self) -> frozenset[str]:
        """Paths of the files whose content they look into."""

    def make(self, files: SourceFiles, environment: BuildEnvironment, language: str = "") -> Recipe:
        """The recipe of *language*, or of the first that fits. Raises PushRefused, with what was looked for."""


# --- Git ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quarantine:
    """Where git keeps the pushed objects until the hook says yes (git-receive-pack(1), QUARANTINE)."""

    objects: Path                        # $GIT_OBJECT_DIRECTORY
    alternates: tuple[Path, ...] = ()    # $GIT_ALTERNATE_OBJECT_DIRECTORIES


@dataclass(frozen=True)
class Budgets:
    entries: int = 100_000               # files and directories
    depth: int = 100                     # directory levels
    blob_bytes: int = 256 * 1024**2      # one file
    tree_bytes: int = 1024**3            # all files


@dataclass(frozen=True)
class Tree:
    """A commit and the parts of its tree, or of one directory of it, that decide how it is built."""

    commit: str                          # 40 hex digits
    tree: str                            # of that directory: what is outside it changes nothing
    subject: str                         # first line of the message, printable, ≤ 100 characters
    author: str
    files: int
    size: int                            # bytes of all blobs
    special: Mapping[str, bytes]         # content of the top level's Dockerfile, Procfile, app.json, and of the
                                         # file at `dockerfile_path`, by that path: those there are
    names: frozenset[str]                # names of the top level
    directory: str = ""                  # which is the top level here; empty: the commit's own


@dataclass(frozen=True)
class SourceFile:
    path: str
    mode: int                            # 0o100644, 0o100755, or 0o120000: a symlink, whose target is the content
    content: bytes


class Repos(Protocol):
    """The bare repository of each app, by app id. Raises PushRefused for what a pushed tree may not hold."""

    def ensure(self, app_id: int) -> Path:
        """Create it if missing (owned by the SSH user, hooks and limits pinned); return its path."""

    def remove(self, app_id: int) -> None: ...

    def read(self, app_id: int, commit: str, quarantine: Quarantine | None, budgets: Budgets,
             dockerfile_path: str = "Dockerfile", directory: str = "") -> Tree:
        """Walk the whole tree within the budgets, by declared sizes, before any blob is read.

        The result is that of *directory*, as if the commit held nothing else; *dockerfile_path* is relative to it.

        Refused: a directory that is not there; over budget; `.git`-like, empty or `..` names; submodules; special
        files that are not regular files; Git LFS pointers; missing objects (a shallow push that lacks them).
        """

    def source(self, app_id: int, tree: Tree, quarantine: Quarantine | None, wanted: frozenset[str]) -> SourceFiles:
        """Every path of a tree that was read, and the content of those files that are *wanted*.

        Refused: one of those is not a regular file, or larger than 1 MB.
        """

    def archive(self, app_id: int, tree: Tree, quarantine: Quarantine | None,
                left_out: Callable[[str], bool] = ..., added: Mapping[str, bytes] = ...) -> Iterator[bytes]:
        """The tree, without the paths that are *left_out*, as a GNU tar; files that are *added* replace its own.

        Files 0644 or 0755, symlinks as symlinks, mtime 0, owner 0.
        """

    def write(self, app_id: int, files: Iterable[SourceFile], message: str, author: str,
              parent: str | None) -> tuple[str, Quarantine]:
        """Make a commit of *files*, as if it had been pushed: it stays in quarantine until `adopt`."""

    def adopt(self, app_id: int, quarantine: Quarantine | None, commit: str = "") -> None:
        """Take quarantined objects over into the repository, durably, so that the release keeps its source whatever
        becomes of the push. PushRefused if the quarantine is gone, or was being emptied and *commit* is not whole."""

    def abandoned(self, app_id: int) -> list[Quarantine]:
        """Quarantines that no git works on any more: a receive-pack that was killed removes nothing. Those of the
        daemon's own jobs are among them, so the caller holds the app's turn."""

    def discard(self, app_id: int, quarantine: Quarantine) -> None:
        """Remove it. Unknown is fine."""

    def is_ancestor(self, app_id: int, old: str, new: str, quarantine: Quarantine | None) -> bool:
        """False also where history is too short to tell (a shallow push)."""

    def ref(self, app_id: int, branch: str) -> str | None: ...

    def branches(self, app_id: int) -> dict[str, str]: ...

    def set_ref(self, app_id: int, branch: str, commit: str) -> None: ...

    def sweep(self, app_id: int, older_than: float) -> int:
        """Remove `tmp_objdir-*` leftovers older than that many seconds; return how many. Also tidies packs."""

    def ids(self) -> list[int]:
        """App ids that have a repository on disk."""
