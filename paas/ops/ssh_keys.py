"""SSH public keys: what is accepted, and the file that sshd reads.

A key is taken apart into type and blob and written anew, so nothing that a person typed (options, comments,
names) reaches authorized_keys (sshd(8), AUTHORIZED_KEYS FILE FORMAT; RFC 4253 section 6.6 for the blob).
"""

import base64
import binascii
import hashlib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from paas.errors import BadInput, Conflict, NotFound
from paas.model import durations, names
from paas.model.access import Key
from paas.ops.sessions import Sessions
from paas.ports import AuthorizedKeys
from paas.ports_store import Store

TYPES = frozenset({
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521", "sk-ecdsa-sha2-nistp256@openssh.com",
})
# Fields of the blob after the type's name.
PARTS = {"ssh-ed25519": 1, "sk-ssh-ed25519@openssh.com": 2, "ssh-rsa": 2, "sk-ecdsa-sha2-nistp256@openssh.com": 3}
MIN_RSA_BITS = 2048
SHAPE = "Give one line of a .pub file, like: ssh-ed25519 AAAA…"


class Keyring(Protocol):
    """What of the runtime is needed here."""

    store: Store
    keys: AuthorizedKeys
    sessions: Sessions


@dataclass(frozen=True)
class Limits:
    """What a key is held to, beyond its user's roles."""

    user: str = ""                       # whose it is; empty: called as the key
    sources: tuple[str, ...] = ()        # CIDRs
    expires_at: datetime | None = None


def add(rt: Keyring, name: str, text: bytes, limits: Limits = Limits()) -> Key:
    """Register the public key in *text* and let it in.

    :raises BadInput: the name, or anything but exactly one bare public key of an allowed type.
    :raises Conflict: the name or the key is registered.
    """
    name = names.key_name(name)
    user = names.key_name(limits.user) if limits.user else name
    kind, blob = parse(text)
    mark = fingerprint(blob)
    same = next((key for key in rt.store.keys() if key.fingerprint == mark or key.name == name), None)
    if same is not None:
        whose = "this key is registered already" if same.fingerprint == mark else "there is a key of that name"
        raise Conflict(f"{whose}: {same.name} ({same.fingerprint})", f"To replace it: ssh-keys:remove {same.name}")
    key = rt.store.add_key(name, kind, blob, mark, user=user, sources=limits.sources, expires_at=limits.expires_at)
    sync(rt)
    return key


def remove(rt: Keyring, name: str) -> Key:
    """Out at once, with its open sessions. Its user's roles stay, for another key. NotFound."""
    key = find(rt, name)
    rt.store.remove_key(key.id)
    sync(rt)
    rt.sessions.end_key(key.id)
    return key


def rotate(rt: Keyring, name: str, text: bytes) -> Key:
    """Another key under the same name, user and limits; the old one is out at once. NotFound, BadInput, Conflict."""
    key = find(rt, name)
    kind, blob = parse(text)
    made = rt.store.replace_key(key.id, kind, blob, fingerprint(blob))
    sync(rt)
    rt.sessions.end_key(key.id)
    return made


def find(rt: Keyring, name: str) -> Key:
    key = next((key for key in rt.store.keys() if key.name == name), None)
    if key is None:
        raise NotFound(f"there is no key '{names.printable(name)}'", "List them with: ssh-keys:list")
    return key


def parse_sources(words: Sequence[str]) -> tuple[str, ...]:
    """CIDRs, or single addresses. BadInput."""
    try:
        return tuple(str(ipaddress.ip_network(word, strict=False)) for word in words)
    except ValueError:
        raise BadInput("that is not an address or a network", "Example: --from 192.0.2.0/24") from None


def parse_expiry(text: str, now: datetime) -> datetime:
    """``2027-01-31`` (its end, UTC), or ``90d`` from now. BadInput: neither, or in the past."""
    try:
        at = datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1) if "-" in text \
            else now + durations.read_span(text)
    except ValueError:
        raise BadInput(f"'{names.printable(text)}' is not a date", "Example: --expires 2027-01-31, or 90d") from None
    if at <= now:
        raise BadInput("that date has passed", "Give one in the future.")
    return at


def listed(rt: Keyring) -> list[Key]:
    """By name."""
    return sorted(rt.store.keys(), key=lambda key: key.name)


def sync(rt: Keyring) -> bool:
    """Make authorized_keys what the database says; True if it was something else."""
    wanted = sorted((key.id, key.type, key.blob) for key in rt.store.keys())
    if rt.keys.current(wanted):
        return False
    rt.keys.write(wanted)
    return True


def parse(text: bytes) -> tuple[str, str]:
    """Type and blob (base64) of exactly one bare public key; a comment is dropped.

    :raises BadInput: options before it, more lines, a private key, a type that is not allowed, a broken blob.
    """
    if b"PRIVATE KEY" in text:
        raise BadInput("that is a private key; it must never leave your machine", "Give the file that ends in .pub.")
    try:
        line = text.decode("ascii", "surrogateescape").strip(" \t\r\n")
    except ValueError:
        raise BadInput("that is not a public key", SHAPE) from None
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", line):
        raise BadInput("a key is one line without control characters", SHAPE)
    words = line.split(None, 2)
    if len(words) < 2 or words[0] not in TYPES:
        shown = names.printable(words[0], 40) if words else ""
        raise BadInput(f"'{shown}' does not begin a public key of an allowed type",
                       f"{SHAPE} Options are not accepted.")
    _check_blob(words[0], words[1])
    return words[0], words[1]


def _check_blob(kind: str, blob: str) -> None:
    try:
        fields = _fields(base64.b64decode(blob, validate=True))
    except (binascii.Error, ValueError):
        raise BadInput("the key is damaged: its base64 part cannot be read", SHAPE) from None
    if base64.b64encode(base64.b64decode(blob)).decode() != blob or fields[0] != kind.encode() \
            or len(fields) != 1 + PARTS.get(kind, 2):
        raise BadInput("the key is damaged: its parts do not fit its type", SHAPE)
    if kind == "ssh-rsa" and int.from_bytes(fields[2], "big").bit_length() < MIN_RSA_BITS:
        raise BadInput(f"an RSA key needs at least {MIN_RSA_BITS} bits", "Make a new one: ssh-keygen -t ed25519")
    if kind == "ssh-ed25519" and len(fields[1]) != 32:
        raise BadInput("the key is damaged: an Ed25519 key has 32 bytes", SHAPE)


def _fields(data: bytes) -> list[bytes]:
    """The length-prefixed strings of *data* (RFC 4251 section 5). ValueError: they do not fill it exactly."""
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        if len(data) < 4 + size:
            raise ValueError("truncated")
        found.append(data[4:4 + size])
        data = data[4 + size:]
    if not found:
        raise ValueError("empty")
    return found


def fingerprint(blob: str) -> str:
    """``SHA256:…`` as ``ssh-keygen -l`` prints it."""
    digest = hashlib.sha256(base64.b64decode(blob)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
