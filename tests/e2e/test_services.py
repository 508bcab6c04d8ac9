"""Data services on the real platform: made, linked, reached by their app only, stopped, exposed, destroyed."""

import json

import pytest

from tests.e2e import state
from tests.e2e.world import free_port, run, until
from tests.fixtures import apps

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("base_images")]


@pytest.fixture(scope="module")
def db(world):
    world.paas("postgres:create", "db", check=True)
    return "db"


def query(world, name, sql):
    return world.paas("postgres:connect", name, input=sql + "\n", check=True).stdout.strip()


def test_a_service_answers_as_soon_as_it_is_made(world, db):
    assert "1 row" in query(world, db, "select 1;")
    info = json.loads(world.paas("postgres:info", db, "--format", "json", check=True).stdout)
    assert (info["state"], info["connections"], info["exposed"]) == ("running", 0, "")
    assert info["server version"].startswith("17")
    assert info["size"] > 1_000_000


# An app that says what it finds in its database, and by which URL.
ASK = """psql "$DATABASE_URL" -Atc "select current_user || ' sees ' || count(*) from notes" """
APP = apps.client_cgi("postgres:17", ASK.strip())


@pytest.fixture(scope="module")
def app(world, db):
    repo = world.app_repo(APP)
    repo.push()
    return repo


def ask(world, app):
    return world.get(app.host, "/cgi-bin/ask").text.strip()


def test_a_linked_app_reaches_it_and_only_then(world, db, app):
    query(world, db, "create table notes (id int); insert into notes select generate_series(1, 7);")
    world.paas("postgres:link", db, app.app, check=True)
    assert ask(world, app) == "db sees 7"
    url = world.paas("config:get", app.app, "DATABASE_URL", check=True).stdout.strip()
    assert url.startswith("postgres://db:")
    assert json.loads(world.paas("postgres:links", db, "--format", "json", check=True).stdout) == [
        {"app": app.app, "variable": "DATABASE_URL"}]

    other = world.app_repo(APP)
    other.push()
    world.paas("config:set", other.app, f"DATABASE_URL={url}", check=True)
    assert "could not translate host name" in ask(world, other)     # it knows the password, and has no path
    address = run(["docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}",
                   f"{world.settings.prefix}-service-1"], check=True).stdout.split()
    for one in address:
        host = url.partition("@")[2].partition(":")[0]
        world.paas("config:set", other.app, f"DATABASE_URL={url.replace(host, one)}?connect_timeout=3", check=True)
        assert "timeout expired" in ask(world, other)
    world.paas("apps:destroy", other.app, "--confirm", other.app, check=True)


def test_the_role_of_the_app_is_no_superuser_and_passwords_are_scram(world, db):
    assert "f" in query(world, db, "select rolsuper from pg_roles where rolname = current_user;")
    hashed = world.paas("postgres:enter", db, "psql", "-U", "postgres", "-Atc",
                        "select rolpassword from pg_authid where rolname = 'db'", check=True).stdout
    assert hashed.startswith("SCRAM-SHA-256$")


def test_no_password_is_in_argv_logs_or_events(world, db):
    url = world.paas("config:get", *[one["app"] for one in json.loads(
        world.paas("postgres:links", db, "--format", "json").stdout)], "DATABASE_URL", check=True).stdout.strip()
    password = url.split(":")[2].partition("@")[0]
    assert len(password) == 64
    logs = world.paas("postgres:logs", db, "-n", "10000", check=True).stdout
    events = world.paas("events", "--format", "json", check=True).stdout
    assert password not in logs + events
    assert "PASSWORD" not in logs


