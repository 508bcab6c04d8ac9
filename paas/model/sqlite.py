"""SQLite files of apps that are streamed: LTX files, which of them make a state, which may go.

LTX is Litestream's format (github.com/superfly/ltx): one file holds the pages that a range of transactions changed. A
"transaction" here is what Litestream saw between two looks at the write-ahead log, so it may hold several of the app's.
Level 0 has one transaction each; levels 1 to 8 are files of the level below, compacted; level 9 are snapshots, which
begin at transaction 1 and need nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from paas.model.backup_mac import MacKey, require_mac

SNAPSHOT = 9
LEVELS = (*range(9), SNAPSHOT)
HEADER_BYTES = 100
LOCAL = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.ltx")
STORED = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})-(\d{13})-([0-9a-f]{32})\.ltx\.age")
PURPOSE = "paas ltx v1"
SHARD = 13                               # hex digits: a directory holds up to 4,096 transactions


@dataclass(frozen=True)
class ProtectedFile:
    """A database file of an app's that is streamed to the target."""

    id: int
    app_id: int
    uid: str                             # 16 hex digits; names its objects in the target; never used again
    name: str                            # unique in the app
    path: str                            # absolute, as the app's containers see it
    owner: str                           # "UID:GID" of the file: whom the streaming program runs as
    epoch: str                           # one unbroken history; "" while nothing was begun
    enabled: bool                        # False: unprotected, its history kept
    created_at: datetime
    created_by: str
    drilled_at: datetime | None = None   # the last drill, whatever came of it
    drill_to: datetime | None = None     # the state that it restored; None: it did not get so far
    drill_passed: bool | None = None
    drill_seconds: float = 0.0
    drill_reason: str = ""


@dataclass(frozen=True, order=True)
class Ltx:
    """One LTX file: of the local spool, or stored."""

    min: int                             # transactions, both included
    max: int
    level: int
    at: datetime                         # when its last transaction was seen
    mac: str = ""                        # of a stored one
    size: int = 0                        # bytes; of a stored one, sealed

    @property
    def local_name(self) -> str:
        return f"{self.min:016x}-{self.max:016x}.ltx"

    @property
    def key(self) -> str:
        """Below the epoch. What a listing must tell (order, time, authenticity) is in the name."""
        shard = f"{self.min:016x}"[:SHARD]
        return f"{self.level}/{shard}/{self.min:016x}-{self.max:016x}-{stamp(self.at):013d}-{self.mac}.ltx.age"


def stamp(at: datetime) -> int:
    """Milliseconds since 1970."""
    return round(at.timestamp() * 1000)


def local(level: int, name: str, header: bytes, size: int) -> Ltx | None:
    """A file of the spool; None: it is not (yet) one. The time is in the header: milliseconds, big endian, at 32."""
    match = LOCAL.fullmatch(name)
    if not match or len(header) < HEADER_BYTES or header[:4] != b"LTX1":
        return None
    lowest, highest = (int(match[number], 16) for number in (1, 2))
    made = int.from_bytes(header[32:40], "big")
    if not 0 < lowest <= highest or not 0 < made < 10**13:
        return None
    return Ltx(lowest, highest, level, datetime.fromtimestamp(made / 1000, UTC), size=size)


def database_size(header: bytes) -> int:
    """Bytes of the database after an LTX file with that header: page size and number of pages, big endian, at 8."""
    return int.from_bytes(header[8:12], "big") * int.from_bytes(header[12:16], "big")


def stored(key: str, size: int = 0) -> Ltx | None:
    """What a key, relative to its epoch, says; None: it is no LTX file."""
    parts = key.split("/")
    match = STORED.fullmatch(parts[-1])
    if len(parts) != 3 or not match or parts[0] not in map(str, LEVELS) or not match[1].startswith(parts[1]):
        return None
    at = datetime.fromtimestamp(int(match[3]) / 1000, UTC)
    return Ltx(int(match[1], 16), int(match[2], 16), int(parts[0]), at, match[4], size)


