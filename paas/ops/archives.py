"""A tar of source → files, with a push's budgets, read in order and never unpacked to disk."""

from __future__ import annotations

import io
import stat
import tarfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError

from paas.errors import PushRefused
from paas.model.names import printable
from paas.ports_source import Budgets, SourceFile

MAX_BYTES = 100 * 1024**2                # of the archive as it is sent
MAX_HEADER = 64 * 1024                   # bytes of a long name, or of other words about a file (pax)
HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
           tarfile.GNUTYPE_LONGLINK)


class Member(tarfile.TarInfo):
    """tarfile takes words about a file into memory, whatever their size; here they have a limit."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> Member:
        found = super().frombuf(buf, encoding, errors)
        if found.type in HEADERS and found.size > MAX_HEADER:
            raise PushRefused("the archive says more about a file than is allowed", "Shorten its names.")
        return found


def read_archive(data: bytes, budgets: Budgets) -> list[SourceFile]:
    """Files and symlinks of a tar, also one in gzip, bzip2 or xz. A directory around everything is left off.

    Raises PushRefused: not a tar, over budget, names that lead outside, devices and hard links.
    """
    try:
        found = {file.path: file for file in members(data, budgets)}
    except (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError, ValueError):
        raise PushRefused("that is not a tar archive that can be read",
                          "Make it with: git archive --format=tar.gz HEAD") from None
    if not found:
        raise PushRefused("the archive holds no files")
    return without_wrapper(list(found.values()))


def members(data: bytes, budgets: Budgets) -> Iterator[SourceFile]:
    total = count = 0
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|*", tarinfo=Member) as archive:
        for one in archive:
            count += 1
            total += one.size
            if count > budgets.entries or total > budgets.tree_bytes or one.size > budgets.blob_bytes:
                raise PushRefused("the archive holds more than a push may hold",
                                  "See: paas server:report (source-files-limit, source-size-limit, file-size-limit)")
            if one.isdir() or one.name == "pax_global_header":
                continue
            path = clean(one.name)
            if one.issym():
                yield SourceFile(path, stat.S_IFLNK, one.linkname.encode())
            elif one.isreg():
                yield SourceFile(path, 0o100755 if one.mode & 0o100 else 0o100644, archive.extractfile(one).read())
            else:
                raise PushRefused(f"'{printable(one.name)}' in the archive is neither a file nor a symbolic link")


def clean(name: str) -> str:
    parts = [part for part in name.split("/") if part != "."]
    if name.startswith("/") or any(part in ("", "..") or part.lower() == ".git" for part in parts) or not parts:
        raise PushRefused(f"'{printable(name)}' is not an allowed name in an archive", "Leave it out.")
    return "/".join(parts)


def without_wrapper(files: list[SourceFile]) -> list[SourceFile]:
    """GitHub's archives have everything in ``<repository>-<commit>/``."""
    tops = {file.path.partition("/")[0] for file in files}
    if len(tops) > 1 or any("/" not in file.path for file in files):
        return files
    return [SourceFile(file.path.partition("/")[2], file.mode, file.content) for file in files]
