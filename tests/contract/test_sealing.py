"""The master key file and what it seals, on a real file system with the real cipher."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.adapters.sealing import KEY_BYTES, Sealer, load_or_create
from paas.errors import StateError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "master.key"


SEALER = Sealer(b"k" * KEY_BYTES)


@given(plain=st.binary(), context=st.text(st.characters(codec="utf-8")))
def test_what_is_sealed_opens_in_its_context_alone(plain, context):
    sealed = SEALER.seal(plain, context)
    assert SEALER.open(sealed, context) == plain
    for sealer, other in ((SEALER, context + "x"), (Sealer(b"j" * KEY_BYTES), context)):
        with pytest.raises(StateError):
            sealer.open(sealed, other)


def test_the_same_plain_text_never_looks_the_same():
    assert len({SEALER.seal(b"hunter2", "config:1:A") for _ in range(100)}) == 100
    assert b"hunter2" not in SEALER.seal(b"hunter2", "config:1:A")


def test_every_changed_or_missing_byte_is_noticed():
    sealed = SEALER.seal(b"hunter2", "a")
    changed = [sealed[:n] + bytes([sealed[n] ^ 1]) + sealed[n + 1:] for n in range(len(sealed))]
    for bad in [*changed, *(sealed[:n] for n in range(len(sealed))), sealed + b"\0"]:
        with pytest.raises(StateError) as caught:
            SEALER.open(bad, "a")
        assert "hunter2" not in str(caught.value)
        assert caught.value.hint


def test_a_new_key_is_random_and_for_its_owner_alone(path, tmp_path):
    sealed = load_or_create(path, may_create=True).seal(b"x", "a")
    assert path.stat().st_mode & 0o777 == 0o400
    assert len(base64.b64decode(path.read_bytes())) == KEY_BYTES
    assert load_or_create(path, may_create=True).open(sealed, "a") == b"x"
    assert load_or_create(path, may_create=False).open(sealed, "a") == b"x"
    load_or_create(tmp_path / "second.key", may_create=True)
    assert (tmp_path / "second.key").read_bytes() != path.read_bytes()


def test_no_new_key_where_values_are_sealed_already(path):
    with pytest.raises(StateError, match="is missing") as caught:
        load_or_create(path, may_create=False)
    assert "from your backup" in caught.value.hint
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"!" * 44, base64.b64encode(b"short"), b"\xff" * 32, b"A" * 5000])
def test_a_file_that_is_no_key_is_refused_and_kept(path, content):
    path.write_bytes(content)
    path.chmod(0o400)
    for may_create in (True, False):
        with pytest.raises(StateError, match="not a master key"):
            load_or_create(path, may_create)
    assert path.read_bytes() == content


def test_a_key_that_cannot_be_read(path):
    path.mkdir()
    with pytest.raises(StateError, match="cannot be read"):
        load_or_create(path, may_create=True)


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o644, 0o420])
def test_a_key_that_others_may_touch_is_refused(path, mode):
    load_or_create(path, may_create=True)
    path.chmod(mode)
    with pytest.raises(StateError, match="open to other users"):
        load_or_create(path, may_create=True)


def test_a_directory_that_takes_no_key(path):
    path.write_bytes(b"a file where a directory should be")
    with pytest.raises(StateError):
        load_or_create(path / "master.key", may_create=True)


def test_messages_hold_no_key(path):
    key = base64.b64encode(os.urandom(KEY_BYTES - 1))
    path.write_bytes(key)
    path.chmod(0o400)
    with pytest.raises(StateError) as caught:
        load_or_create(path, may_create=False)
    assert key.decode() not in caught.value.what + caught.value.hint
