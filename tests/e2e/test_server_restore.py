"""A server dies; another machine, with nothing but the target and the identity, becomes it."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.contract.pems import self_signed
from tests.e2e import state
from tests.e2e.targets import set_target
from tests.e2e.world import Repo, World, run, until
from tests.fixtures import apps, sqlite_app
from tests.fixtures.s3 import Server

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("base_images"), pytest.mark.timeout(600)]

CRON = {"cron": [{"command": "echo tick", "schedule": "0 4 * * *"}]}


@dataclass
class Lost:
    """What was known of a server before it was lost."""

    identity: str
    url: str
    backup: str
    with_images: str = ""                # an earlier one, that has the images too
    images: set[str] = field(default_factory=set)        # that its apps ran on
    rows: int = 0                        # that its SQLite file had at the least
    words: dict[str, str] = field(default_factory=dict)          # command → what it printed
    commits: dict[str, str] = field(default_factory=dict)        # app → tip
    client: Path = Path()                # keys and checkouts of its developers


ASKED = (("config", "one", "--format", "json"), ("releases", "one", "--format", "json"),
         ("releases", "two", "--format", "json"), ("cron:list", "one", "--format", "json"),
         ("domains", "one", "--format", "json"), ("ssh-keys:list", "--format", "json"),
         ("postgres:links", "db", "--format", "json"), ("certs:report", "one", "--format", "json"),
         ("backups:key", "show"), ("ps:scale", "one", "--format", "json"))


def live(world: World) -> Lost:
    """Two apps, a database with rows that one is linked to, a certificate, cron, a domain, a second release."""
    one = world.app_repo({**apps.environment("page one"), "app.json": json.dumps(CRON)}, "one")
    world.paas("apps:create", "one", check=True)
    world.paas("config:set", "one", "COLOUR=blue", "SECRET=s3cr3t with spaces", check=True)
    one.push()
    world.paas("postgres:create", "db", check=True)
    world.paas("postgres:link", "db", "one", check=True)
    world.paas("postgres:connect", "db", check=True,
               input="create table t (i int, s text); insert into t select i, 'r' || i from generate_series(1,1000) i;")
    world.paas("domains:add", "one", "www.example.test", check=True)
    chain, key = self_signed("one.paas.test")
    world.paas("certs:add", "one", input=chain + key.reveal(), check=True)
    two = world.app_repo(apps.web("page two"), "two")
    two.push()
    two.commit(apps.page("page two, again"))
    two.push()
    storage = world.settings.storage_dir
    world.paas("storage:mount", "two", f"{storage}/two:/kept", check=True)
    (storage / "two" / "letter").write_text("dear reader")
    notes = world.app_repo(sqlite_app.FILES, "notes")
    world.paas("apps:create", "notes", check=True)
    world.paas("storage:mount", "notes", f"{storage}/notes:/data", check=True)
    notes.push()
    until(lambda: written(world), "the app writes rows")
    return Lost("", "", "", "", set(), 0, {}, {"one": tip(one), "two": tip(two)}, world.root / "client")


def written(world: World) -> int:
    """Rows of the app that writes them all the time."""
    answer = world.get("notes.paas.test", "/rows")
    return int(answer.text.split()[0]) if answer.status == 200 else 0


def backed_up(world: World, *words: str) -> str:
    return world.local("server:backup", "--quiet", *words, check=True).stdout.split()[0]


def tip(repo: Repo) -> str:
    return repo.git("rev-parse", "HEAD").stdout.strip()


def told(world: World) -> dict[str, str]:
    """The ports of worlds differ, and so do the URLs of their apps."""
    said = {" ".join(words): world.local(*words, check=True).stdout for words in ASKED}
    ports = f":({world.settings.http_port}|{world.settings.https_port})"
    return {words: re.sub(ports, "", text) for words, text in said.items()}


def identity_of(world: World) -> str:
    kit = world.local("backups:kit", check=True).stdout
    return next(line for line in kit.splitlines() if line.startswith("AGE-SECRET-KEY-1"))


def lose(world: World, keep: Path) -> None:
    """The machine is gone: processes, containers, networks, volumes, images, files. Its users keep their keys."""
    shutil.copytree(world.root / "client", keep, dirs_exist_ok=True)
    prefix = world.settings.prefix
    world.close()
    for name in run(["docker", "volume", "ls", "--format", "{{.Name}}"]).stdout.split():
        if name.startswith(f"{prefix}-"):
            run(["docker", "volume", "rm", name], check=True)

    def no_container() -> bool:
        world.remove_docker_objects()        # one that the engine was just making for the daemon that was killed
        left = run(["docker", "ps", "--all", "--format", "{{.Names}}"]).stdout.split()
        return not [name for name in left if name.startswith(f"{prefix}-")]

    until(no_container, "no container is left")


def restore(world: World, lost: Lost, *words: str, identity: str = "", secret: str = ""):
    done = world.local("server:restore", "--target-url", lost.url, "--identity-stdin", *words,
                       input=f"# the kit\n{identity or lost.identity}\n{secret}\n", timeout=600)
    assert "internal error" not in done.output, world.daemon.tail(200)
    return done


def hand_over(world: World, keep: Path) -> None:
    """The developers' keys of the lost server are those of this one now."""
    for name in ("id_ed25519", "id_ed25519.pub"):
        shutil.copy2(keep / name, world.root / "client" / name)


