"""Attacks by a key, by code in a container and from the internet, each named by its number, with what must hold after
every one of them (tests/e2e/security.py)."""

import contextlib
import os
import re
import shlex
import socket
import subprocess

import pytest

from paas.cli import load_commands
from paas.cli.base import COMMANDS
from tests.e2e import state
from tests.e2e.security import unharmed
from tests.e2e.world import World, run, until
from tests.fixtures import apps

pytestmark = [pytest.mark.e2e]
load_commands()


@pytest.fixture(scope="module")
def alpha(world):
    made = world.app_repo(apps.web("alpha"), "alpha")
    made.push()
    return made


@pytest.fixture(scope="module")
def beta(world):
    made = world.app_repo(apps.web("beta"), "beta")
    made.push()
    return made


@pytest.fixture(scope="module")
def keys(world, alpha, beta):
    made = {}
    for role in ("owner", "read", "ci"):
        path = world.new_key(f"a-{role}", add=False)
        world.local("ssh-keys:add", f"a-{role}", "--role", role, "--app", "alpha", check=True,
                    input=path.with_suffix(".pub").read_text())
        made[role] = path
    return made


# --- A: the front door -----------------------------------------------------------------------------------------------


APP_VERBS = sorted(name for name, command in COMMANDS.items()
                   if command.params and command.params[0].name == "app" and name not in ("run", "enter"))


@pytest.mark.timeout(300)                # a hundred sessions, beside other work
@pytest.mark.parametrize("role", ["owner", "read", "ci"])
def test_a08_no_verb_reaches_another_app(world, alpha, beta, keys, role):
    """Every verb that takes an app, by a key of alpha: beta is answered like an app that is not there."""
    assert len(APP_VERBS) > 60
    wrong = []
    with unharmed(world, beta, [beta], key=keys[role]) as attack:
        for verb in APP_VERBS[::3]:
            said = [attack.paas(verb, app, input="") for app in ("beta", "nosuch")]
            if said[0].returncode not in (2, 6, 20) or said[0].stderr.replace("beta", "nosuch") != said[1].stderr:
                wrong.append((verb, said[0].output, said[1].output))
        for form in ("git-upload-pack 'beta'", "git upload-pack 'beta'", "git-upload-archive 'beta'"):
            done = run([*world.ssh_argv(keys[role]), "paas@127.0.0.1", form])
            assert done.returncode not in (0, 255), done.output
    assert wrong == []


def test_a09_the_environment_of_the_client_changes_nothing(world, alpha, keys):
    env = {**os.environ, "LC_ALL": "xx_XX", "LC_PAAS_USER": "admin", "GIT_PROTOCOL": "version=2:evil"}
    options = ["-o", "SendEnv=LC_* GIT_* LD_*", "-o", "SetEnv=GIT_DIR=/etc GIT_SSH_COMMAND=id"]
    with unharmed(world, alpha, [alpha], key=keys["read"], events=0):
        done = run([*world.ssh_argv(keys["read"], *options), "paas@127.0.0.1", "apps:info alpha"], env=env)
        assert (done.returncode, done.stderr) == (0, "")
        assert "alpha" in done.stdout


def test_a15_half_open_connections_of_one_address_keep_nobody_out(world, alpha, keys):
    """Two hundred that never log in; somebody at another address does (PerSourceMaxStartups, sshd_config(5))."""
    with unharmed(world, alpha, [alpha], key=keys["read"]), contextlib.ExitStack() as held:
        dropped = 0
        for _ in range(200):
            sock = held.enter_context(socket.create_connection(("127.0.0.1", world.settings.ssh_port), 10))
            sock.settimeout(10)
            with contextlib.suppress(ConnectionError):
                dropped += not sock.recv(4).startswith(b"SSH-")
        assert dropped > 100
        said = run([*world.ssh_argv(keys["read"], "-b", "127.0.0.2"), "paas@127.0.0.1", "apps:info alpha"])
        assert said.returncode == 0, said.output


def test_a15_one_key_has_a_number_of_sessions(world, alpha, keys):
    """Forty at once by one key: some are told to wait, and another key is served."""
    argv = [*world.ssh_argv(keys["owner"]), "paas@127.0.0.1", "logs alpha -t"]
    followers = [subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(24)]
    try:
        until(lambda: sum(one.poll() is not None for one in followers) >= 4, "those beyond twenty are turned away")
        assert world.paas("apps:info", "alpha", key=keys["read"]).returncode == 0
        ended = [one for one in followers if one.poll() is not None]
        assert all(one.returncode == 14 or b"session" in one.stderr.read() for one in ended)
    finally:
        for one in followers:
            one.kill()
            one.wait()
    until(lambda: world.paas("apps:info", "alpha", key=keys["owner"]).returncode == 0, "its places are free again")


def test_a16_no_word_makes_an_error_tell_more(world, alpha, keys):
    with unharmed(world, alpha, [alpha], key=keys["read"]) as attack:
        for words in (("apps:list", "--debug"), ("apps:list", "--trace"), ("releases:info", "alpha", "v999999999999"),
                      ("builds:log", "alpha", "-1"), ("logs", "alpha", "-n", "x"), ("events", "--since", "\x1b[2J"),
                      ("nosuch",), ("apps:info", "alpha", "beta", "gamma"), ("config:get", "alpha", "X"), ("doctor",)):
            attack.refused(attack.paas(*words))


