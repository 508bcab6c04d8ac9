"""A pushed commit, read with budgets: what it is, what it holds, and its tree as a tar stream.

No checkout, no filters, no attributes: what the builder sees is what the commit holds, byte for byte. Sizes and
counts are added up from headers, per tree id and multiplied by how often it occurs, so that 12 objects that spell
10^10 paths are refused as fast as they were pushed.
"""

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dulwich.errors import ObjectFormatException
from dulwich.objects import parse_tree

from paas.adapters import git_rules as rules
from paas.adapters import git_tar
from paas.adapters.git_objects import BLOB, COMMIT, TREE, Damaged, Objects
from paas.model.buildpack import SourceFiles
from paas.model.names import printable
from paas.ports_source import Budgets, Tree

Entry = tuple[bytes, int, bytes]         # name, mode, id (40 hex digits)

COMMIT_HEAD = 64 * 1024                  # all that is read of a commit: a message may have 100 MB
ENTRY_BYTES = rules.NAME_BYTES + 28      # of one entry of a tree object, at most
WORK_FACTOR = 50                         # git's default pack.depth: how often a byte may be copied to undo deltas
NOTHING: Mapping[str, bytes] = MappingProxyType({})
EXECUTABLE, PLAIN, DIRECTORY, LINK = 0o755, 0o644, 0o755, 0o777


@dataclass(frozen=True)
class Commit:
    tree: bytes
    parents: tuple[bytes, ...]
    time: int                            # of the committer, seconds since 1970; 0: unreadable
    author: str
    subject: str


@dataclass(slots=True)
class Totals:
    """Of one tree object and all below it."""

    entries: int = 0
    files: int = 0
    size: int = 0
    levels: int = 1

    def add(self, below: "Totals") -> None:
        self.entries += below.entries
        self.files += below.files
        self.size += below.size
        self.levels = max(self.levels, below.levels + 1)


@dataclass(slots=True)
class _Level:
    sha: bytes
    prefix: bytes                        # path of the directory with its '/', empty at the top
    todo: Iterator[Entry]
    totals: Totals = field(default_factory=Totals)


def read(objects: Objects, commit: str, budgets: Budgets, dockerfile_path: str, directory: str = "") -> Tree:
    """:raises PushRefused: what the tree may not hold. :raises Missing, Damaged: objects that cannot be had."""
    facts = read_commit(objects, commit.encode())
    survey = Survey(objects, budgets)
    if not survey.walk(facts.tree).files:
        raise rules.no_files()
    root = subtree(objects, facts.tree, directory, budgets) if directory else facts.tree
    totals = survey.of(root)
    top = entries_of(objects, root, budgets)
    special = read_special(objects, top, dockerfile_path, budgets)
    survey.check_small_files()
    return Tree(commit, root.decode(), facts.subject, facts.author, totals.files, totals.size, special,
                frozenset(name.decode("utf-8", "surrogateescape") for name, _, _ in top), directory)


def subtree(objects: Objects, root: bytes, directory: str, budgets: Budgets) -> bytes:
    path = directory.encode("utf-8", "surrogateescape")
    entry = _lookup(objects, entries_of(objects, root, budgets), path, budgets)
    if entry is None or not stat.S_ISDIR(entry[0]):
        raise rules.no_directory(path)
    return entry[1]


def source(objects: Objects, tree: bytes, budgets: Budgets, wanted: frozenset[str]) -> SourceFiles:
    """Every path below *tree*, and the content of those that are *wanted*."""
    paths, contents = set(), {}
    stack = [(b"", tree)]
    while stack:
        prefix, at = stack.pop()
        for name, mode, sha in entries_of(objects, at, budgets):
            path = prefix + name
            text = path.decode("utf-8", "surrogateescape")
            if stat.S_ISDIR(mode):
                stack.append((path + b"/", sha))
                continue
            paths.add(text)
            if text in wanted:
                contents[text] = _regular(objects, path, mode, sha)
    return SourceFiles(frozenset(paths), contents)


