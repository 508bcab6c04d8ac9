"""The files of this very installation, as a backup of the platform takes them and a restore replaces them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

DATABASE, MASTER_KEY, SETTINGS = "paas.db", "master.key", "paas.toml"      # names of single pieces


@dataclass(frozen=True)
class Piece:
    """One file, directory or symbolic link of an installation."""

    name: str                            # relative: "repos/3.git/HEAD"
    kind: str                            # "file", "directory", "link"
    mode: int = 0o600                    # permission bits
    uid: int = 0
    gid: int = 0
    modified: int = 0                    # seconds since 1970
    size: int = 0                        # bytes when it was listed
    target: str = ""                     # of a link
    open: Callable[[], BinaryIO] | None = None           # of a file; FileNotFoundError: it has gone meanwhile


class ImageArchives(Protocol):
    """What :class:`paas.ports.Images` can do beside: images as a stream."""

    def save(self, digests: Sequence[str]) -> Iterator[bytes]:
        """A tar of these images, without their names, that `load` of another engine reads (as `docker save`)."""

    def load(self, tar: Iterable[bytes], names: Mapping[str, str]) -> None:
        """Take in images: digest → name to give it. One that was not in the tar is left out. EngineError."""


class Installation(Protocol):
    """Everything beside the database is taken from below the state and configuration directories.

    A restore stages all pieces first, then swaps them for what is there. From `commit` on the swap is decided: if it is
    cut, the next start of the daemon finishes it before anything is opened.
    """

    def pieces(self, *, storage: bool) -> Iterator[Piece]:
        """Master key, settings file, repositories, the proxy's own certificates and accounts; with *storage* the
        directories that apps mount. What others change meanwhile is taken whole, as it was at some moment: of a
        repository refs come before objects, so every object that a ref needs is there."""

    def scratch(self) -> AbstractContextManager[Path]:
        """A directory of root's alone that goes afterwards; what an earlier process left in it goes too."""

    def staging(self) -> Path:
        """An empty directory of root's alone, for the pieces of a restore."""

    def commit(self) -> None:
        """What is staged shall be this installation from now on. Durable."""

    def swap(self) -> Path | None:
        """Carry out what was committed: the database must be closed. Idempotent; None: nothing was. Returns where
        the files are that were there before. Called at each start too: what a process that died left staged goes."""

    def drop(self) -> None:
        """Remove what is staged, unless it was committed."""
