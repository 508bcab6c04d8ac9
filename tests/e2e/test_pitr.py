"""Point in time for Postgres on the real platform: what is lost with the machine, how exact a time is, what heals.

A session in the database commits a row every 50 ms with the time of its commit, whatever else happens.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e import state
from tests.e2e.targets import set_directory
from tests.e2e.world import World, run, until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("base_images"), pytest.mark.timeout(400)]

PAGE = Path(__file__).parents[2] / "docs" / "backups.md"
MOST_LOST = 2.0                          # seconds: what the product promises
WRITER = """create table if not exists t (id bigint primary key, at timestamptz not null);
do $$ declare n bigint := (select coalesce(max(id), 0) from t); begin loop
    n := n + 1; insert into t values (n, clock_timestamp()); commit; perform pg_sleep(0.05);
end loop; end $$;
"""


@pytest.fixture(scope="module")
def own(base_images, mine):
    confirm_kit(mine)
    return mine


def confirm_kit(world: World) -> None:
    set_directory(world)
    kit = world.paas("backups:kit", check=True).stdout
    world.paas("backups:kit", "--confirm", kit.strip().rpartition("Word: ")[2].strip(), check=True)


def container(world: World, name: str) -> str:
    [found] = [one["Name"].lstrip("/") for one in world.containers()
               if one["Config"]["Labels"].get("paas.kind") == "service"
               and one["Config"]["Labels"]["paas.service"] == str(service_id(world, name))]
    return found


def service_id(world: World, name: str) -> int:
    return state.query(world, "select id from services where name = ?", name)[0]["id"]


def psql(world: World, name: str, sql: str) -> str:
    words = ["psql", "-U", "postgres", "-d", database(world, name), "-Atc", sql]
    return run(["docker", "exec", container(world, name), *words], check=True).stdout.strip()


def database(world: World, name: str) -> str:
    found = run(["docker", "exec", container(world, name), "psql", "-U", "postgres", "-Atc",
                 "select datname from pg_database where not datistemplate and datname <> 'postgres'"], check=True)
    return found.stdout.strip()


def status(world: World, name: str) -> dict:
    return json.loads(world.paas("postgres:pitr", "status", name, "--format", "json", check=True).stdout)


class Writer:
    """Goes on until its server dies or it is ended."""

    def __init__(self, world: World, name: str) -> None:
        self.process = subprocess.Popen(
            ["docker", "exec", "-i", container(world, name), "psql", "-U", "postgres", "-d", database(world, name)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process.stdin.write(WRITER.encode())
        self.process.stdin.close()

    def end(self, world: World, name: str) -> None:
        psql(world, name, "select pg_terminate_backend(pid) from pg_stat_activity where query like 'do $$ declare%'")
        self.process.wait(30)


def create(world: World, name: str) -> None:
    world.paas("postgres:create", name, check=True)
    world.paas("postgres:pitr", "on", name, "--quiet", check=True)


def rows(world: World, name: str) -> list[tuple[int, float]]:
    text = psql(world, name, "select id, extract(epoch from at) from t order by id")
    return [(int(one), float(at)) for one, at in (line.split("|") for line in text.splitlines())]


def contiguous(found: list[tuple[int, float]]) -> bool:
    return [one for one, _ in found] == list(range(1, len(found) + 1))


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def destroy(world: World, name: str) -> None:
    world.paas("postgres:destroy", name, "--confirm", name, "--no-final-backup", check=True)


def lose_everything(world: World, name: str) -> float:
    """Service, receiver and daemon die at one moment; volume and spool are gone. The time after which nothing can have
    been committed."""
    found, receiver = container(world, name), f"{world.settings.prefix}-pitr-{service_id(world, name)}"
    seen = json.loads(run(["docker", "inspect", found, receiver], check=True).stdout)
    volume = seen[0]["Mounts"][0]["Name"]
    for pid in (world.daemon.popen.pid, *(one["State"]["Pid"] for one in seen)):     # a container's first process: all
        os.kill(pid, signal.SIGKILL)
    died = time.time()
    world.kill_daemon()
    run(["docker", "rm", "--force", found, receiver], check=True)
    run(["docker", "volume", "rm", "--force", volume], check=True)
    shutil.rmtree(Path(world.settings.state_dir, "pitr"))
    return died


@pytest.mark.parametrize("attempt", range(3))
def test_with_everything_lost_at_most_two_seconds_are_lost(own, attempt):
    name = f"db{attempt}"
    create(own, name)
    writer = Writer(own, name)
    time.sleep(2 + secrets.randbelow(2000) / 1000)
    died = lose_everything(own, name)
    writer.process.wait(30)
    own.start_daemon()
    own.paas("postgres:restore", name, "--at", "latest", "--into", "after", check=True)
    found = rows(own, "after")
    print(f"loss: {died - found[-1][1]:.3f} s; {len(found)} rows")
    assert contiguous(found)
    assert died - found[-1][1] <= MOST_LOST
    until(lambda: "its data is gone from this server" in own.paas("doctor").stdout, "it is said", 60)
    destroy(own, "after")
    destroy(own, name)


@pytest.fixture(scope="module")
def written(own):
    """A database with some history behind it, that goes on."""
    create(own, "live")
    writer = Writer(own, "live")
    time.sleep(6)
    yield "live"
    writer.process.kill()


def test_a_time_is_exact_to_the_transaction(own, written):
    now = time.time()
    known = [(one, at) for one, at in rows(own, written) if at < now - 1]
    for goal in (known[len(known) // 3][1], known[-1][1]):
        name = f"at{int(goal) % 1000}"
        own.paas("postgres:restore", written, "--at", iso(goal + 0.001), "--into", name, check=True)
        found = rows(own, name)
        print(f"the last row is {goal + 0.001 - found[-1][1]:.6f} s before the time asked for")
        wanted = [one for one in known if one[1] <= goal]
        assert found == wanted                # its commit came less than a millisecond after; none after that is there
        writes(own, name)
        destroy(own, name)


def writes(world: World, name: str) -> None:
    """The new one is whole: it takes writes as its application's user, and nothing of the receiver came along."""
    done = world.paas("postgres:connect", name, input="create table mine (id int); insert into mine values (1);")
    assert "ERROR" not in done.output, done.output
    assert psql(world, name, "select count(*) from pg_roles where rolname = 'paas_pitr'") == "0"
    assert psql(world, name, "select count(*) from pg_replication_slots") == "0"
    hba = run(["docker", "exec", container(world, name), "sh", "-c", 'cat "$PGDATA/pg_hba.conf"'], check=True).stdout
    assert "paas_pitr" not in hba


