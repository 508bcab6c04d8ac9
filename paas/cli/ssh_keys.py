"""``ssh-keys:…``: whose keys may come in."""

import click

from paas.cli.base import Call, command, confirm_option, format_option
from paas.errors import UsageError
from paas.model import names
from paas.model.access import Key
from paas.model.rights import Role
from paas.ops import access, ssh_keys

LIMIT = 20_000                           # bytes; the largest RSA key in use has under 3,000
COLUMNS = ("name", "user", "type", "fingerprint", "sources", "expires_at", "created_at")


@command("ssh-keys:add", mutates=True)
@click.argument("name")
@click.argument("file", required=False)
@click.option("--user", default="", help="Whose key it is; NAME without it. Roles are a user's.")
@click.option("--role", type=click.Choice([str(role) for role in Role]), help="Give the user this role.")
@click.option("--app", "apps", multiple=True, metavar="APP", help="On this app only; may be repeated.")
@click.option("--from", "sources", multiple=True, metavar="CIDR", help="Usable from there only; may be repeated.")
@click.option("--expires", default="", metavar="DATE|SPAN", help="Until the end of that day (UTC), or for so long.")
def add(call: Call, name: str, file: str | None, user: str, role: str | None, apps: tuple[str, ...],
        sources: tuple[str, ...], expires: str) -> None:
    """Register the public key on standard input as NAME.

    Root on the server may name a FILE instead. One key, without options; its comment is dropped. A user who has no role
    yet becomes an admin, unless --role says otherwise.

    Example: paas ssh-keys:add alice --role deploy --app hello < alice.pub
    """
    if apps and not role:
        raise UsageError("--app needs a --role", "Example: --role deploy --app hello")
    limits = ssh_keys.Limits(user, ssh_keys.parse_sources(sources),
                             ssh_keys.parse_expiry(expires, call.rt.clock.now()) if expires else None)
    found = [call.rt.store.app(names.app_of(app)) for app in apps]
    text = call.local_file(file, LIMIT) if file else call.stdin(LIMIT)
    key = ssh_keys.add(call.rt, name, text, limits)
    call.note(fingerprint=key.fingerprint, role=role or "")
    if role:
        for app in found or [None]:
            access.grant(call.rt, call.actor, key.user, Role(role), app=app)
    elif not call.rt.store.grants(user=key.user):
        access.grant(call.rt, call.actor, key.user, Role.ADMIN)
    call.put(key.fingerprint)


@command("ssh-keys:list")
@format_option
def list_(call: Call, format: str) -> None:
    """List the registered keys.

    Example: paas ssh-keys:list
    """
    call.rows(COLUMNS, [row(key) for key in ssh_keys.listed(call.rt)], format)


def row(key: Key) -> tuple[object, ...]:
    return (key.name, key.user, key.type, key.fingerprint, list(key.sources), key.expires_at, key.created_at)


@command("ssh-keys:info")
@click.argument("name")
@format_option
def info(call: Call, name: str, format: str) -> None:
    """Show one key, and what its user may do.

    Example: paas ssh-keys:info alice
    """
    key = ssh_keys.find(call.rt, name)
    roles = [f"{role} on {place}" for _, role, place, _, _ in access.listed(call.rt, key.user)]
    call.record({**dict(zip(COLUMNS, row(key), strict=True)), "roles": roles,
                 "sessions": call.rt.sessions.of_key(key.id)}, format)


@command("ssh-keys:rotate", mutates=True)
@click.argument("name")
@click.argument("file", required=False)
def rotate(call: Call, name: str, file: str | None) -> None:
    """Put another public key in the place of NAME: same user, same limits. The old one is out at once.

    Example: paas ssh-keys:rotate alice < alice-new.pub
    """
    text = call.local_file(file, LIMIT) if file else call.stdin(LIMIT)
    key = ssh_keys.rotate(call.rt, name, text)
    call.note(fingerprint=key.fingerprint)
    call.put(key.fingerprint)


@command("ssh-keys:remove", mutates=True)
@click.argument("name")
@confirm_option
def remove(call: Call, name: str, confirm: str | None) -> None:
    """Take a key's access away, at once, with its open sessions. Your own needs --confirm.

    Its user's roles stay, for another key.

    Example: paas ssh-keys:remove alice
    """
    if name == call.actor.name and call.actor.key_id is not None:
        call.confirm(name, confirm, "You are using this key: you would lock yourself out.")
    key = ssh_keys.remove(call.rt, name)
    call.say(f"Removed {key.name} ({key.fingerprint}).")
