"""Stage 1: a pushed commit → its source, read within budgets. Nothing is checked out."""

from __future__ import annotations

from dataclasses import dataclass

from paas.deploy.manifest import Manifest, read_manifest
from paas.deploy.recipe import find_recipe
from paas.deploy.work import Work
from paas.errors import PushRefused
from paas.failpoints import step
from paas.model.buildpack import Recipe
from paas.model.names import printable
from paas.ports_source import Budgets, Quarantine, Tree

ZERO = "0" * 40
DEFAULT_BRANCHES = ("main", "master")


@dataclass(frozen=True)
class Push:
    """One accepted ref update: `refs/heads/<branch>` from *old* to *new* (40 zeros: created)."""

    branch: str
    old: str
    new: str
    quarantine: Quarantine | None


@dataclass(frozen=True)
class Source:
    push: Push
    tree: Tree
    recipe: Recipe | None                # of a buildpack; None: it has a Dockerfile
    manifest: Manifest


def receive(work: Work, push: Push) -> Source:
    """Read the commit. Raises PushRefused for what a pushed tree may not hold, and for a push that came too late."""
    with work.timed("receive"):
        work.stop_if_cancelled()
        work.branch = push.branch
        refuse_overtaken(work, push)
        tree = work.rt.repos.read(work.app.id, push.new, push.quarantine, budgets(work),
                                  work.setting("builder.dockerfile-path"), work.setting("builder.build-dir"))
    work.out.stage(f"Received {push.new[:8]} \"{tree.subject}\" ({count(tree.files, 'file')})")
    recipe = find_recipe(work, tree, push.quarantine)
    return Source(push, tree, recipe, read_manifest(work, tree.special, recipe))


def tip(work: Work, branch: str) -> str:
    """The branch's commit; what went live counts also while git has not moved the branch yet. ZERO: there is none."""
    return work.rt.jobs.accepted.get((work.app.id, branch)) or work.rt.repos.ref(work.app.id, branch) or ZERO


@step("K1")
def refuse_overtaken(work: Work, push: Push) -> None:
    """Another push of the same branch may have gone live while this one waited for its turn.

    git compares old ids only after the hook has said yes, so the loser would be live and rejected at once.
    """
    now = tip(work, push.branch)
    if now not in (push.old, push.new):
        raise PushRefused(f"another push of {printable(push.branch)} went live meanwhile ({now[:8]})",
                          "Fetch, merge and push again.")


def budgets(work: Work) -> Budgets:
    return Budgets(
        entries=int(work.server_setting("source-files-limit")),
        blob_bytes=int(work.server_setting("file-size-limit")),
        tree_bytes=int(work.server_setting("source-size-limit")),
    )


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
