"""A whole private platform for tests: sshd, Caddy and paasd of its own, on the machine's Docker engine.

Everything lies under one directory in ``/srv`` (sshd's StrictModes wants parents that only root may write), listens on
free ports of 127.0.0.1, and carries an own prefix in Docker, so that several worlds and a real installation live
side by side. ``World.close`` removes all of it and nothing else.
"""

import http.client
import ipaddress
import json
import os
import pwd
import random
import secrets
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paas.adapters import caddy_process, host_files
from paas.settings import Settings, load

SOURCE = Path(__file__).resolve().parents[2]
BASE = Path("/srv/paas-tests")
PROGRAM = ("paas", "hooks", "buildpacks", "plugins")
DOMAIN = "paas.test"                     # apps are <app>.paas.test
PATIENCE = 30.0                          # seconds that a process may take to start or stop
ROUTINE = ('{"level":"info"', "Accepted publickey", "Received disconnect", "Disconnected from")    # lines of logs


@dataclass(frozen=True)
class Result:
    """What a command said and how it ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    @property
    def json(self):
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def run(argv: list[str], *, input: str | bytes | None = None, env: Mapping[str, str] | None = None,
        cwd: Path | None = None, timeout: float = 110, check: bool = False) -> Result:
    """Run to the end; with *check*, a failure is an AssertionError that shows all it said."""
    data = input.encode() if isinstance(input, str) else input
    stdin = {"input": data} if data is not None else {"stdin": subprocess.DEVNULL}
    done = subprocess.run(argv, capture_output=True, env=env, cwd=cwd, timeout=timeout, check=False, **stdin)
    result = Result(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
    if check and result.returncode:
        raise AssertionError(f"{' '.join(argv)}: exit {result.returncode}\n{result.output}")
    return result


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def free_pool() -> str:
    """A /16 of 10.0.0.0/8 that neither a route nor a network of the engine touches."""
    words = run(["ip", "-4", "-o", "route", "show", "table", "all"]).stdout.split()
    names = run(["docker", "network", "ls", "--quiet"]).stdout.split()
    seen = run(["docker", "network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", *names]).stdout
    taken = []
    for word in words + seen.split():
        try:
            taken.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            continue
    taken = [net for net in taken if net.version == 4 and net.prefixlen]
    pools = [ipaddress.ip_network(f"10.{second}.0.0/16") for second in range(100, 250)]
    return str(random.choice([pool for pool in pools if not any(pool.overlaps(net) for net in taken)]))


def until(true: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until *true()*; AssertionError with *what* after *seconds*. For waiting only: a time is never asserted."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def sweep() -> None:
    """Remove the worlds of test runs that were killed before they could."""
    for owner in BASE.glob("*/owner"):
        pid, _, began = owner.read_text().partition(" ")
        if began and start_of(pid) != began:
            World(owner.parent, load(owner.parent / "etc" / "paas.toml")).close()


def start_of(pid: int | str) -> str:
    """When a process began, in ticks since the boot (field 22 of proc_pid_stat(5)); empty: there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def ensure_user(name: str, home: str, shell: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        run(["useradd", "--system", "--home-dir", home, "--no-create-home", "--shell", shell, "--password", "*", name],
            check=True)


@dataclass
class Process:
    """One process of the world; its output goes to a log file."""

    name: str
    argv: list[str]
    environment: Mapping[str, str]
    log: Path
    popen: subprocess.Popen | None = None

    def start(self) -> None:
        assert self.popen is None or self.popen.poll() is not None, f"{self.name} runs already"
        with self.log.open("ab") as log:
            argv = ["/usr/bin/setpriv", "--pdeathsig", "KILL", *self.argv]      # ends with a killed test run
            self.popen = subprocess.Popen(argv, env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, start_new_session=True)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.popen is None or self.popen.poll() is not None:
            return
        self.popen.send_signal(number)
        try:
            self.popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.name} did not stop\n{self.tail()}") from None

    @property
    def running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def tail(self, lines: int = 30) -> str:
        """The last of its log, less what it says of every connection and reload."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join([line for line in text.splitlines() if not line.startswith(ROUTINE)][-lines:])


@dataclass
class Repo:
    """A developer's checkout with the remote ``production``."""

    world: "World"
    path: Path
    app: str
    branch: str = "main"

    @property
    def host(self) -> str:
        return f"{self.app}.{DOMAIN}"

    def git(self, *words: str, check: bool = True, env: Mapping[str, str] | None = None) -> Result:
        return run(["git", *words], cwd=self.path, env={**self.world.git_environment(), **(env or {})}, check=check)

    def commit(self, files: Mapping[str, str | bytes | None] | None = None, message: str = "change") -> str:
        """Write *files* (None removes one), commit everything, return the commit's id."""
        for name, content in (files or {}).items():
            target = self.path / name
            if content is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD").stdout.strip()

    def push(self, branch: str = "", *, remote_app: str = "", ref: str = "HEAD", force: bool = False,
             check: bool = True, key: Path | None = None, options: tuple[str, ...] = ()) -> Result:
        """``git push`` of *ref* to *branch* of the app; what the platform said is in ``.output``."""
        url = self.world.remote(remote_app or self.app)
        goal = f"{ref}:refs/heads/{branch or self.branch}"
        words = ["push", *(["--force"] if force else []), *options, url, goal]
        env = self.world.git_environment(key) if key else None
        try:
            return self.git(*words, check=check, env=env)
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- paasd ---\n{self.world.daemon.tail()}") from None


