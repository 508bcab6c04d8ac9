"""What every :class:`paas.ports.AuthorizedKeys` keeps."""

import os
import pwd
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from paas.adapters.authorized_keys import AuthorizedKeysFile
from paas.errors import StateError
from paas.settings import Settings
from paas.testing.fake_keys import FakeAuthorizedKeys

KEYS = [(1, "ssh-ed25519", "AAAAC3Nz+/="), (12, "sk-ssh-ed25519@openssh.com", "AAAA")]


@pytest.fixture
def settings(tmp_path):
    return replace(Settings(), state_dir=tmp_path, ssh_user="nobody")


@pytest.fixture(params=["fake", "file"])
def keys(request, settings):
    return FakeAuthorizedKeys() if request.param == "fake" else AuthorizedKeysFile(settings)


def test_nothing_at_first(keys):
    assert keys.read() == []


def test_what_was_written_is_read(keys):
    keys.write(list(reversed(KEYS)))
    assert keys.read() == KEYS
    keys.write(KEYS[:1])
    assert keys.read() == KEYS[:1]
    keys.write([])
    assert keys.read() == []


def test_current_says_whether_write_would_change_anything(keys):
    assert keys.current([])
    assert not keys.current(KEYS)
    keys.write(KEYS)
    assert keys.current(list(reversed(KEYS)))
    assert not keys.current(KEYS[:1])
    assert not keys.current([])


# --- the file ---------------------------------------------------------------------------------------------------


def test_a_line_as_sshd_reads_it(settings):
    AuthorizedKeysFile(settings).write(KEYS[:1])
    assert settings.authorized_keys.read_text() == (
        'restrict,pty,command="exec /usr/local/lib/paas/hooks/ssh-entry key-1" ssh-ed25519 AAAAC3Nz+/=\n')


def test_an_installation_elsewhere_names_its_socket(settings):
    AuthorizedKeysFile(replace(settings, run_dir=Path("/srv/x"))).write(KEYS[:1])
    assert 'ssh-entry key-1 /srv/x/paas.sock" ssh-ed25519' in settings.authorized_keys.read_text()
    assert AuthorizedKeysFile(replace(settings, run_dir=Path("/srv/x"))).read() == KEYS[:1]


def test_foreign_lines_are_left_out_and_go(settings):
    keys = AuthorizedKeysFile(settings)
    keys.write(KEYS)
    with open(settings.authorized_keys, "a") as file:
        file.write("ssh-ed25519 AAAA somebody\n# comment\n")
    assert keys.read() == KEYS
    keys.write(KEYS)
    assert "somebody" not in settings.authorized_keys.read_text()


STRANGER = "ssh-ed25519 AAAA mallory"


@pytest.fixture(params=["fake", "file"])
def invaded(request, settings):
    """With a line that somebody put in by hand."""
    if request.param == "fake":
        keys = FakeAuthorizedKeys()
        keys.write(KEYS)
        keys.strangers.append(STRANGER)
        return keys
    keys = AuthorizedKeysFile(settings)
    keys.write(KEYS)
    with open(settings.authorized_keys, "a") as file:
        file.write(f"{STRANGER}\n")
    return keys


def test_what_somebody_else_wrote_is_taken_out_and_kept(invaded):
    assert (invaded.foreign(), invaded.kept()) == ([STRANGER], [])
    assert not invaded.current(KEYS)
    invaded.write(KEYS)
    assert (invaded.foreign(), invaded.kept(), invaded.current(KEYS)) == ([], [STRANGER], True)
    invaded.write(KEYS[:1])
    assert invaded.kept() == [STRANGER]


def test_kept_lines_come_once_and_for_root_alone(settings):
    keys = AuthorizedKeysFile(settings)
    for _ in range(2):
        keys.write(KEYS)
        with open(settings.authorized_keys, "ab") as file:
            file.write(b"ssh-rsa AAAA \xff\n# comment\n\nssh-ed25519 BBBB\n")
    keys.write(KEYS)
    aside = settings.authorized_keys.with_name("authorized_keys.foreign")
    assert aside.read_bytes() == b"ssh-rsa AAAA \xff\nssh-ed25519 BBBB\n"
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600


@pytest.mark.parametrize("change", [
    lambda text: "ssh-ed25519 AAAA mallory\n" + text,
    lambda text: text.replace("restrict,", ""),
    lambda text: text.replace("/hooks/ssh-entry", "/hooks/other"),
    lambda text: text.rstrip("\n"),
])
def test_an_edit_is_a_difference(settings, change):
    keys = AuthorizedKeysFile(settings)
    keys.write(KEYS)
    settings.authorized_keys.write_text(change(settings.authorized_keys.read_text()))
    assert not keys.current(KEYS)


def test_another_mode_is_a_difference(settings):
    keys = AuthorizedKeysFile(settings)
    keys.write(KEYS)
    settings.authorized_keys.chmod(0o666)
    assert not keys.current(KEYS)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives the file to another group")
def test_root_owns_it_and_the_ssh_user_may_read(settings):
    AuthorizedKeysFile(settings).write(KEYS)
    for path, mode in ((settings.authorized_keys, 0o640), (settings.authorized_keys.parent, 0o750)):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (0, pwd.getpwnam("nobody").pw_gid)
        assert stat.S_IMODE(status.st_mode) == mode


@pytest.mark.parametrize("key", [(1, 'x" command="sh', "AAAA"), (1, "ssh-rsa", "AAAA\nssh-rsa AAAA"),
                                 (1, "ssh-rsa", "AAAA comment")])
def test_nothing_but_type_and_blob_can_be_written(settings, key):
    with pytest.raises(ValueError, match="not a type and a blob"):
        AuthorizedKeysFile(settings).write([key])
    assert not settings.authorized_keys.exists()


def test_a_directory_that_cannot_stand_in_the_line(settings):
    with pytest.raises(StateError):
        AuthorizedKeysFile(replace(settings, lib_dir=Path('/opt/a" b')))


def test_a_pair_of_its_own(keys, tmp_path):
    private, public = keys.generate("ci-hello")
    assert "PRIVATE KEY" in private.reveal()
    assert public.split()[0] == "ssh-ed25519"
    assert public.endswith(" ci-hello")
    assert keys.generate("x")[0] != private


def test_a_made_key_is_one_that_ssh_takes(settings, tmp_path):
    private, public = AuthorizedKeysFile(settings).generate("ci-hello")
    (tmp_path / "key").write_text(private.reveal())
    (tmp_path / "key").chmod(0o600)
    said = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "key"], capture_output=True, text=True, check=True)
    assert said.stdout.split()[:2] == public.split()[:2]


def test_host_keys_become_lines_of_known_hosts(settings, tmp_path):
    (tmp_path / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAAC3Nz root@host\n")
    (tmp_path / "ssh_host_rsa_key.pub").write_text("not a key\n")
    keys = AuthorizedKeysFile(replace(settings, host_keys=tmp_path))
    assert keys.host_lines("paas.example.com", 22) == ["paas.example.com ssh-ed25519 AAAAC3Nz"]
    assert keys.host_lines("paas.example.com", 2222) == ["[paas.example.com]:2222 ssh-ed25519 AAAAC3Nz"]