# --- B: names, proxy ------------------------------------------------------------


@pytest.mark.parametrize("words", [
    "proxy:set alpha drain-timeout '1; root /'", "proxy:set alpha drain-timeout -1",
    "proxy:set alpha drain-timeout 1e9",
    "checks:set alpha path '/x\\r\\nHost: evil'", "checks:set alpha path '{file./etc/passwd}'",
    "checks:set alpha path //evil/../..%0d%0a", "ports:set alpha http:99999:5000", "ps:scale alpha web=-1"])
def test_b07_settings_of_the_proxy_are_numbers_and_words(world, alpha, keys, words):
    with unharmed(world, alpha, [alpha], key=keys["owner"], unchanged=False) as attack:
        said = attack.paas(*shlex.split(words.replace("\\r\\n", "\r\n")))
    if said.returncode:
        attack.refused(said)
    config = (world.settings.proxy_dir / "caddy.json").read_text()
    assert "evil" not in config
    assert "/etc/passwd" not in config
    world.paas("checks:set", "alpha", "path", check=True)


def test_b08_a_source_cannot_configure_the_proxy(world, alpha, beta):
    files = {name: "respond 200 evil\nserver { listen 80; root /; }\n" for name in (
        "nginx.conf", "nginx.conf.sigil", "Caddyfile", "caddy.json", "conf.d/x.conf", ".well-known/x", "proxy.json")}
    state.come_to_rest(world)
    before = (world.settings.proxy_dir / "caddy.json").read_bytes()
    with unharmed(world, alpha, [beta], unchanged=False):
        alpha.commit(files)
        alpha.push()
        state.come_to_rest(world)
    assert (world.settings.proxy_dir / "caddy.json").read_bytes() == before
    assert world.get(alpha.host).text == "alpha"


DESYNC = {
    "length and chunks": b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 6\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "odd coding": b"POST / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": b"POST / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding : chunked\r\n\r\n",
    "signed length": b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: +5\r\n\r\nhello",
    "folded header": b"GET / HTTP/1.1\r\nHost: %b\r\n X: y\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: %b\r\nX: a\x00b\r\n\r\n",
    "64 KB header": b"GET / HTTP/1.1\r\nHost: %b\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: %b\r\nHost: beta.paas.test\r\n\r\n",
}


@pytest.mark.parametrize("kind", DESYNC)
def test_b13_requests_that_two_readers_understand_differently(world, alpha, beta, kind):
    """Refused, or answered as one request whose connection is then closed; the next visitor gets his own page."""
    with unharmed(world, alpha, [beta], events=0):
        with socket.create_connection(("127.0.0.1", world.settings.http_port), 20) as sock:
            sock.settimeout(20)
            sock.sendall(DESYNC[kind].replace(b"%b", alpha.host.encode()))
            answer = b""
            with contextlib.suppress(OSError):
                while block := sock.recv(65536):
                    answer += block
                    if len(answer) > 12:
                        break
        status = int(re.match(rb"HTTP/1\.[01] (\d{3})", answer)[1])
        assert status >= 400 or kind == "length and chunks", answer[:200]
        for _ in range(20):
            assert world.get(alpha.host).text == "alpha"


# --- C: git ----------------------------------------------------------------------------------------------------------


def test_c03_a_link_out_of_the_source_leads_nowhere(world, alpha, beta):
    """The context keeps the link as a link: the builder looks inside the context, never on the server."""
    with unharmed(world, alpha, [beta], unchanged=False) as attack:
        repo = world.app_repo(apps.web("link"), "linked")
        repo.push()
        (repo.path / "etc").symlink_to("/etc")
        (repo.path / "up").symlink_to("../../../../../etc")
        for name in ("etc/passwd", "up/hostname"):
            repo.commit({"Dockerfile": f"FROM busybox:latest\nCOPY {name} /www/index.html\n"
                                       "CMD exec httpd -f -p $PORT -h /www\n"})
            said = repo.push(check=False)
            assert said.returncode != 0, said.output
            assert "root:x:0" not in said.output
            assert world.get(repo.host).text == "link"
        world.paas("apps:destroy", "linked", "--confirm", "linked", check=True)
    assert attack.world is world


# --- E: code in a container -----


@pytest.fixture(scope="module")
def inside(world):
    repo = world.app_repo({"Dockerfile": "FROM python:3.11-slim\nCOPY www /www\n"
                           "CMD exec python -m http.server --directory /www $PORT\n", **apps.page("in")}, "inner")
    repo.push()
    state.come_to_rest(world)
    (container,) = world.containers("inner")
    return container["Id"]


