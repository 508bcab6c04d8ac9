"""Releases over real parts: config changes, rollback, what is kept, and that values are nowhere to be read."""

import base64
import contextlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.e2e import state
from tests.e2e.world import run, until
from tests.fixtures import apps

SECRET = "s3same-0pen-7d1f"
# Comes up only while the config var says so.
PICKY = apps.script('[ "$MODE" = bad ] && { echo "refusing MODE" >&2; exit 4; }\nexec httpd -f -p $PORT -h /app/www\n')


def ids(world, app):
    return [one["Id"] for one in world.containers(app)]


def inside(world, app, name):
    """A variable byte for byte, as the newest container got it."""
    pid = max(world.containers(app), key=lambda one: one["Created"])["State"]["Pid"]
    # The init's environment is the container's.
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((pair.partition(b"=")[2] for pair in pairs if pair.startswith(f"{name}=".encode())), None)


def releases(world, app):
    return world.local("releases", app, "--format", "json", check=True).json


@pytest.fixture(scope="module")
def repo(world):
    made = world.app_repo(PICKY)
    made.push()
    return made


VALUES = {"newlines": "two\nlines\n", "quotes": "it's \"quoted\"", "dollars": "$HOME ${X} `id` $(id)",
          "equals": "a=b=c", "empty": "", "unicode": "ümläut ☃", "backslashes": "\\n\\\\", "64 KB": "x" * 65536}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_values_survive_byte_for_byte(world, repo, value):
    encoded = base64.b64encode(value.encode())
    world.paas("config:set", repo.app, "--encoded", "VALUE", "--stdin", input=encoded, check=True)
    assert inside(world, repo.app, "VALUE") == value.encode()
    assert world.paas("config:get", repo.app, "VALUE", check=True).stdout == value + "\n"


def test_more_than_64_kb_is_refused_and_nothing_changes(world, repo):
    state.come_to_rest(world)
    before = state.fingerprint(world)
    refused = world.local("config:set", repo.app, "VALUE", "--stdin", input="x" * 65537)
    assert (refused.returncode, "64 KB" in refused.stderr) == (3, True)
    assert state.difference(before, state.fingerprint(world)) == []


def test_a_config_change_is_a_release_without_a_build(world, repo):
    builds = world.local("builds", repo.app, "--format", "json").json
    said = world.paas("config:set", repo.app, "COLOUR=blue", check=True).output
    newest = releases(world, repo.app)[0]
    assert f"Release {newest['version']}" in said
    assert "COLOUR" in newest["reason"]
    assert "blue" not in json.dumps(releases(world, repo.app))
    assert world.local("builds", repo.app, "--format", "json").json == builds
    assert inside(world, repo.app, "COLOUR") == b"blue"
    world.paas("config:unset", repo.app, "COLOUR", check=True)
    assert inside(world, repo.app, "COLOUR") is None


def test_an_unchanged_value_does_nothing(world, repo):
    world.paas("config:set", repo.app, "SIZE=4", check=True)
    state.come_to_rest(world)
    before = state.fingerprint(world)
    assert world.paas("config:set", repo.app, "SIZE=4", check=True)
    assert state.difference(before, state.fingerprint(world)) == []


def test_no_restart_waits_for_the_next_release(world, repo):
    state.come_to_rest(world)
    before = ids(world, repo.app)
    world.paas("config:set", "--no-restart", repo.app, "LATER=1", check=True)
    assert ids(world, repo.app) == before
    assert inside(world, repo.app, "LATER") is None
    world.paas("ps:rebuild", repo.app, check=True)
    state.come_to_rest(world)
    assert inside(world, repo.app, "LATER") == b"1"


def test_a_failing_value_leaves_the_old_value_and_the_old_containers(world, repo):
    world.paas("config:set", repo.app, "MODE=good", check=True)
    state.come_to_rest(world)
    before = ids(world, repo.app)
    failed = world.paas("config:set", repo.app, "MODE=bad")
    assert failed.returncode not in (0, 1)
    assert "refusing MODE" in failed.output
    assert "good" not in failed.output
    assert world.paas("config:get", repo.app, "MODE").stdout == "good\n"
    assert ids(world, repo.app) == before
    assert (world.get(repo.host).status, releases(world, repo.app)[0]["state"]) == (200, "failed")


def test_config_prints_names_and_values_only_on_request(world, repo):
    world.paas("config:set", repo.app, "PASSWORD", "--stdin", input=SECRET, check=True)
    for words in (("config", repo.app), ("config:keys", repo.app), ("config", repo.app, "--format", "json")):
        said = world.paas(*words, check=True).output
        assert ("PASSWORD" in said, SECRET in said) == (True, False)
    assert SECRET in world.paas("config:show", repo.app, check=True).stdout


def command_lines():
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield entry.read_bytes()