def test_times_that_nothing_leads_to_are_refused_with_those_that_can_be_had(own, written):
    early = own.paas("postgres:restore", written, "--at", "2020-01-01", "--into", "never")
    assert early.returncode == 3
    assert "no way back to 2020-01-01T00:00:00Z" in early.stderr
    assert " to 20" in early.stderr
    for words in (["--at", "tomorrow"], ["--at", "2999-01-01"]):
        assert own.paas("postgres:restore", written, *words).returncode == 3
    assert "never" not in own.paas("postgres:list", check=True).stdout


def test_an_idle_time_and_one_just_now_can_be_had_too(own):
    create(own, "idle")
    psql(own, "idle", "create table t (id bigint primary key, at timestamptz); insert into t values (1, now())")
    time.sleep(2)
    own.paas("postgres:restore", "idle", "--at", "1s", "--into", "idle2", check=True)
    assert [one for one, _ in rows(own, "idle2")] == [1]
    destroy(own, "idle2")
    own.paas("postgres:pitr", "off", "idle", check=True)
    assert psql(own, "idle", "select count(*) from pg_replication_slots") == "0"
    assert not [one for one in own.containers() if one["Config"]["Labels"].get("paas.kind") == "pitr"
                and one["Config"]["Labels"]["paas.pitr"] == str(service_id(own, "idle"))]
    own.paas("postgres:restore", "idle", "--at", "latest", "--into", "idle3", check=True)
    assert [one for one, _ in rows(own, "idle3")] == [1]
    destroy(own, "idle3")
    destroy(own, "idle")


def test_a_random_time_is_proved_and_nothing_of_it_stays(own, written):
    done = own.paas("postgres:pitr", "drill", written, check=True)
    assert "is proved: restored from" in done.stdout
    assert "passed in" in status(own, written)["drill"]
    assert not [one for one in own.containers() if one["Config"]["Labels"].get("paas.kind") == "pitr-work"]
    volumes = run(["docker", "volume", "ls", "--format", "{{.Name}}"], check=True).stdout
    assert f"{own.settings.prefix}-pitrdrill" not in volumes


