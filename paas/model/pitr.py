"""Point in time: which base and which pieces of the write-ahead log (WAL) make a state, and which may go.

An *epoch* is one unbroken history of one service: a directory in the target, with whole copies (bases) and the log
since the first of them::

    base/<backup-id>/manifest.json, base.tar.zst.age
    wal/<segment>.<from>-<to>-<milliseconds>-<mac>.zst.age

A segment is named as PostgreSQL names it: 24 hex digits for timeline, log and segment
(https://www.postgresql.org/docs/current/wal-internals.html). While it grows it is stored in pieces, the bytes *from* to
*to* (hex); once it is full, as one. ``<milliseconds>`` is when its last byte was received: no commit in it is later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from paas.errors import Forged
from paas.model.backup import Manifest
from paas.model.backup_mac import MacKey, require_mac

STORED = re.compile(r"wal/([0-9A-F]{24}|[0-9A-F]{8}\.history)\.([0-9a-f]{8})-([0-9a-f]{8})-(\d{13})-([0-9a-f]{32})"
                    r"\.zst\.age")
LOCAL = re.compile(r"([0-9A-F]{24})(\.partial)?|[0-9A-F]{8}\.history")
PURPOSE = "paas wal v1"
KIND = "base"                            # of the manifest of a base
DATA, MANIFEST = "base.tar.zst.age", "manifest.json"
LATE = timedelta(minutes=10)             # a commit is received at most so long after the time that it carries
WINDOW = timedelta(days=7)


# --- Names -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Wal:
    """A stored object: bytes *start* to *end* of one segment (or a whole history file)."""

    segment: str
    start: int
    end: int
    at: datetime
    mac: str = ""
    size: int = 0                        # bytes as stored

    @property
    def key(self) -> str:
        """Below the epoch."""
        return f"wal/{self.segment}.{self.start:08x}-{self.end:08x}-{stamp(self.at):013d}-{self.mac}.zst.age"

    @property
    def history(self) -> bool:
        return self.segment.endswith(".history")


def stamp(at: datetime) -> int:
    """Milliseconds since 1970."""
    return int(at.timestamp() * 1000)


def stored(key: str, size: int = 0) -> Wal | None:
    """What a key, relative to its epoch, says; None: it is no piece of the log."""
    match = STORED.fullmatch(key)
    if not match or int(match[2], 16) >= int(match[3], 16):
        return None
    at = datetime.fromtimestamp(int(match[4]) / 1000, UTC)
    return Wal(match[1], int(match[2], 16), int(match[3], 16), at, match[5], size)


def signed(one: Wal, key: MacKey, place: str, sha256: str) -> Wal:
    """With its MAC, over all that the name says, the place (the epoch's prefix), and the digest of the plain bytes."""
    return replace(one, mac=key.name_mac(PURPOSE, place, one.segment, f"{one.start:x}", f"{one.end:x}", stamp(one.at),
                                         sha256))


def check(one: Wal, keys: Iterable[MacKey], place: str, sha256: str) -> None:
    """Forged: these bytes are not what was stored under that name, or none of *keys* was used."""
    require_mac(one.mac, (signed(one, key, place, sha256).mac for key in keys), f"log {one.segment}")


def number_of(segment: str, size: int) -> int:
    """Of segments of *size* bytes, counted from the beginning of the log."""
    return int(segment[8:16], 16) * (2**32 // size) + int(segment[16:], 16)


def name_of(timeline: int, number: int, size: int) -> str:
    per_log = 2**32 // size
    return f"{timeline:08X}{number // per_log:08X}{number % per_log:08X}"


def read_lsn(text: str) -> int:
    """``0/3000060`` → bytes from the beginning of the log. ValueError."""
    high, _, low = text.partition("/")
    return int(high, 16) * 2**32 + int(low, 16)


def write_lsn(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


# --- Bases -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Base:
    """A whole copy, consistent once the log is applied from *start* to *stop*."""

    id: str
    epoch: str
    began: datetime
    ended: datetime                      # the first time that it can be restored to
    start: int                           # positions in the log (LSN), at the latest and at the earliest
    stop: int
    timeline: int
    segment_size: int                    # bytes
    system: str                          # PostgreSQL's system identifier: one for each initdb
    reason: str                          # why its epoch began

    @property
    def first(self) -> int:
        """Number of the first segment that it needs."""
        return self.start // self.segment_size

    @property
    def details(self) -> dict[str, str]:
        """For its manifest."""
        return {"epoch": self.epoch, "start": write_lsn(self.start), "stop": write_lsn(self.stop),
                "timeline": str(self.timeline), "segment size": str(self.segment_size), "system": self.system,
                "reason": self.reason}


def base_of(made: Manifest) -> Base:
    """Forged: it is not the manifest of a base."""
    said = made.details
    try:
        if made.kind != KIND:
            raise ValueError(made.kind)
        size = int(said["segment size"])
        if not 2**20 <= size <= 2**30 or size & (size - 1):
            raise ValueError(size)
        return Base(made.id, said["epoch"], made.started_at, made.finished_at, read_lsn(said["start"]),
                    read_lsn(said["stop"]), int(said["timeline"]), size, said["system"], said["reason"])
    except (KeyError, ValueError):
        raise Forged(f"the manifest of {made.id} is not that of a base", "Take another base.") from None


# --- What makes a state ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Segment:
    """One segment as a restore gets it: its first *length* bytes, from stored pieces."""

    name: str
    pieces: tuple[Wal, ...]

    @property
    def length(self) -> int:
        return self.pieces[-1].end

    @property
    def at(self) -> datetime:
        return max(one.at for one in self.pieces)


def assemble(pieces: Iterable[Wal]) -> tuple[Wal, ...]:
    """The fewest pieces that cover a segment from its first byte as far as can be; empty: its beginning is missing."""
    rest, chosen, reach = sorted(pieces, key=lambda one: (one.start, one.end)), [], 0
    while best := max((one for one in rest if one.start <= reach < one.end), default=None, key=lambda one: one.end):
        chosen.append(best)
        reach = best.end
    return tuple(chosen)


def by_segment(files: Iterable[Wal]) -> dict[str, list[Wal]]:
    found: dict[str, list[Wal]] = {}
    for one in files:
        if not one.history:
            found.setdefault(one.segment, []).append(one)
    return found


@dataclass(frozen=True)
class Chain:
    """What a base and the log after it lead to, without a hole."""

    base: Base
    segments: tuple[Segment, ...]

    @property
    def reach(self) -> int:
        """Position in the log up to which it goes."""
        last = self.segments[-1] if self.segments else None
        return (number_of(last.name, self.base.segment_size) * self.base.segment_size + last.length) if last else 0

    @property
    def whole(self) -> bool:
        """Is the base consistent at its end?"""
        return self.reach >= self.base.stop

    @property
    def at(self) -> datetime:
        """The last time that it can be restored to, as far as names tell."""
        return max([self.base.ended, *(one.at for one in self.segments[-2:])])


def chain(base: Base, pieces: dict[str, list[Wal]]) -> Chain:
    """:param pieces: of :func:`by_segment`."""
    found, number = [], base.first
    while chosen := assemble(pieces.get(name := name_of(base.timeline, number, base.segment_size), ())):
        found.append(Segment(name, chosen))
        if chosen[-1].end < base.segment_size:
            break
        number += 1
    return Chain(base, tuple(found))


def hole(made: Chain, pieces: dict[str, list[Wal]]) -> str:
    """Name of the first segment that is missing although later ones are there; empty: there is no hole."""
    base = made.base
    reached = base.first + len(made.segments) - 1
    whole = bool(made.segments) and made.segments[-1].length >= base.segment_size
    missing = reached + 1 if whole or not made.segments else reached
    later = [name for name in pieces if int(name[:8], 16) == base.timeline
             and number_of(name, base.segment_size) > max(missing, base.first)]
    return name_of(base.timeline, missing, base.segment_size) if later else ""


def until(made: Chain, at: datetime | None) -> tuple[Segment, ...]:
    """The segments for a restore to *at* (None: as far as possible): all that may hold a commit up to then."""
    if at is None:
        return made.segments
    for index, one in enumerate(made.segments):
        end = number_of(one.name, made.base.segment_size) * made.base.segment_size + one.length
        if one.at > at + LATE and end >= made.base.stop:
            return made.segments[:index + 1]
    return made.segments


# --- Which time can be restored to -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Epoch:
    """One unbroken history, as a listing of the target shows it."""

    id: str
    bases: tuple[Base, ...]
    files: tuple[Wal, ...]

    def chains(self) -> list[Chain]:
        """Of every base that can be used, oldest first."""
        pieces = by_segment(self.files)
        return [made for base in sorted(self.bases, key=lambda one: one.id) if (made := chain(base, pieces)).whole]


@dataclass(frozen=True)
class Span:
    """From and to: any time between can be restored to."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M:%S} to {self.end:%Y-%m-%d %H:%M:%S} UTC"


def spans(epochs: Iterable[Epoch], live: str = "", synced: datetime | None = None) -> list[Span]:
    """Oldest first. *synced*: the epoch *live* has everything up to then, although nothing was written since."""
    found: list[Span] = []
    for epoch in sorted(epochs, key=lambda one: one.id):
        for made in epoch.chains():
            end = end_of(made, live, synced)
            if found and found[-1].start <= made.base.ended <= found[-1].end:
                found[-1] = Span(found[-1].start, max(found[-1].end, end))
            else:
                found.append(Span(made.base.ended, end))
    return found


def end_of(made: Chain, live: str, synced: datetime | None) -> datetime:
    return max(made.at, synced) if synced and made.base.epoch == live else made.at


def choose(epochs: Iterable[Epoch], at: datetime | None, live: str = "",
           synced: datetime | None = None) -> tuple[Epoch, Chain] | None:
    """The newest base that leads to *at* (None: the newest state there is)."""
    found = [(made.base.id, epoch, made) for epoch in epochs for made in epoch.chains()
             if at is None or made.base.ended <= at <= end_of(made, live, synced)]
    if not found:
        return None
    _, epoch, made = max(found, key=lambda one: (one[1].id, one[0]))
    return epoch, made


# --- Which may go ------------------------------------------------------------------------------------------------


def covered(files: Sequence[Wal]) -> list[Wal]:
    """Pieces that others of the same segment make needless."""
    gone = []
    for pieces in by_segment(files).values():
        kept = set(assemble(pieces))
        reach = max((one.end for one in kept), default=0)
        gone += [one for one in pieces if one not in kept and one.end <= reach]
    return gone


@dataclass(frozen=True)
class Needless:
    """What no restore within the window needs. *epochs* are whole ones."""

    epochs: tuple[str, ...] = ()
    bases: tuple[Base, ...] = ()
    files: tuple[tuple[str, Wal], ...] = ()          # (epoch, piece)


def needless(epochs: Sequence[Epoch], live: str, now: datetime, window: timedelta) -> Needless:
    """Of an epoch: what lies before the newest usable base that is older than the window, which stays. Of the past
    ones: all, once their last state is older than the window. The newest usable base is never among it.

    Nothing where something is newer than *now*: a clock that jumped deletes nothing.
    """
    ordered = sorted(epochs, key=lambda one: one.id)
    times = [one.at for epoch in ordered for one in epoch.files] + [
        base.ended for epoch in ordered for base in epoch.bases]
    usable = [made for epoch in ordered for made in epoch.chains()]
    if not usable or max(times) > now:
        return Needless()
    edge, newest = now - window, usable[-1].base.epoch
    gone = [one for one in ordered if one.id not in (live, newest) and last_of(one) < edge]
    bases: list[Base] = []
    files: list[tuple[str, Wal]] = []
    for epoch in ordered:
        if epoch not in gone:
            files += [(epoch.id, one) for one in covered(epoch.files)]
            old, before = before_window(epoch, edge)
            bases += old
            files += [(epoch.id, one) for one in before]
    return Needless(tuple(one.id for one in gone), tuple(bases), tuple(dict.fromkeys(files)))


def last_of(epoch: Epoch) -> datetime:
    """The last state of it, whether it can be restored or not."""
    times = [one.at for one in epoch.files] + [one.ended for one in epoch.bases]
    return max(times, default=datetime.min.replace(tzinfo=UTC))


def before_window(epoch: Epoch, edge: datetime) -> tuple[list[Base], list[Wal]]:
    old = [made.base for made in epoch.chains() if made.base.ended <= edge]
    if not old:
        return [], []
    first = old[-1]
    return ([base for base in epoch.bases if base.id < first.id],
            [one for one in epoch.files if not one.history and int(one.segment[:8], 16) <= first.timeline
             and number_of(one.segment, first.segment_size) < first.first])
