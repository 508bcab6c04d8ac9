"""How a source is built: by its own Dockerfile, or by the recipe that a buildpack makes of it."""

from __future__ import annotations

from paas.deploy.work import Work
from paas.errors import PushRefused
from paas.model.buildpack import Recipe
from paas.ops import build_settings
from paas.ports_source import Quarantine, Tree

DOCKERFILE = "Dockerfile"                # where a recipe's goes in the build context


def find_recipe(work: Work, tree: Tree, quarantine: Quarantine | None) -> Recipe | None:
    """None: by its Dockerfile. Raises PushRefused where neither fits, or the app runs images only."""
    selected, path = work.setting("builder.selected"), work.setting("builder.dockerfile-path")
    if selected == "image":
        raise PushRefused(f"{work.app.name} runs images, not source (builder selected: image)",
                          f"Deploy one: paas git:from-image {work.app.name} IMAGE; "
                          f"or take source again: paas builder:set {work.app.name} selected")
    if selected != "buildpack" and path in tree.special:
        return None
    if selected == "dockerfile" or (not selected and path != DOCKERFILE):
        raise no_dockerfile(path, tree)
    return made(work, tree, quarantine, selected == "buildpack")


def made(work: Work, tree: Tree, quarantine: Quarantine | None, wanted: bool) -> Recipe:
    buildpacks = work.rt.buildpacks
    files = work.rt.repos.source(work.app.id, tree, quarantine, buildpacks.wanted())
    try:
        recipe = buildpacks.make(files, build_settings.environment(work.rt.store, work.app),
                                 work.setting("builder.buildpack"))
    except PushRefused as error:
        if wanted:
            raise
        raise PushRefused(f"there is no Dockerfile in the source, and {error.what}; {top_level(tree)}",
                          error.hint) from None
    work.out.stage(f"{recipe.language.capitalize()} app: {recipe.reason}")
    for note in recipe.notes:
        work.out.detail(note)
    return recipe


def no_dockerfile(path: str, tree: Tree) -> PushRefused:
    return PushRefused(f"there is no {path} in the source; {top_level(tree)}",
                       "Add it, or name it with: paas builder:set APP dockerfile-path PATH.")


def top_level(tree: Tree) -> str:
    where = f"{tree.directory} holds" if tree.directory else "its top level holds"
    return f"{where}: {', '.join(sorted(tree.names)[:12]) or 'nothing'}"