def signed(one: Ltx, key: MacKey, place: str, sha256: str) -> Ltx:
    """With its MAC, over all that the name says, the place (the epoch's prefix), and the digest of the plain bytes.
    age alone proves nothing of that: whoever knows the recipient can seal anything."""
    return replace(one, mac=key.name_mac(PURPOSE, place, one.level, f"{one.min:x}", f"{one.max:x}", stamp(one.at),
                                         sha256))


def check(one: Ltx, keys: Iterable[MacKey], place: str, sha256: str) -> None:
    """Forged: these bytes are not what was stored under that name, or none of *keys* was used."""
    noun = f"file {one.local_name} of level {one.level}"
    require_mac(one.mac, (signed(one, key, place, sha256).mac for key in keys), noun)


# --- Which files make a state ------------------------------------------------------------------------------------


def plan(files: Iterable[Ltx], at: datetime | None = None) -> list[Ltx]:
    """The files to apply, in order, for the newest state that is not later than *at* (None: the newest).

    Greedy: of the files that continue what there is, the one that reaches furthest; so holes of a lower level are
    bridged by a higher one. Empty: there is no such state.
    """
    usable = [one for one in files if at is None or one.at <= at]
    snapshots = [one for one in usable if one.min == 1]
    if not snapshots:
        return []
    chosen = [max(snapshots, key=lambda one: (one.max, one.level))]
    rest = sorted((one for one in usable if one.max > chosen[0].max), key=lambda one: (one.min, one.max))
    reach, best, index = chosen[0].max, None, 0
    while True:
        while index < len(rest) and rest[index].min <= reach + 1:
            if best is None or rest[index].max > best.max:
                best = rest[index]
            index += 1
        if best is None or best.max <= reach:
            return chosen
        chosen.append(best)
        reach = best.max


def gap(files: Sequence[Ltx]) -> bool:
    """Are there transactions behind a hole, that no restore reaches?"""
    found = plan(files)
    return bool(files) and max(one.max for one in files) > (found[-1].max if found else 0)


# --- Which may go ------------------------------------------------------------------------------------------------

FINE = 6 * 3600.0                        # seconds that every transaction is kept; then what compaction left
MEDIUM = 3 * 86400.0                     # seconds that level 1 (half a minute) is kept
WINDOW = 14 * 86400.0                    # seconds back to which a state can be restored, by default
DRILL_EVERY = 7 * 86400.0                # seconds from a drill that passed to the next


def superfluous(files: Sequence[Ltx], now: datetime, window: float = WINDOW) -> list[Ltx]:
    """What no restore within *window* needs any more, oldest first.

    - Before the newest snapshot that is older than the window: everything.
    - Levels 0 and 1 beyond their time, where files of higher levels (not snapshots: those hide what came between)
      cover all of it.
    Nothing where the chain has a hole, or where a file is newer than *now*: a clock that jumped deletes nothing.
    """
    if not files or gap(files) or max(one.at for one in files) > now:
        return []
    age = {one: (now - one.at).total_seconds() for one in files}
    bases = [one for one in files if one.level == SNAPSHOT and age[one] > window]
    base = max(bases, key=lambda one: one.max, default=None)
    gone = {one for one in files if base and one != base and one.max <= base.max}
    for level, limit in ((0, FINE), (1, MEDIUM)):
        above = merged(one for one in files if level < one.level < SNAPSHOT and one not in gone)
        gone.update(one for one in files if one.level == level and age[one] > limit and covered(one, above))
    return sorted(gone, key=lambda one: (one.at, one.max))


def merged(files: Iterable[Ltx]) -> list[tuple[int, int]]:
    """The ranges of transactions that *files* cover together, ascending and apart."""
    ranges: list[tuple[int, int]] = []
    for low, high in sorted((one.min, one.max) for one in files):
        if ranges and low <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(high, ranges[-1][1]))
        else:
            ranges.append((low, high))
    return ranges


def covered(one: Ltx, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(low <= one.min and one.max <= high for low, high in ranges)