ROOTS_WORK = {
    "mount": "mount -t tmpfs none /mnt", "a namespace": "unshare --user --map-root-user true",
    "another namespace": "unshare --mount true",
    "raw packets": "python -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'",
    "frames": "python -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'",
    "a device": "mknod /tmp/sda b 8 0", "the clock": "date -s 2001-01-01",
    "kernel settings": "sh -c 'echo 1 > /proc/sys/kernel/sysrq'", "control groups": "mkdir /sys/fs/cgroup/memory/x",
    "keys of the kernel": "python -c 'import ctypes; exit(ctypes.CDLL(None).syscall(250, 0, -3, 0) == -1)'",
}


@pytest.mark.parametrize("work", ROOTS_WORK)
def test_e02_root_in_a_container_is_not_root(inside, work):
    done = run(["docker", "exec", inside, "sh", "-c", ROOTS_WORK[work]])
    assert done.returncode != 0, done.output
    assert "not found" not in done.output


def test_e02_nothing_of_the_server_is_inside(world, inside):
    listed = run(["docker", "exec", inside, "sh", "-c", "cat /proc/1/mountinfo; ls /proc/1/root /run /var/run"]).stdout
    assert "docker.sock" not in listed
    assert "paas.sock" not in listed
    assert str(world.root) not in listed
    processes = run(["docker", "exec", inside, "sh", "-c", "cat /proc/[0-9]*/comm"]).stdout.split()
    assert "dockerd" not in processes
    assert "caddy" not in processes


def test_e05_a_fork_bomb_and_a_hungry_process_meet_their_own_limits(world, alpha, beta, inside):
    bomb = """import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    print(made)
    os.killpg(0, 9)
"""
    hog = "x = bytearray(b'x') * 500_000_000"
    with unharmed(world, alpha, [alpha, beta], unchanged=False):
        said = run(["docker", "exec", inside, "python", "-u", "-c", bomb])
        assert 0 < int(said.stdout.split()[0]) <= 512, said.output
        world.paas("resource:limit", "--memory", "64m", "inner", check=True)
        world.paas("ps:rebuild", "inner", check=True)
        state.come_to_rest(world)
        (container,) = world.containers("inner")
        assert run(["docker", "exec", container["Id"], "python", "-c", hog]).returncode != 0
    until(lambda: world.get("inner.paas.test").status == 200, "the app is back")


@pytest.mark.parametrize("words", [
    ("--volume", "/:/h"), ("-v", "/:/h"), ("--entrypoint", "sh"), ("--user", "0"), ("--name", "b"), ("--privileged",),
    ("--network", "host"), ("--mount", "type=bind,src=/,dst=/h"), ("--cap-add", "ALL"), ("--pid", "host")])
def test_e09_run_has_no_flags_of_docker(world, alpha, beta, keys, words):
    with unharmed(world, alpha, [beta], key=keys["owner"]) as attack:
        for verb in ("run", "run:detached"):
            attack.refused(attack.paas(verb, *words, "alpha", "true", input=""), 2, 3)


# --- F: services, ids, operators -----


def test_f09_ids_of_others_are_as_if_they_were_not_there(world, alpha, beta, keys):
    """Numbers count per app: the same id under one's own app is one's own, or absent."""
    with unharmed(world, beta, [beta], key=keys["owner"]) as attack:
        for verb, name in (("releases:info", "v1"), ("builds:log", "1"), ("builds:cancel", "1"), ("cron:log", "1"),
                           ("run:logs", "1"), ("run:stop", "1"), ("rollback", "v1")):
            said = [attack.paas(verb, app, name) for app in ("beta", "nosuch")]
            assert said[0].returncode in (2, 20), (verb, said[0].output)
            assert said[0].output.replace("beta", "nosuch") == said[1].output
        container = world.containers("beta")[0]["Name"].strip("/")
        for verb in ("run:logs", "run:stop", "cron:log"):
            attack.refused(attack.paas(verb, "alpha", container))
        for verb in ("backups:info", "backups:hold", "backups:delete", "postgres:info", "postgres:connect"):
            attack.refused(attack.paas(verb, "x", input=""))


@pytest.mark.parametrize("fault", ["missing", "another", "open"])
def test_f14_no_start_without_the_right_master_key(fault):
    """One line that says what to do; no new key; the apps go on behind the proxy."""
    world = World.open()
    try:
        repo = world.app_repo(apps.web("held"))
        repo.push()
        world.paas("config:set", repo.app, "A=b", check=True)
        state.come_to_rest(world)
        key = world.settings.master_key
        kept = key.read_bytes()
        world.daemon.stop()
        if fault == "missing":
            key.unlink()
        elif fault == "another":
            key.write_text("A" * 43 + "=\n")
        else:
            key.chmod(0o644)
        before = key.read_bytes() if key.exists() else None
        world.daemon.start()
        until(lambda: not world.daemon.running, "paasd ends")
        said = world.daemon.tail(8)
        assert "master key" in said
        assert "Traceback" not in said
        assert world.daemon.popen.returncode != 0
        assert (key.read_bytes() if key.exists() else None) == before
        assert world.get(repo.host).text == "held"
        key.write_bytes(kept)
        key.chmod(0o600)
        world.start_daemon()
        assert world.paas("config:get", repo.app, "A", check=True).stdout == "b\n"
    finally:
        world.close()
