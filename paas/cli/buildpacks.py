"""``buildpacks:…``: how a source without a Dockerfile is built, to read and to take over."""

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.cli.settings import set_and_tell
from paas.errors import BadInput
from paas.model import names
from paas.model.app import App
from paas.ops import buildpacks


@command("buildpacks")
@command("buildpacks:list")
@format_option
def list_(call: Call, format: str) -> None:
    """List the languages, in the order in which they are looked for.

    Example: paas buildpacks:list
    """
    call.rows(("language",), [(name,) for name in call.rt.buildpacks.names()], format)


@command("buildpacks:set", mutates=True)
@app_argument
@click.argument("language", default="")
def set_(call: Call, app: App, language: str) -> None:
    """Choose the buildpack of an app. Without LANGUAGE: the first that fits.

    Example: paas buildpacks:set hello python
    """
    if language and language not in call.rt.buildpacks.names():
        raise BadInput(f"there is no buildpack '{names.printable(language)}'",
                       f"There are: {', '.join(call.rt.buildpacks.names())}.")
    set_and_tell(call, app, "builder", "buildpack", language, "From the next push on.")


@command("buildpacks:show")
@app_argument
def show(call: Call, app: App) -> None:
    """Print the Dockerfile that a buildpack makes of an app's source.

    Example: paas buildpacks:show hello
    """
    call.put(buildpacks.recipe_of(call.rt, app)[1].dockerfile.decode().rstrip("\n"))


@command("buildpacks:eject")
@app_argument
def eject(call: Call, app: App) -> None:
    """Print what to commit so that an app is built from a Dockerfile of its own.

    A patch, for git apply in your checkout: the Dockerfile and, where they are missing, .dockerignore and Procfile.

    Example: paas buildpacks:eject hello | git apply
    """
    call.put(buildpacks.patch(*buildpacks.recipe_of(call.rt, app)).rstrip("\n"))
