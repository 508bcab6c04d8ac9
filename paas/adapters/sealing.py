"""Sealing of secrets at rest: AES-256-GCM (NIST SP 800-38D) under one master key outside the database."""

import base64
import binascii
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paas.adapters.files import write_atomic
from paas.errors import StateError

KEY_BYTES = 32
NONCE_BYTES = 12                         # 96 bits, as SP 800-38D 8.2.2 has it for random nonces
FORMAT = b"\x01"                         # first byte of every sealed value
TAG_BYTES = 16


class Sealer:
    """Seals bytes for one *context*, so that a value copied to another row does not open there.

    A sealed value is ``01 | nonce (12) | ciphertext | tag (16)``; the format byte and the context are the associated
    data. Random nonces are safe for 2**32 values under one key (SP 800-38D 8.3). Usable from many threads.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise StateError("the master key is not 32 bytes long", "Put the right key back from your backup.")
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, context: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return FORMAT + nonce + self._cipher.encrypt(nonce, plain, FORMAT + context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """:raises StateError: other key, other context, or damaged."""
        nonce, rest = sealed[1:1 + NONCE_BYTES], sealed[1 + NONCE_BYTES:]
        try:
            if sealed[:1] != FORMAT or len(rest) < TAG_BYTES:
                raise InvalidTag
            return self._cipher.decrypt(nonce, rest, FORMAT + context.encode())
        except InvalidTag:
            raise StateError("a sealed value in the state database does not open with the master key",
                             "Put back the master key, or the database, that belong together.") from None


def load_or_create(path: Path, may_create: bool) -> Sealer:
    """The sealer of the key file at *path*: 32 bytes as base64, mode 0400.

    *may_create* must be false wherever sealed rows exist (`paas.store.has_sealed_rows`): a new key cannot open them.

    :raises StateError: missing and not to be created, unreadable, readable by others, or not a key.
    """
    try:
        return Sealer(_read(path))
    except FileNotFoundError:
        if not may_create:
            raise StateError(f"the master key {path} is missing, and the state database holds values sealed with it",
                             "Put the key file back from your backup, mode 0400; a new key cannot open them.") from None
        return Sealer(_create(path))
    except OSError as error:
        raise StateError(f"the master key {path} cannot be read: {error.strerror}",
                         "It must be a file of root's with mode 0400.") from None


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise StateError(f"the master key {path} is open to other users",
                             f"Run `chmod 0400 {path}`; if others may have read it, replace the secrets of your apps.")
        text = file.read(1000)
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise StateError(f"{path} is not a master key (32 bytes as base64)", "Put the right key back from your backup.")
    return key


def _create(path: Path) -> bytes:
    key = os.urandom(KEY_BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, base64.b64encode(key) + b"\n", mode=0o400)
    except OSError as error:
        raise StateError(f"the master key {path} cannot be written: {error.strerror}",
                         "Its directory must be writable for root and have free space.") from None
    return key
