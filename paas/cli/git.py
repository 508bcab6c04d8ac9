"""``git:…``: the repository of an app."""

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.cli.settings import set_and_tell
from paas.model.app import App
from paas.ops import apps, archives, settings, sources


@command("git:set", mutates=True)
@app_argument
@click.argument("key")
@click.argument("value", default="")
def set_(call: Call, app: App, key: str, value: str) -> None:
    """Set deploy-branch, the branch whose push deploys.

    Without VALUE: main, or master if that is pushed first.

    Example: paas git:set hello deploy-branch production
    """
    set_and_tell(call, app, "git", key, value, "From the next push on.")


@command("git:report")
@app_argument
@format_option
def report(call: Call, app: App, format: str) -> None:
    """Show the deploy branch, the remote, and the commit of each branch.

    Example: paas git:report hello
    """
    branches = call.rt.repos.branches(app.id)
    facts = {"app": app.name, "remote": apps.git_remote(call.rt, app.name)}
    facts |= {line.key.replace("-", "_"): line.value for line in settings.report(call.rt, app, "git")}
    call.record(facts | {"branches": [f"{name} {commit}" for name, commit in sorted(branches.items())]}, format)


@command("git:remote")
@app_argument
def remote(call: Call, app: App) -> None:
    """Print the address to push to.

    Example: git remote add production "$(paas git:remote hello)"
    """
    call.put(apps.git_remote(call.rt, app.name))


@command("git:from-archive", mutates=True)
@app_argument
@click.argument("file", required=False)
def from_archive(call: Call, app: App, file: str | None) -> None:
    """Deploy a tar of source from standard input.

    As if its files had been pushed; a tar.gz, .bz2 or .xz too, at most 100 MB. A directory around everything, as
    GitHub's archives have it, is left off.

    Example: git archive HEAD | paas git:from-archive hello
    """
    limit = archives.MAX_BYTES
    data = call.stdin(limit) if file in (None, "-") else call.local_file(file, limit)
    sources.from_archive(call.rt, app, call.actor, data, call.say)


@command("git:from-image", mutates=True)
@app_argument
@click.argument("image")
def from_image(call: Call, app: App, image: str) -> None:
    """Deploy an image as it is.

    Its CMD is the web process. An image that the engine has already is not fetched again: name a new tag, or a digest.

    Example: paas git:from-image hello nginx:1.29
    """
    sources.from_image(call.rt, app, call.actor, image, call.say)
