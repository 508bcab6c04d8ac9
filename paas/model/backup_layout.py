"""Where things are in a target: ids of backups, and the keys of everything that belongs to one service.

::

    v1/<server-id>/instance.json                                               who writes here
    v1/<server-id>/keys/<fingerprint>.age                                      the identity, wrapped with a passphrase
    v1/<server-id>/catalog/<datastore>/<service-uid>/<backup-id>/manifest.json   written last: makes it a backup
    v1/<server-id>/catalog/<datastore>/<service-uid>/<backup-id>/verify-<time>-<random>.json   result of one drill
    v1/<server-id>/catalog/<datastore>/<service-uid>/<backup-id>/hold.json       retention leaves it alone
    v1/<server-id>/data/<datastore>/<service-uid>/<backup-id>/<part>
    v1/<server-id>/pitr/<datastore>/<service-uid>/<epoch>/…

``data/`` is apart from ``catalog/``, so that a bucket's lifecycle rule can move data to colder storage and leave the
catalog readable. A service's uid is made when it is created: one that was destroyed and made again never mixes with it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from paas.errors import BadInput

VERSION = "v1"
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
ID = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}")
STAMP = "%Y%m%dT%H%M%SZ"


def new_id(now: datetime, random: int, after: str = "") -> str:
    """``20261120T160000Z-1a2b3c4d``: UTC to the second (ISO 8601, basic format) and the low 32 bits of *random*.

    Greater than *after*, the newest id that the service has, even if the clock was set back since: the order of ids is
    the order in which backups were made (as ULIDs are kept monotonic). The true time is in the manifest.
    """
    if after and stamp(now) <= stamp(time_of(after)):
        now = time_of(after) + timedelta(seconds=1)
    return f"{stamp(now)}-{random & 0xFFFFFFFF:08x}"


def time_of(backup_id: str) -> datetime:
    """When the backup began. BadInput: it is no id of a backup."""
    found = ID.fullmatch(backup_id)
    try:
        return datetime.strptime(found[1] if found else "", STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise BadInput("That is no id of a backup", "An id looks like 20261120T160000Z-1a2b3c4d.") from None


def is_id(text: str) -> bool:
    try:
        time_of(text)
    except BadInput:
        return False
    return True


def stamp(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a moment without time zone")
    return moment.astimezone(UTC).strftime(STAMP)


def fingerprint(recipient: str) -> str:
    """16 hex digits (of SHA-256) that name a recipient or another key; they tell nothing of a secret's value."""
    return hashlib.sha256(recipient.strip().encode()).hexdigest()[:16]


def is_part(text: str) -> bool:
    return PART.fullmatch(text) is not None


def root(server_id: str) -> str:
    return f"{VERSION}/{part(server_id)}/"


def instance_key(server_id: str) -> str:
    return root(server_id) + "instance.json"


def wrapped_identity_key(server_id: str, recipient: str) -> str:
    return f"{root(server_id)}keys/{fingerprint(recipient)}.age"


def part(text: str) -> str:
    if not is_part(text):
        raise BadInput("A part of an object's key may have letters, digits, '.', '_' and '-', and begins with one "
                       "of the first two")
    return text


@dataclass(frozen=True, order=True)
class Layout:
    """The keys of one service's backups, relative to the target. BadInput where an id has other characters."""

    server_id: str
    datastore: str
    uid: str

    def __post_init__(self) -> None:
        for text in (self.server_id, self.datastore, self.uid):
            part(text)

    def tree(self, kind: str, backup_id: str | None = None) -> str:
        """The prefix of ``catalog`` or ``data``, of all backups or of one; ends with a slash."""
        below = f"{backup_id}/" if backup_id is not None and time_of(backup_id) else ""
        return f"{root(self.server_id)}{kind}/{self.datastore}/{self.uid}/{below}"

    def catalog(self, backup_id: str | None = None) -> str:
        return self.tree("catalog", backup_id)

    def data(self, backup_id: str | None = None) -> str:
        return self.tree("data", backup_id)

    def manifest(self, backup_id: str) -> str:
        return self.catalog(backup_id) + "manifest.json"

    def hold(self, backup_id: str) -> str:
        return self.catalog(backup_id) + "hold.json"

    def drill(self, backup_id: str, at: datetime, random: int) -> str:
        return f"{self.catalog(backup_id)}verify-{new_id(at, random)}.json"

    def object(self, backup_id: str, name: str) -> str:
        """Of data: ``dump.000.zst.age``, ``globals.sql.zst.age``."""
        return self.data(backup_id) + part(name)

    def pitr(self, epoch: str | None = None) -> str:
        return self.tree("pitr") + ("" if epoch is None else f"{part(epoch)}/")

    def owns(self, key: str) -> bool:
        """Is *key* data of this service (``data/`` or ``pitr/``), and a path without tricks?"""
        return key.startswith((self.data(), self.pitr())) and all(map(is_part, key.split("/")))


@dataclass(frozen=True)
class Place:
    """A key taken apart."""

    layout: Layout
    kind: str                            # "catalog" or "data"
    backup_id: str
    name: str                            # "manifest.json"


def place_of(key: str) -> Place | None:
    """None for a key of another shape: a stranger's object, or of another version of the layout."""
    parts = key.split("/")
    if len(parts) != 7 or parts[0] != VERSION or parts[2] not in ("catalog", "data") or not all(map(is_part, parts)):
        return None
    return Place(Layout(parts[1], parts[3], parts[4]), parts[2], parts[5], parts[6]) if is_id(parts[5]) else None
