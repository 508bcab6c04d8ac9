"""``backups:kit``, ``backups:key``: for whom backups are sealed, and what a person needs who has lost the server."""

from __future__ import annotations

from collections.abc import Callable

import click

from paas.api import Datastore
from paas.backups import keyring, places
from paas.cli.backups import secret_line
from paas.cli.base import Call, command
from paas.cli.families import service_argument, verb
from paas.model.service import Service
from paas.ops import backups
from paas.secret import Secret

ACTIONS = ("show", "add", "remove", "forget", "restore", "wrap")


@command("backups:kit", mutates=True, secret=True)
@click.option("--confirm", "word", default="", metavar="WORD", help="The kit is kept elsewhere: repeat its word.")
def kit(call: Call, word: str) -> None:
    """Print the recovery kit: what somebody needs who has lost this server.

    It holds the key that opens every backup. Print it, keep it away from this server, and confirm it with the word in
    its last line; schedules wait for that.

    Example: paas backups:kit
    """
    if word:
        keyring.confirm_kit(call.rt, word)
        call.say("Confirmed.")
    else:
        call.put("\n".join(backups.kit(call.rt)))


@command("backups:key", mutates=True)
@click.argument("action", type=click.Choice(ACTIONS), default="show", metavar=f"[{'|'.join(ACTIONS)}]")
@click.argument("value", required=False, default="")
def key(call: Call, action: str, value: str) -> None:
    """Show for whom backups are sealed, or change it.

    add RECIPIENT: also for that age or SSH public key (remove: no longer). forget WORD: take the identity off this
    server (write-only; WORD is that of the kit). restore: put it back, from standard input. wrap: put the identity,
    sealed with a passphrase from standard input, into the target.

    Example: paas backups:key show
    """
    if action == "show":
        keys = keyring.keyring(call.rt)
        call.record({"recipients": list(keys.recipients), "identity": "not here: write-only" if keys.write_only
                     else "on this server", "kit confirmed": keyring.kit_confirmed(call.rt)})
        return
    KEY_ACTIONS[action](call, value)
    call.say("Done.")


KEY_ACTIONS: dict[str, Callable[[Call, str], object]] = {
    "add": lambda call, value: keyring.add_recipient(call.rt, value),
    "remove": lambda call, value: keyring.remove_recipient(call.rt, value),
    "forget": lambda call, value: keyring.forget_identity(call.rt, value),
    "restore": lambda call, value: keyring.put_identity(call.rt, Secret(secret_line(call, "Identity: "))),
    "wrap": lambda call, value: wrap(call),
}


def wrap(call: Call) -> None:
    keyring.wrap_identity(call.rt, places.objects_of(call.rt, ""), places.server_id(call.rt),
                          Secret(secret_line(call, "Passphrase: ")))


@verb("backup-set-encryption", mutates=True, secret=True)
@service_argument
def backup_set_encryption(call: Call, store: Datastore, service: Service) -> None:
    """Dokku's word: keep the identity, sealed with a passphrase, beside the backups. Backups are always encrypted.

    The passphrase comes on standard input. The same as backups:key wrap.

    Example: paas {name}:backup-set-encryption db
    """
    wrap(call)
    call.say("The identity is in the target, sealed with that passphrase.")


@verb("backup-set-public-key-encryption", mutates=True)
@service_argument
@click.argument("recipient")
def backup_set_public_key_encryption(call: Call, store: Datastore, service: Service, recipient: str) -> None:
    """Dokku's word: seal for an age or SSH public key as well. The same as backups:key add, for all services.

    Example: paas {name}:backup-set-public-key-encryption db age1…
    """
    keyring.add_recipient(call.rt, recipient)
    call.say("From the next backup on it opens with that key too.")