def test_a_second_service_gets_a_colour_and_can_be_promoted(world, db, app):
    world.paas("postgres:create", "second", check=True)
    world.paas("postgres:link", "second", app.app, check=True)
    aqua = world.paas("config:get", app.app, "POSTGRES_AQUA_URL", check=True).stdout
    world.paas("postgres:promote", "second", app.app, check=True)
    assert world.paas("config:get", app.app, "DATABASE_URL", check=True).stdout == aqua
    assert "notes" in ask(world, app)                # the second one has no such table
    world.paas("postgres:promote", db, app.app, check=True)
    assert ask(world, app) == "db sees 7"
    refused = world.paas("postgres:destroy", "second", "--confirm", "second")
    assert refused.returncode == 4
    assert "is linked to" in refused.stderr
    world.paas("postgres:unlink", "second", app.app, check=True)
    assert world.paas("config:get", app.app, "POSTGRES_AQUA_URL").returncode == 20
    world.paas("postgres:destroy", "second", "--confirm", "second", "--no-final-backup", check=True)
    assert not [line for line in state.docker_objects(world) if "service-2" in line]


def test_stop_start_and_limits_keep_data_and_links(world, db, app):
    world.paas("postgres:stop", db, check=True)
    assert "db sees" not in ask(world, app)
    assert world.paas("postgres:connect", db, input="select 1;").returncode == 36
    world.paas("postgres:start", db, check=True)
    assert ask(world, app) == "db sees 7"
    world.paas("postgres:set", db, "memory", "300m", check=True)
    assert ask(world, app) == "db sees 7"
    assert json.loads(world.paas("postgres:info", db, "--format", "json").stdout)["memory limit"] == "300m"
    bad = world.paas("postgres:set", db, "memory", "2m")
    assert bad.returncode != 0
    assert ask(world, app) == "db sees 7"


def test_expose_opens_a_port_on_loopback_only(world, db):
    port = free_port()
    world.paas("postgres:expose", db, str(port), check=True)
    listening = run(["ss", "-Hltn", f"sport = :{port}"], check=True).stdout
    assert f"127.0.0.1:{port}" in listening
    world.paas("postgres:unexpose", db, check=True)
    assert not run(["ss", "-Hltn", f"sport = :{port}"], check=True).stdout.strip()


def test_a_service_that_was_killed_or_removed_comes_back_with_its_data(world, db, app):
    name = f"{world.settings.prefix}-service-1"
    pid = run(["docker", "inspect", "--format", "{{.State.Pid}}", name], check=True).stdout.strip()
    run(["kill", "-9", pid], check=True)
    until(lambda: ask(world, app) == "db sees 7", "the engine starts it again")
    run(["docker", "rm", "-f", name], check=True)
    repaired = world.paas("reconcile", check=True).output
    assert "service-down" in repaired or "does not run" in repaired
    assert ask(world, app) == "db sees 7"
    assert "service" not in world.paas("reconcile", check=True).output


@pytest.mark.parametrize(("words", "code", "says"), [
    (["postgres:create", "Db"], 3, "cannot name a service"),
    (["postgres:create", "db"], 4, "exists already"),
    (["postgres:create", "x", "--version", "9"], 3, "is not offered"),
    (["postgres:create", "x", "--version", "17;id"], 3, "is not a version"),
    (["postgres:create", "x", "--version", "16.99"], 30, "could not fetch the image postgres:16.99"),
    (["postgres:create", "x", "--memory", "lots"], 3, "lots"),
    (["postgres:info", "nothing"], 20, "there is no postgres service"),
    (["postgres:link", "db", "nothing"], 20, "there is no app"),
    (["postgres:destroy", "db", "--confirm", "other"], 2, "not confirmed"),
    (["postgres:expose", "db", "80"], 3, "from 1024"),
    (["postgres:set", "db", "colour", "red"], 3, "no setting"),
])
def test_bad_input_is_refused_and_changes_nothing(world, db, app, words, code, says):
    before = state.fingerprint(world)
    done = world.paas(*words)
    assert (done.returncode, says in done.stderr) == (code, True), done.output
    assert state.difference(before, state.fingerprint(world)) == []
