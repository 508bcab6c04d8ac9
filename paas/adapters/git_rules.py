"""What a pushed tree may not hold, and how that is told: names, modes, refusals. No reading of objects here."""

import re
import stat

from paas.errors import PushRefused
from paas.model.dockerfile import foreign_frontend
from paas.model.names import printable
from paas.ports_source import Budgets

SPECIAL = (b"Dockerfile", b"Procfile", b"app.json", b".dockerignore")
SPECIAL_BYTES = 1024**2                  # what one of those files may hold
LINK_BYTES = 4095                        # PATH_MAX without its NUL
NAME_BYTES = 255                         # NAME_MAX of every Linux file system
LFS_HEAD = b"version https://git-lfs.github.com/spec/v1\n"
LFS_SIZES = range(100, 1024)             # git-lfs writes pointers below 1024 bytes (its spec.md)
LFS_CANDIDATES = 20_000                  # that many small files are looked into

# Code points that HFS+ ignores in names (git's utf8.c: next_hfs_char), so ".g\u200cit" is ".git" on a Mac.
_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_GIT = re.compile(r"(\.git|git~[0-9]+)[ .]*(:.*)?", re.DOTALL)


def shown(path: bytes) -> str:
    """*path* as it may stand in a message: escaped and cut."""
    return printable(path.decode("utf-8", "surrogateescape"), 200)


def refused(path: bytes, what: str, hint: str) -> PushRefused:
    return PushRefused(f"'{shown(path)}' {what}", hint)


def check_name(name: bytes, prefix: bytes) -> None:
    """Refuse what no file system can hold, or what would be a repository on somebody's: as `git fsck` does.

    :raises PushRefused: empty, ``.``, ``..``, ``.git`` in any disguise (case, HFS+, NTFS), '/', NUL, > 255 bytes.
    """
    if len(name) > NAME_BYTES:
        raise refused(prefix + name, f"has a name longer than {NAME_BYTES} bytes", "Rename that file.")
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or _git_like(name):
        raise refused(prefix + name, "is not an allowed name in a pushed tree", "Rename or remove that entry.")


def _git_like(name: bytes) -> bool:
    if name.isascii() and b"git" not in name.lower():
        return False
    text = _IGNORED.sub("", name.decode("utf-8", "replace")).lower()
    return _GIT.fullmatch(text) is not None


def check_mode(path: bytes, mode: int) -> None:
    """Regular files, directories and symlinks pass; a submodule or anything else does not."""
    if stat.S_IFMT(mode) == 0o160000:
        raise refused(path, "is a submodule, and its content is not part of the push",
                      f"Commit the files themselves: git rm --cached '{shown(path)}', remove its .git, git add it.")
    if stat.S_IFMT(mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise refused(path, f"has the unknown mode {mode:o}", "Remove that entry.")
    if path == b".gitmodules" and not stat.S_ISREG(mode):
        raise must_be_regular(path)


def must_be_regular(path: bytes) -> PushRefused:
    return refused(path, "must be a regular file",
                   "Replace the symbolic link or directory of that name by the file itself.")


def check_frontend(path: bytes, dockerfile: bytes) -> None:
    """Refuse a ``# syntax=`` line that hands the build to an image which is not Docker's own."""
    image = foreign_frontend(dockerfile)
    if image:
        raise refused(path, f"asks to be read by the frontend image {printable(image, 100)}; a `# syntax=` line may "
                      "name docker/dockerfile only", "Remove that line, or name docker/dockerfile:1 in it.")


def lfs_pointer(path: bytes) -> PushRefused:
    return refused(path, "is a Git LFS pointer: `git push` does not bring the content of LFS files",
                   "Store it in git itself (git lfs migrate export --include=… ), or fetch it in the Dockerfile.")


def no_files() -> PushRefused:
    return PushRefused("the commit has no files", "Add at least a Dockerfile or the app's files, commit, push again.")


def no_directory(path: bytes) -> PushRefused:
    return PushRefused(f"the source has no directory '{shown(path)}'",
                       "Correct it: paas builder:set APP build-dir PATH; without PATH: the source's top level.")


def lacks(what: str) -> PushRefused:
    """An object that the commit needs was not pushed and is not here: a shallow or partial clone, or a broken push."""
    return PushRefused(f"the push lacks {what}: it came from a shallow or partial clone, or was broken off",
                       "Fetch everything first (git fetch --unshallow; in GitHub Actions `fetch-depth: 0`), "
                       "then push again.")


def too_many(budgets: Budgets) -> PushRefused:
    return PushRefused(f"the source has more than {budgets.entries:,} files and directories",
                       "Remove what the app does not need, or ask the admin to raise source-files-limit.")


def too_deep(budgets: Budgets) -> PushRefused:
    return PushRefused(f"the source has more than {budgets.depth:,} levels of directories", "Flatten that tree.")


def too_big(budgets: Budgets) -> PushRefused:
    return PushRefused(f"the files of the source hold more than {size(budgets.tree_bytes)}",
                       "Remove what the app does not need, or ask the admin to raise source-size-limit.")


def file_too_big(path: bytes, length: int, budgets: Budgets) -> PushRefused:
    return refused(path, f"holds {size(length)}; a file may hold {size(budgets.blob_bytes)}",
                   "Keep it out of git, or ask the admin to raise file-size-limit.")


def size(count: int) -> str:
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
