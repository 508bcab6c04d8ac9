"""``disk``, ``cleanup``: what uses space, when it will be used up, and what can go."""

import click

from paas.cli.base import Call, command, format_option, optional_app_argument
from paas.model.app import App
from paas.ops import cleanup, disk

PARTS = ("images", "containers", "logs", "data", "repository", "backups", "total")
DISKS = ("disk", "free", "total", "forecast")


@command("disk")
@format_option
def show(call: Call, format: str) -> None:
    """Show what uses space, per app and service, what is free, and when it will be used up.

    Images count what no other image shares; (server) has the layers that are shared, the build cache and the platform's
    own files. The engine takes seconds to count. Under --format json sizes are bytes, growth is bytes a day.

    Example: paas disk
    """
    disks, uses = disk.disks(call.rt), disk.uses(call.rt)
    held = call.rt.disk_files.held(disk.reserve_path(call.rt))
    if format == "json":
        call.record({"disks": [{"disk": one.place, "free": one.free, "total": one.total, "forecast": one.forecast.words,
                                "growth": one.forecast.growth, "full_in_days": one.forecast.days} for one in disks],
                     "uses": [{"name": one.name, **{part: getattr(one, part) for part in PARTS}} for one in uses],
                     "reserve": held}, format)
        return
    call.rows(("name", *PARTS), [(one.name, *(size(getattr(one, part)) for part in PARTS)) for one in uses])
    call.say("")
    call.rows(DISKS, [(one.place, size(one.free), size(one.total), one.forecast.words) for one in disks])
    if not held:
        call.say("There is no reserve: too little is free, or disk-reserve is 0.")


def size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


@command("cleanup", mutates=True)
@optional_app_argument
@click.option("--build-cache", is_flag=True, help="All of the build cache, not only what is beyond the limit: the next "
              "builds begin anew.")
def clean(call: Call, app: App | None, build_cache: bool) -> None:
    """Remove what nothing needs any more: images of releases that are not kept, logs of old builds, build cache.

    The daemon does this each hour. It goes by the platform's own labels, and never removes a volume, a directory that
    apps mount, a repository, or a backup.

    Example: paas cleanup
    """
    done: list[cleanup.Cleaned] = []
    freed = disk.freed(call.rt, lambda: done.append(cleanup.clean(call.rt, app, build_cache)))
    call.say(f"Images: {done[0].images}, logs: {done[0].logs}, build cache: {size(done[0].cache)}. "
             f"There are {size(freed)} more free.")
