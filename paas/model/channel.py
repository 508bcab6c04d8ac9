"""Channels as they are named and addressed: what is accepted, and how much of it is shown."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from paas.errors import BadInput
from paas.model.incident import Address, Channel, ChannelType
from paas.model.names import printable
from paas.secret import Secret

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,29}")
MAIL = re.compile(r"[\x21-\x3f\x41-\x7e]{1,64}@[A-Za-z0-9.-]{1,255}")
HOST = re.compile(r"[A-Za-z0-9.:-]{1,255}")
PORTS = {"starttls": 587, "tls": 465, "none": 25}
TLS_ONLY = frozenset({ChannelType.SLACK, ChannelType.DISCORD})


def channel_name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise BadInput(f"'{printable(text)}' cannot name a channel",
                       "Use up to 30 lower-case letters, digits and dashes.")
    return text


def web_address(type: ChannelType, url: str, secret: str) -> Address:
    """Of all types but email. BadInput; the message never has the URL, which is a secret."""
    web_url(url, plain_too=type not in TLS_ONLY)
    if secret.startswith("whsec_") and not re.fullmatch(r"whsec_[A-Za-z0-9+/]{16,}={0,2}", secret):
        raise BadInput("the secret begins with whsec_, but the rest is not base64")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise BadInput("the secret is not printable ASCII without blanks")
    return Address(Secret(url), Secret(secret))


def web_url(url: str, *, plain_too: bool = True) -> str:
    """BadInput: not an http(s) URL of at most 2,000 characters, or one with a user and password in it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not re.fullmatch(r"[\x21-\x7e]{8,2000}", url) or not HOST.fullmatch(host):
        raise BadInput("that is not a URL", "Like: https://hooks.example.com/path")
    if parts.scheme not in (("https", "http") if plain_too else ("https",)) or parts.username is not None:
        raise BadInput(f"the URL must begin with https:// {'(or http://) ' if plain_too else ''}and name no user",
                       "Like: https://hooks.example.com/path")
    return url


def mail_address(to: str, password: str, *, host: str, port: int, tls: str, user: str, sender: str,
                 server: str) -> Address:
    """BadInput."""
    sender = sender or (user if MAIL.fullmatch(user) else f"paas@{server}")
    for text in (to, sender):
        if not MAIL.fullmatch(text):
            raise BadInput(f"'{printable(text)}' is not an e-mail address", "Like: anna@example.com")
    if not HOST.fullmatch(host):
        raise BadInput("an e-mail channel needs the mail server's name", "Add: --smtp-host smtp.example.com")
    if user and tls == "none":
        raise BadInput("a password is not sent without TLS", "Use --smtp-tls starttls or tls, or no --smtp-user.")
    return Address(Secret(to), Secret(password), host, port or PORTS[tls], tls, user, sender)


def shown_host(channel: Channel) -> str:
    """Where it leads, without what is secret: the path of a URL usually lets anybody write there."""
    if channel.type is ChannelType.EMAIL:
        return f"{channel.address.url.reveal()} by {channel.address.host}:{channel.address.port}"
    return host_of(channel.address.url)


def host_of(url: Secret) -> str:
    parts = urlsplit(url.reveal())
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
