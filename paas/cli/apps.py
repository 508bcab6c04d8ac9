"""``apps:…``, ``url`` and ``urls``: the life of an app."""

import click

from paas.cli.base import Call, app_argument, command, confirm_option, format_option
from paas.errors import NotFound, PaasError
from paas.model.app import App
from paas.ops import apps, routes


@command("apps:create", mutates=True)
@click.argument("name")
def create(call: Call, name: str) -> None:
    """Create an app, and say where to push it.

    Up to 30 lower-case letters, digits and dashes.

    Example: paas apps:create hello
    """
    app = apps.create(call.rt, call.actor, name)
    call.say(f"Created {app.name}. Now, in your repository:\n\n"
             f"    git remote add production {apps.git_remote(call.rt, app.name)}\n"
             "    git push production main\n")
    for url in routes.urls(call.rt, app):
        call.say(f"It will answer at {url}")


@command("apps")
@command("apps:list")
@format_option
def list_(call: Call, format: str) -> None:
    """List the apps.

    Example: paas apps:list --format json
    """
    call.rows(("name", "state", "release", "locked", "created_at"), apps.overview(call.rt), format)


@command("apps:info")
@command("apps:report")
@app_argument
@format_option
def info(call: Call, app: App, format: str) -> None:
    """Show an app: state, live release, URLs, git remote.

    Example: paas apps:info hello
    """
    facts = apps.info(call.rt, app)
    call.record({name.replace(" ", "_"): value for name, value in facts.items()}, format)


@command("apps:exists")
@app_argument
def exists(call: Call, app: App) -> None:
    """Exit with 0 if the app exists, with 20 if not.

    Example: paas apps:exists hello
    """
    call.say(f"{app.name} exists.")


@command("apps:rename", mutates=True, lock="app")
@app_argument
@click.argument("name")
def rename(call: Call, app: App, name: str) -> None:
    """Rename an app. Its default domain follows; what runs goes on running.

    Example: paas apps:rename hello greeter
    """
    renamed = apps.rename(call.rt, app, name)
    call.say(f"{app.name} is {renamed.name} now. In your repository:\n\n"
             f"    git remote set-url production {apps.git_remote(call.rt, renamed.name)}\n")
    for url in routes.urls(call.rt, renamed):
        call.say(url)


@command("apps:destroy", mutates=True)
@app_argument
@confirm_option
@click.option("--force", is_flag=True, help="The same as --confirm with the right name, as in Dokku.")
def destroy(call: Call, app: App, confirm: str | None, force: bool) -> None:
    """Destroy an app and all that belongs to it.

    Its containers, images, releases, config, domains, certificate and repository go. Host directories and named volumes
    that it mounted stay. It cannot be undone; --confirm repeats the name.

    Example: paas apps:destroy hello --confirm hello
    """
    if not force:
        call.confirm(app.name, confirm, f"This destroys {app.name}, its releases, config and domains.")
    apps.destroy(call.rt, app, call.say)
    call.say(f"Destroyed {app.name}.")


@command("apps:lock", mutates=True)
@app_argument
@click.option("--reason", default="", metavar="TEXT", help="Shown to whoever pushes meanwhile.")
def lock(call: Call, app: App, reason: str) -> None:
    """Refuse deploys of an app until it is unlocked. What runs goes on running.

    Example: paas apps:lock hello --reason "database migration"
    """
    apps.lock(call.rt, app, reason or f"by {call.actor.name}")
    call.say(f"{app.name} takes no deploys. Unlock it with: paas apps:unlock {app.name}")


@command("apps:unlock", mutates=True)
@app_argument
def unlock(call: Call, app: App) -> None:
    """Take deploys of an app again.

    Example: paas apps:unlock hello
    """
    apps.unlock(call.rt, app)
    call.say(f"{app.name} takes deploys.")


@command("apps:locked")
@app_argument
def locked(call: Call, app: App) -> None:
    """Exit with 0 if the app is locked, with 1 if not.

    Example: paas apps:locked hello
    """
    if not app.locked:
        raise PaasError(f"{app.name} is not locked")
    call.put(app.locked)


@command("url")
@app_argument
def url(call: Call, app: App) -> None:
    """Print the first URL of an app.

    Example: curl "$(paas url hello)"
    """
    found = routes.urls(call.rt, app)
    if not found:
        raise NotFound(f"{app.name} has no domain", f"Give it one: paas domains:add {app.name} www.example.com")
    call.put(found[0])


@command("urls")
@app_argument
@format_option
def urls(call: Call, app: App, format: str) -> None:
    """Print the URLs of an app, one per line.

    Example: paas urls hello
    """
    found = routes.urls(call.rt, app)
    if format == "json":
        call.rows(("url",), [(one,) for one in found], format)
    elif found:
        call.put("\n".join(found))
