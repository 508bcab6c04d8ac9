"""The door whole: real client, real socket, real sessions; stub runtime."""

import contextlib
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from fcntl import ioctl
from types import SimpleNamespace

import pytest

from paas import client
from paas.daemon import server as server_module
from paas.daemon import session as session_module
from paas.daemon.server import quarantine_of
from paas.errors import Forbidden

BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIIOfVWO8sVpCkRfFAMT2zBvTRxlbKOVNYTIRZSD9KBEh"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
CONNECT = (f"import socket, sys; sys.path.insert(0, {ROOT!r})\n"
           "from paas.testing.door import Wire\ns = socket.socket(socket.AF_UNIX); ")


def eventually(condition, seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


# --- commands through the thin client -----------------------------------------------------------------------


def test_words_and_exit_codes_pass_through(door, stage):
    done = door.run("test:words", "a b", "", "x\ny", "--", "-z", "é'\"$(id)")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == "[a b]\n[]\n[x\ny]\n[-z]\n[é'\"$(id)]\n"
    left = door.run("test:exit", "42")
    assert (left.returncode, left.stderr) == (42, b"leaving\n")


def test_input_of_any_size_and_back_pressure(door, stage):
    data = os.urandom(3_000_000)
    assert door.run("test:cat", input=data).stdout == data
    assert door.run("test:cat", input=b"").stdout == b""


def test_a_command_that_reads_nothing_leaves_input_alone(door, stage, tmp_path):
    (tmp_path / "in").write_bytes(b"one\ntwo\n")
    with open(tmp_path / "in", "rb") as file:
        door.run("test:words", input=None, stdin=file)
        assert file.read() == b"one\ntwo\n"


def test_a_large_output_arrives_whole_through_a_slow_pipe(door, stage):
    process = door.start("test:flood", stdout=subprocess.PIPE)
    size = 0
    while data := process.stdout.read(1_000_000):
        size += len(data)
        time.sleep(0.005)
    assert (size, process.wait(10)) == (2000 * 32768, 0)


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_standard_descriptor_does_not_become_the_connection(door, stage, closed):
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *door.argv("test:words", "one")], timeout=30,
                          env={"PAAS_SOCKET": door.path}, capture_output=True)
    assert done.returncode == 0
    assert done.stdout == (b"" if "1>" in closed else b"[one]\n")


def test_daemon_down(door):
    door.server.stop(grace=0)
    done = door.run("version")
    assert done.returncode == 69
    assert b"paasd is not running" in done.stderr


@pytest.mark.parametrize(("systemd", "word"), [(True, "systemctl start paasd"), (False, "install.sh")])
def test_how_to_start_the_daemon_fits_the_machine(monkeypatch, tmp_path, systemd, word):
    monkeypatch.setattr(client, "SYSTEMD", str(tmp_path if systemd else tmp_path / "none"))
    assert word in client.how_to_start()
    assert ("systemctl" in client.how_to_start()) == systemd


