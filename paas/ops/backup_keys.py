"""The keyring of backups, as streams of SQLite files want it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paas.backups import keyring
from paas.backups.sqlite_restore import OpenKeys
from paas.backups.sqlite_ship import SealKeys
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.runtime import Runtime


def seal_keys(rt: Runtime) -> SealKeys:
    ours = keyring.keyring(rt)
    return SealKeys(ours.recipients, ours.mac)


def open_keys(rt: Runtime, given: Secret | None = None) -> OpenKeys:
    """:param given: an identity that the caller brought. BadInput: neither that nor one on the server."""
    keys = keyring.opened_with(rt, given) if given else keyring.keyring(rt)
    return OpenKeys(keys.require_identity(), keys.known)
