"""Files that must survive a crash: the one helper that writes them."""

import contextlib
import os
import tempfile
from pathlib import Path


def write_atomic(path: Path, data: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Replace *path* by *data*, whole or not at all, and durably: temp → fsync → rename → fsync directory.

    The temporary file lies in the same directory, is named ``.<name>.<random>`` and has its final mode and owner
    before it gets its name. *owner* is (uid, gid); None leaves the writer's own. Readers see the old or the new file.

    :raises OSError: the directory is missing, not writable or full; the old file is then untouched.
    """
    path = Path(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """fsync *directory*, so that renames and unlinks in it survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
