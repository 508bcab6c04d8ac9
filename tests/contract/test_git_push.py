"""A real `git push` into a real pre-receive hook: quarantine, adoption, shallow clones (L6, L10)."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paas.adapters.git import GitRepos
from paas.ports_source import Budgets
from tests.contract.gitbox import git

HOOK = """#!{python}
import json, os, sys
sys.path[:0] = {path!r}
from pathlib import Path
from paas.adapters.git import GitRepos
from paas.ports_source import Budgets, Quarantine
from paas.settings import Settings
top = Path({root!r})
repos = GitRepos(Settings(state_dir=top, lib_dir=top / "lib", ssh_user="no-such-user"))
old, new, ref = sys.stdin.readline().split()
held = Quarantine(Path(os.environ["GIT_OBJECT_DIRECTORY"]), (Path(os.environ["GIT_ALTERNATE_OBJECT_DIRECTORIES"]),))
tree = repos.read(1, new, held, Budgets())
(top / "seen.json").write_text(json.dumps(dict(
    commit=new, files=tree.files, subject=tree.subject, descends=repos.is_ancestor(1, old, new, held),
    tar=sum(len(chunk) for chunk in repos.archive(1, tree, held)), packs=os.listdir(held.objects / "pack"))))
if not (top / "no-adopt").exists():
    repos.adopt(1, held)
print("hook done")
sys.exit((top / "reject").exists())
"""


@pytest.fixture
def hooked(root: Path, bare: Path) -> Path:
    hook = root / "lib" / "hooks" / "pre-receive"
    hook.write_text(HOOK.format(python=sys.executable, root=str(root), path=[p for p in sys.path if p]))
    hook.chmod(0o755)
    return bare


@pytest.fixture
def clone(root: Path) -> Path:
    work = root / "work"
    git(root, "init", "-q", "-b", "main", "work")
    for number in range(3):
        change(work, number)
    return work


def change(work: Path, number: int) -> str:
    (work / f"file{number}").write_text(f"{number}\n")
    git(work, "add", "-A")
    git(work, "commit", "-qm", f"Change {number}")
    return git(work, "rev-parse", "HEAD")


def seen(root: Path) -> dict:
    return json.loads((root / "seen.json").read_text())


def shallow(root: Path, work: Path) -> Path:
    shutil.rmtree(root / "ci", ignore_errors=True)
    git(root, "clone", "-q", "--depth", "1", f"file://{work}", "ci")
    return root / "ci"


@pytest.fixture
def healthy(root: Path, hooked: Path) -> Iterator[None]:
    """After the test: git finds nothing wrong, no leftovers, and a clone of the repository works."""
    yield
    assert "error" not in git(hooked, "fsck", "--full", "--connectivity-only", ok=False)
    assert "missing" not in git(hooked, "fsck", "--full", ok=False)
    assert not list(hooked.glob("objects/tmp_objdir-*"))
    assert not list(hooked.glob("objects/pack/*.keep"))
    git(root, "clone", "-q", "--branch", "main", f"file://{hooked}", "proof")
    git(root / "proof", "fsck", "--full")
    assert git(root / "proof", "rev-parse", "HEAD") == git(hooked, "rev-parse", "main")


@pytest.mark.usefixtures("healthy")
def test_quarantined_push_is_read_adopted_and_accepted(repos: GitRepos, root: Path, hooked: Path, clone: Path) -> None:
    for number in (3, 4):
        commit = change(clone, number)
        assert "hook done" in git(clone, "push", str(hooked), "main", ok=False)
        found = seen(root)
        assert (found["commit"], found["files"], found["subject"]) == (commit, number + 1, f"Change {number}")
        assert found["tar"] == (2 * (number + 1) + 2) * 512
        assert found["descends"] == (number == 4)
        assert repos.ref(1, "main") == commit


@pytest.mark.usefixtures("healthy")
def test_adopted_source_survives_a_rejected_push(repos: GitRepos, root: Path, hooked: Path, clone: Path) -> None:
    (root / "reject").touch()
    assert "pre-receive hook declined" in git(clone, "push", str(hooked), "main", ok=False)
    commit = seen(root)["commit"]
    assert repos.ref(1, "main") is None
    assert repos.read(1, commit, None, Budgets()).files == 3
    repos.set_ref(1, "main", commit)
    (root / "reject").unlink()
    change(clone, 3)
    git(clone, "push", str(hooked), "main")
    assert seen(root)["descends"]


def test_refused_push_leaves_nothing(repos: GitRepos, root: Path, hooked: Path, clone: Path) -> None:
    (root / "reject").touch()
    (root / "no-adopt").touch()
    git(clone, "push", str(hooked), "main", ok=False)
    assert [path for path in (hooked / "objects").rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("healthy")
def test_shallow_pushes_of_depth_one_work(repos: GitRepos, root: Path, hooked: Path, clone: Path) -> None:
    git(shallow(root, clone), "push", str(hooked), "main")
    assert (seen(root)["files"], seen(root)["descends"]) == (3, False)
    change(clone, 3)
    change(clone, 4)
    late = shallow(root, clone)
    assert "fetch first" in git(late, "push", str(hooked), "main", ok=False)       # git's own client refuses
    git(late, "push", "--force", str(hooked), "main")
    assert seen(root)["files"] == 5
    full = change(clone, 5)
    git(clone, "push", str(hooked), "main")                                        # later, from a full clone
    assert seen(root)["descends"]
    assert repos.ref(1, "main") == full


@pytest.mark.usefixtures("healthy")
def test_shallow_push_into_full_history(repos: GitRepos, root: Path, hooked: Path, clone: Path) -> None:
    git(clone, "push", str(hooked), "main")
    change(clone, 3)
    git(shallow(root, clone), "push", "--force", str(hooked), "main")
    assert seen(root)["descends"]                                                  # the parent is here already
    change(clone, 4)
    change(clone, 5)
    git(shallow(root, clone), "push", "--force", str(hooked), "main")
    assert not seen(root)["descends"]


@pytest.mark.usefixtures("healthy")
def test_shallow_push_that_only_the_platform_remembers(repos: GitRepos, root: Path, hooked: Path, clone: Path) -> None:
    """L6: the deploy went live, git never heard of it; the platform moves the ref and records the edge itself."""
    (root / "reject").touch()
    git(shallow(root, clone), "push", str(hooked), "main", ok=False)
    commit = seen(root)["commit"]
    repos.set_ref(1, "main", commit)
    assert (hooked / "shallow").read_text() == commit + "\n"
    (root / "reject").unlink()
    change(clone, 3)
    git(clone, "push", str(hooked), "main")
    assert seen(root)["files"] == 4
