"""Sealing: what it writes the programs `age` and `zstd` read, and the other way round; nothing forged comes out."""

import io
import os
import pty
import random
import shutil
import subprocess
import sys

import pytest

from paas.adapters.age import AgeSealing
from paas.errors import BadInput, Forged, StoreError
from paas.secret import Secret

PASSPHRASE = Secret("correct horse battery")
CHUNK = 64 * 1024                        # bytes of plain text in one of age's chunks
ROOT = os.path.join(os.path.dirname(__file__), "..", "..")


@pytest.fixture(scope="module")
def sealing() -> AgeSealing:
    return AgeSealing()


@pytest.fixture(scope="module")
def pair(sealing):
    return sealing.new_identity()


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    missing = [name for name in ("age", "zstd") if not shutil.which(name)]
    if missing:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], check=True,
                       stdout=subprocess.DEVNULL)


def program(*words: str, stdin: bytes = b"", code: int = 0) -> bytes:
    done = subprocess.run(words, input=stdin, capture_output=True, timeout=60)
    assert done.returncode == code, done.stderr
    return done.stdout


def with_terminal(words: list[str], typed: str) -> None:
    """Run a program that asks for a passphrase on its terminal."""
    child, terminal = pty.fork()
    if not child:
        os.execvp(words[0], words)
    while True:
        try:
            said = os.read(terminal, 1024)
        except OSError:
            break
        if not said:
            break
        if b"passphrase" in said:
            os.write(terminal, typed.encode() + b"\n")
    os.close(terminal)
    assert os.waitpid(child, 0)[1] == 0


def sealed(sealing: AgeSealing, data: bytes, *recipients: str) -> bytes:
    sink = io.BytesIO()
    sealing.seal(io.BytesIO(data), sink, recipients)
    return sink.getvalue()


def opened(sealing: AgeSealing, data: bytes, identity: Secret) -> bytes:
    sink = io.BytesIO()
    sealing.unseal(io.BytesIO(data), sink, identity)
    return sink.getvalue()


def packed(sealing: AgeSealing, data: bytes) -> bytes:
    return sealing.compress(io.BytesIO(data)).read()


def unpacked(sealing: AgeSealing, *pieces: bytes) -> bytes:
    sink = io.BytesIO()
    out = sealing.decompress(sink)
    for piece in pieces:
        assert out.write(piece) == len(piece)
    out.finish()
    return sink.getvalue()


SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3_000_000]