def is_back(world: World, lost: Lost, keep: Path) -> None:
    """Every app answers, and everything said of them before is said again."""
    assert world.get("one.paas.test", https=True).text == "page one"
    assert world.get("www.example.test").text == "page one"
    assert world.get("two.paas.test").text == "page two, again"
    assert written(world) >= lost.rows
    again = told(world)
    assert {words: text for words, text in again.items() if lost.words[words] != text} == {}
    counted = world.local("postgres:connect", "db", input="select count(*), sum(i) from t;", check=True).stdout
    assert "1000" in counted
    assert "500500" in counted
    served = world.get("one.paas.test", "/env", https=True).text
    assert "COLOUR=blue" in served
    assert "DATABASE_URL=postgres" in served
    assert state.faults(world, quarantine=False) == []


def develops_on(world: World, lost: Lost, keep: Path) -> None:
    """A clone has the old history, an old checkout pushes on, and the database is still where its URL says."""
    cloned = world.root / "client" / "cloned"
    run(["git", "clone", "--quiet", world.remote("two"), str(cloned)], env=world.git_environment(), check=True)
    log = run(["git", "-C", str(cloned), "log", "--format=%H"], check=True).stdout.split()
    assert log[0] == lost.commits["two"]
    assert len(log) == 2
    old = next(path for path in keep.iterdir() if path.name.startswith("two-"))
    repo = Repo(world, old, "two")
    repo.commit(apps.page("after the night"))
    repo.push()
    assert world.get("two.paas.test").text == "after the night"
    url = world.local("config:get", "one", "DATABASE_URL", check=True).stdout.strip()
    name = f"{world.settings.prefix}-service-1"
    done = run(["docker", "exec", name, "psql", url.replace(url.rpartition("@")[2].partition(":")[0], "127.0.0.1"),
                "-Atc", "select count(*) from t"], check=True)
    assert done.stdout.strip() == "1000"


@pytest.fixture(scope="module")
def keep(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("keep")


@pytest.fixture(scope="module")
def lost(s3, keep) -> Lost:
    world = World.open()
    try:
        found = live(world)
        found.url, found.identity, found.client = s3.target.url, identity_of(world), keep
        set_target(world, s3.target)
        world.paas("postgres:backup", "db", check=True)
        world.paas("sqlite:protect", "notes", "/data/app.db", check=True)
        found.with_images = backed_up(world, "--images", "--with-storage")
        found.backup = backed_up(world)
        rows = world.local("backups", "--format", "json", check=True).json
        states = {row["id"]: row["state"] for row in rows if row["service"] == "server/platform"}
        assert states.keys() == {found.with_images, found.backup}
        assert set(states.values()) <= {"read-back", "drilled"}
        until(lambda: world.local("backups:drill", found.backup).returncode == 0, "its drill passes")
        until(lambda: not state.unsettled(world), "it comes to rest")
        found.words = told(world)
        found.images = {one["Image"] for name in ("one", "two") for one in world.containers(name)}
        found.rows = written(world)
        time.sleep(1.5)                  # more than may be lost
    finally:
        lose(world, keep)
    return found


@pytest.fixture
def machine() -> Iterator[World]:
    made = World.open()
    yield made
    lose(made, made.root.parent / f"kept-{made.root.name}")
    shutil.rmtree(made.root.parent / f"kept-{made.root.name}")


def options(s3: Server) -> tuple[str, ...]:
    return ("--endpoint", s3.target.endpoint, "--region", "us-east-1", "--access-key", s3.target.access_key)


def from_s3(world: World, lost: Lost, s3: Server, *words: str, identity: str = ""):
    return restore(world, lost, *options(s3), *words, identity=identity, secret=s3.target.secret_key.reveal())


def objects(s3: Server, pattern: str) -> list[Path]:
    return sorted(path for path in s3.directory.rglob(pattern) if path.is_file())


def only_storage_is_missing(done) -> None:
    """That of a directory, of which nobody has a copy, and it is said; a streamed SQLite file in one is back."""
    assert done.returncode == 1, done.output
    missing = [line for line in done.stdout.splitlines() if "IS NOT BACK" in line]
    assert [line.split(":")[0].split() for line in missing] == [["storage", "two", "/kept"]], done.output
    assert "1 did not come back" in done.output


def test_what_cannot_be_trusted_changes_nothing(machine, lost, s3):
    """Another identity; a manifest that was changed, or put in another's place; a part that was."""
    machine.local("backups:key", check=True)     # made at the first use, also by the platform's own watch
    before = state.fingerprint(machine)
    other = run([sys.executable, "-c", "import pyrage; print(pyrage.x25519.Identity.generate())"], check=True).stdout
    refused = from_s3(machine, lost, s3, identity=other.strip())
    assert refused.returncode == 3, refused.output
    assert "not sealed for that identity" in refused.output
    refused = restore(machine, lost, *options(s3), secret="wrong" * 8)
    assert refused.returncode == 34, refused.output
    [manifest] = objects(s3, f"catalog/server/platform/{lost.backup}/manifest.json")
    [dump] = objects(s3, f"data/server/platform/{lost.backup}/dump*")
    for path, change in ((manifest, lambda data: data.replace(b'"apps":"3"', b'"apps":"4"')),
                         (dump, lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]),
                         (dump, lambda data: data[:-1])):
        good = path.read_bytes()
        assert change(good) != good
        path.write_bytes(change(good))
        try:
            refused = from_s3(machine, lost, s3, lost.backup)
        finally:
            path.write_bytes(good)
        assert refused.returncode in (34, 35), refused.output
        assert "Traceback" not in refused.output
    assert state.difference(before, state.fingerprint(machine)) == []
    assert not (machine.settings.state_dir / "restore").exists()

