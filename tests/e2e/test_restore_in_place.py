"""A restore in the place of live data: who asks meanwhile, what fails, and the way back."""

import json
import re

import pytest

from tests.e2e.test_service_data import WRITER, acknowledged, query
from tests.e2e.world import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.usefixtures("base_images")]


def backups(world, name):
    return json.loads(world.paas("postgres:backups", name, "--format", "json", check=True).stdout)


def story(world, app):
    """What the writer met, in order: "ok" for an acknowledged row, "error" for one that failed; repeats as one."""
    found = []
    for line in world.paas("logs", app.app, "-n", "100000", check=True).stdout.splitlines():
        word = "ok" if re.search(r"\s\d+$", line) else "error" if "error" in line or "refused" in line else ""
        if word and found[-1:] != [word]:
            found.append(word)
    return found


@pytest.fixture(scope="module")
def app(world):
    """An app that writes to a database which has lost something since its last backup."""
    world.paas("postgres:create", "live", check=True)
    world.paas("postgres:backup-drills", "live", "off", check=True)
    query(world, "live", "create table notes (id int primary key); "
                         "insert into notes select -g from generate_series(1, 1000) g; "
                         "create table fixed as select g from generate_series(1, 200000) g;")
    world.paas("postgres:backup", "live", check=True)
    query(world, "live", "delete from notes where id > -900;")
    made = world.app_repo(WRITER)
    made.push()
    world.paas("postgres:link", "live", made.app, check=True)
    until(lambda: len(acknowledged(world, made)) > 20, "the writer writes")
    return made


def test_the_service_gets_its_content_back_and_the_app_goes_on(world, app):
    releases = json.loads(world.paas("releases", app.app, "--format", "json", check=True).stdout)
    before = max(acknowledged(world, app))
    done = world.paas("postgres:restore", "live", "--in-place", "--confirm", "live", check=True)
    reached = max(acknowledged(world, app))
    assert reached > before                              # it was served while the backup was read
    until(lambda: max(acknowledged(world, app)) > reached + 20, "the writer goes on without a new release")
    assert json.loads(world.paas("releases", app.app, "--format", "json", check=True).stdout) == releases
    assert story(world, app) in (["ok"], ["ok", "error", "ok"])      # failures only while it was switched
    told = acknowledged(world, app)
    stored = {int(one) for one in query(world, "live", r"\t" "\nselect id from notes;").split()
              if one.lstrip("-").isdigit()}
    assert {one for one in stored if one < 0} == set(range(-1000, 0))
    new = {one for one in stored if one > 0}
    assert new == set(range(min(new), max(new) + 1))     # whole from the switch on
    assert {one for one in told if one >= min(new)} <= new
    safety = next(one for one in backups(world, "live") if one["trigger"] == "safety")
    assert f"--backup {safety['id']} --in-place" in done.stdout
    info = json.loads(world.paas("postgres:info", "live", "--format", "json", check=True).stdout)
    assert len(info["old volumes"]) == 1


def test_the_way_back(world, app):
    """The backup that was made first has every row that was acknowledged before it."""
    safety = next(one for one in backups(world, "live") if one["trigger"] == "safety")
    world.paas("postgres:restore", "live", "--backup", safety["id"], "--in-place", "--confirm", "live", check=True)
    answer = query(world, "live", r"\t" "\nselect min(id), count(*) filter (where id < 0), "
                                  "count(*) filter (where id between 1 and 20) from notes;")
    assert [one.strip() for one in answer.splitlines()[-1].split("|")] == ["-1000", "101", "20"]
    until(lambda: world.get(app.host).status == 200, "the app answers")
    world.paas("postgres:drop-old", "live", "--confirm", "live", check=True)


def test_it_is_refused_unless_confirmed_and_leaves_all_as_it_was(world, app):
    count = query(world, "live", r"\t" "\nselect count(*) from fixed;")
    refusals = [(2, ()), (2, ("--confirm", "other")), (2, ("--confirm", "live", "--into", "x"))]
    for code, words in refusals:
        done = world.paas("postgres:restore", "live", "--in-place", *words)
        assert done.returncode == code, done.output
    world.paas("postgres:stop", "live", check=True)
    done = world.paas("postgres:restore", "live", "--in-place", "--confirm", "live")
    assert done.returncode == 3
    assert "is stopped" in done.stderr
    world.paas("postgres:start", "live", check=True)
    assert query(world, "live", r"\t" "\nselect count(*) from fixed;") == count


def test_a_damaged_backup_leaves_the_service_as_it_was(world, app):
    made = world.paas("postgres:backup", "live", "--quiet", check=True).stdout.split()[0]
    [data] = [one for one in (world.settings.state_dir / "backups").rglob("dump.000.zst.age")
              if one.parent.name == made]
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    told = max(acknowledged(world, app))
    done = world.paas("postgres:restore", "live", "--backup", made, "--in-place", "--confirm", "live",
                      "--no-safety-backup")
    assert done.returncode == 35, done.output
    until(lambda: max(acknowledged(world, app)) > told, "the writer goes on")
    info = json.loads(world.paas("postgres:info", "live", "--format", "json", check=True).stdout)
    assert info["old volumes"] == []
