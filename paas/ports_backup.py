"""The outer things that a backup leans on: a store of objects, age, zstd. See paas/ports.py for the house rules.

Every method raises only :class:`paas.errors.PaasError`; StoreError where the store of objects fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from paas.model.backup import Target
from paas.secret import Secret


class Reader(Protocol):
    def read(self, size: int = -1, /) -> bytes:
        """At most *size* bytes (all, below 0); b"" at the end. A source that fails raises here, never ends early."""


class Writer(Protocol):
    def write(self, data: bytes, /) -> int: ...


# --- Objects -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StoredObject:
    key: str
    size: int                            # bytes
    modified: datetime


@dataclass(frozen=True)
class Capabilities:
    """What a store proved on scratch keys. ``problems`` is in words for its user; any of them makes it unusable."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()       # "anyone can read it", "overwrites are not refused"
    conditional_put: bool = False        # If-None-Match: * is honoured
    deletes: bool = True                 # False: append-only credentials
    clock_skew: float = 0.0              # seconds that its clock is ahead of ours


class Upload(Protocol):
    """One object on its way. Nothing is at its key before `commit` has returned; what was there stays until then."""

    def write(self, data: bytes, /) -> int:
        """Blocks while the parts in flight are at their bound, so memory stays constant."""

    def commit(self) -> int:
        """Finish; compare the store's size and our own; return it in bytes."""

    def abort(self) -> None:
        """Idempotent; never raises."""


class ObjectStore(Protocol):
    """One bucket (or directory) below one prefix. Keys are relative paths of ``[A-Za-z0-9._-]`` parts; no key is also a
    prefix of others. Tags, metadata, ETags and sub-resources are never used: all facts are in objects' contents."""

    def put(self, key: str, data: bytes, *, new: bool = False) -> None:
        """A small object, atomically. With *new*, Conflict where there is one (as far as the store can tell)."""

    def upload(self, key: str, expected: int = 0) -> Upload:
        """A large one in parts of one fixed size, big enough for *expected* bytes in 9,000 parts."""

    def get(self, key: str, limit: int = 16 * 1024 * 1024) -> bytes:
        """A small object whole. NotFound; StoreError where it is longer than *limit*."""

    def read(self, key: str, start: int = 0) -> Reader:
        """A large one as a stream, from byte *start*; a cut connection is taken up again behind the last byte.
        NotFound; StoreError if it ends before its size."""

    def size(self, key: str) -> int:
        """NotFound."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object below *prefix*, by key; pages are followed to the end or StoreError is raised."""

    def delete(self, keys: Sequence[str]) -> None:
        """Unknown ones are fine."""

    def abort_uploads(self, older_than: float, prefix: str = "") -> int:
        """Abort open uploads of keys below *prefix* begun more than so many seconds ago; return how many."""

    def now(self) -> datetime:
        """The store's own clock (S3: the Date of an answer)."""

    def probe(self) -> Capabilities:
        """Put, range get, list after put, two-part upload, abort, delete, conditional put, anonymous get, clock; on
        scratch keys, removed afterwards. Never raises for what the store does: that is a problem in words."""


class Targets(Protocol):
    def open(self, target: Target) -> ObjectStore:
        """No request yet. BadInput for a target that cannot be one."""


# --- Sealing -----------------------------------------------------------------------------------------------------


class Sealing(Protocol):
    """age v1 (age-encryption.org/v1) and zstd, as streams; what this writes the tools `age` and `zstd` read."""

    def new_identity(self) -> tuple[Secret, str]:
        """(``AGE-SECRET-KEY-1…``, its recipient ``age1…``), X25519."""

    def recipient_of(self, identity: Secret) -> str:
        """BadInput: it is no age identity."""

    def check_recipient(self, text: str) -> str:
        """``age1…`` or an SSH public key (ed25519, RSA of 2048 bits or more), trimmed. BadInput: neither."""

    def wrap(self, identity: Secret, passphrase: Secret) -> bytes:
        """The identity sealed with a passphrase (scrypt), as `age -p` would. BadInput: shorter than 12 characters."""

    def unwrap(self, wrapped: bytes, passphrase: Secret) -> Secret:
        """BadInput: a wrong passphrase, or not such a file."""

    def seal(self, source: Reader, sink: Writer, recipients: Sequence[str]) -> None:
        """Encrypt all of *source* into *sink*. An error of either comes out as it is."""

    def unseal(self, source: Reader, sink: Writer, identity: Secret) -> None:
        """Decrypt. Forged: another key, a changed byte, a cut end. What was written until then must be thrown away."""

    def compress(self, source: Reader, level: int = 3) -> Reader:
        """zstd with content checksum."""

    def decompress(self, sink: Writer) -> Finishing:
        """What is written to the result comes out decompressed in *sink*; `finish` raises Forged for a cut frame."""


class Finishing(Protocol):
    def write(self, data: bytes, /) -> int: ...

    def finish(self) -> None: ...


# --- What plugins are given to work on a service's container -----------------------------------------------------


class Conversation(Protocol):
    """A program in the container that is kept running: psql, redis-cli."""

    def send(self, text: str) -> None: ...

    def line(self) -> str:
        """Next line of its output without the line end. ServiceError when it ended."""

    def close(self) -> None:
        """End its input, wait for it. ServiceError: it failed."""


class Shell(Protocol):
    """Commands inside one service's container: argument lists, secrets by environment or standard input only.

    Every method takes *environment* (name → Secret) and raises ServiceError, with the last lines of the program's
    error output, unless the engine itself says that the program ended with 0 (its exec inspect): a stream that was cut
    is never taken for a whole one.
    """

    def run(self, command: Sequence[str], *, stdin: bytes = b"", environment: Mapping[str, Secret] | None = None,
            timeout: float = 60.0) -> str:
        """Its standard output as text, at most 16 MB."""

    def converse(self, command: Sequence[str], *, environment: Mapping[str, Secret] | None = None) -> Conversation: ...

    def output(self, command: Sequence[str], *, environment: Mapping[str, Secret] | None = None,
               idle: float = 600.0) -> Reader:
        """Its standard output as a stream; the end comes only after exit code 0. ServiceError when nothing came for
        *idle* seconds."""

    def compressed(self, command: Sequence[str], *, environment: Mapping[str, Secret] | None = None) -> Reader:
        """`output` as zstd frames: compressed in the container where it has zstd and bash, here where it has not."""

    def feed(self, command: Sequence[str], write: Callable[[Writer], None], *,
             environment: Mapping[str, Secret] | None = None) -> str:
        """Run it; *write* gives its standard input; its output as text."""