class Survey:
    """Counts and sizes of a tree by headers; each distinct tree object is parsed once."""

    def __init__(self, objects: Objects, budgets: Budgets) -> None:
        self._objects = objects
        self._budgets = budgets
        self._done: dict[bytes, Totals] = {}
        self._parsed = 0                             # entries of distinct trees
        self._work = 0                               # bytes copied to undo the deltas of distinct trees' blobs
        self._pointers: list[tuple[bytes, bytes]] = []
        self._links: list[tuple[bytes, bytes]] = []

    def walk(self, root: bytes) -> Totals:
        stack = [self._level(root, b"")]
        while stack:
            level = stack[-1]
            below = self._next_unknown(level)
            if below is not None:
                if len(stack) >= self._budgets.depth:
                    raise rules.too_deep(self._budgets)
                stack.append(below)
                continue
            stack.pop()
            self._done[level.sha] = level.totals
            self._check(level.totals)
            if stack:
                stack[-1].totals.add(level.totals)
                self._check(stack[-1].totals)
        return self._done[root]

    def of(self, sha: bytes) -> Totals:
        """What one directory that was walked holds."""
        return self._done[sha]

    def check_small_files(self) -> None:
        """Refuse Git LFS pointers, and link targets that no tar or file system can hold."""
        for path, sha in self._links:
            target = self._objects.content(sha, WORK_FACTOR * rules.LINK_BYTES + self._budgets.blob_bytes)
            if not target or b"\0" in target:
                raise rules.refused(path, "is a symbolic link without a usable target", "Correct or remove it.")
        for path, sha in self._pointers:
            if self._objects.head(sha, len(rules.LFS_HEAD)) == rules.LFS_HEAD:
                raise rules.lfs_pointer(path)

    def _level(self, sha: bytes, prefix: bytes) -> _Level:
        entries = entries_of(self._objects, sha, self._budgets, prefix)
        self._parsed += len(entries)
        if self._parsed > self._budgets.entries:
            raise rules.too_many(self._budgets)
        return _Level(sha, prefix, iter(entries), Totals(len(entries)))

    def _next_unknown(self, level: _Level) -> _Level | None:
        """Add up the entries of a level until a directory turns up that was not walked yet."""
        totals = level.totals
        for name, mode, sha in level.todo:
            path = level.prefix + name
            rules.check_name(name, level.prefix)
            rules.check_mode(path, mode)
            if not stat.S_ISDIR(mode):
                totals.files += 1
                totals.size += self._file(path, mode, sha)
            elif sha in self._done:
                totals.add(self._done[sha])
            else:
                return self._level(sha, path + b"/")
        return None

    def _file(self, path: bytes, mode: int, sha: bytes) -> int:
        info = self._objects.info(sha)
        budgets = self._budgets
        if info.type != BLOB:
            raise rules.refused(path, "is not a file in the commit's own objects", "Make the commit anew with git.")
        if info.size > budgets.blob_bytes:
            raise rules.file_too_big(path, info.size, budgets)
        self._work += info.work
        if info.memory > 2 * budgets.blob_bytes + 65536 or self._work > WORK_FACTOR * budgets.tree_bytes:
            raise rules.refused(path, "takes too much work to unpack", "Run `git repack -adf` and push again.")
        if stat.S_ISLNK(mode):
            self._link(path, sha, info.size)
        elif info.size in rules.LFS_SIZES and len(self._pointers) < rules.LFS_CANDIDATES:
            self._pointers.append((path, sha))
        return info.size

    def _link(self, path: bytes, sha: bytes, size: int) -> None:
        if size > rules.LINK_BYTES:
            raise rules.refused(path, "is a symbolic link with too long a target", "Correct or remove it.")
        self._links.append((path, sha))

    def _check(self, totals: Totals) -> None:
        if totals.entries > self._budgets.entries:
            raise rules.too_many(self._budgets)
        if totals.size > self._budgets.tree_bytes:
            raise rules.too_big(self._budgets)
        if totals.levels > self._budgets.depth:
            raise rules.too_deep(self._budgets)


def entries_of(objects: Objects, sha: bytes, budgets: Budgets, prefix: bytes = b"") -> list[Entry]:
    """The entries of one tree object, in its order. :raises PushRefused: malformed, or a name occurs twice."""
    info = objects.info(sha)
    if info.type != TREE:
        raise rules.refused(prefix or b"/", "is not a directory in the commit's own objects", "Make the commit anew.")
    if info.size > budgets.entries * ENTRY_BYTES:
        raise rules.too_many(budgets)
    data = objects.content(sha, info.size + 2 * budgets.blob_bytes)
    try:
        entries = [tuple(entry) for entry in parse_tree(data, 20)]
    except (ObjectFormatException, ValueError, AssertionError):
        raise rules.refused(prefix or b"/", "is a malformed tree object", "Make the commit anew with git.") from None
    names = {name for name, _, _ in entries}
    if len(names) != len(entries):
        raise rules.refused(prefix or b"/", "has two entries of one name", "Make the commit anew with git.")
    return entries