def test_a_value_is_at_rest_nowhere_in_the_open(world, repo):
    """Database with its WAL, logs, events, command lines, labels, image history, builds."""
    world.paas("config:set", repo.app, "PASSWORD", "--stdin", input=SECRET, check=True)
    repo.commit(apps.page("another"))
    repo.push()
    for path in [*world.settings.state_dir.rglob("*"), *(world.root / "log").iterdir()]:
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    for words in (("events", "-n", "500", "--format", "json"), ("releases:info", repo.app), ("ps:report", repo.app),
                  ("apps:report", repo.app), ("builds:log", repo.app), ("doctor",), ("reconcile",)):
        assert SECRET not in world.local(*words).output
    assert not [line for line in command_lines() if SECRET.encode() in line]
    for one in world.containers(repo.app):
        assert SECRET not in json.dumps([one["Config"]["Labels"], one["Args"], one["Path"]])
        assert SECRET not in run(["docker", "history", "--no-trunc", one["Image"]]).output
        assert SECRET not in run(["docker", "image", "inspect", one["Image"]]).output


def test_a_rollback_brings_image_config_and_formation_back_without_a_build(world):
    repo = world.app_repo(apps.web("first"))
    repo.push()
    first = repo.git("rev-parse", "HEAD").stdout.strip()
    repo.commit(apps.page("second"))
    repo.push()
    world.paas("config:set", repo.app, f"TOKEN={SECRET}", check=True)
    world.paas("ps:scale", repo.app, "web=2", check=True)
    builds = world.local("builds", repo.app, "--format", "json").json
    said = world.paas("rollback", repo.app, "v1", check=True).output
    assert "TOKEN" in said
    assert SECRET not in said
    assert f"{first[:8]}" in said
    assert world.get(repo.host).text == "first"
    state.come_to_rest(world)
    assert (len(world.containers(repo.app)), world.paas("config:keys", repo.app).stdout) == (1, "")
    assert world.local("builds", repo.app, "--format", "json").json == builds
    assert releases(world, repo.app)[0]["reason"].startswith("rollback to v1")
    assert repo.git("ls-remote", world.remote(repo.app), "refs/heads/main").stdout.startswith(first)


def test_rollback_without_a_version_goes_one_back_and_again_forward(world):
    repo = world.app_repo(apps.web("first"))
    repo.push()
    refused = world.paas("rollback", repo.app)
    assert refused.returncode != 0
    repo.commit(apps.page("second"))
    repo.push()
    world.paas("rollback", repo.app, check=True)
    assert world.get(repo.host).text == "first"
    repo.commit(apps.page("third"))
    repo.push(force=True)
    assert world.get(repo.host).text == "third"


def test_info_and_diff(world):
    repo = world.app_repo(apps.web("first"))
    repo.push()
    world.paas("config:set", repo.app, f"TOKEN={SECRET}", check=True)
    info = world.paas("releases:info", repo.app, "v1", "--format", "json", check=True).json
    assert info["commit"] == repo.git("rev-parse", "HEAD").stdout.strip()
    assert info["image"].startswith("sha256:")
    different = world.paas("releases:diff", repo.app, "v1", "v2", check=True).output
    assert ("TOKEN" in different, SECRET in different) == (True, False)
    unknown = world.paas("releases:info", repo.app, "v99")
    assert (unknown.returncode, "v99" in unknown.stderr) == (20, True)


def images(world, repo):
    app = state.query(world, "select id from apps where name = ?", repo.app)[0]["id"]
    label = ["--filter", f"label=paas.app={app}", "--filter", f"reference={world.settings.prefix}-*"]
    return set(run(["docker", "images", "--quiet", "--no-trunc", *label], check=True).stdout.split())


@pytest.fixture
def dangling(world):
    """An untagged image without our labels, as `docker image prune` would take."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(world.root.name))
    image = run(["docker", "import", "-"], input=data.getvalue(), check=True).stdout.strip()
    yield image
    run(["docker", "rmi", image])


def test_images_of_the_last_releases_are_kept_and_no_foreign_one_is_touched(own_world, dangling):
    repo = own_world.app_repo(apps.web("0"))
    own_world.local("server:set", "keep-releases", "2", check=True)
    for number in range(5):
        repo.commit(apps.page(f"{own_world.root.name} {number}"))
        repo.push()
    state.come_to_rest(own_world)
    own_world.local("reconcile", check=True)
    until(lambda: len(images(own_world, repo)) == 2, "older images are gone")
    assert run(["docker", "inspect", dangling]).returncode == 0
    own_world.paas("rollback", repo.app, check=True)
    assert own_world.get(repo.host).text.endswith(" 3")
    gone = own_world.paas("rollback", repo.app, "v1")
    assert gone.returncode != 0
    assert "image" in gone.output
