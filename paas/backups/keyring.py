"""Keys of this server's backups: for whom they are sealed, who can open them, what authenticates manifests.

Verifiable (the default): the server made an age identity and keeps it, sealed by its master key, so it can test its
backups. Write-only: the identity was moved off the server; who takes the server cannot read them, and drills need the
identity at run time. Further recipients (people's own keys) may be added to either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paas.errors import BadInput, Conflict, NotFound
from paas.model.backup_layout import fingerprint, wrapped_identity_key
from paas.model.backup_mac import MacKey, identity_key
from paas.ports_backup import ObjectStore
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.runtime import Runtime

IDENTITY, MAC = "backup-identity", "backup-mac"                      # sealed settings
OWN, FURTHER, CONFIRMED = "backup-recipient", "backup-recipients", "backup-kit-confirmed"    # settings
KIT_WORD = 8                             # characters of the fingerprint that confirm a recovery kit


@dataclass(frozen=True)
class Keyring:
    recipients: tuple[str, ...]          # the server's own first
    identity: Secret | None              # None: write-only
    mac: MacKey                          # that new manifests are made with
    known: tuple[MacKey, ...]            # that old ones may have been made with

    @property
    def write_only(self) -> bool:
        return self.identity is None

    @property
    def word(self) -> str:
        """What the recovery kit shows and its owner repeats: another identity has another."""
        return fingerprint(self.recipients[0])[:KIT_WORD]

    def require_identity(self) -> Secret:
        if self.identity is None:
            raise BadInput("this server cannot open its backups: it keeps no identity (write-only)",
                           "Give the identity on standard input: --identity-stdin")
        return self.identity


def keyring(rt: Runtime) -> Keyring:
    """Made at the first use."""
    with rt.creating:
        own = rt.store.settings().get(OWN)
        if own is None:
            own = generate(rt)
    identity, mac = rt.store.sealed_setting(IDENTITY), MacKey(f"age:{fingerprint(own)}", rt.store.sealed_setting(MAC))
    return Keyring((own, *further(rt)), identity, mac, (mac,))


def generate(rt: Runtime) -> str:
    identity, recipient = rt.sealing.new_identity()
    rt.store.set_sealed_setting(MAC, identity_key(identity, recipient).secret)      # stays when the identity goes
    rt.store.set_sealed_setting(IDENTITY, identity)
    rt.store.set_setting(OWN, recipient)
    return recipient


def opened_with(rt: Runtime, identity: Secret) -> Keyring:
    """For one restore: an identity that a person brings."""
    ours, recipient = keyring(rt), rt.sealing.recipient_of(identity)
    return Keyring(ours.recipients, identity, ours.mac, (*ours.known, identity_key(identity, recipient)))


def further(rt: Runtime) -> tuple[str, ...]:
    return tuple(line for line in rt.store.settings().get(FURTHER, "").split("\n") if line)


def add_recipient(rt: Runtime, text: str) -> str:
    """From the next backup on it opens with that key too. BadInput, Conflict."""
    recipient = rt.sealing.check_recipient(text)
    if recipient in keyring(rt).recipients:
        raise Conflict("backups are sealed for that key already", "See: paas backups:key")
    rt.store.set_setting(FURTHER, "\n".join([*further(rt), recipient]))
    return recipient


def remove_recipient(rt: Runtime, text: str) -> None:
    found = [one for one in further(rt) if one == text.strip() or fingerprint(one) == text.strip()]
    if not found:
        raise NotFound("backups are not sealed for that key", "See: paas backups:key")
    rt.store.set_setting(FURTHER, "\n".join(one for one in further(rt) if one not in found) or None)


def forget_identity(rt: Runtime, word: str) -> None:
    """Write-only from now on. BadInput: its owner has not shown that the recovery kit is kept elsewhere."""
    require_kit(rt, word)
    rt.store.set_sealed_setting(IDENTITY, None)


def put_identity(rt: Runtime, identity: Secret) -> None:
    """Back to verifiable. BadInput: it is not the one that this server's backups are sealed for."""
    ours = keyring(rt)
    if rt.sealing.recipient_of(identity) != ours.recipients[0]:
        raise BadInput("that is not the identity of this server's backups",
                       f"It belongs to {ours.recipients[0]}; paste the one from the recovery kit.")
    rt.store.set_sealed_setting(IDENTITY, identity)


def confirm_kit(rt: Runtime, word: str) -> None:
    require_kit(rt, word)
    rt.store.set_setting(CONFIRMED, keyring(rt).word)


def require_kit(rt: Runtime, word: str) -> None:
    if word != keyring(rt).word:
        raise BadInput("that is not the word of the recovery kit",
                       "Print the kit with: paas backups:kit   Keep it elsewhere; its last line has the word.")


def kit_confirmed(rt: Runtime) -> bool:
    return rt.store.settings().get(CONFIRMED) == keyring(rt).word


def wrap_identity(rt: Runtime, objects: ObjectStore, server_id: str, passphrase: Secret) -> str:
    """Put the identity, sealed with a passphrase, into the target; return its key there."""
    ours = keyring(rt)
    key = wrapped_identity_key(server_id, ours.recipients[0])
    objects.put(key, rt.sealing.wrap(ours.require_identity(), passphrase))
    return key
