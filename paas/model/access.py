"""Keys, events, domains, certificates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from paas.model.rights import Role


@dataclass(frozen=True)
class Key:
    """An SSH public key. ``id`` is what its forced command names; the name never reaches authorized_keys."""

    id: int
    name: str
    type: str                            # "ssh-ed25519", …
    blob: str                            # base64, as in authorized_keys
    fingerprint: str                     # "SHA256:…"
    created_at: datetime
    user: str = ""                       # whose it is: grants are a user's, who may have several keys
    sources: tuple[str, ...] = ()        # CIDRs that it may be used from; empty: anywhere
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Grant:
    """A role of a user: on one app, on one service, or (both None) everywhere."""

    id: int
    user: str
    role: Role
    app_id: int | None
    service_id: int | None
    created_at: datetime
    created_by: str


@dataclass(frozen=True)
class Actor:
    """Who asks: a key over SSH, root on the server, or the platform itself."""

    name: str                            # key name, "root", or "paas"
    key_id: int | None = None
    address: str = ""                    # client address over SSH
    user: str = ""                       # owner of the key
    fingerprint: str = ""                # of the key
    grants: tuple[Grant, ...] = ()       # of the user, when the connection began

    @property
    def traits(self) -> dict[str, str]:
        """What an event says of it beside the name; see :class:`Event`."""
        known = {"address": self.address, "key": self.fingerprint, "user": self.user}
        return {name: value for name, value in known.items() if value}


PLATFORM = Actor("paas")                 # what it does by itself


@dataclass(frozen=True)
class Event:
    """A line of the audit trail."""

    id: int
    at: datetime
    actor: str
    verb: str                            # "config:set", "deploy", …
    app: str                             # app name; empty: the server
    result: str                          # "ok", "failed", "refused"
    detail: Mapping[str, str] = field(default_factory=dict)
    hash: str = ""                       # SHA-256 of the line before's hash and this line, hex; empty: an older one

    @property
    def user(self) -> str:
        """Owner of the key that asked; empty: root, or the platform."""
        return self.detail.get("user", "")

    @property
    def key(self) -> str:
        """Fingerprint of that key."""
        return self.detail.get("key", "")

    @property
    def address(self) -> str:
        """Where it came from."""
        return self.detail.get("address", "")


@dataclass(frozen=True)
class Intent:
    """A command that was begun. What is left when the daemon starts was interrupted."""

    id: int
    at: datetime
    actor: str
    verb: str
    app: str
    detail: Mapping[str, str]


@dataclass(frozen=True)
class Domain:
    id: int
    app_id: int
    name: str                            # canonical host name, unique on the server
    generated: bool = False              # <app>.<global domain>


@dataclass(frozen=True)
class Certificate:
    """A certificate that a user added for an app; ACME certificates are the proxy's own."""

    app_id: int
    chain: str                           # PEM
    names: tuple[str, ...]
    issuer: str
    not_after: datetime
    fingerprint: str                     # SHA-256, hex


@dataclass(frozen=True)
class Run:
    """A one-off container."""

    id: int
    app_id: int
    release_id: int
    command: tuple[str, ...]
    container_id: str
    created_at: datetime
    created_by: str
    address: str = ""