def read_commit(objects: Objects, sha: bytes) -> Commit:
    """The facts of one commit, from its first 64 KB. Text that is not UTF-8 is taken for Latin-1."""
    info = objects.info(sha)
    if info.type != COMMIT:
        raise rules.refused(sha[:8], "is not a commit", "Push a branch, not a tag or a file.")
    if info.deltas and info.memory > 64 * COMMIT_HEAD:
        raise Damaged("a commit is too large")
    head, _, message = objects.head(sha, COMMIT_HEAD).partition(b"\n\n")
    lines = [line.partition(b" ") for line in head.split(b"\n")]
    tree = next((value for key, _, value in lines if key == b"tree"), b"")
    parents = tuple(value for key, _, value in lines if key == b"parent")
    if any(not _is_id(value) for value in (tree, *parents)):
        raise Damaged("a commit is malformed")
    people = {key: value for key, _, value in lines if key in (b"author", b"committer")}
    author = people.get(b"author", b"").rpartition(b">")
    return Commit(tree, parents, _time(people.get(b"committer", b"")), _text(author[0] + author[1], 80),
                  _text(message.lstrip(b"\n").split(b"\n", 1)[0].rstrip(b"\r "), 100))


def _is_id(value: bytes) -> bool:
    return len(value) == 40 and not value.strip(b"0123456789abcdef")


def _time(person: bytes) -> int:
    words = person.rpartition(b">")[2].split()
    return int(words[0]) if words and words[0].isdigit() and len(words[0]) < 20 else 0


def _text(data: bytes, limit: int) -> str:
    data = data[: 8 * limit]
    try:
        return printable(data.decode(), limit)
    except UnicodeDecodeError as error:
        cut = error.start >= len(data) - 3 and len(data) == 8 * limit
        return printable(data[: error.start].decode() if cut else data.decode("latin-1"), limit)


def read_special(objects: Objects, top: list[Entry], dockerfile_path: str, budgets: Budgets) -> dict[str, bytes]:
    """Content of the files that decide how the source is built; each must be a regular file of at most 1 MiB."""
    found = {}
    for name, mode, sha in top:
        if name in rules.SPECIAL:
            found[name.decode()] = _regular(objects, name, mode, sha)
    if dockerfile_path not in found:
        path = dockerfile_path.encode("utf-8", "surrogateescape")
        entry = _lookup(objects, top, path, budgets)
        if entry is not None:
            found[dockerfile_path] = _regular(objects, path, *entry)
    rules.check_frontend(dockerfile_path.encode("utf-8", "surrogateescape"), found.get(dockerfile_path, b""))
    return found


def _lookup(objects: Objects, top: list[Entry], path: bytes, budgets: Budgets) -> tuple[int, bytes] | None:
    entries, parts = top, path.split(b"/")
    for number, part in enumerate(parts):
        entry = next(((mode, sha) for name, mode, sha in entries if name == part), None)
        if entry is None or number == len(parts) - 1:
            return entry
        if not stat.S_ISDIR(entry[0]):
            raise rules.must_be_regular(path)
        entries = entries_of(objects, entry[1], budgets)
    return None


def _regular(objects: Objects, path: bytes, mode: int, sha: bytes) -> bytes:
    if not stat.S_ISREG(mode):
        raise rules.must_be_regular(path)
    if objects.info(sha).size > rules.SPECIAL_BYTES:
        raise rules.refused(path, f"is larger than {rules.size(rules.SPECIAL_BYTES)}", "Make it smaller.")
    return objects.content(sha, 64 * rules.SPECIAL_BYTES)


def tar(objects: Objects, tree: bytes, budgets: Budgets,
        left_out: Callable[[str], bool] = lambda path: False, added: Mapping[str, bytes] = NOTHING) -> Iterator[bytes]:
    """The tree as tar pieces, in tree order: directories before what they hold, as `git archive` has them; then the
    files that are *added*, which replace those of the same path.

    A directory that is *left_out* is still walked: something in it may be an exception.
    """
    stack = [(b"", iter(entries_of(objects, tree, budgets)))]
    while stack:
        prefix, todo = stack[-1]
        for name, mode, sha in todo:
            path = prefix + name
            out = left_out(path.decode("utf-8", "surrogateescape"))
            if stat.S_ISDIR(mode):
                if not out:
                    yield git_tar.header(path + b"/", DIRECTORY, 0, b"5")
                stack.append((path + b"/", iter(entries_of(objects, sha, budgets))))
                break
            if not out:
                yield from _member(objects, path, mode, sha)
        else:
            stack.pop()
    for path, content in added.items():
        yield git_tar.header(path.encode(), PLAIN, len(content), b"0") + content + git_tar.padding(len(content))
    yield git_tar.END


def _member(objects: Objects, path: bytes, mode: int, sha: bytes) -> Iterator[bytes]:
    if stat.S_ISLNK(mode):
        yield git_tar.header(path, LINK, 0, b"2", b"".join(objects.chunks(sha)))
        return
    size, chunks = objects.opened(sha)
    yield git_tar.header(path, EXECUTABLE if mode & 0o100 else PLAIN, size, b"0")
    yield from chunks
    yield git_tar.padding(size)
