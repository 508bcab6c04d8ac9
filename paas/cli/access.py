"""``access:…``: roles of users, on apps, services, or everything."""

import click

from paas.cli.base import Call, command, format_option, optional_app_argument
from paas.errors import Forbidden, NotFound, UsageError
from paas.model.access import Actor
from paas.model.app import App
from paas.model.rights import Role
from paas.model.service import Service
from paas.ops import access, backups

ROLE = click.Choice([str(role) for role in Role])


def service_option(function):
    return click.option("--service", default="", metavar="SERVICE", help="Like postgres/db.")(function)


@command("access:grant", mutates=True)
@click.argument("user")
@click.argument("role", type=ROLE)
@optional_app_argument
@service_option
def grant(call: Call, user: str, role: str, app: App | None, service: str) -> None:
    """Give a user a role: on APP, on a service, or (with neither) everywhere.

    admin: the server. owner: everything about the app. operate: config, processes, run, logs. deploy: push, clone,
    logs. ci: push only. read: look, and logs. Roles add up. Owners give them, and nobody what he has not.

    Example: paas access:grant alice operate hello
    """
    on = place(call, app, service)
    made = access.grant(call.rt, call.actor, user, Role(role), app=app, service=on)
    call.say(f"{user} {'is' if made else 'was already'} {role} on {shown(app, on)}.")


@command("access:revoke", mutates=True)
@click.argument("user")
@click.argument("role", type=click.Choice([*ROLE.choices, "all"]))
@optional_app_argument
@service_option
def revoke(call: Call, user: str, role: str, app: App | None, service: str) -> None:
    """Take a role away, there; open sessions of that user end.

    Example: paas access:revoke alice operate hello
    """
    on = place(call, app, service)
    access.revoke(call.rt, call.actor, user, None if role == "all" else Role(role), app=app, service=on)
    call.say(f"{user} is no longer {'anything' if role == 'all' else role} on {shown(app, on)}.")


def place(call: Call, app: App | None, service: str) -> Service | None:
    """The service, if one is named; its owner, or an admin, gives roles on it."""
    if not service:
        return None
    if app:
        raise UsageError("an app or a service, not both")
    found = backups.service_named(call.rt, service)
    if not access.sees(call.actor, service_id=found.id):
        raise access.absent_service(found)
    return found


def shown(app: App | None, service: Service | None) -> str:
    return app.name if app else f"{service.datastore}/{service.name}" if service else "everything"


@command("access")
@command("access:list")
@optional_app_argument
@click.option("--user", default="", help="Of that user only.")
@format_option
def list_(call: Call, app: App | None, user: str, format: str) -> None:
    """List who has which role, on what; for an app, also those who have it everywhere.

    Example: paas access:list hello
    """
    call.rows(("user", "role", "on", "since", "granted_by"), access.listed(call.rt, user, app), format)


@command("access:check")
@click.argument("user")
@click.argument("verb", metavar="COMMAND")
@optional_app_argument
def check(call: Call, user: str, verb: str, app: App | None) -> int:
    """Say whether a user may run a command (on APP). Exit with 6 if not.

    Example: paas access:check alice config:set hello
    """
    grants = tuple(one for one in call.rt.store.grants(user=user))
    actor = Actor(user, 0, user=user, grants=grants)
    stores = frozenset(call.rt.plugins.datastores)
    try:
        access.authorise(actor, verb, app, mutates=True, datastores=stores)
    except (Forbidden, NotFound) as error:
        call.say(f"no: {error.what}")
        return Forbidden.exit_code
    call.say("yes")
    return 0
