"""What files take on the disk, and the file that holds a reserve."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from paas.errors import NoSpace, StateError

BLOCK = 512                              # st_blocks counts these (stat(2)), whatever the file system's blocks are


class ThisDisk:
    """See :class:`paas.ports_watch.DiskFiles`."""

    def below(self, path: Path) -> int:
        try:
            top = path.lstat()
        except OSError:
            return 0
        seen: set[int] = set()           # files with several names count once
        total, waiting = top.st_blocks * BLOCK, [path] if path.is_dir() and not path.is_symlink() else []
        while waiting:
            with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    total += self._one(entry, top.st_dev, seen, waiting)
        return total

    def _one(self, entry: os.DirEntry, device: int, seen: set[int], waiting: list[Path]) -> int:
        try:
            found = entry.stat(follow_symlinks=False)
            if found.st_dev != device or found.st_ino in seen:
                return 0
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif found.st_nlink > 1:
                seen.add(found.st_ino)
            return found.st_blocks * BLOCK
        except OSError:
            return 0                     # has gone meanwhile

    def same_disk(self, one: Path, other: Path) -> bool:
        try:
            return one.stat().st_dev == other.stat().st_dev
        except OSError:
            return False

    def held(self, path: Path) -> int:
        try:
            return path.lstat().st_size
        except OSError:
            return 0

    def hold(self, path: Path, size: int) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.ftruncate(descriptor, 0)
                os.posix_fallocate(descriptor, 0, size)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.let_go(path)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace("there is no room for the reserve", "Free some space.") from None
            raise StateError(f"the reserve cannot be made: {error.strerror}", "Check the state directory.") from None

    def let_go(self, path: Path) -> None:
        """Cut first: a file system that is full to the last block may not be able to remove a name (btrfs, ZFS)."""
        with contextlib.suppress(OSError):
            os.truncate(path, 0)
        with contextlib.suppress(OSError):
            os.unlink(path)
