"""The example of every command's help, typed at a shell of root exactly as it stands there.

One app's life, in an order in which each example has what it needs. A command that is not in it fails the last test.
"""

import json
import os
import re
import shlex
import sqlite3
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from paas.adapters.age import AgeSealing
from paas.cli import load_commands
from paas.cli.families import family
from paas.cli.help import visible
from tests.contract.caddybox import public_port
from tests.contract.pems import self_signed
from tests.e2e.world import Repo, World, run, until
from tests.fixtures import apps

APP = {
    "Dockerfile": "FROM busybox:latest\nWORKDIR /app\nCOPY . .\nRUN chmod +x nightly\n",
    "Procfile": "web: httpd -f -p $PORT -h /app/www\nworker: sleep 3600\nbeat: sleep 3600\n",
    "nightly": "#!/bin/sh\nsleep 30\n", "www/index.html": "one", "www/healthz/index.html": "well",
    "app.json": '{"cron": [{"schedule": "0 3 1 * *", "command": "echo report"},'
                ' {"schedule": "0 4 1 1 *", "command": "./nightly"}]}',
}
load_commands()
# Exit codes other than 0 that the situation asks for.
CODES = {"builds:cancel": {3}, "doctor": {0, 1}, "logs": {124}, "run:logs": {124}, "backups:health": {0, 1},
         "postgres:promote": {3},                # it is the main one already
         "postgres:backup-set-encryption": {3},  # no passphrase on standard input
         "postgres:upgrade": {0, 30},            # where no registry can be reached
         "notify:test": {1},                     # there is no such host
         "access:check": {6}}
# These take another machine, or a time that has passed; the same lines are typed there.
ELSEWHERE = {"server:restore": "test_server_restore.py", "backups:restore-to": "test_pitr.py"}
FOLLOWS = ("logs", "run:logs")           # until ^C


