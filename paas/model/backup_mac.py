"""Documents of a target that say who wrote them: canonical JSON with a MAC in it.

age with a public key does not say who sealed: whoever may write to the bucket can put a backup of their own there. So
a manifest, and the record of a drill, has ``mac``, an HMAC-SHA256 (RFC 2104) over the document without that field, and
``mac_key``, ``age:<fingerprint>``, which names the key: HKDF-SHA256 (RFC 5869) of the server's age identity. Who can
read a backup can check it, also on a new machine that has nothing but the bucket and the identity. A server that
gives its identity away (write-only) keeps `identity_key`: that makes and checks MACs, and opens nothing.

It protects from everybody who can write to the bucket, and not from who once took the server: he can write a backup
that counts as ours; where the identity is kept elsewhere, he still cannot read one. A document taken away, or an old
one put back, is not noticed by the MAC but by comparing with the server's own records.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paas.errors import BadInput, Forged
from paas.model.backup_layout import fingerprint
from paas.secret import Secret

LIMIT = 16 * 1024 * 1024                 # bytes of one document
HEX_MAC = re.compile(r"[0-9a-f]{64}")
ELSEWHERE = ("Something changed it in the store, or it was never whole. Use another backup, and find out who can write "
             "there.")


@dataclass(frozen=True)
class MacKey:
    name: str                            # "age:<16 hex digits>"
    secret: Secret

    def mac(self, document: bytes, purpose: str) -> str:
        key = hkdf(self.secret.reveal().encode(), purpose.encode())
        return hmac.new(key, document, hashlib.sha256).hexdigest()

    def name_mac(self, purpose: str, *said: object) -> str:
        """For the name of an object that has no room for more: over *said*, a line each, cut to 128 bits (RFC 2104,
        section 5), as 32 hex digits."""
        return self.mac("".join(f"{one}\n" for one in said).encode(), purpose)[:32]


def require_mac(mac: str, right: Iterable[str], noun: str) -> None:
    """Forged: *mac*, of a stored *noun*, is none of the right ones (of the keys that are known)."""
    if not any(hmac.compare_digest(one, mac) for one in right):
        raise Forged(f"the stored {noun} is not what was written",
                     "Somebody changed the target, or another server's key was used. Try an earlier time.")


def identity_key(identity: Secret, recipient: str) -> MacKey:
    """Of an age identity (``AGE-SECRET-KEY-1…``) and its recipient (``age1…``), see Sealing.recipient_of.

    The result tells nothing of the identity: a server may keep it (its name and its secret) without being able to read
    backups.
    """
    made = hkdf(identity.reveal().strip().encode(), b"paas key of manifests v1").hex()
    return MacKey(f"age:{fingerprint(recipient)}", Secret(made))


def hkdf(secret: bytes, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
    """HKDF-SHA256, RFC 5869."""
    pseudorandom = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    made = block = b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.new(pseudorandom, block + info + bytes([counter]), hashlib.sha256).digest()
        made += block
    return made[:length]


def canonical(document: Mapping[str, object]) -> bytes:
    """One JSON text per value: sorted keys, no white space, ASCII, a newline at the end. ValueError: NaN, infinity."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def authenticate(document: Mapping[str, object], key: MacKey, purpose: str) -> bytes:
    """The document with ``mac_key`` and ``mac``. *purpose* keeps kinds of documents apart. BadInput: over LIMIT."""
    named = {**document, "mac_key": key.name}
    data = canonical({**named, "mac": key.mac(canonical(named), purpose)})
    if len(data) > LIMIT:
        raise BadInput(f"A description of {len(data)} bytes is longer than a manifest may be ({LIMIT} bytes)")
    return data


def open_document(data: bytes, keys: Iterable[MacKey], purpose: str, noun: str) -> tuple[dict[str, object], bool]:
    """The document without its MAC, and whether one of *keys* proves it.

    False: it was made with a key that is none of them, so nothing is known of its origin. Forged: it is no such
    document, or the key that it names is there and says that its contents are not what was written.
    """
    document = parse(data, noun)
    mac, name = document.pop("mac", None), document.get("mac_key")
    if not isinstance(mac, str) or not HEX_MAC.fullmatch(mac) or not isinstance(name, str):
        raise Forged(f"The {noun} is not authenticated", ELSEWHERE)
    known = [key for key in keys if key.name == name]
    signed = canonical(document)
    if known and not any(hmac.compare_digest(key.mac(signed, purpose), mac) for key in known):
        raise Forged(f"The {noun} is not what was written: its MAC does not fit", ELSEWHERE)
    return document, bool(known)


def parse(data: bytes, noun: str) -> dict[str, object]:
    """Only canonical JSON is taken: so one document has one form, and no key is there twice."""
    if len(data) > LIMIT:
        raise Forged(f"The {noun} is longer than {LIMIT} bytes", ELSEWHERE)
    try:
        document = json.loads(data)
        if isinstance(document, dict) and canonical(document) == data:
            return document
    except (ValueError, RecursionError):
        pass
    raise Forged(f"The {noun} is damaged: it is not a JSON object in the form that paas writes", ELSEWHERE)
