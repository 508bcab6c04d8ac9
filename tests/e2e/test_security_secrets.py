"""B04, D09, F02, UP1: planted secrets, looked for everywhere while they are set, deployed, linked and backed up.

Where one may be: the container's environment, and `config:get` by a key that may.
"""

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e import state
from tests.e2e.world import World, run, until
from tests.fixtures import apps
from tests.fixtures.s3 import rclone_s3

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("base_images")]

# Every command line that is seen, once, a hundred looks a second: also of processes that live a moment.
SAMPLER = """
import os, sys, time
seen, out = set(), open(sys.argv[1], "ab", buffering=0)
while True:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read()
            except OSError:
                continue
            if words not in seen:
                seen.add(words)
                out.write(words.replace(b"\\n", b" ") + b"\\n")
    time.sleep(0.01)
"""


class Sampler:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self.process = subprocess.Popen([sys.executable, "-c", SAMPLER, str(path)])

    def lines(self) -> list[bytes]:
        """All but the test's own S3 server, which is given its key as an argument."""
        return [line for line in self.path.read_bytes().splitlines() if b"rclone" not in line.split(b"\0")[0]]

    def works(self) -> None:
        """It has seen a process that lives for a moment."""
        mark = secrets.token_hex(8)
        until(lambda: run(["/bin/sh", "-c", f"sleep 0.05 # {mark}"]).returncode == 0
              and any(mark.encode() in line for line in self.lines()), "the sampler sees a short process")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A world in which everything was done with secrets that can be done with them, and what was seen meanwhile."""
    world, home = World.open(), tmp_path_factory.mktemp("argv")
    sampler = Sampler(home / "argv")
    try:
        sampler.works()
        with rclone_s3() as server:
            yield world, live(world, server), sampler
    finally:
        sampler.process.kill()
        sampler.process.wait()
        world.close()


def live(world: World, server) -> dict[str, object]:
    """Set, deploy, fail, link, back up, drill, look, crash. What is to be found nowhere, by name."""
    planted = {"config": f"Q{secrets.token_hex(16)}", "s3": server.target.secret_key.reveal()}
    repo = world.app_repo(apps.web("one"), "secretive")
    repo.push()
    world.paas("config:set", repo.app, "TOKEN", "--stdin", input=planted["config"], check=True)
    where = server.target
    world.paas("backups:target", "set", where.url, "--endpoint", where.endpoint, "--region", where.region,
               "--access-key", where.access_key, input=planted["s3"] + "\n", check=True)
    world.paas("postgres:create", "db", check=True)
    world.paas("postgres:link", "db", repo.app, check=True)
    url = world.paas("config:get", repo.app, "DATABASE_URL", check=True).stdout.strip()
    planted["postgres"] = url.split(":")[2].partition("@")[0]
    world.paas("postgres:connect", "db", input="create table t as select generate_series(1, 10);", check=True)
    world.paas("postgres:backup", "db", check=True)
    world.paas("backups:drill", "postgres/db", check=True)
    repo.commit({**apps.dies(), "start": "echo the end >&2\nexit 3\n"})
    assert "rejected" in repo.push(check=False).output
    repo.commit(apps.web("two"))
    repo.push()
    for line in ("run secretive true", "ps:restart secretive", "doctor", "reconcile", "server:backup"):
        world.paas(*line.split())
    world.kill_daemon()
    world.start_daemon()
    state.come_to_rest(world)
    return {"planted": planted, "repo": repo, "server": server}


def holds(data: bytes, secret: str) -> bool:
    return secret.encode() in data or base64.b64encode(secret.encode()).rstrip(b"=")[:-1] in data


def leaks(planted: dict[str, str], data: bytes | str) -> list[str]:
    data = data.encode() if isinstance(data, str) else data
    return [name for name, secret in planted.items() if holds(data, secret)]


def test_b04_no_command_line_ever_held_one(told):
    world, done, sampler = told
    lines = sampler.lines()
    assert any(b"pg_dump" in line for line in lines), "the sampler saw the dump"
    assert any(b"git-receive-pack" in line for line in lines)
    assert {name for line in lines for name in leaks(done["planted"], line)} == set()


def test_b04_no_file_of_the_platform_holds_one(told):
    """Database, WAL, repositories, proxy configuration, logs of builds and daemons, settings."""
    world, done, _ = told
    looked = 0
    for folder in (world.root / "state", world.root / "run", world.root / "log", world.root / "etc"):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                looked += 1
                assert leaks(done["planted"], path.read_bytes()) == [], path
    assert looked > 20
    assert (world.settings.database.parent / "paas.db-wal").exists()


def test_b04_no_backup_holds_one(told):
    world, done, _ = told
    objects = [path for path in done["server"].directory.rglob("*") if path.is_file()]
    assert len(objects) > 2
    for path in objects:
        assert leaks(done["planted"], path.read_bytes()) == [], path


def test_b04_no_image_label_argument_or_log_holds_one(told):
    """D09. What Docker knows of images, networks and volumes, and of containers all but their environment."""
    world, done, _ = told
    mark = world.settings.prefix
    for image in {one["Image"] for one in world.containers()}:
        for words in (("history", "--no-trunc"), ("image", "inspect")):
            assert leaks(done["planted"], run(["docker", *words, image], check=True).output) == []
    for kind in ("network", "volume"):
        names = [name for name in run(["docker", kind, "ls", "--format", "{{.Name}}"]).stdout.split() if mark in name]
        assert names
        assert leaks(done["planted"], run(["docker", kind, "inspect", *names], check=True).output) == []
    for one in world.containers():
        environment = one["Config"].pop("Env")
        assert leaks(done["planted"], json.dumps(one)) == [], one["Name"]
        assert leaks(done["planted"], run(["docker", "logs", one["Id"]]).output) == []
        if one["Config"]["Labels"].get("paas.app-name") == "secretive":
            assert set(leaks(done["planted"], json.dumps(environment))) == {"config", "postgres"}


def test_b04_nothing_that_is_said_holds_one(told):
    """Events, doctor, reports, listings; the journal and syslog where there are any."""
    world, done, _ = told
    for line in ("events -n 500 --format json", "doctor --format json", "reconcile --format json", "status",
                 "config secretive", "releases:info secretive", "releases secretive", "apps:report secretive",
                 "postgres:info db", "postgres:logs db -n 1000", "logs secretive -n 1000", "backups --format json",
                 "backups:target show",
                 "backups:health", "server:report", "postgres:links db", "builds:log secretive"):
        said = world.local(*line.split())
        assert said.returncode in (0, 1), (line, said.output)
        assert leaks(done["planted"], said.output) == [], line
    began = (world.root / "owner").stat().st_mtime
    for folder, _, names in os.walk("/var/log"):
        for name in names:
            path = Path(folder) / name
            if path.is_file() and path.stat().st_mtime > began and path.stat().st_size < 50_000_000:
                assert leaks(done["planted"], path.read_bytes()) == [], path
    journal = subprocess.run(["journalctl", "--since", time.strftime("%F %T", time.localtime(began))],
                             capture_output=True, check=False) if Path("/usr/bin/journalctl").exists() else None
    assert journal is None or leaks(done["planted"], journal.stdout) == []


def test_b04_a_key_that_may_gets_it_and_another_does_not(told):
    world, done, _ = told
    value = done["planted"]["config"]
    assert world.paas("config:get", "secretive", "TOKEN", check=True).stdout.strip() == value
    reader = world.new_key("reader", add=False)
    world.local("ssh-keys:add", "reader", "--role", "read", "--app", "secretive", check=True,
                input=reader.with_suffix(".pub").read_text())
    for line in ("config:get secretive TOKEN", "config:show secretive", "config:export secretive", "run secretive env",
                 "enter secretive", "config secretive"):
        said = world.paas(*line.split(), key=reader)
        assert said.returncode in (0, 6), line
        assert leaks(done["planted"], said.output) == [], line
    assert world.paas("config:get", "secretive", "TOKEN", key=reader).returncode == 6


def test_f02_a_datastore_asks_for_its_password(told):
    """64 hexadecimal digits, by SCRAM; nobody gets in without it over the network."""
    world, done, _ = told
    assert len(done["planted"]["postgres"]) == 64
    rules = world.paas("postgres:enter", "db", "psql", "-U", "postgres", "-Atc",
                       "select type || ' ' || auth_method from pg_hba_file_rules", check=True).stdout.splitlines()
    assert [rule for rule in rules if rule.startswith("host")]
    assert {rule.split()[1] for rule in rules if rule.startswith("host")} <= {"scram-sha-256", "reject"}
