"""Data that move: upgrades with a writer running, clones, imports, on the real platform."""

import json
import re
import subprocess
import threading

import pytest

from tests.e2e import state
from tests.e2e.world import run, until
from tests.fixtures import apps

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.usefixtures("base_images")]

# An app whose one process writes a row at a time and prints the number of each that was acknowledged.
WRITER = apps.client("postgres:17", """n=0
while [ -n "${DATABASE_URL:-}" ]; do
  n=$((n + 1))
  psql "$DATABASE_URL?connect_timeout=2" -Atqc "insert into notes values ($n) returning id" || sleep 0.1
done &
""")


@pytest.fixture(scope="module")
def old(world):
    world.paas("postgres:create", "old", "--version", "15", check=True)
    query(world, "old", "create table notes (id int primary key); create table fixed as select g, md5(g::text) m "
                        "from generate_series(1, 20000) g; create sequence tickets start 500; "
                        "select nextval('tickets');")
    return "old"


def query(world, name, sql, kind="postgres"):
    done = world.paas(f"{kind}:connect", name, input=sql + "\n", check=True)
    assert "ERROR" not in done.output, done.output
    return done.stdout.strip()


def info(world, name, kind="postgres"):
    return json.loads(world.paas(f"{kind}:info", name, "--format", "json", check=True).stdout)


def acknowledged(world, app):
    """What the writer was told is stored."""
    lines = world.paas("logs", app.app, "-n", "100000", check=True).stdout.split("\n")
    words = [line.split()[-1] for line in lines if line.split()]
    return {int(word) for word in words if word.isdigit()}


def test_a_major_upgrade_loses_no_acknowledged_write(world, old):
    app = world.app_repo(WRITER)
    app.push()
    world.paas("postgres:link", old, app.app, check=True)
    url = world.paas("config:get", app.app, "DATABASE_URL", check=True).stdout
    until(lambda: len(acknowledged(world, app)) > 20, "the writer writes")
    said = world.paas("postgres:upgrade", old, "--version", "17", check=True).stdout
    before = max(acknowledged(world, app))
    until(lambda: max(acknowledged(world, app)) > before + 20, "the writer goes on without a new release")
    world.paas("postgres:unlink", old, app.app, check=True)
    stored = {int(one) for one in query(world, old, r"\t" "\nselect id from notes;").split() if one.isdigit()}
    missing = acknowledged(world, app) - stored
    assert not missing
    now = info(world, old)
    assert now["version"] == "17"
    assert now["server version"].startswith("17")
    assert len(now["old volumes"]) == 1
    assert now["old volumes"][0] in said
    assert now["old volumes"][0] != now["volume"]
    assert "501" in query(world, old, "select nextval('tickets');")
    assert "20000" in query(world, old, "select count(*) from fixed;")
    assert world.paas("config:get", app.app, "DATABASE_URL").returncode == 20
    world.paas("postgres:link", old, app.app, check=True)
    assert world.paas("config:get", app.app, "DATABASE_URL", check=True).stdout == url      # the same password
    assert world.paas("reconcile", check=True).stdout == "Nothing to repair.\n"
    world.paas("postgres:unlink", old, app.app, check=True)
    world.paas("apps:destroy", app.app, "--confirm", app.app, check=True)


def test_downgrades_and_unknown_versions_are_refused(world, old):
    before = state.fingerprint(world)
    for words, code, says in ((["--version", "15"], 3, "would be a downgrade"), (["--version", "17.0"], 3, "downgrade"),
                              (["--version", "9"], 3, "not offered"), (["--version", "18"], 30, "could not fetch")):
        done = world.paas("postgres:upgrade", old, *words)
        assert (done.returncode, says in done.stderr) == (code, True), done.output
    assert state.difference(before, state.fingerprint(world)) == []


def test_a_minor_upgrade_replaces_the_container_only(world, old):
    before = info(world, old)
    tag = f"17.{before['server version'].split()[0].split('.')[1]}-next"
    run(["docker", "tag", "postgres:17", f"postgres:{tag}"], check=True)
    try:
        world.paas("postgres:upgrade", old, "--version", tag, check=True)
        now = info(world, old)
        assert (now["version"], now["volume"]) == (tag, before["volume"])
        world.paas("postgres:upgrade", old, "--version", "17", check=True)
    finally:
        run(["docker", "rmi", "--no-prune", f"postgres:{tag}"])
    assert "20000" in query(world, old, "select count(*) from fixed;")


def test_a_failed_upgrade_leaves_the_old_service_as_it_was(world):
    """A function that the new version does not have: the restore fails there."""
    world.paas("postgres:create", "stuck", "--version", "15", check=True)
    query(world, "stuck", "create table t as select 1 as id;")
    world.paas("postgres:enter", "stuck", "psql", "-U", "postgres", "-d", "stuck", "-c",
               "create function gone() returns int language c as '$libdir/adminpack', 'pg_logdir_ls'", check=True)
    before = info(world, "stuck")
    done = world.paas("postgres:upgrade", "stuck", "--version", "17")
    assert done.returncode == 36, done.output
    assert "pg_restore" in done.stderr
    now = info(world, "stuck")
    volatile = ("connections", "size", "memory used")
    assert {key: value for key, value in now.items() if key not in volatile} == {
        key: value for key, value in before.items() if key not in volatile}
    assert now["old volumes"] == []
    assert [line for line in state.docker_objects(world) if "-next" in line or "-last" in line] == []
    assert "1" in query(world, "stuck", "select id from t;")
    world.paas("postgres:destroy", "stuck", "--confirm", "stuck", "--no-final-backup", check=True)


