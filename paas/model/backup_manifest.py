"""The manifest of a backup as bytes, and the record of a drill: written, authenticated, read strictly.

See :mod:`paas.model.backup_mac` for what the MAC protects from, :mod:`paas.model.backup_layout` for where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from paas.errors import Forged
from paas.model.backup import Contents, Manifest, StoredPart, Table, Trigger
from paas.model.backup_layout import Layout, is_id
from paas.model.backup_mac import ELSEWHERE, MacKey, authenticate, open_document
from paas.model.strict import Fields, plain

FORMAT = 1
MANIFEST, DRILL = "paas manifest v1", "paas drill v1"       # HKDF's info: neither can stand for the other
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Opened:
    manifest: Manifest
    proven: bool                         # False: made with a key that was not given; trust it as far as the bucket
    mac_key: str                         # name of that key


@dataclass(frozen=True)
class DrillRecord:
    """What one restore on trial found."""

    backup_id: str
    service_uid: str
    at: datetime
    passed: bool
    took: float                          # seconds from the first byte read to the comparison's end
    data_age: float                      # seconds from the snapshot to the drill
    problems: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()         # what was compared: "rows of 12 tables", "amcheck"
    program: str = ""


def write_manifest(manifest: Manifest, key: MacKey) -> bytes:
    """Canonical JSON. BadInput: longer than 16 MB; ValueError: a moment without time zone."""
    return authenticate({"format": FORMAT, **plain(manifest)}, key, MANIFEST)


def read_manifest(data: bytes, keys: Iterable[MacKey]) -> Opened:
    """Forged: not a manifest, a field is missing or of another type, another format, or its MAC is wrong.

    Fields that this version does not know are ignored (and covered by the MAC).
    """
    document, proven = open_document(data, keys, MANIFEST, "manifest")
    return Opened(manifest_of(of_known_format(document, "manifest")), proven, str(document["mac_key"]))


def expect_at(manifest: Manifest, layout: Layout, backup_id: str) -> None:
    """Forged: a manifest that is whole, but not of this place: another backup's was put here, or data of another
    service is named in it."""
    said = (manifest.id, manifest.service_uid, manifest.datastore)
    if said != (backup_id, layout.uid, layout.datastore):
        raise Forged(f"The manifest at the place of {backup_id} is that of another backup", ELSEWHERE)
    if not all(layout.owns(part.key) for part in manifest.parts):
        raise Forged(f"The manifest of {backup_id} names data of somebody else", ELSEWHERE)


def of_known_format(document: dict[str, object], noun: str) -> Fields:
    fields = Fields(noun, document)
    if (found := fields.count("format")) != FORMAT:
        raise Forged(f"The {noun} has format {found}; this version of paas reads format {FORMAT}",
                     "A newer paas wrote it: update this one.")
    return fields


def manifest_of(fields: Fields) -> Manifest:
    if not is_id(backup_id := fields.text("id")):
        raise fields.wrong("id", "an id like 20261120T160000Z-1a2b3c4d")
    texts = ("kind", "datastore", "service", "service_uid", "image", "image_digest", "version", "program", "previous")
    return Manifest(
        id=backup_id, **{name: fields.text(name) for name in texts}, trigger=fields.choice("trigger", Trigger),
        started_at=fields.moment("started_at"), finished_at=fields.moment("finished_at"),
        parts=tuple(part_of(part) for part in fields.objects("parts")), contents=contents_of(fields.object("contents")),
        recipients=fields.texts("recipients"), data_size=fields.count("data_size"),
        dumped_in=fields.seconds("dumped_in"), warnings=fields.texts("warnings"), details=fields.facts("details"))


def part_of(fields: Fields) -> StoredPart:
    return StoredPart(fields.text("key"), fields.count("size"), digest(fields, "sha256"), fields.count("plain_size"),
                      digest(fields, "plain_sha256"))


def digest(fields: Fields, name: str) -> str:
    if not SHA256.fullmatch(text := fields.text(name)):
        raise fields.wrong(name, "64 hex digits")
    return text


def contents_of(fields: Fields) -> Contents:
    tables = tuple(Table(one.text("name"), one.count("rows"), one.text("digest")) for one in fields.objects("tables"))
    return Contents(tables, fields.facts("facts"), fields.text("method"))


def write_drill(drill: DrillRecord, key: MacKey) -> bytes:
    return authenticate({"format": FORMAT, **plain(drill)}, key, DRILL)


def read_drill(data: bytes, keys: Iterable[MacKey]) -> tuple[DrillRecord, bool]:
    """The record, and whether one of *keys* proves it. Forged, as for a manifest."""
    document, proven = open_document(data, keys, DRILL, "record of a drill")
    fields = of_known_format(document, "record of a drill")
    return DrillRecord(fields.text("backup_id"), fields.text("service_uid"), fields.moment("at"), fields.flag("passed"),
                 fields.seconds("took"), fields.seconds("data_age"), fields.texts("problems"), fields.texts("checks"),
                 fields.text("program")), proven
