"""The Dockerfile that a buildpack makes of an app's source: shown, and taken over into the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paas.errors import BadInput
from paas.model import app_settings
from paas.model.app import App
from paas.model.buildpack import Recipe
from paas.ops import build_settings
from paas.ports_source import Budgets, Tree

if TYPE_CHECKING:
    from paas.runtime import Runtime


def recipe_of(rt: Runtime, app: App) -> tuple[Tree, Recipe]:
    """For the source of the live release, as the next build would have it. BadInput where it has no recipe."""
    live = rt.store.live_release(app.id)
    if not live or not live.commit:
        raise BadInput(f"{app.name} has no release of a pushed source", "Push it first: git push.")

    def value(key: str) -> str:
        return app_settings.value_of(app_settings.APP, app.settings, f"builder.{key}")

    path = value("dockerfile-path")
    tree = rt.repos.read(app.id, live.commit, None, Budgets(entries=10**9, blob_bytes=10**12, tree_bytes=10**15), path,
                         value("build-dir"))
    if path in tree.special and value("selected") != "buildpack":
        raise BadInput(f"{app.name} is built from its own {path}", "Buildpacks are for sources without one.")
    files = rt.repos.source(app.id, tree, None, rt.buildpacks.wanted())
    return tree, rt.buildpacks.make(files, build_settings.environment(rt.store, app), value("buildpack"))


def patch(tree: Tree, recipe: Recipe) -> str:
    """What to commit so that the source builds without a buildpack, as ``git apply`` takes it."""
    files = {"Dockerfile": recipe.dockerfile.decode()}
    if recipe.dockerignore and ".dockerignore" not in tree.names:
        files[".dockerignore"] = recipe.dockerignore.decode()
    if recipe.processes and "Procfile" not in tree.names:
        files["Procfile"] = "".join(f"{kind}: {line}\n" for kind, line in recipe.processes.items())
    prefix = f"{tree.directory}/" if tree.directory else ""
    return "".join(new_file(prefix + name, text) for name, text in files.items())


def new_file(path: str, text: str) -> str:
    """One new file in git's format (git-diff(1), "Generating patch text with -p")."""
    lines = text.splitlines()
    return (f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
            f"@@ -0,0 +1,{len(lines)} @@\n" + "".join(f"+{line}\n" for line in lines))