def test_the_daemon_killed_in_the_middle_of_an_upgrade(world):
    world.paas("postgres:create", "cut", "--version", "15", check=True)
    query(world, "cut", "create table big as select g, repeat(md5(g::text), 20) from generate_series(1, 300000) g;")
    before = info(world, "cut")
    upgrade = threading.Thread(target=world.paas, args=("postgres:upgrade", "cut", "--version", "17"))
    upgrade.start()
    until(lambda: any("-last" in line for line in state.docker_objects(world)), "the old data are being copied", 60)
    world.kill_daemon()
    upgrade.join()
    world.start_daemon()
    until(lambda: info(world, "cut")["state"] == "running", "the old container is back", 60)
    world.paas("reconcile", check=True)
    now = info(world, "cut")
    assert (now["version"], now["volume"], now["old volumes"]) == ("15", before["volume"], [])
    assert "300000" in query(world, "cut", "select count(*) from big;")
    assert [line for line in state.docker_objects(world) if "-next" in line or "-last" in line] == []
    world.paas("postgres:destroy", "cut", "--confirm", "cut", "--no-final-backup", check=True)


def test_a_clone_holds_the_same_and_lives_on_its_own(world, old):
    world.paas("postgres:set", old, "memory", "400m", check=True)
    world.paas("postgres:clone", old, "copy", check=True)
    assert info(world, "copy")["memory limit"] == "400m"
    assert info(world, "copy")["links"] == []
    query(world, "copy", "delete from fixed;")
    assert "20000" in query(world, old, "select count(*) from fixed;")
    assert world.paas("postgres:clone", old, "copy").returncode == 4
    world.paas("postgres:destroy", "copy", "--confirm", "copy", "--no-final-backup", check=True)


def exported(world, kind, name):
    argv = [*world.ssh_argv(), world.remote("").rstrip(":"), f"{kind}:export {name}"]
    return subprocess.run(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True).stdout


@pytest.mark.parametrize("compressed", [True, False])
def test_an_import_replaces_and_keeps(world, old, tmp_path, compressed):
    dump = exported(world, "postgres", old)
    if not compressed:
        dump = subprocess.run(["zstd", "-dc"], input=dump, capture_output=True, check=True).stdout
    world.paas("postgres:create", "fresh", check=True)
    world.paas("postgres:import", "fresh", input=dump, check=True)
    assert info(world, "fresh")["old volumes"] == []
    assert "20000" in query(world, "fresh", "select count(*) from fixed;")
    query(world, "fresh", "create table mine (id int);")
    assert world.paas("postgres:import", "fresh", input=dump).returncode == 4
    for bad in (dump[:len(dump) // 2], dump[:-1], b"", b"not a dump at all"):
        assert world.paas("postgres:import", "fresh", "--force", input=bad).returncode in (3, 35, 36)
        query(world, "fresh", "table mine;")
    world.paas("postgres:import", "fresh", "--force", input=dump, check=True)
    assert len(info(world, "fresh")["old volumes"]) == 1
    assert "does not exist" in world.paas("postgres:connect", "fresh", input="table mine;").output
    assert "20000" in query(world, "fresh", "select count(*) from fixed;")
    world.paas("postgres:drop-old", "fresh", "--confirm", "fresh", check=True)
    assert info(world, "fresh")["old volumes"] == []
    world.paas("postgres:destroy", "fresh", "--confirm", "fresh", "--no-final-backup", check=True)


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_redis_serves_an_app_and_its_data_can_be_moved(world, kind):
    world.paas(f"{kind}:create", "cache", check=True)
    app = world.app_repo(apps.client_cgi(
        "redis:7", 'redis-cli --no-auth-warning -u "redis://default${REDIS_URL#redis://}" incr hits'))
    app.push()
    world.paas(f"{kind}:link", "cache", app.app, check=True)
    url = world.paas("config:get", app.app, "REDIS_URL", check=True).stdout.strip()
    assert re.fullmatch(rf"redis://:[0-9a-f]{{64}}@{world.settings.prefix}-{kind}-cache:6379", url)
    hits = [world.get(app.host, "/cgi-bin/ask").text.strip() for _ in range(2)]
    assert hits == ["1", "2"]
    world.paas(f"{kind}:restart", "cache", check=True)
    assert world.get(app.host, "/cgi-bin/ask").text.strip() == "3"
    run(["docker", "kill", f"{world.settings.prefix}-service-{service_id(world, kind, 'cache')}"], check=True)
    world.paas("reconcile", check=True)
    until(lambda: world.get(app.host, "/cgi-bin/ask").text.strip() == "4", "what was written is there after a crash")

    dump = exported(world, kind, "cache")
    world.paas(f"{kind}:create", "other", check=True)
    world.paas(f"{kind}:import", "other", input=dump, check=True)
    world.paas(f"{kind}:clone", "cache", "third", check=True)
    for name in ("other", "third"):
        assert query(world, name, "GET hits", kind) == "4"
        world.paas(f"{kind}:restart", name, check=True)
        assert query(world, name, "GET hits", kind) == "4"
    assert world.paas(f"{kind}:import", "other", "--force", input=dump[:-3]).returncode == 35
    assert query(world, "other", "GET hits", kind) == "4"
    world.paas(f"{kind}:set", "cache", "maxmemory-policy", "allkeys-lru", check=True)
    assert info(world, "cache", kind)["maxmemory-policy"] == "allkeys-lru"
    assert world.paas(f"{kind}:set", "cache", "maxmemory-policy", "never").returncode == 3
    world.paas(f"{kind}:unlink", "cache", app.app, check=True)
    for name in ("cache", "other", "third"):
        world.paas(f"{kind}:destroy", name, "--confirm", name, "--no-final-backup", check=True)


def service_id(world, kind, name):
    [row] = state.query(world, "select id from services where datastore = ? and name = ?", kind, name)
    return row["id"]