def test_a_restore_is_made_while_a_drill_works(own, written):
    drill = subprocess.Popen([*own.ssh_argv(), own.remote("").rstrip(":"), f"postgres:pitr drill {written}"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until(lambda: [one for one in own.containers() if one["Config"]["Labels"].get("paas.kind") == "pitr-work"],
          "the drill works")
    own.paas("postgres:restore", written, "--at", "latest", "--into", "beside", check=True)
    said, _ = drill.communicate(timeout=60)
    assert (drill.returncode, "is proved" in said) == (0, True), said
    assert contiguous(rows(own, "beside"))
    destroy(own, "beside")


def test_the_daemon_is_killed_and_nothing_is_missing(own, written):
    """Also while a segment changes; the receiver goes on, and what waits is sent later."""
    psql(own, written, "select pg_switch_wal()")
    own.kill_daemon()
    time.sleep(3)
    psql(own, written, "select pg_switch_wal()")
    time.sleep(1)
    own.start_daemon()
    time.sleep(4)
    goal = time.time()
    own.paas("postgres:restore", written, "--at", iso(goal), "--into", "killed", check=True)
    found = rows(own, "killed")
    print(f"the last row is {goal - found[-1][1]:.3f} s before the time asked for")
    assert contiguous(found)
    assert goal - found[-1][1] < MOST_LOST
    assert found == [one for one in rows(own, written) if one[0] <= len(found)]
    destroy(own, "killed")


def test_the_target_is_down_for_a_while(own, written):
    """Nothing can be stored; it is said; afterwards nothing is missing."""
    place = Path(f"{own.root}/target")
    aside = place.with_name("aside")
    place.rename(aside)
    place.write_text("no directory")
    try:
        until(lambda: "failing" in json.loads(own.paas("postgres:info", written, "--format", "json").stdout)
              ["point in time"], "the failure is shown")
        time.sleep(2)
    finally:
        place.unlink()
        aside.rename(place)
    until(lambda: status(own, written)["point in time"] == "on", "it works again")
    own.paas("postgres:restore", written, "--at", "latest", "--into", "after2", check=True)
    assert contiguous(rows(own, "after2"))
    destroy(own, "after2")


def test_a_lost_slot_is_a_gap_that_is_shown_and_a_new_base_at_once(own):
    """The receiver stands still until the server has dropped the log that was kept for it."""
    own.paas("postgres:create", "gap", check=True)
    bounded(own, "gap", "32MB")
    own.paas("postgres:pitr", "on", "gap", "--quiet", check=True)
    psql(own, "gap", "create table t (id bigint primary key, at timestamptz); insert into t values (1, now())")
    until(lambda: status(own, "gap")["restorable"], "it can be restored to")
    time.sleep(2)
    before = status(own, "gap")
    receiver = f"{own.settings.prefix}-pitr-{service_id(own, 'gap')}"
    run(["docker", "pause", receiver], check=True)
    psql(own, "gap", "select pg_terminate_backend(active_pid) from pg_replication_slots where active")
    psql(own, "gap", "create table big (x text); alter table big alter x set storage plain")
    slot = "select wal_status from pg_replication_slots"
    for _ in range(20):
        psql(own, "gap", "insert into big select repeat('x', 4000) from generate_series(1, 3000)")
        psql(own, "gap", "checkpoint")
        if psql(own, "gap", slot) == "lost":
            break
    assert psql(own, "gap", slot) in ("lost", "reserved")        # reserved: it is a new one by now
    psql(own, "gap", "insert into t values (2, now())")
    size = psql(own, "gap", "select sum(size) from pg_ls_waldir()")
    print(f"the log took {int(size) >> 20} MB")
    assert int(size) < 200 * 2**20
    run(["docker", "unpause", receiver])
    until(lambda: status(own, "gap")["history"] != before["history"], "a new history begins", 60)
    until(lambda: len(status(own, "gap")["restorable"]) == 2, "both can be restored to", 60)
    now = status(own, "gap")
    print(now["restorable"], now["because"])
    assert "the slot was lost" in now["because"]
    assert "a gap in its history" in own.paas("backups:health", "--format", "json").stdout
    own.paas("postgres:restore", "gap", "--at", before["restorable to"], "--into", "gap1", check=True)
    assert [one for one, _ in rows(own, "gap1")] == [1]
    own.paas("postgres:restore", "gap", "--at", "latest", "--into", "gap2", check=True)
    assert [one for one, _ in rows(own, "gap2")] == [1, 2]
    for one in ("gap1", "gap2", "gap"):
        destroy(own, one)


def bounded(world: World, name: str, most: str) -> None:
    """The service's server keeps less log for the receiver than it would."""
    with closing(sqlite3.connect(world.settings.database)) as connection, connection:
        words = json.dumps({"max-slot-wal": most})
        connection.execute("update services set settings = ? where name = ?", (words, name))
    world.paas("postgres:restart", name, check=True)


def test_from_the_target_and_the_identity_alone(own, written):
    """Another machine: another installation with keys of its own."""
    kit = own.paas("backups:kit", check=True).stdout
    identity = next(line for line in kit.splitlines() if line.startswith("AGE-SECRET-KEY-1"))
    known = rows(own, written)
    other = World.open()
    try:
        other.paas("backups:target", "set", f"file://{own.root}/target", check=True)
        unproven = json.loads(other.paas("backups:histories", "--format", "json", check=True).stdout)
        assert all(not one["restorable"] and one["doubtful"] for one in unproven)
        words = ("backups:histories", "--identity-stdin", "--format", "json")
        [found] = [one for one in json.loads(other.paas(*words, input=identity, check=True).stdout)
                   if one["service"] == written]
        assert found["restorable"]
        other.paas("backups:restore-to", found["uid"], "there", "--server", found["server"], "--at",
                   iso(known[-1][1] + 0.001), "--identity-stdin", input=identity, check=True)
        assert [one for one, _ in rows(other, "there")] == [one for one, _ in known]
        refused = other.paas("backups:restore-to", found["uid"], "again", "--server", found["server"])
        assert refused.returncode != 0
    finally:
        other.close()


def test_a_restore_by_hand_needs_only_age_zstd_tar_and_postgres(own, written, tmp_path):
    kit = own.paas("backups:kit", check=True).stdout
    now = status(own, written)
    psql(own, written, "select pg_switch_wal()")
    known = rows(own, written)
    until(lambda: status(own, written)["restorable to"] > iso(known[-1][1]), "everything is stored")
    [source] = Path(f"{own.root}/target").glob(f"v1/*/pitr/postgres/*/{now['history']}")
    place = tmp_path / "hand"
    shutil.copytree(source, place)
    identity = next(line for line in kit.splitlines() if line.startswith("AGE-SECRET-KEY-1"))
    (place / "key.txt").write_text(f"{identity}\n")
    script = re.search(r"```sh\n# Postgres by hand\n(.*?)```", PAGE.read_text(), re.S)[1]
    run(["bash", "-euo", "pipefail", "-c", script], cwd=place, check=True)
    run(["chown", "-R", "999:999", str(place)], check=True)
    for path in tmp_path.parents:
        if str(path).startswith("/tmp/"):
            path.chmod(0o755)
    tmp_path.chmod(0o755)
    name = f"{own.settings.prefix}-byhand"
    run(["docker", "run", "--detach", "--name", name, "--user", "999:999", "--network", "none", "--volume",
         f"{place}:{place}", "--entrypoint", "postgres", "postgres:17", "-D", f"{place}/data",
         "-c", f"restore_command=cp {place}/plain/%f %p"], check=True)
    try:
        ask = ["docker", "exec", name, "psql", "-U", "postgres", "-d", written, "-Atc"]
        until(lambda: run([*ask, "select pg_is_in_recovery()"]).stdout.strip() == "f", "it is recovered", 60)
        found = run([*ask, "select id from t order by id"], check=True).stdout.split()
    finally:
        print(run(["docker", "logs", "--tail", "20", name]).output)
        run(["docker", "rm", "--force", "--volumes", name])
    assert len(found) >= len(known)
    assert found == [str(one) for one in range(1, len(found) + 1)]


def test_what_lies_before_the_window_goes_and_what_is_in_it_can_be_had(own):
    create(own, "short")
    psql(own, "short", "create table t (id bigint primary key, at timestamptz); insert into t values (1, now())")
    own.paas("postgres:pitr", "set", "short", "window", "1m", check=True)
    first = status(own, "short")
    assert "0 objects" in own.paas("postgres:pitr", "prune", "short", check=True).stdout
    time.sleep(1)
    psql(own, "short", "select pg_switch_wal()")
    own.paas("postgres:pitr", "base", "short", check=True)
    psql(own, "short", "insert into t values (2, now())")
    time.sleep(62)
    gone = own.paas("postgres:pitr", "prune", "short", check=True).stdout
    assert "0 objects" not in gone
    now = status(own, "short")
    assert len(now["bases"]) == 1
    assert now["restorable from"] > first["restorable from"]
    own.paas("postgres:restore", "short", "--at", "latest", "--into", "short2", check=True)
    assert [one for one, _ in rows(own, "short2")] == [1, 2]
    destroy(own, "short2")
    own.paas("postgres:pitr", "off", "short", "--purge", check=True)
    assert own.paas("postgres:restore", "short", "--at", "latest", "--into", "short3").returncode == 20
    destroy(own, "short")


def test_a_daemon_killed_while_a_base_is_made_makes_another(own):
    own.paas("postgres:create", "cut", check=True)
    psql(own, "cut", "create table big as select repeat(md5(i::text), 30) as x from generate_series(1, 100000) i")
    on = subprocess.Popen([*own.ssh_argv(), own.remote("").rstrip(":"), "postgres:pitr on cut"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: state.query(own, "select * from pitr_bases where state = 'under way'"), "a base is under way")
    own.kill_daemon()
    on.wait(30)
    own.start_daemon()
    until(lambda: status(own, "cut")["restorable"], "another base is made", 60)
    made = state.query(own, "select state, reason from pitr_bases where service_uid = "
                            "(select uid from services where name = 'cut') order by id")
    assert [one["state"] for one in made] == ["failed", "good"]
    assert "interrupted" in made[0]["reason"]
    destroy(own, "cut")


def test_a_restored_one_has_a_history_of_its_own_and_so_on(own, written):
    """Each restore begins another timeline of Postgres."""
    before = written
    for name in ("one", "two"):
        own.paas("postgres:restore", before, "--at", "latest", "--into", name, check=True)
        count = len(rows(own, name))
        own.paas("postgres:pitr", "on", name, "--quiet", check=True)
        psql(own, name, f"insert into t values ({count + 1}, now())")
        psql(own, name, "select pg_switch_wal()")
        psql(own, name, f"insert into t values ({count + 2}, now())")
        before = name
    own.paas("postgres:restore", "two", "--at", "latest", "--into", "three", check=True)
    found = rows(own, "three")
    assert contiguous(found)
    assert found == rows(own, "two")
    assert psql(own, "three", "select timeline_id from pg_control_checkpoint()") == "4"
    for name in ("one", "two", "three"):
        destroy(own, name)


def test_an_upgrade_begins_another_history_by_itself(own):
    """From an image without zstd, too."""
    own.paas("postgres:create", "old", "--version", "15", check=True)
    own.paas("postgres:pitr", "on", "old", "--quiet", check=True)
    psql(own, "old", "create table t (id bigint primary key, at timestamptz); insert into t values (1, now())")
    time.sleep(2)
    before = status(own, "old")
    own.paas("postgres:upgrade", "old", "--version", "17", check=True)
    psql(own, "old", "insert into t values (2, now())")
    until(lambda: len(status(own, "old")["restorable"]) == 2, "the new data have a history too", 90)
    assert "other data" in status(own, "old")["because"]
    own.paas("postgres:restore", "old", "--at", before["restorable to"], "--into", "old15", check=True)
    own.paas("postgres:restore", "old", "--at", "latest", "--into", "old17", check=True)
    assert [one for one, _ in rows(own, "old15")] == [1]
    assert [one for one, _ in rows(own, "old17")] == [1, 2]
    assert psql(own, "old15", "show server_version").startswith("15")
    for name in ("old15", "old17", "old"):
        destroy(own, name)


def test_what_is_stored_is_sealed_and_the_spool_is_nobodys(own, written):
    stored = [path for path in Path(f"{own.root}/target").rglob("*.zst.age") if "/pitr/" in str(path)]
    assert len(stored) > 3
    assert all(path.read_bytes().startswith(b"age-encryption.org/v1") for path in stored)
    assert oct(Path(own.settings.state_dir, "pitr").stat().st_mode)[-3:] == "700"
    [receiver] = [one for one in own.containers() if one["Config"]["Labels"].get("paas.pitr")
                  == str(service_id(own, written))]
    assert receiver["Config"]["User"] == "999:999"
    assert receiver["HostConfig"]["RestartPolicy"]["Name"] == "always"