class Shell:
    """A directory of root's on the server, with `paas` on the path."""

    def __init__(self, world: World, repo: Repo) -> None:
        self.world, self.repo, self.home = world, repo, repo.path
        programs = world.root / "bin"
        programs.mkdir()
        # The names of the examples are in no DNS.
        for name, words in (("paas", world.client_argv()), ("curl", ["/usr/bin/curl", "--connect-to", "::127.0.0.1:"])):
            (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            (programs / name).chmod(0o755)
        self.env = {**world.git_environment(), "PATH": f"{programs}:{os.environ['PATH']}",
                    "PAAS_SOCKET": str(world.settings.socket), "LANG": "C.UTF-8"}
        self.ran: set[str] = set(ELSEWHERE)
        self.words = {"/etc/bash_completion.d/": f"{world.root}/", "/var/backups/": f"{world.root}/backups/",
                      "8080": str(public_port())}

    def type(self, name: str) -> None:
        """The example of the command *name*."""
        line = example(name)
        assert line, f"{name} has no example in its help"
        for word, meant in self.words.items():       # a file of the real machine, an id that is somebody else's
            line = line.replace(word, meant)
        patience = ["timeout", "--signal", "INT", "2"] if name in FOLLOWS else []
        done = subprocess.run([*patience, "bash", "-o", "pipefail", "-c", line], cwd=self.home, env=self.env,
                              timeout=100, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode in CODES.get(name, {0}), f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
        ran = family(visible()[name].callback)
        self.ran |= {other for other in visible() if family(visible()[other].callback) is ran}


def example(name: str) -> str:
    found = re.findall(r"^\s*Example: (.*)$", visible()[name].help or "", re.M)
    return found[0] if found else ""


def put_files(shell: Shell) -> None:
    (shell.home / "alice.pub").write_bytes(shell.world.new_key("other", add=False).with_suffix(".pub").read_bytes())
    (shell.home / "hello.env").write_text("GREETING=hi\n")
    (shell.home / "docker-compose.yml").write_text("services: {web: {build: ., ports: ['80:5000']}}\n")
    certificate, key = self_signed("hello.paas.test")
    (shell.home / "cert.pem").write_text(certificate)
    (shell.home / "key.pem").write_text(key.reveal())
    shell.repo.git("remote", "remove", "production")


def other_key(shell: Shell) -> None:
    path = shell.world.new_key("another", add=False)
    (shell.home / "alice-new.pub").write_bytes(path.with_suffix(".pub").read_bytes())


def confirm_kit(shell: Shell) -> None:
    (shell.world.root / "backups").mkdir()
    word = shell.world.local("backups:kit", check=True).stdout.split()[-1]
    shell.world.local("backups:kit", "--confirm", word, check=True)
    shell.words["age1…"] = AgeSealing().new_identity()[1]


def know_the_backup(shell: Shell) -> None:
    [newest, *_] = json.loads(shell.world.local("postgres:backups", "db", "--format", "json", check=True).stdout)
    shell.words["20261120T160000Z-1a2b3c4d"] = newest["id"]


def let_it_go(shell: Shell) -> None:
    shell.world.local("backups:hold", shell.words["20261120T160000Z-1a2b3c4d"], "--off", check=True)
    shell.world.local("postgres:backup", "db", check=True)


def put_rows(shell: Shell) -> None:
    shell.world.local("postgres:connect", "db", input="create table notes (text text);\n", check=True)


def no_rows(shell: Shell) -> None:
    shell.world.local("postgres:connect", "db", input="drop table notes;\n", check=True)


def drop_copy(shell: Shell) -> None:
    shell.world.local("postgres:destroy", "db2", "--confirm", "db2", "--no-final-backup", check=True)


def a_database_file(shell: Shell) -> None:
    place = shell.world.settings.storage_dir / "hello"
    shell.world.local("storage:mount", "hello", f"{place}:/data", "--restart", check=True)
    with sqlite3.connect(place / "app.db") as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE notes (text TEXT)")
    database.close()


def streamed(shell: Shell) -> None:
    """Until its first state is in the target; then a time is known that can be restored."""
    def safe() -> bool:
        said = shell.world.local("sqlite:info", "hello", "app", "--format", "json").stdout
        return bool(json.loads(said).get("restorable_from"))

    until(safe, "the file is streamed")
    time.sleep(2)
    shell.words["2026-11-20T16:00:00Z"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def push(shell: Shell) -> None:
    shell.repo.commit({"www/index.html": os.urandom(4).hex()})
    shell.repo.push()


def start_run(shell: Shell) -> None:
    shell.type("run:detached")
    until(lambda: "run.1" in shell.world.local("run:list", "hello").stdout, "the detached run is there")


def start_a_job(shell: Shell) -> None:
    made = shell.world.local("cron:run", "hello", "2b56bab3", "--detach", check=True)
    assert "cron.2" in made.stdout


def set_a_token(shell: Shell) -> None:
    shell.world.local("config:set", "--no-restart", "hello", "NPM_TOKEN=x", check=True)


def ready_for_a_buildpack(shell: Shell) -> None:
    shell.repo.commit({"Dockerfile": None, "Procfile": None, "nightly": None, "index.html": "static",
                       "www/index.html": None, "www/healthz/index.html": None})
    shell.world.local("checks:unset", "hello", "path", check=True)
    shell.world.local("builder:set", "hello", "selected", check=True)
    shell.repo.push("production", force=True)


def rename_back(shell: Shell) -> None:
    shell.world.local("apps:rename", "greeter", "hello", check=True)


def own_image(shell: Shell) -> None:
    """A local image under the example's name, unless there is a genuine one."""
    if run(["docker", "image", "inspect", "nginx:1.29"]).returncode:
        context = shell.world.root / "nginx"
        for name, content in apps.web("not really nginx").items():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            (context / name).write_text(content)
        run(["docker", "build", "--quiet", "--tag", "nginx:1.29", "--label", "paas.tests.example=true", str(context)],
            check=True)


def drop_image(shell: Shell) -> None:
    label = run(["docker", "image", "inspect", "--format", '{{index .Config.Labels "paas.tests.example"}}',
                 "nginx:1.29"]).stdout.strip()
    if label == "true":
        run(["docker", "image", "rm", "nginx:1.29"])


LIFE: tuple[str | Callable[[Shell], None], ...] = (
    "help", "version", "completion", "status", "doctor", "server:report", "server:set", put_files,
    "server:build-ca", "server:build-env-set", "server:build-env", "server:build-env-unset",
    "domains:set-global", "domains:clear-global", "domains:set-global",
    "apps:create", "ssh-keys:add", "ssh-keys:list", "ssh-keys:info", other_key, "ssh-keys:rotate",
    "access:grant", "access:list", "access:revoke", "access:check", "ssh-keys:remove", "ci:setup",
    "apps:exists", "apps:info", "apps:list", "git:remote", "apps:import-compose", push,
    "builds:list", "builds:cancel", "releases:list", "url", "urls",
    "config:set", "config:get", "config:keys", "config:show", "config:export", "config:unset", "config:import",
    "releases:info", "releases:diff", "rollback", "config:clear",
    "ps:autosleep", "ps:sleep", "ps:wake", "ps:scale", "ps", "ps:report", "ps:strategy", "ps:set", "ps:settings",
    "ps:restart", "ps:rebuild", "ps:stop", "ps:start",
    "checks:report", "checks:set", "checks:unset", "checks:disable", "checks:enable",
    "domains:report", "domains:add", "domains:remove", "domains:set", "domains:clear", "domains:reset",
    "certs:add", "certs:report", "certs:remove",
    "resource:limit", "resource:reserve", "resource:report", "resource:limit-clear",
    "storage:mount", "storage:list", "storage:unmount",
    "ports:set", "ports:add", "ports:report", "ports:remove", "ports:clear", "proxy:set", "proxy:report",
    "network:set", "network:settings", "network:report",
    "maintenance:on", "maintenance:report", "maintenance:off",
    start_run, "run:list", "run:logs", "run:stop", "run", "enter", "logs", "events",
    "logs:drain", "logs:drain-global", "logs:drains", "logs:drain-remove",
    "notify:add", "notify:list", "notify:info", "notify:test", "notify:set", "incidents", "notify:remove",
    "heartbeat:set", "heartbeat", "heartbeat:unset", "uptime", "uptime:set", "uptime:settings",
    "metrics", "metrics:token", "otel:set", "otel:report", "otel:unset", "otel:set-global", "otel:unset-global",
    "cron:list", "cron:run", "cron:log", start_a_job, "cron:stop", "cron:history", "cron:suspend", "cron:resume",
    "cron:set", "cron:settings", "cron:report",
    "postgres:create", "postgres:exists", "postgres:list", "postgres:info", "postgres:link", "postgres:links",
    "postgres:app-links", "postgres:promote", "postgres:set", "postgres:expose", "postgres:unexpose",
    "postgres:restart", "postgres:stop", "postgres:start", "postgres:logs", "postgres:connect", put_rows,
    "postgres:enter",
    "backups:key", "backups:kit", confirm_kit, "backups:target",
    "postgres:backup-auth", "postgres:backup-target", "postgres:backup-deauth", "postgres:backup-set-encryption",
    "postgres:backup-set-public-key-encryption",
    "postgres:backup", "postgres:backups", know_the_backup, "backups", "backups:info", "backups:drill",
    "postgres:backup-drills", "postgres:backup-retention", "postgres:backup-schedule",
    "postgres:backup-schedule-cat", "postgres:backup-unschedule", "backups:health", "backups:in-target",
    "backups:hold", "postgres:restore", "backups:restore", drop_copy, "postgres:clone", "postgres:export",
    let_it_go, "backups:delete", "postgres:upgrade", "postgres:pitr", "backups:histories",
    "server:backup", "server:backup-drills", "server:backup-retention", "server:backup-schedule",
    "server:backup-schedule-cat", "server:backup-unschedule",
    a_database_file, "sqlite:protect", "sqlite:list", streamed, "sqlite:info", "sqlite:restore", "sqlite:drill",
    "sqlite:unprotect",
    "postgres:unlink", no_rows, "postgres:import", "postgres:drop-old", "postgres:destroy",
    set_a_token, "builder:arg", "builder:secret", "builder:report", push, "builds:log",
    "apps:lock", "apps:locked", "apps:unlock", "reconcile", "disk", "cleanup",
    "git:set", "git:report", "git:from-archive", own_image, "git:from-image", drop_image,
    ready_for_a_buildpack, "buildpacks:list", "buildpacks:show", "buildpacks:eject", "buildpacks:set",
    "builder:set", "watch:set", "watch", "apps:rename", rename_back, "apps:destroy",
)


@pytest.fixture(scope="module")
def shell() -> Shell:
    world = World.open()
    try:
        yield Shell(world, world.app_repo(APP, "hello"))
    finally:
        world.close()


@pytest.mark.timeout(900)
def test_the_life_of_an_app(shell):
    for step in LIFE:
        shell.type(step) if isinstance(step, str) else step(shell)
    assert visible().keys() - shell.ran == set()
