"""install.sh on a fresh Debian 12 (with systemd and without) and 13: a container with an engine of its own inside.

The machine is a real one as far as install.sh can tell: packages come from Debian, dependencies from PyPI, and
nothing of this checkout's virtual environment is used.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.world import SOURCE, Result, run, until

CAPABILITIES = [                         # in the order of their bits (capabilities(7))
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
]
SOURCES = ("install.sh", "installer", "paas", "hooks", "buildpacks", "plugins", "examples", "pyproject.toml", "uv.lock",
           "requirements-uv.txt")
INSTALL = "/src/install.sh"
INSTALLED = ("/usr/local/lib/paas", "/usr/local/bin/paas", "/etc/ssh/sshd_config.d/50-paas.conf")

# Processes; files and their times.
STATE = ("cat /run/paas/*.pid; systemctl show --property MainPID paasd paas-proxy ssh docker; "
         "find /usr/local /etc /root -printf '%p %T@ %m %u\\n'")


# What --privileged would have given (an engine inside needs to write its control groups), then the first process.
BOOT = """
mount -o remount,rw /sys; mount -o remount,rw /sys/fs/cgroup
for d in /sys/fs/cgroup/*; do if mountpoint -q $d; then mount -o remount,bind,rw $d; fi; done
if [ "$1" = systemd ]; then
  [ -x /sbin/init ] || { apt-get update -qq; apt-get install -y -qq --no-install-recommends systemd systemd-sysv dbus; }
  exec /sbin/init
fi
touch /run/booted
exec sleep infinity
"""
BOOTED = "test -e /run/booted || systemctl is-system-running | grep -E 'running|degraded'"


@dataclass
class Machine:
    """A container that plays a server; *init* is "systemd" or "plain"."""

    name: str
    init: str

    def wait_booted(self) -> None:
        until(lambda: self.run("sh", "-c", BOOTED, check=False).returncode == 0, "the machine boots", 120)

    def run(self, *argv: str, check: bool = True, timeout: float = 600) -> Result:
        result = run(["docker", "exec", self.name, *argv], timeout=timeout)
        assert not check or result.returncode == 0, f"{argv}: {result.returncode}\n{result.output}\n{self.logs()}"
        return result

    def logs(self) -> str:
        return run(["docker", "exec", self.name, "sh", "-c", "tail -n 30 /var/log/paas/*"]).output

    def missing(self, paths: tuple[str, ...]) -> list[str]:
        return [path for path in paths if self.run("test", "-e", path, check=False).returncode]

    def containers(self) -> list[str]:
        return self.run("docker", "ps", "--all", "--format", "{{.Names}}").stdout.split()


def allowed_capabilities() -> list[str]:
    """All that this machine may give away: `--privileged` fails where even root lacks one."""
    status = Path("/proc/self/status").read_text()
    bits = int(re.search(r"^CapBnd:\s*(\w+)", status, re.MULTILINE)[1], 16)
    return [name for number, name in enumerate(CAPABILITIES) if bits >> number & 1]


# Debian 13's systemd does not boot on control groups of version 1.
@pytest.fixture(scope="module", params=["bookworm plain", "bookworm systemd", "trixie plain"])
def machine(base_images, request) -> Iterator[Machine]:
    suite, init = request.param.split()
    made = Machine(f"paas-install-{secrets.token_hex(3)}", init)
    options = ["--cap-drop", "ALL", *(word for cap in allowed_capabilities() for word in ("--cap-add", cap))]
    for option in ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"):
        options += ["--security-opt", option]
    systemd = ["--tmpfs", "/run", "--tmpfs", "/run/lock", "--env", "container=docker"]
    options += systemd if made.init == "systemd" else ["--init"]
    run(["docker", "run", "--detach", "--name", made.name, "--label", "paas.tests=install", *options,
         "--device-cgroup-rule", "a *:* rwm", "--volume", "/var/lib/docker", f"debian:{suite}-slim",
         "sh", "-c", BOOT, "boot", made.init], check=True)
    try:
        made.run("mkdir", "/src")
        for source in SOURCES:
            if (SOURCE / source).exists():
                run(["docker", "cp", str(SOURCE / source), f"{made.name}:/src/{source}"], check=True)
        made.wait_booted()
        yield made
    finally:
        run(["docker", "rm", "--force", "--volumes", made.name])


@pytest.fixture(scope="module")
def demo(machine: Machine) -> Result:
    """The first run: the tests below are the life of this installation, in order."""
    return machine.run(INSTALL, "--demo", "--yes")


@pytest.mark.timeout(900)
def test_the_demo_deploys_the_sample_by_a_push_and_prints_its_url(machine, demo):
    url = re.search(r"=====> The sample answers: (\S+)", demo.stdout)[1]
    assert re.search(r"remote: =====> Live: v1 in [\d.]+ s \(.*build [\d.]+.*switch [\d.]+", demo.stdout)
    host = url.removeprefix("http://")
    page = machine.run("curl", "--silent", "--resolve", f"{host}:80:127.0.0.1", url).stdout
    assert "Hello from paas" in page
    assert ("--stop" if machine.init == "plain" else "systemctl stop paasd paas-proxy") in demo.stdout


def test_a_second_run_changes_nothing(machine, demo):
    before = machine.run("sh", "-c", STATE).stdout
    again = machine.run(INSTALL, "--demo", "--yes")
    after = machine.run("sh", "-c", STATE).stdout
    changed = {line for line in set(before.splitlines()) ^ set(after.splitlines()) if "/.paas-demo" not in line}
    assert "nothing was changed" in again.stdout
    assert "The sample answers" in again.stdout
    assert changed == set()


def test_the_daemon_is_root_and_the_proxy_is_not(machine, demo):
    rows = machine.run("ps", "-eo", "user:20,args").stdout.splitlines()
    users = {name: {row.split()[0] for row in rows if part in row}
             for name, part in (("daemon", "-m paas.daemon"), ("proxy", "caddy run"))}
    assert users == {"daemon": {"root"}, "proxy": {"paas-proxy"}}


def test_nobody_but_root_can_write_the_program_or_read_the_key(machine, demo):
    writable = machine.run("find", "/usr/local/lib/paas-versions", "/usr/local/bin/paas", "!", "-type", "l", "(",
                           "!", "-user", "root", "-o", "-perm", "/022", ")").stdout
    assert writable == ""
    assert machine.run("stat", "-c", "%U %a", "/etc/paas/master.key").stdout.split()[0] == "root"
    assert machine.run("setpriv", "--reuid", "paas", "--regid", "paas", "--clear-groups", "cat", "/etc/paas/master.key",
                       "/var/lib/paas/paas.db", check=False).stdout == ""


def test_containers_are_kept_from_the_servers_own_services(machine, demo):
    assert "containers can reach" not in demo.output
    listed = machine.run("iptables", "--list-rules").stdout
    assert (listed.count("-j paas-host\n"), listed.count("-j paas-out\n")) == (1, 2)


def test_the_users_have_no_way_to_docker(machine, demo):
    assert machine.run("id", "--name", "--groups", "paas").stdout.split() == ["paas"]
    assert machine.run("id", "--name", "--groups", "paas-proxy").stdout.split() == ["paas-proxy"]


def test_a_bad_option_changes_nothing_and_says_what_to_do(machine, demo):
    refused = machine.run(INSTALL, "--http-port", "99999", check=False)
    assert refused.returncode == 1
    assert "99999" in refused.stderr
    assert "1 to 65535" in refused.stderr


# Asks by a new connection each time, slowly, while apps come and go; prints what was no answer of the sample's.
ASK_AND_CREATE = """
import socket, subprocess, sys, threading, time
ended = threading.Event()
def ask():
    while not ended.is_set():
        with socket.create_connection(("127.0.0.1", 80), 10) as sock:
            time.sleep(0.05)
            sock.sendall(b"GET / HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n" % sys.argv[1].encode())
            said = b"".join(iter(lambda: sock.recv(65536), b""))
        if b"Hello from paas" not in said:
            print(said)
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads:
    thread.start()
for words in ("apps:create another", "domains:add another other.test", "apps:destroy another --confirm another"):
    subprocess.run(["paas", *words.split()], check=True, capture_output=True)
ended.set()
for thread in threads:
    thread.join()
"""


def test_a_new_app_costs_the_others_no_request(machine, demo):
    """Under the units' own restrictions: the daemon may borrow the proxy's sockets."""
    host = machine.run("paas", "url", "hello").stdout.strip().removeprefix("http://")
    assert machine.run("/usr/local/lib/paas/venv/bin/python", "-c", ASK_AND_CREATE, host).stdout == ""
    told = machine.run("sh", "-c", "cat /var/log/paas/*; journalctl --unit paasd --no-pager || true").stdout
    assert "may be lost" not in told


def test_an_upgrade_replaces_the_program_and_the_app_goes_on(machine, demo):
    old = machine.run("readlink", "/usr/local/lib/paas").stdout
    containers = machine.containers()
    machine.run("sh", "-c", "echo '# newer' >>/src/paas/errors.py")
    upgraded = machine.run(INSTALL)
    assert "nothing was changed" not in upgraded.stdout
    assert machine.run("readlink", "/usr/local/lib/paas").stdout != old
    assert machine.run("tail", "-n1", "/usr/local/lib/paas/paas/errors.py").stdout == "# newer\n"
    assert machine.containers() == containers
    assert "hello" in machine.run("paas", "apps:list").stdout


def test_a_stopped_platform_comes_back_with_its_apps(machine, demo):
    machine.run(INSTALL, "--stop")
    assert machine.run("paas", "version", check=False).returncode == 69
    machine.run(INSTALL)
    assert_sample_answers(machine)


def test_after_a_reboot_the_apps_answer_without_anybody_doing_anything(machine, demo):
    if machine.init == "plain":
        pytest.skip("nothing starts services at boot on a machine without systemd")
    run(["docker", "restart", machine.name], check=True)
    machine.wait_booted()
    assert_sample_answers(machine)


def assert_sample_answers(machine: Machine) -> None:
    until(lambda: machine.run("paas", "url", "hello", check=False).returncode == 0, "paasd answers")
    url = machine.run("paas", "url", "hello").stdout.strip()
    host = url.removeprefix("http://")
    ask = ["curl", "--silent", "--fail", "--max-time", "5", "--resolve", f"{host}:80:127.0.0.1", url]
    until(lambda: "Hello from paas" in machine.run(*ask, check=False).stdout, "the sample answers")


def test_uninstall_keeps_the_data_and_an_install_takes_them_up(machine, demo):
    machine.run(INSTALL, "--uninstall")
    assert machine.missing(INSTALLED) == list(INSTALLED)
    assert machine.missing(("/var/lib/paas/paas.db", "/etc/paas/master.key")) == []
    machine.run(INSTALL)
    assert "hello" in machine.run("paas", "apps:list").stdout


def test_purge_removes_everything_of_ours_and_nothing_else(machine, demo):
    machine.run("sh", "-c", "tar -c -C / bin/true | docker import - foreign:latest && docker network create foreign")
    machine.run(INSTALL, "--uninstall", "--purge", "--yes")
    gone = (*INSTALLED, "/var/lib/paas", "/etc/paas", "/run/paas", "/usr/local/lib/paas-versions", "/root/.paas-demo")
    assert machine.missing(gone) == list(gone)
    assert "paas-host" not in machine.run("iptables", "--list-rules").stdout
    assert machine.run("getent", "passwd", "paas", check=False).returncode == 2
    # The engine went with what install.sh had started; look at what it kept.
    machine.run("sh", "-c", "pgrep -x dockerd || setsid dockerd >/tmp/dockerd.log 2>&1 & "
                "until docker version >/dev/null 2>&1; do sleep 0.2; done")
    assert machine.containers() == []
    assert machine.run("docker", "images", "--format", "{{.Repository}}").stdout.split() == ["foreign"]
    networks = machine.run("docker", "network", "ls", "--format", "{{.Name}}").stdout.split()
    assert sorted(networks) == ["bridge", "foreign", "host", "none"]
