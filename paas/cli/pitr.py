"""``postgres:pitr``: restore to any time."""

from __future__ import annotations

from collections.abc import Callable

import click

from paas.api import Datastore
from paas.cli.backups import identity_of, identity_option, of_target_options
from paas.cli.base import Call, command, format_option
from paas.cli.families import service_argument, verb
from paas.cli.progress import Progress
from paas.errors import UsageError
from paas.model.moments import write_moment
from paas.model.service import Service
from paas.ops import pitr

STEPS = ("on", "off", "status", "set", "base", "drill", "prune")


@verb("pitr", offered=lambda store: store.pitr is not None, mutates=True, secret=True)
@click.argument("action", type=click.Choice(STEPS))
@service_argument
@click.argument("key", required=False, default="")
@click.argument("value", required=False, default="")
@click.option("--at", "at", metavar="TIME", default="", help="With drill: that time, not a random one.")
@click.option("--purge", is_flag=True, help="With off: delete the history from the target too.")
@identity_option
@format_option
def point_in_time(call: Call, store: Datastore, action: str, service: Service, format: str, **given: object) -> None:
    """Keep what {name}:restore --at needs: bases, and the log of all changes, shipped to the target each second.

    on: begin, with a first base; the recovery kit must have been confirmed (backups:kit). off: end; the history stays.
    status: which times can be restored to. set SERVICE window 14d: how far back. base: make a base now (done every
    week). drill: prove a time of the window by restoring it (done every month). prune: delete now what lies before the
    window (done every hour).

    With the machine at most two seconds of commits are lost.

    Example: paas {name}:pitr on db
    """
    if action == "set" and (given["key"] != "window" or not given["value"]):
        raise UsageError("a window is what can be set",
                         f"Example: paas {store.name}:pitr set {service.name} window 14d")
    ACTIONS[action](call, service, format=format, **given)


def turn_on(call: Call, service: Service, **given: object) -> None:
    with Progress(call) as progress:
        made = pitr.turn_on(call.rt, call.actor, service, progress)
    call.say(f"{service.name} can be restored to any time from {write_moment(made.finished_at)} on.")
    call.say(f"Restore it: paas {service.datastore}:restore {service.name} --at TIME")


def turn_off(call: Call, service: Service, *, purge: bool, **given: object) -> None:
    pitr.turn_off(call.rt, service, purge=purge)
    call.say("Off; " + ("its history is deleted." if purge else "its history stays in the target."))


def status(call: Call, service: Service, *, format: str, **given: object) -> None:
    call.record(pitr.status(call.rt, service), format)


def set_window(call: Call, service: Service, *, value: str, **given: object) -> None:
    pitr.set_window(call.rt, service, value)
    call.say(f"{service.name} can be restored to times of the last {value}, once there is so much history.")


def base(call: Call, service: Service, **given: object) -> None:
    with Progress(call) as progress:
        made = pitr.new_base(call.rt, service, progress)
    call.put(made.id)


def drill(call: Call, service: Service, *, at: str, identity_stdin: bool, **given: object) -> None:
    identity = identity_of(call, identity_stdin)
    with Progress(call) as progress:
        done = pitr.drill(call.rt, call.actor, service, at, identity=identity, progress=progress, say=call.say)
    call.say(f"The state of {write_moment(done.at)} is proved: restored from {done.base} and looked over "
             f"in {done.seconds:.1f} s.")


def prune(call: Call, service: Service, **given: object) -> None:
    call.say(f"{pitr.clean(call.rt, service, pitr.row_of(call.rt, service)):,} objects are deleted.")


ACTIONS: dict[str, Callable[..., None]] = {"on": turn_on, "off": turn_off, "status": status, "set": set_window,
                                           "base": base, "drill": drill, "prune": prune}


@command("backups:histories")
@of_target_options
def histories(call: Call, server: str, identity_stdin: bool, format: str) -> None:
    """List the services in the server's target that can be restored to any time, of every server that wrote there.

    From the target alone; the identity proves the manifests.

    Example: paas backups:histories
    """
    rows = pitr.histories(call.rt, server, identity_of(call, identity_stdin))
    call.rows(("server", "datastore", "uid", "service", "restorable", "doubtful"), rows, format)


@command("backups:restore-to", mutates=True)
@click.argument("uid")
@click.argument("name")
@click.option("--at", "at", metavar="TIME", default=pitr.LATEST, help="ISO 8601, or '5m ago'; the newest without it.")
@click.option("--server", default="", metavar="ID", help="That made it; this one without it.")
@identity_option
def restore_to(call: Call, uid: str, name: str, at: str, server: str, identity_stdin: bool) -> None:
    """Restore the state of a time from the server's target into a new service NAME, whoever made it.

    For a new machine that has the target and the identity, and nothing else. UID and server are those that
    backups:histories shows.

    Example: paas backups:restore-to 0a1b2c3d4e5f db2 --at 2026-11-20T16:00:00Z --server 1a2b3c4d5e6f
    """
    identity = identity_of(call, identity_stdin)
    with Progress(call) as progress:
        made, wanted = pitr.from_target(call.rt, call.actor, server, uid, at, name, identity=identity,
                                        progress=progress, say=call.say)
    call.say(f"{made.name} has the state of {write_moment(wanted.at)}." if wanted.at else
             f"{made.name} has the newest state that was stored.")
