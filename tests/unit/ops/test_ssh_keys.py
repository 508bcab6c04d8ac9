"""Which keys are accepted (attacks A11, A12)."""

import base64
import subprocess
from types import SimpleNamespace

import pytest

from paas.errors import BadInput, Conflict, NotFound
from paas.ops import ssh_keys
from paas.ops.sessions import Sessions
from paas.testing.door import DoorStore
from paas.testing.fake_keys import FakeAuthorizedKeys


@pytest.fixture
def rt():
    return SimpleNamespace(store=DoorStore(), keys=FakeAuthorizedKeys(), sessions=Sessions())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(kind, bits) → public key file's content and ssh-keygen's own fingerprint of it."""
    home = tmp_path_factory.mktemp("keys")

    def make(kind, bits=""):
        path = home / f"{kind}{bits}"
        if not path.exists():
            size = ["-b", bits] if bits else []
            subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", "me@here", "-f", path], check=True)
        listed = subprocess.run(["ssh-keygen", "-l", "-f", path], check=True, capture_output=True, text=True).stdout
        return path.with_name(path.name + ".pub").read_bytes(), listed.split()[1], path
    return make


@pytest.mark.parametrize(("kind", "bits"), [("ed25519", ""), ("rsa", "2048"), ("ecdsa", "256"), ("ecdsa", "521")])
def test_real_keys_in_and_out(rt, made, kind, bits):
    text, fingerprint, _ = made(kind, bits)
    key = ssh_keys.add(rt, "alice", text)
    assert key.fingerprint == fingerprint
    assert rt.keys.keys == [(1, *text.decode().split()[:2])]
    assert ssh_keys.remove(rt, "alice").id == 1
    assert rt.keys.keys == []


@pytest.mark.parametrize("before", [b'command="sh" ', b"cert-authority ", b"restrict ", b"no-pty,", b"# ", b"\x1b"])
def test_options_are_refused(rt, made, before):
    with pytest.raises(BadInput):
        ssh_keys.add(rt, "alice", before + made("ed25519")[0])
    assert rt.keys.writes == 0


@pytest.mark.parametrize("after", [b"\nssh-ed25519 AAAA", b"\rx", b"\x00", b"\x1b[2J", b"\n\n# x"])
def test_more_than_one_line_is_refused(rt, made, after):
    with pytest.raises(BadInput):
        ssh_keys.add(rt, "alice", made("ed25519")[0].rstrip() + after)


def test_a_comment_is_dropped(rt, made):
    words = made("ed25519")[0].split()[:2]
    ssh_keys.add(rt, "alice", b" ".join([*words, b'x" command="sh']) + b"\r\n")
    assert rt.keys.keys == [(1, *(word.decode() for word in words))]


def test_a_private_key_is_named_as_such(rt, made):
    with pytest.raises(BadInput, match="private key"):
        ssh_keys.add(rt, "alice", made("ed25519")[2].read_bytes())


def test_weak_and_broken_keys(rt, made):
    kind, blob = made("ed25519")[0].decode().split()[:2]
    raw = base64.b64decode(blob)
    short = base64.b64encode(raw[:-1]).decode()
    longer = base64.b64encode(raw + b"\0\0\0\x01x").decode()
    for text in (f"{kind} {short}", f"{kind} {longer}", f"ssh-rsa {blob}", f"{kind} !!", f"{kind} AAAA", kind, "",
                 f"{kind}-cert-v01@openssh.com {blob}", f"ssh-dss {blob}", f"{kind} {blob.rstrip('=')[:-1]}"):
        with pytest.raises(BadInput):
            ssh_keys.add(rt, "alice", text.encode())
    with pytest.raises(BadInput, match="2048"):
        ssh_keys.add(rt, "alice", made("rsa", "1024")[0])


@pytest.mark.parametrize("name", ['x" command="sh', "", "a b", "A", "a\n", "-x"])
def test_names(rt, made, name):
    with pytest.raises(BadInput):
        ssh_keys.add(rt, name, made("ed25519")[0])


def test_a_key_has_one_name(rt, made):
    ssh_keys.add(rt, "alice", made("ed25519")[0])
    with pytest.raises(Conflict, match="registered already: alice"):
        ssh_keys.add(rt, "bob", made("ed25519")[0])
    with pytest.raises(Conflict, match="of that name"):
        ssh_keys.add(rt, "alice", made("rsa", "2048")[0])
    with pytest.raises(NotFound):
        ssh_keys.remove(rt, "bob")


def test_sync_repairs_and_then_changes_nothing(rt, made):
    ssh_keys.add(rt, "alice", made("ed25519")[0])
    rt.keys.keys = []
    assert ssh_keys.sync(rt) is True
    assert ssh_keys.sync(rt) is False
    assert len(rt.keys.keys) == 1
