"""A directory as a store of objects: the embedded default, a mounted disk, a NAS."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from paas.adapters.files import sync_directory
from paas.adapters.objects_keys import below, check_key
from paas.adapters.objects_probe import Probe, Ways
from paas.errors import Conflict, NotFound, StoreError
from paas.ports_backup import Capabilities, StoredObject

TEMPORARY = ".paas-upload-"              # no key has a dot in front of a part, so no listing shows these
WORDS = {
    errno.ENOSPC: "its disk is full", errno.EDQUOT: "its quota is used up", errno.EROFS: "it is read-only",
    errno.EACCES: "access is refused", errno.EPERM: "access is refused", errno.EIO: "its disk has read or write errors",
    errno.ENOENT: "it does not exist", errno.ENOTDIR: "a part of a name is a file already",
    errno.EISDIR: "a name is a directory already", errno.ESTALE: "the network file system is gone",
}


class FileObjects:
    """See :class:`paas.ports_backup.ObjectStore`. Files get mode 0600, directories 0700.

    The directory itself is made at the first write; the one above it must be there, so that the path of a disk that
    is not mounted is not made up whole on another one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, data: bytes, *, new: bool = False) -> None:
        upload = self.upload(key)
        try:
            upload.write(data)
            upload.commit(new=new)
        finally:
            upload.abort()

    def upload(self, key: str, expected: int = 0) -> FileUpload:
        with self.words():
            return FileUpload(self, self.path(key))

    def get(self, key: str, limit: int = 16 * 1024 * 1024) -> bytes:
        reader = self.read(key)
        if reader.left > limit:
            raise StoreError(f"'{key}' is longer than the {limit} bytes that were expected", "Look at what wrote it.")
        return reader.read()

    def read(self, key: str, start: int = 0) -> FileReader:
        with self.words(key):
            return FileReader(self, key, open(self.path(key), "rb"), start)

    def size(self, key: str) -> int:
        with self.words(key):
            path = self.path(key)
            if path.is_dir():
                raise FileNotFoundError(errno.ENOENT, "is a directory")
            return path.stat().st_size

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        top = below(prefix)
        with self.words():
            found = sorted(self._files(self.root / top), key=lambda entry: entry[0])
        for key, status in found:
            yield StoredObject(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def delete(self, keys: Sequence[str]) -> None:
        with self.words():
            for key in keys:
                path = self.path(key)
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                    self._tidy(path.parent)

    def abort_uploads(self, older_than: float, prefix: str = "") -> int:
        limit = time.time() - older_than
        ended = 0
        with self.words():
            for directory, _, names in os.walk(self.root / below(prefix)):
                for name in names:
                    path = Path(directory, name)
                    with contextlib.suppress(FileNotFoundError):
                        if name.startswith(TEMPORARY) and path.stat().st_mtime <= limit:
                            path.unlink()
                            ended += 1
        return ended

    def now(self) -> datetime:
        return datetime.now(UTC)

    def probe(self) -> Capabilities:
        ways = Ways(self._refuses_overwrite, self.upload, warnings=self._warnings)
        return Probe(self, ways).run()

    def _refuses_overwrite(self, key: str) -> bool:
        try:
            self.put(key, b"", new=True)
        except Conflict:
            return True
        return False

    def _warnings(self) -> list[str]:
        with contextlib.suppress(OSError):
            if self.root.stat().st_dev == os.stat("/").st_dev:
                return ["it is on the server's own disk: who loses the server loses its backups too"]
        return []

    def path(self, key: str) -> Path:
        return self.root / check_key(key)

    def make_directory(self, directory: Path) -> None:
        """Make *directory* below the root durably, and the root itself, but nothing above it."""
        if directory.is_dir():
            return
        if directory != self.root:
            self.make_directory(directory.parent)
        with contextlib.suppress(FileExistsError):
            directory.mkdir(0o700)
            sync_directory(directory.parent)

    def _files(self, top: Path) -> Iterator[tuple[str, os.stat_result]]:
        def fail(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error
        for directory, _, names in os.walk(top, onerror=fail):
            for name in names:
                path = Path(directory, name)
                with contextlib.suppress(FileNotFoundError):
                    if not name.startswith("."):
                        yield path.relative_to(self.root).as_posix(), path.stat()

    def _tidy(self, directory: Path) -> None:
        """Remove directories that became empty, up to the root, which stays."""
        with contextlib.suppress(OSError):
            while directory != self.root:
                directory.rmdir()
                directory = directory.parent

    @contextlib.contextmanager
    def words(self, key: str = "") -> Iterator[None]:
        """OSError in the user's words; with *key*, a missing file is NotFound."""
        try:
            yield
        except OSError as error:
            if key and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
                raise NotFound(f"the store of backups has no '{key}'", "List the backups.") from None
            reason = WORDS.get(error.errno or 0, os.strerror(error.errno or errno.EIO))
            raise StoreError(f"the directory of backups cannot be used: {reason}",
                             f"See to file://{self.root}, then try again.") from None


class FileUpload:
    """See :class:`paas.ports_backup.Upload`: a hidden file beside its place, renamed at the end."""

    def __init__(self, store: FileObjects, path: Path) -> None:
        self.store, self.path = store, path
        self.size = 0
        self.temporary: Path | None = path.with_name(TEMPORARY + secrets.token_hex(8))
        self.file = self._open()

    def _open(self) -> BinaryIO:
        for _ in range(5):       # a delete at the same time may remove the directory that just became empty
            self.store.make_directory(self.path.parent)
            with contextlib.suppress(FileNotFoundError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                return open(os.open(self.temporary, flags, 0o600), "wb")
        raise FileNotFoundError(errno.ENOENT, "no directory")

    def write(self, data: bytes, /) -> int:
        if self.temporary is None:
            raise StoreError("this upload has ended already")
        try:
            with self.store.words():
                self.file.write(data)
        except BaseException:
            self.abort()
            raise
        self.size += len(data)
        return len(data)

    def commit(self, *, new: bool = False) -> int:
        if self.temporary is None:
            raise StoreError("this upload has ended already")
        try:
            with self.store.words():
                self.file.flush()
                os.fsync(self.file.fileno())
                self._check(os.fstat(self.file.fileno()).st_size)
                self._name(new)
        finally:
            self.abort()
        return self.size

    def _check(self, size: int) -> None:
        if size != self.size:
            raise StoreError(f"the directory of backups holds {size} bytes of {self.size}", "Check its disk.")

    def _name(self, new: bool) -> None:
        if new:
            try:
                os.link(self.temporary, self.path)           # unlike rename, link never replaces
            except FileExistsError:
                raise Conflict(f"'{self.path.name}' is there already", "Choose another name.") from None
        else:
            os.rename(self.temporary, self.path)
        sync_directory(self.path.parent)

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self.file.close()
        if self.temporary is not None:
            with contextlib.suppress(OSError):
                self.temporary.unlink()
            self.temporary = None


class FileReader:
    """See :class:`paas.ports_backup.Reader`."""

    def __init__(self, store: FileObjects, key: str, file: BinaryIO, start: int) -> None:
        self.store, self.key, self.file = store, key, file
        self.left = os.fstat(file.fileno()).st_size - start
        if self.left < 0:
            raise StoreError(f"'{key}' is shorter than {start} bytes", "It is not what was stored.")
        file.seek(start)

    def read(self, size: int = -1, /) -> bytes:
        with self.store.words():
            data = self.file.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        if self.left and not data and size:
            raise StoreError(f"'{self.key}' ended {self.left} bytes early", "It was changed while it was read.")
        if not self.left:
            self.file.close()
            self.file = _Ended()
        return data

    def close(self) -> None:
        self.file.close()


class _Ended:
    def read(self, size: int = -1, /) -> bytes:
        return b""

    def close(self) -> None: ...
