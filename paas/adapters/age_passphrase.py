"""A short text sealed with a passphrase, at the cost that `age -p` takes.

pyrage chooses its cost by the speed of the machine: on this one 1 GB of memory, on a faster one more, and opening the
file takes as much again, perhaps on a small new server. The format is age-encryption.org/v1, recipient type scrypt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

LOG_N = 18                               # scrypt's N is 2^18 (with r=8: 256 MB, about a second), as in `age -p`
CHUNK = 64 * 1024                        # bytes: the longest text, one chunk of age's STREAM


def seal_with_passphrase(text: bytes, passphrase: str) -> bytes:
    """*text*, 1 byte to 64 KB, as an age file with one scrypt stanza."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    assert 0 < len(text) <= CHUNK
    file_key, salt, nonce = (secrets.token_bytes(16) for _ in range(3))
    wrapping = hashlib.scrypt(passphrase.encode(), salt=b"age-encryption.org/v1/scrypt" + salt, n=1 << LOG_N, r=8, p=1,
                              maxmem=1 << (LOG_N + 11), dklen=32)
    stanza = ChaCha20Poly1305(wrapping).encrypt(bytes(12), file_key, None)
    header = f"age-encryption.org/v1\n-> scrypt {encoded(salt)} {LOG_N}\n{encoded(stanza)}\n---".encode()
    mac = hmac.digest(derived(file_key, b"", b"header"), header, "sha256")
    last_chunk = bytes(11) + b"\x01"
    payload = ChaCha20Poly1305(derived(file_key, nonce, b"payload")).encrypt(last_chunk, text, None)
    return header + b" " + encoded(mac).encode() + b"\n" + nonce + payload


def encoded(data: bytes) -> str:
    """Base64 without padding, as age's headers have it."""
    return base64.b64encode(data).decode().rstrip("=")


def derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869), 32 bytes."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), 32, salt, info).derive(key)