def test_daemon_lost_in_the_middle(door, stage):
    process = door.start("test:wait", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"waiting\n"
    with contextlib.suppress(OSError):
        next(iter(door.server._sessions))._sock.shutdown(socket.SHUT_RDWR)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 69
    assert b"connection to paasd was lost" in errors


def test_another_protocol_is_told(door):
    with door.connection() as wire:
        told = wire.hello(("kind", "local"), protocol="9").all()
    assert told[client.EXIT] == b"2"
    assert b"restart paasd" in told[client.ERR]


def test_stop_tells_the_listeners_and_waits_for_changes(door, stage):
    follower = door.start("test:follow", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    waiter = door.start("test:wait", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert follower.stdout.readline() == b"following\n"
    assert waiter.stdout.readline() == b"waiting\n"
    stage.go.set()
    door.server.stop(grace=10)
    assert waiter.communicate(timeout=10)[0] == b"done\n"
    assert waiter.returncode == 0
    assert b"paasd is stopping" in follower.communicate(timeout=10)[1]
    assert follower.returncode == 69


def test_stop_does_not_wait_for_a_reader_that_has_stopped(door, stage):
    process = door.start("test:pager", stdout=subprocess.PIPE)
    try:
        assert eventually(lambda: any(one._sending.locked() for one in door.server._sessions))
        stopping = threading.Thread(target=door.server.stop, args=(10,), daemon=True)
        stopping.start()
        stopping.join(60)                # the session would wait for an hour
        assert not stopping.is_alive()
        assert stage.ended.wait(20)
    finally:
        process.kill()
        process.communicate()


# --- clients that vanish or stall ---------------------------------------------------------------------------


def test_a_killed_client_does_not_stop_a_change(door, stage):
    process = door.start("test:wait", stdout=subprocess.PIPE)
    process.stdout.readline()
    process.kill()
    process.wait()
    assert eventually(lambda: not next(iter(door.server._sessions)).alive)
    stage.go.set()
    assert stage.ended.wait(10)
    assert stage.alive is False
    assert [event.result for event in door.rt.store.recorded] == ["ok"]
    assert eventually(lambda: door.server._connections == 0)


def test_a_stalled_reader_is_dropped_and_the_change_ends(door, stage, monkeypatch):
    monkeypatch.setattr(session_module, "STALL", 0.3)
    process = door.start("test:flood", stdout=subprocess.PIPE)
    try:
        assert stage.ended.wait(20)
    finally:
        process.kill()
        process.communicate()


def test_a_closed_pipe_ends_a_follower(door, stage):
    process = door.start("test:follow", stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert stage.ended.wait(10)
    assert process.wait(10) == 141


def test_interrupt_ends_a_listing_but_not_a_change(door, stage):
    follower = door.start("test:follow", stdout=subprocess.PIPE)
    follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    assert follower.wait(10) == 130
    assert stage.ended.wait(10)          # the server's side of it: later than the client's
    stage.ended.clear()
    changer = door.start("test:wait", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    changer.stdout.readline()
    changer.send_signal(signal.SIGINT)
    assert changer.stderr.readline() == b"\n"
    assert b"goes on in the server" in changer.stderr.readline()
    assert not stage.ended.is_set()
    changer.send_signal(signal.SIGINT)
    assert changer.wait(10) == 130
    stage.go.set()
    assert stage.ended.wait(10)


# --- terminals ----------------------------------------------------------------------------------------------


class Screen:
    """A pseudo-terminal with the client behind it."""

    def __init__(self, door, *words):
        self.master, slave = pty.openpty()
        self.size(24, 80)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(door.argv(*words), stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True, preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),
                                        env={"PAAS_SOCKET": door.path, "TERM": "vt100"})
        self.seen = b""

    def size(self, rows, columns):
        ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def until(self, text: bytes) -> None:
        end = time.monotonic() + 15
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.master], [], [], 0.5)[0]:
                self.seen += os.read(self.master, 4096)

    def type(self, data: bytes) -> None:
        os.write(self.master, data)


def test_raw_mode_window_size_and_restoring(door, stage):
    screen = Screen(door, "test:raw")
    screen.until(b"80x24 vt100\r\n")
    screen.until(b"raw\n")
    assert eventually(lambda: not termios.tcgetattr(screen.slave)[3] & termios.ICANON)
    screen.type(b"\x03")                 # ^C is a byte now
    screen.until(b"03\n")
    screen.size(50, 132)
    screen.until(b"now 132x50")
    screen.type(b"q")
    assert screen.process.wait(10) == 0
    assert termios.tcgetattr(screen.slave) == screen.before


def test_a_window_that_the_engine_does_not_resize_is_no_reason_to_hang_up(door, stage):
    screen = Screen(door, "test:small")
    screen.until(b"ready\n")
    screen.size(50, 132)
    screen.until(b"asked\n")
    screen.type(b"q")
    screen.until(b"71\n")
    assert screen.process.wait(10) == 0


def test_interrupt_key_at_a_terminal(door, stage):
    screen = Screen(door, "test:follow")
    screen.until(b"following")
    screen.type(b"\x03")
    assert screen.process.wait(10) == 130


def test_no_terminal_in_a_pipe(door, stage):
    assert door.run("test:raw", input=b"q").stdout.startswith(b"no terminal\n")


# --- who is there -------------------------------------------------------------------------------------------


def test_a_key_is_known_by_its_id(door, stage):
    door.rt.store.add_key("alice", "ssh-ed25519", BLOB, "SHA256:x")
    done = door.ssh("")
    assert done.stdout.startswith(b"You are alice.")
    assert door.ssh("test:exit 7").returncode == 7
    assert door.ssh("test:wait", key=2).returncode == 6
    door.rt.store.remove_key(1)
    assert b"not registered" in door.ssh("").stderr


def test_the_client_address_is_in_the_event(door, stage):
    door.rt.store.add_key("alice", "ssh-ed25519", BLOB, "SHA256:x")
    door.rt.store.create_app("blog")
    assert door.ssh("test:app blog x").returncode == 0
    event = door.rt.store.recorded[-1]
    assert (event.actor, event.app, event.detail["address"]) == ("alice", "blog", "192.0.2.7")


@pytest.mark.parametrize(("command", "said"), [
    ("bash", b"no 'bash' here"), ("scp -t /tmp", b"no 'scp'"), ("internal-sftp", b"internal-sftp"),
    ("git-upload-archive 'blog'", b"git-upload-archive"), ("apps:list\napps:destroy x", b"control character"),
    ("git-receive-pack '../x'", b"cannot name an app"), ("x" * 120_000, b"64 KB"), ("'", b"quotes"),
    ("git-upload-pack 'absent'", b"no app 'absent'"),
])
def test_refused_over_ssh(door, command, said):
    door.rt.store.add_key("alice", "ssh-ed25519", BLOB, "SHA256:x")
    done = door.ssh(command)
    assert done.returncode != 0
    assert said in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""
    assert not (door.rt.settings.state_dir / "repos").exists()


def test_the_environment_of_sshd_is_not_believed(door, tmp_path):
    """A09: neither a socket, nor an app, nor a locale comes from the client."""
    door.rt.store.add_key("alice", "ssh-ed25519", BLOB, "SHA256:x")
    done = door.ssh("", PAAS_SOCKET="/nonexistent", PAAS_APP="blog", LC_ALL="xx_XX", LC_PAAS_USER="admin",
                    PYTHONPATH=str(tmp_path), PYTHONWARNINGS="error", GIT_DIR="/x")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"You are alice.")


def test_git_gets_an_environment_of_our_own(door):
    door.rt.store.add_key("alice", "ssh-ed25519", BLOB, "SHA256:x")
    door.rt.store.create_app("blog")
    told = as_user(door, [("kind", "ssh"), ("key", "1"), ("command", "git-upload-pack blog"),
                          ("git-protocol", "version=2")])
    fields = told[client.GIT].decode().split("\0")
    assert "env=GIT_PROTOCOL=version=2" in fields
    assert [field for field in fields if field.startswith("arg=")] == [
        "arg=/usr/bin/git", "arg=upload-pack", f"arg={door.rt.settings.repos_dir}/1.git"]
    assert not any("PAAS_PUSH" in field for field in fields)


def as_user(door, pairs, uid: str = "nobody"):
    """Say hello as another uid; what came back, by kind."""
    program = (f"{CONNECT}s.connect({door.path!r})\n"
               f"sys.stdout.write(repr(Wire(s).hello(*{pairs!r}).all()))")
    done = subprocess.run([os.path.join(ROOT, ".venv/bin/python"), "-c", program], user=uid, group="nogroup",
                          extra_groups=[], capture_output=True, timeout=30, env={})
    assert done.returncode == 0, done.stderr
    return eval(done.stdout)


def test_the_ssh_user_is_not_root(door):
    assert b"SSH keys" in as_user(door, [("kind", "local"), ("word", "version")])[client.ERR]
    assert as_user(door, [("kind", "ssh"), ("key", "9"), ("command", "version")])[client.EXIT] == b"6"


def test_other_users_are_kept_out(door, monkeypatch):
    os.chmod(door.path, 0o666)           # were the permissions wrong, the peer's uid still is
    told = as_user(door, [("kind", "local"), ("word", "version")], uid="daemon")
    assert told[client.EXIT] == b"6"
    assert b"sudo" in told[client.ERR]


def test_the_socket_is_closed_to_others(door):
    mode = os.stat(door.path)
    assert oct(mode.st_mode & 0o777) == "0o660"
    assert mode.st_uid == 0


# --- caps (A15, F08) ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("garbage", [b"\xff" * 100, b"H\xff\xff\xff\xff", b"Z\0\0\0\0", b"H\0\0\0\x03abc", b""])
def test_garbage_is_answered_and_forgotten(door, garbage):
    with door.connection() as wire:
        wire.sock.sendall(garbage)
        if not garbage:
            wire.sock.shutdown(socket.SHUT_WR)
        told = wire.all()
        assert told[client.EXIT] == b"2"
        assert b"hello" in told[client.ERR] or b"protocol" in told[client.ERR]
    assert eventually(lambda: door.server._connections == 0)
    assert door.run("version").returncode == 0


def test_half_open_connections_are_ended(door, monkeypatch):
    monkeypatch.setattr(server_module, "HELLO_TIMEOUT", 0.3)
    with contextlib.ExitStack() as stack:
        half_open = [stack.enter_context(door.connection()) for _ in range(50)]
        assert all(b"no sensible hello" in wire.all()[client.ERR] for wire in half_open)
        assert eventually(lambda: door.server._connections == 0)


def test_connections_beyond_the_cap_are_told(door, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 5)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(door.connection())
        assert eventually(lambda: door.server._connections == 5)
        done = door.run("version")
        assert done.returncode == 5
        assert b"too many connections" in done.stderr
    assert eventually(lambda: door.server._connections == 0)
    assert door.run("version").returncode == 0


def test_where_no_thread_is_left_it_is_said(door, monkeypatch):
    start, refusing = threading.Thread.start, [True]

    def refuse(thread):
        if refusing:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with door.connection() as wire:
        assert b"no thread left" in wire.all()[client.ERR]
    refusing.clear()
    assert eventually(lambda: door.server._connections == 0)
    assert door.run("version").returncode == 0


def test_one_key_cannot_take_all_places(door, stage, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_PER_KEY", 2)
    for name in ("alice", "bob"):
        door.rt.store.add_key(name, "ssh-ed25519", BLOB, f"SHA256:{name}")
    processes = [subprocess.Popen([os.path.join(ROOT, "hooks", "ssh-entry"), "key-1", door.path], user="nobody",
                                  group="nogroup", extra_groups=[], env={"SSH_ORIGINAL_COMMAND": "test:follow"},
                                  stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == b"following\n"
    assert door.ssh("version").returncode == 5
    assert door.ssh("version", key=2).returncode == 0
    for process in processes:
        process.kill()
        process.communicate()
    assert eventually(lambda: door.ssh("version").returncode == 0)


def test_input_beyond_what_was_granted_drops_the_client(door, stage):
    with door.connection() as wire:
        wire.hello(("kind", "local"), ("word", "test:follow")).until(client.OUT)
        wire.sock.sendall(client.frame(client.STDIN, b"x"))
        assert wire.all() == {}
    assert stage.ended.wait(10)


# --- the hook -----------------------------------------------------------------------------------------------


def test_a_hook_without_a_token_is_refused(door):
    told = as_user(door, [("kind", "push"), ("token", "guess"), ("update", "a b c")])
    assert told[client.EXIT] == b"6"
    assert door.pushes.received == []


def test_a_token_is_good_once_and_while_its_push_lives(door):
    pairs = [("kind", "local"), ("word", "git-receive-pack")]
    assert b"not a command" in as_root(door, pairs)[client.ERR]      # git is for keys
    door.rt.store.add_key("alice", "ssh-ed25519", BLOB, "SHA256:x")
    with entry(door, "git-receive-pack blog") as (process, fields):
        token = fields["PAAS_PUSH"]
        repository = door.rt.settings.repos_dir / "1.git"
        push = [("kind", "push"), ("token", token), ("git-dir", str(repository)), ("objects", "objects/tmp"),
                ("update", "0 1 refs/heads/main")]
        assert as_root(door, push)[client.EXIT] == b"0"
        got = door.pushes.received[0]
        assert (got["actor"].name, got["app"], got["updates"]) == ("alice", 1, [("0", "1", "refs/heads/main")])
        assert got["quarantine"].objects == repository.resolve() / "objects" / "tmp"
        assert as_root(door, push)[client.EXIT] == b"6"
    assert eventually(lambda: not door.server._tickets)


def as_root(door, pairs):
    with door.connection() as wire:
        return wire.hello(*pairs).all()


@contextlib.contextmanager
def entry(door, command):
    """A connection of ssh-entry's for key 1 that keeps its place, as a push does; with the environment for git."""
    program = (f"{CONNECT}s.connect({door.path!r})\n"
               f"wire = Wire(s).hello(('kind', 'ssh'), ('key', '1'), ('command', {command!r}))\n"
               "print(wire.until(b'g').hex(), flush=True)\nsys.stdin.read()")
    process = subprocess.Popen([os.path.join(ROOT, ".venv/bin/python"), "-c", program], user="nobody", group="nogroup",
                               extra_groups=[], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={})
    pairs = bytes.fromhex(process.stdout.readline().decode()).decode().split("\0")
    yield process, dict(pair[4:].split("=", 1) for pair in pairs if pair.startswith("env="))
    process.stdin.close()
    process.wait()
    process.stdout.close()


def test_an_unforeseen_error_of_a_deploy_stays_in_the_log(door, caplog):
    door.rt.store.add_key("alice", "ssh-ed25519", BLOB, "SHA256:x")

    def work(output, say, alive):
        raise RuntimeError("the cause")

    door.pushes.work = work
    with entry(door, "git-receive-pack blog") as (_, fields):
        told = as_root(door, [("kind", "push"), ("token", fields["PAAS_PUSH"]), ("objects", "objects/q")])
    assert told[client.EXIT] == b"1"
    assert b"internal error" in told[client.ERR]
    assert b"the cause" not in told[client.ERR]
    assert "the cause" in caplog.text


@pytest.mark.parametrize("pushed", [("/etc", ()), ("objects/q", ("/root/.ssh",)), ("objects/../..", ()),
                                    ("link", ())])
def test_objects_are_read_in_the_own_repository_only(tmp_path, pushed):
    (tmp_path / "objects" / "q").mkdir(parents=True)
    (tmp_path / "link").symlink_to("/etc")
    hello = SimpleNamespace(git_dir=str(tmp_path), objects=pushed[0], alternates=pushed[1])
    with pytest.raises(Forbidden):
        quarantine_of(hello, tmp_path)


def test_a_push_without_objects_has_nothing_to_be_read(tmp_path):
    assert quarantine_of(SimpleNamespace(git_dir="/etc", objects="", alternates=("/root",)), tmp_path) is None


def test_git_dir_elsewhere_is_no_way_out(tmp_path):
    with pytest.raises(Forbidden):
        quarantine_of(SimpleNamespace(git_dir="/etc", objects="objects/q", alternates=()), tmp_path)
