"""``storage:…``: directories and volumes that outlive an app's containers."""

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.model.app import App
from paas.ops import storage


@command("storage:mount", mutates=True)
@app_argument
@click.argument("mount", metavar="HOST:CONTAINER[:ro]")
@click.option("--chown", "owner", type=click.IntRange(0, 2**31), metavar="UID",
              help="Owner of a directory that is made now, instead of the image's user.")
@click.option("--restart", is_flag=True, help="Replace the containers now.")
def mount(call: Call, app: App, mount: str, owner: int | None, restart: bool) -> None:
    """Give an app's containers a host directory or a volume.

    HOST is a path below the platform's storage directory, or the name of a volume. The directory is made if it is
    missing. Root on the server may mount any other directory that is there. Volumes belong to one app each. One that is
    empty belongs to the image's user when the next container is made.

    Example: paas storage:mount hello uploads:/app/uploads
    """
    local = call.local is not None and call.actor.name == "root"
    made = storage.mount(call.rt, app, mount, local=local, owner=owner)
    call.say(f"{storage.shown_source(call.rt, app, made)} will be at {made.target}"
             f"{' (read only)' if made.read_only else ''}.")
    take_effect(call, app, restart)


@command("storage:unmount", mutates=True)
@app_argument
@click.argument("mount", metavar="HOST:CONTAINER")
@click.option("--restart", is_flag=True, help="Replace the containers now.")
def unmount(call: Call, app: App, mount: str, restart: bool) -> None:
    """Take a mount away. The data stays.

    MOUNT is what was given, or the place in the container.

    Example: paas storage:unmount hello uploads:/app/uploads
    """
    gone = storage.unmount(call.rt, app, mount)
    call.say(f"{gone.target} is not mounted any more; its data stays.")
    take_effect(call, app, restart)


@command("storage:list")
@command("storage:report")
@app_argument
@format_option
def list_(call: Call, app: App, format: str) -> None:
    """List the mounts of an app.

    Example: paas storage:list hello
    """
    call.rows(("source", "target", "read_only", "kind"), storage.listed(call.rt, app), format)


def take_effect(call: Call, app: App, restart: bool) -> None:
    if not restart:
        call.say(f"With the next release; now: paas ps:restart {app.name}")
    elif not storage.restart(call.rt, app, call.actor, call.say):
        call.say("Nothing runs that could be restarted.")
