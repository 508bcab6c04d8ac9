"""Sealing: age v1 by pyrage (the Rust implementation rage), zstd by zstandard. Both are imported at the first use."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from paas.adapters.age_passphrase import seal_with_passphrase
from paas.errors import BadInput, Forged
from paas.ports_backup import Reader, Writer
from paas.secret import Secret

IDENTITY = "AGE-SECRET-KEY-1"
MIN_PASSPHRASE = 12                      # characters
MIN_RSA = 2048                           # bits, as `age` itself demands
CHUNK = 1024 * 1024                      # bytes read from a source at once
MAX_WRAPPED = 64 * 1024                  # bytes of a wrapped identity
BITE = 512                               # bytes decompressed at once: 128 KB can come out of 4, so 16 MB at most
MAX_WINDOW = 128 * 1024 * 1024           # bytes, as `zstd` allows without --long


class AgeSealing:
    """See :class:`paas.ports_backup.Sealing`."""

    def new_identity(self) -> tuple[Secret, str]:
        from pyrage import x25519

        identity = x25519.Identity.generate()
        return Secret(str(identity)), str(identity.to_public())

    def recipient_of(self, identity: Secret) -> str:
        return str(native_identity(identity).to_public())

    def check_recipient(self, text: str) -> str:
        text = text.strip()
        parse_recipient(text)
        return text

    def wrap(self, identity: Secret, passphrase: Secret) -> bytes:
        if len(passphrase) < MIN_PASSPHRASE:
            raise BadInput(f"the passphrase is shorter than {MIN_PASSPHRASE} characters", "Use five or more words.")
        text = f"# public key: {self.recipient_of(identity)}\n{secret_line(identity)}\n"
        return seal_with_passphrase(text.encode(), passphrase.reveal())

    def unwrap(self, wrapped: bytes, passphrase: Secret) -> Secret:
        import pyrage

        try:
            if len(wrapped) > MAX_WRAPPED:
                raise ValueError
            text = pyrage.passphrase.decrypt(wrapped, passphrase.reveal()).decode()
            return Secret(secret_line(Secret(text)))
        except (pyrage.DecryptError, OSError, ValueError):
            raise BadInput("the passphrase is wrong, or this is no key that was wrapped with one",
                           "Try again; the file begins with 'age-encryption.org/v1'.") from None

    def seal(self, source: Reader, sink: Writer, recipients: Sequence[str]) -> None:
        import pyrage

        if not recipients:
            raise BadInput("there is no key to seal for", "Give at least one recipient.")
        keys = [parse_recipient(text) for text in dict.fromkeys(recipients)]
        feed, drain = Feed(source), Drain(sink)
        try:
            pyrage.encrypt_io(feed, drain, keys)
        except BaseException as error:
            raise (feed.error or drain.error or error) from None

    def unseal(self, source: Reader, sink: Writer, identity: Secret) -> None:
        import pyrage

        key = any_identity(identity)
        feed, drain = Feed(source), Drain(sink)
        try:
            pyrage.decrypt_io(feed, drain, [key])
        except BaseException as error:
            if feed.error or drain.error:
                raise (feed.error or drain.error) from None
            if not isinstance(error, (pyrage.DecryptError, OSError)):
                raise
            raise Forged("the backup cannot be opened: it is sealed for another key, was changed, or was cut short",
                         "Give the key that it was made for, or take another backup.") from None

    def compress(self, source: Reader, level: int = 3) -> Reader:
        import zstandard

        compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
        return compressor.stream_reader(source, read_size=CHUNK, closefd=False)

    def decompress(self, sink: Writer) -> Decompressing:
        return Decompressing(sink)


class Decompressing:
    """See :class:`paas.ports_backup.Finishing`. Frames that follow one another come out as one (RFC 8878, 3)."""

    def __init__(self, sink: Writer) -> None:
        import zstandard

        self.sink, self.failure = sink, zstandard.ZstdError
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        self.frame: Any = None           # the one that is open
        self.frames = 0

    def write(self, data: bytes, /) -> int:
        view = memoryview(data)
        for start in range(0, len(view), BITE):
            self._take(view[start:start + BITE])
        return len(data)

    def _take(self, data: bytes | memoryview) -> None:
        while data:
            if self.frame is None:
                self.frame = self.decompressor.decompressobj()
                self.frames += 1
            try:
                plain = self.frame.decompress(data)
            except self.failure:
                raise Forged("the backup is no zstd stream, or was changed", "Take another backup.") from None
            if plain:
                self.sink.write(plain)
            data = b""
            if self.frame.eof:
                data, self.frame = self.frame.unused_data, None

    def finish(self) -> None:
        if self.frame is not None or not self.frames:
            raise Forged("the backup was cut short: its zstd stream does not end", "Take another backup.")


class Feed:
    """A source for pyrage, which reads in pieces of 8 KB and turns every error into its own."""

    def __init__(self, source: Reader) -> None:
        self.source = source
        self.error: BaseException | None = None
        self.chunk, self.at = b"", 0
        self.ended = False               # pyrage reads on behind the end

    def read(self, size: int = -1, /) -> bytes:
        try:
            if self.at >= len(self.chunk) and not self.ended:
                self.chunk, self.at = self.source.read(CHUNK), 0
                self.ended = not self.chunk
        except BaseException as error:
            self.error = error
            raise
        end = len(self.chunk) if size < 0 else self.at + size
        piece = self.chunk[self.at:end]
        self.at += len(piece)
        return piece


class Drain:
    """A sink for pyrage: remembers what it raised."""

    def __init__(self, sink: Writer) -> None:
        self.sink = sink
        self.error: BaseException | None = None

    def write(self, data: bytes, /) -> int:
        try:
            self.sink.write(data)
        except BaseException as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None: ...


def secret_line(identity: Secret) -> str:
    """The line ``AGE-SECRET-KEY-1…`` of an identity file. BadInput: there is not exactly one."""
    lines = [line.strip() for line in identity.reveal().splitlines()]
    found = [line for line in lines if line.upper().startswith(IDENTITY)]
    if len(found) != 1 or any(line and line not in found and not line.startswith("#") for line in lines):
        raise BadInput("this is no age identity", f"It is one line that begins with {IDENTITY}.")
    return found[0]


def native_identity(identity: Secret) -> Any:
    import pyrage

    try:
        return pyrage.x25519.Identity.from_str(secret_line(identity))
    except (pyrage.IdentityError, ValueError):
        raise BadInput("this is no age identity: a letter is wrong or missing", "Copy the whole line.") from None


def any_identity(identity: Secret) -> Any:
    """An age identity or, for backups sealed for an SSH public key, an SSH private key without a passphrase."""
    import pyrage

    if not identity.reveal().lstrip().startswith("-----BEGIN"):
        return native_identity(identity)
    try:
        return pyrage.ssh.Identity.from_buffer(identity.reveal().encode())
    except (pyrage.IdentityError, ValueError):
        raise BadInput("this SSH private key cannot be used",
                       "Use an ed25519 or RSA key without a passphrase (`ssh-keygen -p` removes it).") from None


def parse_recipient(text: str) -> Any:
    """A recipient for pyrage. BadInput: neither ``age1…`` nor an SSH public key of a kind that age takes."""
    import pyrage

    try:
        if text.isprintable() and text.startswith("age1"):
            return pyrage.x25519.Recipient.from_str(text)
        if text.isprintable() and ssh_kind_is_fine(text):
            return pyrage.ssh.Recipient.from_str(text)
    except (pyrage.RecipientError, ValueError):
        pass
    if text.upper().startswith(IDENTITY) or "PRIVATE KEY" in text:
        raise BadInput("this is the private half of a key", "Give the public one: `age-keygen -y FILE` prints it.")
    raise BadInput("this is no public key to seal for",
                   "Give age1… or a line of an SSH public key: ed25519, or RSA of 2048 bits or more.")


def ssh_kind_is_fine(text: str) -> bool:
    """Whether this line is an ssh-ed25519 key, or an ssh-rsa one that is long enough (RFC 4253, 6.6)."""
    words = text.split()
    if len(words) < 2 or words[0] not in ("ssh-ed25519", "ssh-rsa"):
        return False
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        return False
    fields = []
    while len(blob) >= 4:
        size = int.from_bytes(blob[:4])
        fields.append(blob[4:4 + size])
        blob = blob[4 + size:]
    if not fields or fields[0] != words[0].encode():
        return False
    return words[0] == "ssh-ed25519" or (len(fields) == 3 and int.from_bytes(fields[2]).bit_length() >= MIN_RSA)