@dataclass
class World:
    """Start with ``World.open()``; ends with ``close()``."""

    root: Path
    settings: Settings
    sshd: Process = field(init=False)
    proxy: Process = field(init=False)
    daemon: Process = field(init=False)

    # life --------------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, **changes: str | int) -> "World":
        """A running world; *changes* are settings that differ from a test's usual ones."""
        if os.geteuid() != 0:
            raise AssertionError("the platform needs root: run sudo tests/run")
        BASE.mkdir(mode=0o755, parents=True, exist_ok=True)
        sweep()
        root = BASE / secrets.token_hex(3)
        world = cls(root, lay_out(root, changes))
        try:
            world._start()
        except BaseException:
            print(world.logs(), file=sys.stderr)
            world.close()
            raise
        return world

    def _start(self) -> None:
        log, config = self.root / "log", self.root / "etc" / "sshd_config"
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(SOURCE),
                       "PAAS_SETTINGS": str(self.root / "etc/paas.toml"), "PAAS_FAILPOINTS": "allowed"}
        self.sshd = Process("sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], {"PATH": "/usr/sbin:/usr/bin"},
                            log / "sshd")
        self.proxy = Process("caddy", host_files.proxy_argv(self.settings),
                             caddy_process.caddy_environment(self.settings), log / "caddy")
        self.daemon = Process("paasd", [sys.executable, "-m", "paas.daemon"], environment, log / "paasd")
        self.sshd.start()
        self.proxy.start()
        self.start_daemon()
        until(lambda: listens(self.settings.ssh_port), "sshd listens")
        until(lambda: listens(self.settings.http_port), "Caddy listens")
        self.local("ssh-keys:add", "admin", input=(self.key.with_suffix(".pub")).read_text(), check=True)
        self.local("server:set", "global-domain", DOMAIN, check=True)
        self.local("server:set", "uptime-interval", "0", check=True)     # nobody asks the apps beside the test
        self.local("server:set", "watch-seconds", "0", check=True)       # no old containers beside the new ones

    def close(self) -> None:
        """Stop the processes and remove every file, container, network and image of this world."""
        for process in ("daemon", "proxy", "sshd"):
            if hasattr(self, process):
                getattr(self, process).stop(signal.SIGKILL)
        self.remove_docker_objects()
        shutil.rmtree(self.root, ignore_errors=True)

    def remove_docker_objects(self) -> None:
        mark, prefix = "label=paas.server", self.settings.prefix
        for kind, remove in (("container", ["rm", "--force", "--volumes"]), ("network", ["rm"])):
            fields = "{{.ID}} {{.Names}}" if kind == "container" else "{{.ID}} {{.Name}}"
            listing = [kind, "ls", "--filter", mark, "--format", fields] + (["--all"] if kind == "container" else [])
            for line in run(["docker", *listing]).stdout.splitlines():
                identity, _, name = line.partition(" ")
                if name.startswith(f"{prefix}-"):
                    run(["docker", kind, *remove, identity])
        for name in run(["docker", "volume", "ls", "--quiet", "--filter", mark]).stdout.split():
            if name.startswith(f"{prefix}-"):
                run(["docker", "volume", "rm", name])
        fields = "{{.Repository}}:{{.Tag}}"
        listing = ["docker", "image", "ls", "--filter", f"reference={prefix}-*", "--format", fields]
        for name in run(listing).stdout.split():
            run(["docker", "image", "rm", "--force", name])

    def failpoints(self, *orders: str) -> None:
        """Give the daemon these orders, and no others, from now on (paas/failpoints.py); a restart keeps them."""
        path = self.root / "etc" / "failpoints"
        fresh = path.with_suffix(".fresh")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.writelines(f"{order}\n" for order in orders)
        fresh.replace(path)

    def start_daemon(self) -> None:
        self.daemon.start()
        until(lambda: self.local("version").returncode == 0 or not self.daemon.running, "paasd answers")
        assert self.daemon.running, f"paasd ended\n{self.daemon.tail()}"

    def restart_daemon(self) -> None:
        self.daemon.stop()
        self.start_daemon()

    def kill_daemon(self) -> None:
        """SIGKILL, and leave it dead: see ``start_daemon``."""
        self.daemon.stop(signal.SIGKILL)

    def restart_proxy(self, number: int = signal.SIGTERM) -> None:
        self.proxy.stop(number)
        caddy_process.leave_out_taken(self.settings)             # as its unit does
        self.proxy.start()
        until(lambda: listens(self.settings.http_port), "Caddy listens")

    def logs(self) -> str:
        parts = [getattr(self, name) for name in ("daemon", "proxy", "sshd") if hasattr(self, name)]
        return "\n".join(f"--- {part.name} ---\n{part.tail()}" for part in parts)

    # talking to it -----------------------------------------------------------------------------------------------

    @property
    def key(self) -> Path:
        """The private key of the user ``admin``."""
        return self.root / "client" / "id_ed25519"

    def new_key(self, name: str, *, add: bool = True, type: str = "ed25519") -> Path:
        """Make a key pair, give it access under *name*, and return the path of its private half."""
        path = self.root / "client" / name
        run(["ssh-keygen", "-q", "-t", type, "-N", "", "-C", name, "-f", str(path)], check=True)
        if add:
            self.local("ssh-keys:add", name, input=path.with_suffix(".pub").read_text(), check=True)
        return path

    def ssh_argv(self, key: Path | None = None, *options: str) -> list[str]:
        """``ssh`` with this world's port, key and known host, without anything of the machine's own configuration."""
        return ["ssh", "-F", "none", "-p", str(self.settings.ssh_port), "-i", str(key or self.key),
                "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
                "-o", f"UserKnownHostsFile={self.root}/client/known_hosts", *options]

    def git_environment(self, key: Path | None = None) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.root / "client"), "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_SSH_COMMAND": " ".join(self.ssh_argv(key)), "GIT_TERMINAL_PROMPT": "0"}

    def remote(self, app: str) -> str:
        return f"{self.settings.ssh_user}@127.0.0.1:{app}"

    def paas(self, *words: str, input: str | bytes | None = None, key: Path | None = None, check: bool = False,
             timeout: float = 110) -> Result:
        """A command over SSH; each word is quoted as a shell would need it."""
        quoted = shlex.join(words)
        argv = [*self.ssh_argv(key), self.remote("").rstrip(":"), quoted]
        return run(argv, input=input, check=check, timeout=timeout)

    def client_argv(self, *words: str) -> list[str]:
        program = f"import sys; sys.path.append({str(self.settings.lib_dir)!r}); from paas.client import main; main()"
        return ["/usr/bin/python3", "-ISc", program, *words]

    def local(self, *words: str, input: str | bytes | None = None, check: bool = False, timeout: float = 110,
              cwd: Path | None = None) -> Result:
        """A command of root on the server itself."""
        env = {"PATH": os.environ["PATH"], "PAAS_SOCKET": str(self.settings.socket), "LANG": "C.UTF-8"}
        return run(self.client_argv(*words), input=input, env=env, check=check, timeout=timeout, cwd=cwd)

    def app_repo(self, files: Mapping[str, str | bytes | None], name: str = "", branch: str = "main") -> Repo:
        """A new checkout with one commit of *files*, to be pushed to the app *name* (default: a new one)."""
        name = name or f"app-{secrets.token_hex(3)}"
        path = self.root / "client" / f"{name}-{secrets.token_hex(2)}"
        run(["git", "init", "--quiet", "--initial-branch", branch, str(path)], check=True)
        repo = Repo(self, path, name, branch)
        repo.git("config", "user.name", "Developer")
        repo.git("config", "user.email", "developer@example.com")
        repo.git("remote", "add", "production", self.remote(name))
        repo.commit(files, "first")
        return repo

    def get(self, host: str, path: str = "/", *, method: str = "GET", headers: Mapping[str, str] | None = None,
            body: bytes | None = None, https: bool = False, timeout: float = 30) -> Response:
        """One request through the proxy for *host*; certificates are not verified. Redirects are not followed."""
        if https:
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(host, self.settings.https_port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection(host, self.settings.http_port, timeout=timeout)
        port = connection.port
        connection._create_connection = lambda _address, *words: socket.create_connection(("127.0.0.1", port), *words)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def containers(self, app: str = "") -> list[dict]:
        """The engine's view: ``docker inspect`` of this world's containers (of one app), stopped ones too."""
        names = run(["docker", "ps", "--all", "--filter", "label=paas.server", "--format", "{{.Names}}"]).stdout.split()
        ours = [name for name in names if name.startswith(f"{self.settings.prefix}-")]
        found = json.loads(run(["docker", "inspect", *ours]).stdout) if ours else []
        return [one for one in found if not app or one["Config"]["Labels"].get("paas.app-name") == app]


def listens(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def lay_out(root: Path, changes: Mapping[str, str | int]) -> Settings:
    """Directories, a readable copy of the program, keys, the settings file and sshd's configuration."""
    for name in ("", "etc", "state", "log", "lib"):
        (root / name).mkdir(mode=0o755)
    (root / "client").mkdir(mode=0o700)
    (root / "owner").write_text(f"{os.getpid()} {start_of(os.getpid())}")
    words: dict[str, str | int] = {
        "state-dir": f"{root}/state", "run-dir": f"{root}/run", "config-dir": f"{root}/etc", "lib-dir": f"{root}/lib",
        "caddy": f"{root}/lib/caddy", "litestream": str(Path(sys.executable).parent / "litestream"),
        "host": "127.0.0.1", "host-keys": f"{root}/etc", "ssh-port": free_port(), "http-port": free_port(),
        "https-port": free_port(), "prefix": f"paas-{root.name}", "network-pool": free_pool(),
        "reload_overlap_ms": 400,                # many apps come and go
    }
    words.update({key.replace("_", "-"): value for key, value in changes.items()})
    path = root / "etc" / "paas.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in words.items()))
    settings = load(path)
    ensure_user(settings.ssh_user, "/", "/bin/sh")
    ensure_user(settings.proxy_user, "/nonexistent", "/usr/sbin/nologin")
    copy_program(settings.lib_dir)
    lay_out_ssh(root, settings)
    return settings


def copy_program(lib: Path) -> None:
    """The SSH user must be able to read hooks and client, wherever this checkout lies."""
    for name in PROGRAM:
        if (SOURCE / name).is_dir():
            shutil.copytree(SOURCE / name, lib / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(Path(sys.executable).parent / "caddy", lib / "caddy")
    run(["chmod", "-R", "u=rwX,go=rX", str(lib)], check=True)
    run(["/usr/bin/python3", "-m", "compileall", "-q", "-j", "1", str(lib / "paas")])


def lay_out_ssh(root: Path, settings: Settings) -> None:
    host_key, config = root / "etc" / "ssh_host_ed25519_key", root / "etc" / "sshd_config"
    for path in (host_key, root / "client" / "id_ed25519"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)
    public = host_key.with_suffix(".pub").read_text()
    (root / "client" / "known_hosts").write_text(f"[127.0.0.1]:{settings.ssh_port} {public}")
    (root / "client" / ".gitconfig").write_text("[init]\n\tdefaultBranch = main\n[gc]\n\tauto = 0\n")
    config.write_text(f"Port {settings.ssh_port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\n"
                      f"UsePAM yes\nKbdInteractiveAuthentication no\nPrintMotd no\nAcceptEnv LANG LC_*\n"
                      f"MaxStartups 100\n{host_files.sshd_drop_in(settings)}")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