class TestAge:
    @pytest.mark.parametrize("size", SIZES)
    def test_the_program_opens_what_we_seal_and_we_what_it_seals(self, sealing, pair, tmp_path, size):
        identity, recipient = pair
        data = random.Random(size).randbytes(size)
        key = tmp_path / "key.txt"
        key.write_text(identity.reveal() + "\n")
        assert program("age", "-d", "-i", str(key), stdin=sealed(sealing, data, recipient)) == data
        assert opened(sealing, program("age", "-r", recipient, stdin=data), identity) == data

    def test_keys_of_the_program_are_ours(self, sealing, tmp_path):
        program("age-keygen", "-o", str(tmp_path / "key.txt"))
        text = Secret((tmp_path / "key.txt").read_text())
        recipient = program("age-keygen", "-y", str(tmp_path / "key.txt")).decode().strip()
        assert sealing.recipient_of(text) == recipient
        assert opened(sealing, sealed(sealing, b"x", recipient), text) == b"x"

    def test_every_recipient_can_open_it_and_nobody_else(self, sealing, pair):
        other, other_recipient = sealing.new_identity()
        stranger, _ = sealing.new_identity()
        data = sealed(sealing, b"text", pair[1], other_recipient, pair[1])
        assert opened(sealing, data, pair[0]) == opened(sealing, data, other) == b"text"
        with pytest.raises(Forged, match="another key"):
            opened(sealing, data, stranger)

    @pytest.mark.parametrize("kind", [("ed25519",), ("rsa", "-b", "2048")])
    def test_an_ssh_key_seals(self, sealing, tmp_path, kind):
        key = tmp_path / "id"
        program("ssh-keygen", "-q", "-N", "", "-f", str(key), "-C", "jane at home", "-t", *kind)
        recipient = sealing.check_recipient((tmp_path / "id.pub").read_text())
        assert recipient.endswith("jane at home")
        data = sealed(sealing, b"text", recipient)
        assert program("age", "-d", "-i", str(key), stdin=data) == b"text"
        assert opened(sealing, data, Secret(key.read_text())) == b"text"

    def test_other_recipients_are_refused(self, sealing, pair, tmp_path):
        program("ssh-keygen", "-q", "-N", "", "-f", str(tmp_path / "id"), "-t", "rsa", "-b", "1024")
        program("ssh-keygen", "-q", "-N", "", "-f", str(tmp_path / "ec"), "-t", "ecdsa")
        short, curve = ((tmp_path / name).read_text() for name in ("id.pub", "ec.pub"))
        assert sealing.check_recipient(f"  {pair[1]}\n") == pair[1]
        for text in ("", "age1", pair[1][:-1], pair[1] + "x", pair[1] + "\n" + pair[1], short, curve, "ssh-rsa !!",
                     "ssh-ed25519 AAAA", "a passphrase", pair[0].reveal()):
            with pytest.raises(BadInput) as caught:
                sealing.check_recipient(text)
            assert pair[0].reveal() not in caught.value.what + caught.value.hint
        with pytest.raises(BadInput):
            sealed(sealing, b"x")

    def test_other_identities_are_refused(self, sealing, pair):
        own = pair[0].reveal()
        for text in ("", "AGE-SECRET-KEY-1", own[:-1] + ("Q" if own[-1] != "Q" else "Z"), own + "\nx", pair[1],
                     "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"):
            with pytest.raises(BadInput):
                opened(sealing, sealed(sealing, b"x", pair[1]), Secret(text))

    def test_every_flipped_byte_and_every_cut_is_seen(self, sealing, pair):
        plain = random.Random(3).randbytes(2 * CHUNK)
        data = sealed(sealing, plain, pair[1])
        header = data.index(b"\n---")
        places = [0, 5, 22, 30, header - 3, header + 5, header + 60, len(data) // 2, len(data) - 1]
        for place in places:
            changed = bytearray(data)
            changed[place] ^= 1
            with pytest.raises(Forged):
                opened(sealing, bytes(changed), pair[0])
        for size in (0, 1, header, len(data) // 3, len(data) - (CHUNK + 16), len(data) - 1):
            with pytest.raises(Forged):
                opened(sealing, data[:size], pair[0])
        for longer in (data + b"x", data + data):
            with pytest.raises(Forged):
                opened(sealing, longer, pair[0])

    @pytest.mark.parametrize("after", [0, 1, 40])
    @pytest.mark.parametrize("error", [StoreError("lost"), KeyboardInterrupt(), OSError("disk")])
    def test_errors_of_both_ends_come_out_as_they_are(self, sealing, pair, error, after):
        whole = random.Random(1).randbytes(3_000_000)
        work = [lambda *ends: sealing.seal(*ends, [pair[1]]), lambda *ends: sealing.unseal(*ends, pair[0])]
        for data, act in zip((whole, sealed(sealing, whole, pair[1])), work, strict=True):
            with pytest.raises(type(error)) as caught:
                act(Breaks(data, error, min(after, 2)), io.BytesIO())
            assert caught.value is error
            with pytest.raises(type(error)) as caught:
                act(io.BytesIO(data), Breaks(b"", error, after))
            assert caught.value is error

    def test_a_source_that_gives_little_at_a_time(self, sealing, pair):
        data = random.Random(9).randbytes(200_000)
        sink = io.BytesIO()
        sealing.seal(Little(data), sink, [pair[1]])
        back = io.BytesIO()
        sealing.unseal(Little(sink.getvalue()), back, pair[0])
        assert back.getvalue() == data


class Breaks:
    """Fails at a call of its own choice, reading or writing."""

    def __init__(self, data: bytes, error: BaseException, after: int) -> None:
        self.source, self.error, self.after = io.BytesIO(data), error, after

    def _count(self) -> None:
        if not self.after:
            raise self.error
        self.after -= 1

    def read(self, size: int = -1, /) -> bytes:
        self._count()
        return self.source.read(size)

    def write(self, data: bytes, /) -> int:
        self._count()
        return len(data)


class Little(io.BytesIO):
    def read(self, size: int = -1, /) -> bytes:
        return super().read(min(size, 777) if size >= 0 else 777)


class TestPassphrase:
    def test_wrapped_and_unwrapped(self, sealing, pair):
        wrapped = sealing.wrap(pair[0], PASSPHRASE)
        assert pair[0].reveal().encode() not in wrapped
        assert sealing.unwrap(wrapped, PASSPHRASE) == pair[0]
        flipped = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
        for data, passphrase in ((wrapped, Secret("another passphrase")), (wrapped[:-1], PASSPHRASE), (b"", PASSPHRASE),
                                 (flipped, PASSPHRASE), (sealed(sealing, b"x", pair[1]), PASSPHRASE)):
            with pytest.raises(BadInput, match="passphrase"):
                sealing.unwrap(data, passphrase)
        with pytest.raises(BadInput, match="shorter"):
            sealing.wrap(pair[0], Secret("elevenchars"))

    def test_the_program_opens_backups_with_the_wrapped_key_and_we_one_that_it_wrapped(self, sealing, pair, tmp_path):
        key, data, plain = tmp_path / "key.age", tmp_path / "data.age", tmp_path / "plain"
        key.write_bytes(sealing.wrap(pair[0], PASSPHRASE))
        data.write_bytes(sealed(sealing, b"text", pair[1]))
        with_terminal(["age", "-d", "-i", str(key), "-o", str(plain), str(data)], PASSPHRASE.reveal())
        assert plain.read_bytes() == b"text"
        (tmp_path / "key.txt").write_text(f"# created: today\n{pair[0].reveal()}\n")
        with_terminal(["age", "-p", "-o", str(tmp_path / "theirs.age"), str(tmp_path / "key.txt")], PASSPHRASE.reveal())
        assert sealing.unwrap((tmp_path / "theirs.age").read_bytes(), PASSPHRASE) == pair[0]


class TestZstd:
    @pytest.mark.parametrize("size", SIZES)
    def test_the_program_reads_what_we_write_and_we_what_it_writes(self, sealing, size):
        data = random.Random(size).randbytes(size // 2) + bytes(size - size // 2)
        ours = packed(sealing, data)
        assert program("zstd", "-dc", stdin=ours) == data
        assert unpacked(sealing, program("zstd", "-c", stdin=data)) == data
        assert unpacked(sealing, *(ours[at:at + 1000] for at in range(0, len(ours), 1000))) == data

    def test_frames_in_a_row(self, sealing):
        assert unpacked(sealing, packed(sealing, b"one") + packed(sealing, b"two")) == b"onetwo"
        pieces = packed(sealing, b"one") + packed(sealing, b"two")
        assert unpacked(sealing, *(pieces[at:at + 1] for at in range(len(pieces)))) == b"onetwo"

    def test_a_cut_or_changed_frame_is_seen(self, sealing):
        data = packed(sealing, random.Random(1).randbytes(300_000))
        for size in (0, 1, 4, 100, len(data) - 4, len(data) - 1):
            with pytest.raises(Forged):
                unpacked(sealing, data[:size])
        for changed in (data[:-1] + bytes([data[-1] ^ 1]), data + b"\0\0\0\0", b"no zstd at all", data[1:]):
            with pytest.raises(Forged):
                unpacked(sealing, changed)
        middle = bytearray(data)
        middle[len(data) // 2] ^= 1                  # the content checksum sees it: stored blocks have none
        with pytest.raises(Forged):
            unpacked(sealing, bytes(middle))

    def test_errors_of_both_ends_come_out_as_they_are(self, sealing):
        error = StoreError("lost")
        with pytest.raises(StoreError) as caught:
            sealing.compress(Breaks(b"", error, 0)).read(10)
        assert caught.value is error
        out = sealing.decompress(Breaks(b"", error, 0))
        with pytest.raises(StoreError) as caught:
            out.write(packed(sealing, b"text"))
        assert caught.value is error


MEMORY = """
import sys
from paas.adapters.age import AgeSealing

sealing = AgeSealing()
identity, recipient = sealing.new_identity()
block = open("/dev/urandom", "rb").read(1 << 20)

class Source:
    left = int(sys.argv[1]) << 20
    def read(self, size=-1, /):
        size = min(self.left, len(block), size if size >= 0 else 1 << 30)
        self.left -= size
        return block[:size] if sys.argv[2] == "noise" else bytes(size)

class Middle:                            # hands what is sealed on to another thread, which opens it
    def __init__(self):
        import queue
        self.queue, self.rest = queue.Queue(8), b""
    def write(self, data, /):
        self.queue.put(bytes(data))
        return len(data)
    def read(self, size=-1, /):
        self.rest = self.rest or self.queue.get()
        data, self.rest = self.rest[:size], self.rest[size:]
        return data

class Count:
    bytes = 0
    def write(self, data, /):
        self.bytes += len(data)
        return len(data)

import threading
middle, count = Middle(), Count()
out = sealing.decompress(count)
thread = threading.Thread(target=sealing.unseal, args=(middle, out, identity))
thread.start()
sealing.seal(sealing.compress(Source()), middle, [recipient])
middle.queue.put(b"")
thread.join()
out.finish()
assert count.bytes == int(sys.argv[1]) << 20, count.bytes
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.parametrize("kind", ["noise", "zeros"])
def test_the_memory_does_not_grow_with_the_data(kind):
    """300 MB through compress, seal, unseal and decompress; zeros are the worst case for decompressing."""
    peaks = [int(program(sys.executable, "-c", MEMORY, str(size), kind, code=0).split()[-1]) for size in (50, 300)]
    assert peaks[1] < 120
    assert peaks[1] < peaks[0] + 20
