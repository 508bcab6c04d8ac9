"""`Repos` in memory: commits are dictionaries of paths."""

import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from paas.adapters import git_rules as rules
from paas.adapters import git_tar
from paas.errors import NotFound, PushRefused
from paas.model.buildpack import SourceFiles
from paas.model.names import printable
from paas.ports_source import Budgets, Quarantine, SourceFile, Tree
from paas.testing.faults import Faults

Content = bytes | tuple[int, bytes]      # a file's bytes, or (mode, bytes): 0o120000 a symlink, 0o160000 a submodule


@dataclass(frozen=True)
class Commit:
    files: Mapping[str, tuple[int, bytes]]
    subject: str
    author: str
    parent: str | None


class FakeRepos:
    """What a test pushes with :meth:`commit` (already in the repository) or :meth:`push` (quarantined)."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.lost: set[Quarantine] = set()           # quarantines that git has removed
        self.leftovers: dict[int, list[float]] = {}  # app id → ages in seconds, for `sweep`
        self._commits: dict[int, dict[str, Commit]] = {}
        self._refs: dict[int, dict[str, str]] = {}
        self._quarantined: dict[Quarantine, dict[str, Commit]] = {}

    # --- for tests

    def commit(self, app_id: int, files: Mapping[str, Content], subject: str = "A commit",
               author: str = "Ada <ada@example.com>", parent: str | None = None) -> str:
        sha, commit = _made(files, subject, author, parent)
        self._commits.setdefault(app_id, {})[sha] = commit
        self._refs.setdefault(app_id, {})
        return sha

    def push(self, app_id: int, files: Mapping[str, Content], subject: str = "A commit",
             author: str = "Ada <ada@example.com>", parent: str | None = None) -> tuple[str, Quarantine]:
        sha, commit = _made(files, subject, author, parent)
        quarantine = Quarantine(Path(f"/repos/{app_id}.git/objects/tmp_objdir-incoming-{len(self._quarantined)}"))
        self._quarantined[quarantine] = {sha: commit}
        return sha, quarantine

    def lose(self, quarantine: Quarantine) -> None:
        self.lost.add(quarantine)

    # --- the port

    def ensure(self, app_id: int) -> Path:
        self.faults.call("repos.ensure")
        self._commits.setdefault(app_id, {})
        self._refs.setdefault(app_id, {})
        return Path(f"/repos/{app_id}.git")

    def remove(self, app_id: int) -> None:
        self.faults.call("repos.remove")
        self._commits.pop(app_id, None)
        self._refs.pop(app_id, None)

    def read(self, app_id: int, commit: str, quarantine: Quarantine | None, budgets: Budgets,
             dockerfile_path: str = "Dockerfile", directory: str = "") -> Tree:
        self.faults.call("repos.read")
        if quarantine is not None:
            self._open(quarantine)
        found = self._known(app_id, quarantine).get(commit)
        if found is None:
            raise rules.lacks(f"object {commit[:8]}")
        _judge(found.files, budgets)
        files = _below(found.files, directory)
        top = frozenset(path.split("/")[0] for path in files)
        special = _special(files, dockerfile_path)
        rules.check_frontend(dockerfile_path.encode(), special.get(dockerfile_path, b""))
        return Tree(commit, _tree_id(files), printable(found.subject, 100), printable(found.author), len(files),
                    sum(len(data) for _, data in files.values()), special, top, directory)

    def source(self, app_id: int, tree: Tree, quarantine: Quarantine | None, wanted: frozenset[str]) -> SourceFiles:
        self.faults.call("repos.source")
        files = _below(self._known(app_id, quarantine)[tree.commit].files, tree.directory)
        for path in wanted & files.keys():
            _special(files, path)
        return SourceFiles(frozenset(files), {path: files[path][1] for path in wanted & files.keys()})

    def archive(self, app_id: int, tree: Tree, quarantine: Quarantine | None,
                left_out: Callable[[str], bool] = lambda path: False,
                added: Mapping[str, bytes] = MappingProxyType({})) -> Iterator[bytes]:
        self.faults.call("repos.archive")
        found = self._known(app_id, quarantine).get(tree.commit)
        if found is None:
            raise rules.lacks(f"object {tree.commit[:8]}")
        files = _below(found.files, tree.directory)
        kept = {path: file for path, file in files.items() if not left_out(path)}
        yield from git_tar.gathered(_members({**kept, **{path: (0o100644, data) for path, data in added.items()}}))

    def write(self, app_id: int, files: Iterable[SourceFile], message: str, author: str,
              parent: str | None) -> tuple[str, Quarantine]:
        self.faults.call("repos.write")
        return self.push(app_id, {one.path: (one.mode, one.content) for one in files}, message, author, parent)

    def adopt(self, app_id: int, quarantine: Quarantine | None, commit: str = "") -> None:
        self.faults.call("repos.adopt")
        if quarantine is not None:
            self._commits.setdefault(app_id, {}).update(self._open(quarantine))
            if commit and commit not in self._commits[app_id]:
                raise PushRefused("the push was broken off before its source was taken over", "Push again.")

    def abandoned(self, app_id: int) -> list[Quarantine]:
        self.faults.call("repos.abandoned")
        home = f"/repos/{app_id}.git/"
        return [one for one in self._quarantined if str(one.objects).startswith(home) and one not in self.lost]

    def discard(self, app_id: int, quarantine: Quarantine) -> None:
        self.faults.call("repos.discard")
        self.lost.add(quarantine)

    def is_ancestor(self, app_id: int, old: str, new: str, quarantine: Quarantine | None) -> bool:
        self.faults.call("repos.is_ancestor")
        known, at = self._known(app_id, quarantine), new
        while at != old and at in known and known[at].parent:
            at = known[at].parent
        return at == old

    def ref(self, app_id: int, branch: str) -> str | None:
        self.faults.call("repos.ref")
        return self._refs.get(app_id, {}).get(branch)

    def branches(self, app_id: int) -> dict[str, str]:
        self.faults.call("repos.branches")
        return dict(sorted(self._refs.get(app_id, {}).items()))

    def set_ref(self, app_id: int, branch: str, commit: str) -> None:
        self.faults.call("repos.set_ref")
        if app_id not in self._refs or commit not in self._commits[app_id]:
            raise NotFound(f"there is no commit {commit[:8]} for a branch '{printable(branch)}'", "Push it first.")
        self._refs[app_id][branch] = commit

    def sweep(self, app_id: int, older_than: float) -> int:
        self.faults.call("repos.sweep")
        ages = self.leftovers.get(app_id, [])
        self.leftovers[app_id] = [age for age in ages if age <= older_than]
        return len(ages) - len(self.leftovers[app_id])

    def ids(self) -> list[int]:
        self.faults.call("repos.ids")
        return sorted(self._refs)

    # --- inside

    def _open(self, quarantine: Quarantine) -> dict[str, Commit]:
        if quarantine in self.lost or quarantine not in self._quarantined:
            raise PushRefused("the push was broken off before its source was taken over", "Push again.")
        return self._quarantined[quarantine]

    def _known(self, app_id: int, quarantine: Quarantine | None) -> dict[str, Commit]:
        known = dict(self._commits.get(app_id, {}))
        if quarantine is not None and quarantine not in self.lost:
            known.update(self._quarantined.get(quarantine, {}))
        return known


def _made(files: Mapping[str, Content], subject: str, author: str, parent: str | None) -> tuple[str, Commit]:
    whole = {path: (0o100644, content) if isinstance(content, bytes) else content for path, content in files.items()}
    return (hashlib.sha1(repr((_tree_id(whole), subject, author, parent)).encode()).hexdigest(),
            Commit(whole, subject, author, parent))


def _tree_id(files: Mapping[str, tuple[int, bytes]]) -> str:
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


def _below(files: Mapping[str, tuple[int, bytes]], directory: str) -> dict[str, tuple[int, bytes]]:
    """The files of one directory, by their paths in it."""
    prefix = f"{directory}/" if directory else ""
    below = {path.removeprefix(prefix): file for path, file in files.items() if path.startswith(prefix)}
    if not below:
        raise rules.no_directory(directory.encode())
    return below


def _judge(files: Mapping[str, tuple[int, bytes]], budgets: Budgets) -> None:
    if not files:
        raise rules.no_files()
    folders = {path.rsplit("/", n)[0] for path in files for n in range(1, path.count("/") + 1)}
    if len(files) + len(folders) > budgets.entries:
        raise rules.too_many(budgets)
    if max(path.count("/") for path in files) + 1 > budgets.depth:
        raise rules.too_deep(budgets)
    for path, (mode, data) in files.items():
        for part in path.split("/"):
            rules.check_name(part.encode(), b"")
        rules.check_mode(path.encode(), mode)
        if len(data) > budgets.blob_bytes:
            raise rules.file_too_big(path.encode(), len(data), budgets)
        if data.startswith(rules.LFS_HEAD):
            raise rules.lfs_pointer(path.encode())
    if sum(len(data) for _, data in files.values()) > budgets.tree_bytes:
        raise rules.too_big(budgets)


def _special(files: Mapping[str, tuple[int, bytes]], dockerfile_path: str) -> dict[str, bytes]:
    found = {}
    for path in {*(name.decode() for name in rules.SPECIAL), dockerfile_path}:
        parts = path.split("/")
        above = {"/".join(parts[:count]) for count in range(1, len(parts))} & set(files)
        if above or any(name.startswith(path + "/") for name in files):
            raise rules.must_be_regular(path.encode())
        if path in files:
            if not stat.S_ISREG(files[path][0]):
                raise rules.must_be_regular(path.encode())
            found[path] = files[path][1]
    return found


def _members(files: Mapping[str, tuple[int, bytes]]) -> Iterator[bytes]:
    for path, (mode, data) in sorted(files.items()):
        if stat.S_ISLNK(mode):
            yield git_tar.header(path.encode(), 0o777, 0, b"2", data)
        else:
            yield git_tar.header(path.encode(), 0o755 if mode & 0o100 else 0o644, len(data), b"0")
            yield data + git_tar.padding(len(data))
    yield git_tar.END
