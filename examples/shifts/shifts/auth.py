"""Passwords (scrypt, RFC 7914) and signed, expiring tokens."""

import base64
import hashlib
import hmac
import os

from itsdangerous import BadSignature, URLSafeTimedSerializer

from shifts import settings

TOKEN_SECONDS = 30 * 24 * 3600
_COST = {"n": 2**14, "r": 8, "p": 1}
_signer = URLSafeTimedSerializer(settings.SECRET_KEY, salt="token")


def hash_password(password: str) -> str:
    """``scrypt$SALT$HASH``, both base64."""
    salt = os.urandom(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, **_COST)
    return f"scrypt${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def is_password(password: str, hashed: str) -> bool:
    _, salt, digest = hashed.split("$")
    found = hashlib.scrypt(password.encode(), salt=base64.b64decode(salt), **_COST)
    return hmac.compare_digest(found, base64.b64decode(digest))


def token_of(user_id: int) -> str:
    return _signer.dumps(user_id)


def user_of(token: str) -> int | None:
    """The user's id; None for a token that is forged or older than ``TOKEN_SECONDS``."""
    try:
        return _signer.loads(token, max_age=TOKEN_SECONDS)
    except BadSignature:
        return None