def test_killed_at_any_time_it_goes_on(machine, lost, s3, keep):
    """In the stream, in the database's load, in a build: the same command again ends with everything back."""
    for sign in ("reading and unpacking", "postgres db", "Received"):
        with subprocess.Popen(machine.client_argv("server:restore", "--target-url", lost.url, *options(s3),
                                                  "--identity-stdin"),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={"PATH": os.environ["PATH"], "PAAS_SOCKET": str(machine.settings.socket)}) as going:
            going.stdin.write(f"{lost.identity}\n{s3.target.secret_key.reveal()}\n")
            going.stdin.close()
            seen = next((line for line in going.stdout if sign in line), "")
            machine.kill_daemon()
            assert seen, f"{sign!r} was never said"
        machine.start_daemon()
    done = from_s3(machine, lost, s3)
    only_storage_is_missing(done)
    hand_over(machine, keep)
    is_back(machine, lost, keep)
    volumes = run(["docker", "volume", "ls", "--format", "{{.Name}}"]).stdout.split()
    assert len([name for name in volumes if name.startswith(f"{machine.settings.prefix}-data-")]) == 1
    again = from_s3(machine, lost, s3)
    assert again.returncode == 4, again.output
    assert "not empty" in again.output


def test_with_its_images_nothing_is_built(machine, lost, s3, keep):
    """And a server that is not empty is replaced only when its id is repeated; what it held is kept aside."""
    machine.local("apps:create", "precious", check=True)
    refused = from_s3(machine, lost, s3, lost.with_images)
    assert refused.returncode == 4, refused.output
    server = refused.output.rpartition("--confirm ")[2].split()[0]
    assert state.query(machine, "select name from apps") == [{"name": "precious"}]
    assert not [one for one in lost.images if run(["docker", "image", "inspect", one]).returncode == 0]
    done = from_s3(machine, lost, s3, lost.with_images, "--confirm", server)
    assert done.returncode == 0, done.output
    assert "Everything of" in done.stdout
    assert "built anew" not in done.stdout
    assert (machine.settings.storage_dir / "two" / "letter").read_text() == "dear reader"
    assert lost.images <= {one["Image"] for one in machine.containers()}
    hand_over(machine, keep)
    is_back(machine, lost, keep)
    kept = machine.settings.state_dir / "before-restore" / "paas.db"
    assert sqlite3.connect(kept).execute("select name from apps").fetchall() == [("precious",)]


def test_an_empty_machine_becomes_the_lost_server(machine, lost, s3, keep):
    done = from_s3(machine, lost, s3)
    only_storage_is_missing(done)
    assert "built anew" in done.stdout
    hand_over(machine, keep)
    is_back(machine, lost, keep)
    develops_on(machine, lost, keep)
    machine.local("server:backup", check=True)
