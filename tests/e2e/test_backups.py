"""Backups on the real platform: made, read back, proved by restoring, opened without paas."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e import state
from tests.e2e.world import run, until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("base_images")]

ROWS = """create table notes (id serial primary key, body text, at timestamptz default now(), doc json, tags text[]);
insert into notes (body, doc, tags) select 'note ' || i, json_build_object('i', i), array['a', i::text]
    from generate_series(1, 5000) i;
create table "odd ""name" (x double precision, y bytea, z numeric);
insert into "odd ""name" select random(), decode(md5(i::text), 'hex'), i / 7.0 from generate_series(1, 300) i;
create extension citext; create view recent as select * from notes where id > 4990;
select lo_create(0);
"""


@pytest.fixture(scope="module")
def db(world):
    world.paas("postgres:create", "db", check=True)
    world.paas("postgres:backup-drills", "db", "off", check=True)       # its own first one would come between
    sql(world, "db", ROWS)
    return "db"


def sql(world, name, text):
    done = world.paas("postgres:connect", name, input=text, check=True)
    assert "ERROR" not in done.output, done.output
    return done.stdout


def rows(world, *words):
    return json.loads(world.paas(*words, "--format", "json", check=True).stdout)


def backup(world, name="db"):
    return world.paas("postgres:backup", name, "--quiet", check=True).stdout.split()[0]


def test_a_backup_is_good_when_it_was_read_back_and_proved_when_it_was_restored(world, db):
    made = backup(world)
    assert rows(world, "postgres:backups", db)[0]["state"] in ("read-back", "drilled")
    done = world.paas("backups:drill", "postgres/db", check=True)
    assert f"{made} is proved" in done.stdout
    [row] = [one for one in rows(world, "backups") if one["id"] == made]
    assert row["state"] == "drilled"
    assert row["drilled_at"]
    info = rows(world, "backups:info", made)
    assert (info["tables"], info["rows"]) == (2, 5300)
    assert not [line for line in state.docker_objects(world) if "drill" in line]


def test_a_restore_is_a_new_service_with_the_same_content(world, db):
    made = backup(world)
    sql(world, db, "delete from notes where id > 100;")
    world.paas("postgres:restore", db, "--backup", made, "--into", "copy", check=True)
    assert "5000" in sql(world, "copy", "select count(*) from notes;")
    assert "100" in sql(world, db, "select count(*) from notes;")
    owners = sql(world, "copy", "select distinct tableowner from pg_tables where schemaname = 'public';")
    assert "copy" in owners
    assert "1 row" in owners
    sql(world, "copy", "insert into notes (body) values ('new'); drop table notes cascade;")
    world.paas("postgres:destroy", "copy", "--confirm", "copy", "--no-final-backup", check=True)


def test_it_opens_with_age_zstd_and_pg_restore_alone(world, db, tmp_path):
    made = backup(world)
    kit = world.paas("backups:kit", check=True).stdout
    identity = tmp_path / "identity.txt"
    identity.write_text(next(line for line in kit.splitlines() if line.startswith("AGE-SECRET-KEY-1")) + "\n")
    [line] = rows(world, "backups:info", made)["by hand"]
    fetched, opened, unpacked, restored = (part.split() for part in line.split(" | "))
    assert restored[0] == "pg_restore"
    data = Path(fetched[1]).read_bytes()
    plain = subprocess.run([*opened[:3], str(identity)], input=data, capture_output=True, check=True).stdout
    dump = subprocess.run(unpacked, input=plain, capture_output=True, check=True).stdout
    name = f"{world.settings.prefix}-service-1"
    run(["docker", "exec", name, "createdb", "-U", "postgres", "byhand"], check=True)
    done = subprocess.run(["docker", "exec", "-i", name, "pg_restore", "-U", "postgres", "--no-owner", "--no-acl",
                           "--exit-on-error", "-d", "byhand"], input=dump, capture_output=True)
    assert done.returncode == 0, done.stderr
    counted = run(["docker", "exec", name, "psql", "-U", "postgres", "-d", "byhand", "-Atc",
                   "select count(*) from notes"], check=True).stdout
    assert counted.strip() == "100"
    run(["docker", "exec", name, "dropdb", "-U", "postgres", "byhand"], check=True)


def test_by_the_clock_a_backup_and_its_proof_happen_by_themselves(own_world):
    own_world.paas("postgres:create", "db", check=True)
    sql(own_world, "db", "create table notes as select g from generate_series(1, 100) g;")
    refused = own_world.paas("postgres:backup-schedule", "db", "* * * * *")
    assert refused.returncode == 3
    assert "backups:kit" in refused.stderr
    word = own_world.paas("backups:kit", check=True).stdout.split()[-1]
    own_world.paas("backups:kit", "--confirm", word, check=True)
    own_world.paas("postgres:backup-schedule", "db", "* * * * *", check=True)
    until(lambda: any(one["state"] == "drilled" for one in rows(own_world, "postgres:backups", "db")),
          "a scheduled backup is made and proved", 180)
    first = rows(own_world, "postgres:backups", "db")[-1]
    assert (first["trigger"], first["state"]) == ("schedule", "drilled")
    health = rows(own_world, "backups:health")
    assert (health[0]["service"], health[0]["schedules"]) == ("postgres/db", ["* * * * *"])
    assert health[0]["backups"] != "failing"
    assert health[0]["restorable_in"]
    own_world.paas("postgres:backup-unschedule", "db", check=True)
