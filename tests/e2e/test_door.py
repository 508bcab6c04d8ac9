"""The front door with a real sshd and real git: who gets in, what passes, and clients that vanish (L1 to L4)."""

import contextlib
import os
import pty
import pwd
import select
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import click
import pytest

from paas import cli
from paas.adapters.authorized_keys import AuthorizedKeysFile
from paas.adapters.host_files import sshd_drop_in
from paas.cli.base import COMMANDS, command
from paas.daemon.server import Server
from paas.ops import ssh_keys
from paas.testing.door import DoorPushes, door_runtime
from tests.e2e.world import SOURCE, ensure_user, free_port, until

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(os.geteuid() != 0, reason="runs sshd: needs root")]

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {home}/host_key
PidFile none
UsePAM no
LogLevel ERROR
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
MaxStartups 100
"""


class Door:
    """sshd, a socket server over a stub runtime, and a key called alice."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        ensure_user("paas", "/var/lib/paas", "/bin/sh")
        self.rt = door_runtime(home, ssh_user="paas", lib_dir=SOURCE)
        self.rt.keys = AuthorizedKeysFile(self.rt.settings)
        self.rt.repos.make = self.make_repository
        self.pushes = DoorPushes()
        for name in ("host_key", "alice", "mallory"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
        ssh_keys.add(self.rt, "alice", (home / "alice.pub").read_bytes())
        config = home / "sshd_config"
        config.write_text(CONFIG.format(port=self.port, home=home) + sshd_drop_in(self.rt.settings))
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", config], stdin=subprocess.DEVNULL)
        self.server = Server(self.rt, self.pushes)
        self.server.start()
        until(lambda: subprocess.run(self.argv(command="version"), capture_output=True).returncode == 0, "sshd answers")

    def close(self) -> None:
        self.server.stop(grace=2)
        self.sshd.terminate()
        self.sshd.wait()

    def make_repository(self, path: Path) -> None:
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", path], check=True)
        subprocess.run(["git", "-C", path, "config", "core.hooksPath", SOURCE / "hooks"], check=True)
        user = pwd.getpwnam("paas")
        for folder, _, files in os.walk(path):
            for entry in (folder, *(os.path.join(folder, name) for name in files)):
                os.chown(entry, user.pw_uid, user.pw_gid)

    def options(self, key: str = "alice") -> list[str]:
        return ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
                "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i", str(self.home / key)]

    def argv(self, *options: str, command: str = "", key: str = "alice") -> list[str]:
        return ["ssh", *self.options(key), "-p", str(self.port), *options, "paas@127.0.0.1",
                *([command] if command else [])]

    def ssh(self, command: str = "", *options: str, key: str = "alice", **kwargs) -> subprocess.CompletedProcess:
        kwargs.setdefault("input", b"")
        return subprocess.run(self.argv(*options, command=command, key=key), capture_output=True, timeout=60, **kwargs)

    @property
    def environment(self) -> dict[str, str]:
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", "a"), ("EMAIL", "a@b"))}
        return {**os.environ, **who, "GIT_SSH_COMMAND": shlex.join(["ssh", *self.options()]),
                "GIT_CONFIG_GLOBAL": "/dev/null"}

    def remote(self, app: str) -> str:
        return f"ssh://paas@127.0.0.1:{self.port}/{app}"

    def checkout(self, name: str) -> Path:
        path = self.home / name
        subprocess.run(["git", "init", "-q", "-b", "main", path], check=True)
        (path / "file").write_text(name)
        subprocess.run(["git", "add", "."], cwd=path, check=True)
        subprocess.run(["git", "commit", "-qm", "one"], cwd=path, check=True, env=self.environment)
        return path

    def push(self, path: Path, app: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(["git", "push", self.remote(app), "main"], cwd=path, capture_output=True, timeout=60,
                              env={**self.environment, **environment})

    def start_push(self, path: Path, app: str) -> subprocess.Popen:
        return subprocess.Popen(["git", "push", self.remote(app), "main"], cwd=path, env=self.environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                start_new_session=True)

    def repository(self, app: str) -> Path:
        return self.rt.settings.repos_dir / f"{self.rt.store.app(app).id}.git"

    def ref(self, app: str) -> bool:
        return subprocess.run(["git", f"--git-dir={self.repository(app)}", "rev-parse", "-q", "--verify", "main"],
                              capture_output=True, env={**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0":
                                                        "safe.directory", "GIT_CONFIG_VALUE_0": "*"}).returncode == 0

    def leftovers(self, app: str) -> list[str]:
        """Quarantines on disk, processes with the repository in their words, sessions in the daemon."""
        found = [str(path) for path in (self.repository(app) / "objects").glob("tmp_objdir*")]
        mark = str(self.repository(app)).encode()
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = entry.read_bytes()
                found += [words.decode(errors="replace")] if mark in words else []
        return found + [repr(session) for session in self.server._sessions]


@pytest.fixture(scope="module")
def shared():
    home = Path(tempfile.mkdtemp(prefix="paas-door-", dir="/srv"))
    home.chmod(0o755)
    opened = Door(home)
    before = dict(cli.load_commands())

    @command("test:words")
    @click.argument("words", nargs=-1)
    def words(call, words):
        call.session.out("".join(f"[{word}]\n" for word in words))

    @command("test:exit")
    @click.argument("code", type=int)
    def leave(call, code):
        return code

    @command("test:cat")
    def cat(call):
        while data := call.session.read(4096):
            call.session.out(data)

    @command("test:raw")
    def raw(call):
        call.session.raw_mode(True)
        call.session.out(f"raw {call.session.tty.columns}x{call.session.tty.rows} {call.session.tty.term}\n")
        while (data := call.session.read(100)) and data != b"q":
            call.session.out(f"<{data.hex()}>")
        call.session.raw_mode(False)
        return 3

    yield opened
    opened.close()
    COMMANDS.clear()
    COMMANDS.update(before)
    shutil.rmtree(home)


@pytest.fixture
def door(shared):
    shared.pushes.work = None
    shared.pushes.received.clear()
    return shared


# --- commands -----------------------------------------------------------------------------------------------------


def test_who_am_i_words_and_exit_codes(door):
    assert door.ssh().stdout.startswith(b"You are alice.\n")
    assert door.ssh("test:words 'a  b' \"c'd\" $(id) e\\ f '*'").stdout == b"[a  b]\n[c'd]\n[$(id)]\n[e f]\n[*]\n"
    assert door.ssh("test:exit 42").returncode == 42
    assert door.ssh("test:word").returncode == 2


def test_input_passes_whole(door):
    data = os.urandom(1_000_000)
    assert door.ssh("test:cat", input=data).stdout == data


@pytest.mark.parametrize("wanted", ["test:words a\ntest:words b", "x" * 120_000, "w " * 1100, "scp -t /tmp", "bash",
                                    "rsync --server .", "git-upload-archive 'blog'", "git-receive-pack '../etc'",
                                    "git-upload-pack '--timeout=1'", "/bin/sh -c id"])
def test_refused_with_one_clear_line(door, wanted):
    done = door.ssh(wanted)
    assert done.returncode in (2, 3)
    assert done.stdout == b""
    assert b" !     " in done.stderr
    assert b"Traceback" not in done.stderr


def test_sftp_is_refused(door):
    done = subprocess.run(["sftp", *door.options(), "-P", str(door.port), "paas@127.0.0.1"], input=b"ls\n",
                          capture_output=True, timeout=30)
    assert done.returncode != 0
    assert door.ssh("sftp", "-s").returncode == 2        # our refusal; sshd gives a subsystem no stderr


def test_a_strange_key_and_a_removed_one(door):
    assert door.ssh(key="mallory").returncode == 255
    ssh_keys.add(door.rt, "mallory", (door.home / "mallory.pub").read_bytes())
    assert door.ssh(key="mallory").stdout.startswith(b"You are mallory.")
    ssh_keys.remove(door.rt, "mallory")
    assert door.ssh(key="mallory").returncode == 255


@pytest.mark.parametrize("locale", ["xx_XX.UTF-8", "C", "../../etc"])
def test_the_clients_environment_does_nothing(door, locale):
    done = door.ssh("test:words é", "-o", "SendEnv=LC_*", "-o", "SendEnv=GIT_PROTOCOL",
                    env={**os.environ, "LC_ALL": locale, "LC_PAAS_USER": "admin", "GIT_PROTOCOL": "version=2:evil"})
    assert done.stdout.decode() == "[é]\n"
    assert b"locale" not in done.stderr


@pytest.mark.parametrize("forward", [("-L", "{port}:127.0.0.1:22"), ("-R", "{port}:127.0.0.1:22"), ("-D", "{port}")])
def test_nothing_is_forwarded(door, forward):
    """A10: even where the client thinks it listens, nothing passes."""
    port = free_port()
    words = door.argv("-N", forward[0], forward[1].format(port=port), "-o", "ExitOnForwardFailure=yes")
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        if forward[0] == "-R":
            assert process.wait(20) != 0
        else:
            probe = "SSH-2.0-x\r\n" if forward[0] == "-L" else "\x05\x01\x00"
            until(lambda: answer(port, probe) is not None, "the client listens")
            assert b"SSH" not in answer(port, probe)
    finally:
        process.kill()
        process.communicate()
    assert door.ssh("", "-W", "127.0.0.1:22").returncode != 0


def answer(port: int, probe: str) -> bytes | None:
    import socket
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(probe.encode("latin-1"))
            return sock.recv(100)
    except ConnectionRefusedError:
        return None
    except OSError:
        return b""


def test_a_terminal_over_ssh(door):
    pid, master = pty.fork()
    if not pid:
        os.environ["TERM"] = "vt100"
        os.execvp("ssh", door.argv("-tt", command="test:raw"))
    seen = b""

    def read_until(text: bytes) -> None:
        nonlocal seen
        end = time.monotonic() + 30
        while text not in seen:
            assert time.monotonic() < end, seen
            if select.select([master], [], [], 0.5)[0]:
                seen += os.read(master, 4096)
    read_until(b"vt100\n")
    os.write(master, b"\x03")
    read_until(b"<03>")
    os.write(master, b"q")
    with contextlib.suppress(OSError):
        while os.read(master, 4096):
            pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


# --- pushes ----------------------------------------------------------------------------------------------------------


def test_a_push_reaches_the_daemon_and_talks_back(door):
    def work(output, say, alive):
        output.stage("Building")
        output.detail("step \x1b[2J")
        say("-----> Checking")
        output.warn("careful")
        assert alive()
        return 0
    door.pushes.work = work
    done = door.push(door.checkout("plain"), "plain")
    said = done.stderr.decode()
    assert done.returncode == 0, said
    for line in ("remote: -----> Building", "remote:        step \\x1b[2J", "remote: -----> Checking",
                 "remote:  !     careful"):
        assert line in said
    assert door.ref("plain")
    push, = door.pushes.received
    assert push["actor"].name == "alice"
    assert push["actor"].address == "127.0.0.1"
    (old, _, ref), = push["updates"]
    assert (set(old), ref) == ({"0"}, "refs/heads/main")
    assert push["quarantine"].objects.is_relative_to(door.repository("plain") / "objects")
    until(lambda: not door.leftovers("plain"), "all is put away")


def test_a_refused_push_moves_nothing(door):
    door.pushes.work = lambda output, say, alive: 11
    done = door.push(door.checkout("refused"), "refused")
    assert done.returncode != 0
    assert b"pre-receive hook declined" in done.stderr
    assert not door.ref("refused")
    until(lambda: not door.leftovers("refused"), "all is put away")


@pytest.mark.parametrize("form", ["{}", "/{}", "{}.git"])
def test_forms_of_the_remote_and_fetching_back(door, form, tmp_path):
    name = f"form{['{}', '/{}', '{}.git'].index(form)}"
    path = door.checkout(name)
    url = f"paas@127.0.0.1:{form.format(name)}"
    environment = {**door.environment, "GIT_SSH_COMMAND": shlex.join(["ssh", *door.options(), "-p", str(door.port)])}
    for argv in (["push", url, "main"], ["clone", "-q", url, str(tmp_path / "copy")]):
        done = subprocess.run(["git", *argv], cwd=path, env=environment, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy" / "file").read_text() == name


def test_a_push_past_ssh_is_refused(door):
    path = door.checkout("local")
    assert door.push(path, "local").returncode == 0
    (path / "file").write_text("changed")
    subprocess.run(["git", "commit", "-qam", "two"], cwd=path, check=True, env=door.environment)
    (door.home / "gitconfig").write_text("[safe]\n\tdirectory = *\n")
    environment = {**door.environment, "GIT_CONFIG_GLOBAL": str(door.home / "gitconfig")}
    done = subprocess.run(["git", "push", door.repository("local"), "main"], cwd=path, env=environment,
                          capture_output=True, timeout=30)
    assert done.returncode != 0
    assert b"by a push over SSH" in done.stderr


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("noise", [0, 8_000_000], ids=["quiet", "noisy"])
def test_a_client_that_vanishes_or_stalls_holds_nothing_up(door, ending, noise):
    """L1 to L4: the hook ends, the ref is updated, nothing is left over."""
    name = f"{'kill' if ending == signal.SIGKILL else 'stall'}{noise}"
    started, go, ended = threading.Event(), threading.Event(), threading.Event()

    def work(output, say, alive):
        started.set()
        go.wait(30)
        for _ in range(noise // 1000):
            say("x" * 999)
        ended.set()
        return 0
    door.pushes.work = work
    process = door.start_push(door.checkout(name), name)
    try:
        assert started.wait(30)
        os.killpg(process.pid, ending)
        go.set()
        assert ended.wait(60)
        until(lambda: door.ref(name), "the ref is updated", 60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    until(lambda: not door.leftovers(name), "nothing is left over", 60)


def test_the_watch_of_a_push_ends_with_its_hook_and_not_with_its_client(door):
    """git moves the branch only while its hook waits: what became of the client is no matter."""
    started, go, seen = threading.Event(), threading.Event(), []

    def work(output, say, alive):
        started.set()
        go.wait(30)
        time.sleep(0.5)                  # the news that the client is gone has come by now
        seen.append(alive())
        for pid in hooks(door):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(), "the hook's end is noticed")
        seen.append(alive())
        return 0
    door.pushes.work = work
    process = door.start_push(door.checkout("gone"), "gone")
    assert started.wait(30)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    go.set()
    until(lambda: len(seen) == 2, "the watch has ended", 60)
    assert seen == [True, False]


def hooks(door) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            if b"pre-receive" in words and str(door.repository("gone")) in os.readlink(entry / "cwd"):
                found.append(int(entry.name))
    return found


def test_a_daemon_that_dies_in_mid_deploy_fails_the_push(door):
    def work(output, say, alive):
        for session in list(door.server._sessions):
            session.drop()
        return 0
    door.pushes.work = work
    done = door.push(door.checkout("lost"), "lost")
    assert done.returncode != 0
    assert b"connection to paasd was lost" in done.stderr
    assert not door.ref("lost")


def test_half_a_pack_is_ended(door):
    """C16, where the client says that it has ended; one that says nothing is the next test's."""
    process = subprocess.Popen(door.argv(command="git-receive-pack half"), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(4)
    process.stdin.write(b"00a80000")
    process.stdin.close()
    assert process.wait(30) != 0
    process.stdout.close()
    process.stderr.close()
    until(lambda: not door.leftovers("half"), "nothing is left over")


def test_the_pump_ends_an_idle_push(tmp_path):
    program = (f"import sys; sys.path.insert(0, {str(SOURCE)!r})\nfrom paas import pump\npump.IDLE = 0.5\n"
               "sys.exit(pump.Pump([b'/bin/cat'], {}, None).run())")
    reading, writing = os.pipe()
    process = subprocess.Popen(["/usr/bin/python3", "-c", program], stdin=reading, stderr=subprocess.PIPE)
    try:
        assert process.wait(30) == 128 + signal.SIGTERM
        assert b"stood still" in process.stderr.read()
    finally:
        os.close(reading)
        os.close(writing)
