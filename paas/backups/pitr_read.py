"""What a target holds of a service's history, from the target alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from paas.errors import Forged, NotFound
from paas.model import pitr
from paas.model.backup import Manifest
from paas.model.backup_layout import VERSION, Layout, is_id, is_part, root
from paas.model.backup_mac import MacKey
from paas.model.backup_manifest import expect_at, read_manifest
from paas.model.pitr import Base, Epoch, Wal
from paas.ports_backup import ObjectStore

BASE = re.compile(rf"([^/]+)/base/([^/]+)/({re.escape(pitr.MANIFEST)}|{re.escape(pitr.DATA)})")


@dataclass(frozen=True)
class History:
    """All epochs of one service. *doubtful*: manifests that are forged, or proven by no key that is here; their bases
    are not among the epochs unless *unproven* ones were asked for."""

    layout: Layout
    epochs: tuple[Epoch, ...]
    manifests: dict[str, Manifest]
    doubtful: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()      # keys of bases without a manifest
    sizes: int = 0                       # bytes of all objects

    def place(self, epoch: str) -> str:
        return self.layout.pitr(epoch)


def history(objects: ObjectStore, layout: Layout, keys: Iterable[MacKey], *, unproven: bool = False) -> History:
    """StoreError: it could not be read whole."""
    keys, place = tuple(keys), layout.pitr()
    files: dict[str, list[Wal]] = {}
    data: dict[tuple[str, str], list[str]] = {}
    total = 0
    for stored in objects.list(place):
        below = stored.key.removeprefix(place)
        epoch, _, rest = below.partition("/")
        total += stored.size
        if one := pitr.stored(rest, stored.size):
            files.setdefault(epoch, []).append(one)
        elif (found := BASE.fullmatch(below)) and is_id(found[2]):
            data.setdefault((found[1], found[2]), []).append(found[3])
    bases, manifests, doubtful = read_bases(objects, layout, keys, data, unproven)
    left = [f"{place}{epoch}/base/{base}/{name}" for (epoch, base), names in data.items()
            if pitr.MANIFEST not in names for name in names]
    epochs = tuple(Epoch(one, tuple(base for base in bases if base.epoch == one), tuple(files.get(one, ())))
                   for one in sorted(files.keys() | {epoch for epoch, _ in data}))
    return History(layout, epochs, manifests, tuple(doubtful), tuple(left), total)


def read_bases(objects: ObjectStore, layout: Layout, keys: tuple[MacKey, ...], data: dict[tuple[str, str], list[str]],
               unproven: bool) -> tuple[list[Base], dict[str, Manifest], list[str]]:
    bases, manifests, doubtful = [], {}, []
    for (epoch, base_id), names in sorted(data.items()):
        if pitr.MANIFEST not in names:
            continue
        try:
            made, proven = read_base(objects, layout, keys, epoch, base_id)
        except NotFound:                 # deleted meanwhile
            continue
        except Forged:
            doubtful.append(base_id)
            continue
        if not proven:
            doubtful.append(base_id)
        if proven or unproven:
            bases.append(pitr.base_of(made))
            manifests[base_id] = made
    return bases, manifests, doubtful


def read_base(objects: ObjectStore, layout: Layout, keys: tuple[MacKey, ...], epoch: str,
              base_id: str) -> tuple[Manifest, bool]:
    """Forged: it is damaged, or belongs elsewhere."""
    place = f"{layout.pitr(epoch)}base/{base_id}/"
    found = read_manifest(objects.get(place + pitr.MANIFEST), keys)
    expect_at(found.manifest, layout, base_id)
    keys_of = [part.key for part in found.manifest.parts]
    if pitr.base_of(found.manifest).epoch != epoch or keys_of != [place + pitr.DATA]:
        raise Forged(f"the manifest at the place of {base_id} is that of another base", "Use another base.")
    return found.manifest, found.proven


def layouts(objects: ObjectStore, server_id: str = "") -> list[Layout]:
    """Of every service in the target that has a history; SQLite files are not among them."""
    found = set()
    for stored in objects.list(root(server_id) if server_id else f"{VERSION}/"):
        parts = stored.key.split("/")
        if len(parts) > 5 and parts[2] == "pitr" and parts[3] != "sqlite" and all(map(is_part, parts)):
            found.add(Layout(parts[1], parts[3], parts[4]))
    return sorted(found)
