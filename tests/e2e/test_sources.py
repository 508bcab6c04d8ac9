"""Sources that are not a plain push: a directory of a monorepo, an archive, an image; and what every build is given."""

import json
import secrets
import subprocess

import pytest

from tests.e2e.world import World, run
from tests.fixtures import apps

SERVE = "exec httpd -f -p $PORT -h /app/www"
CA = "/etc/ssl/certs/ca-certificates.crt"
ASKING = """FROM busybox:latest
RUN echo NONCE
COPY www /app/www
RUN --mount=type=secret,id=paas_ca --mount=type=secret,id=paas_env \\
    . /run/secrets/paas_env && grep -c 'BEGIN CERT' /run/secrets/paas_ca && echo "index of ${#PIP_INDEX_URL} characters"
RUN echo "proxy ${https_proxy:-none}"
CMD exec httpd -f -p $PORT -h /app/www
"""


def everything_of(world: World, app: str) -> str:
    """What can be read of the newest image without running it: its config, history and file names and texts."""
    image = max(world.containers(app), key=lambda one: one["Created"])["Image"]
    words = [run(["docker", "image", "inspect", image], check=True).stdout,
             run(["docker", "history", "--no-trunc", image], check=True).stdout]
    made = run(["docker", "create", image], check=True).stdout.strip()
    try:
        tar = subprocess.run(["docker", "export", made], capture_output=True, check=True).stdout
    finally:
        run(["docker", "rm", made])
    return "".join(words) + tar.decode("latin-1")


def test_one_directory_of_a_monorepo(world):
    files = {**{f"services/api/{name}": text for name, text in apps.web("api").items()},
             "services/web/index.html": "web", "Procfile": "web: exit 9\n"}
    repo = world.app_repo(files)
    world.local("apps:create", repo.app, check=True)
    world.local("builder:set", repo.app, "build-dir", "services/api", check=True)
    repo.push()
    assert world.get(repo.host).text == "api"
    repo.commit({"services/web/index.html": "other"})
    assert "Using build 1: the source is unchanged" in repo.push().output
    world.local("builder:set", repo.app, "build-dir", "services/nope", check=True)
    repo.commit({"services/web/index.html": "third"})
    refused = repo.push(check=False)
    assert (refused.returncode, "the source has no directory 'services/nope'" in refused.output) == (1, True)
    assert world.get(repo.host).text == "api"


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
def test_an_archive_is_deployed_and_the_next_push_follows(world, form):
    repo = world.app_repo(apps.web("archived"))
    world.local("apps:create", repo.app, check=True)
    archive = subprocess.run(["git", "-C", repo.path, "archive", f"--format={form}", "--prefix=app-1/", "HEAD"],
                             capture_output=True, check=True).stdout
    said = world.paas("git:from-archive", repo.app, input=archive, check=True).output
    assert "Live: v1" in said
    assert world.get(repo.host).text == "archived"
    repo.git("fetch", "--quiet", world.remote(repo.app), "main")
    repo.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    assert repo.git("fsck", "--strict").returncode == 0
    repo.commit(apps.page("pushed"))
    repo.push()
    assert world.get(repo.host).text == "pushed"
    world.local("rollback", repo.app, "v1", check=True)
    assert world.get(repo.host).text == "archived"


def test_an_archive_that_leads_outside_is_refused(world, tmp_path):
    (tmp_path / "x").write_text("x")
    archive = subprocess.run(["tar", "-C", tmp_path, "--absolute-names", "--transform", "s,.*,../../etc/x,", "-c", "x"],
                             capture_output=True, check=True).stdout
    world.local("apps:create", "outside", check=True)
    refused = world.paas("git:from-archive", "outside", input=archive)
    assert (refused.returncode, "'../../etc/x' is not an allowed name" in refused.output) == (10, True)
    assert world.local("releases", "outside", "--format", "json").json == []


def test_an_image_is_deployed_as_it_is(world, tmp_path):
    for name, content in apps.web("from an image").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    image = f"{world.settings.prefix}-own:v1"
    run(["docker", "build", "--quiet", "--tag", image, str(tmp_path)], check=True)
    world.local("apps:create", "imaged", check=True)
    assert "Live: v1" in world.paas("git:from-image", "imaged", image, check=True).output
    assert world.get("imaged.paas.test").text == "from an image"
    missing = world.paas("git:from-image", "imaged", "localhost:1/nobody/nothing:v1")
    assert missing.returncode == 11
    assert "nobody/nothing" in missing.output
    assert world.get("imaged.paas.test").text == "from an image"


def test_what_builds_are_given_reaches_them_and_no_image(own_world):
    world = own_world
    index = "https://user:s3same-w0rd@pypi.example.com/simple"
    world.local("server:build-ca", CA, check=True)
    proxy = "HTTPS_PROXY=http://proxy.example.com:3128"
    world.local("server:build-env-set", f"PIP_INDEX_URL={index}", proxy, check=True)
    repo = world.app_repo({"Dockerfile": ASKING.replace("NONCE", secrets.token_hex(8)), "www/index.html": "one"})
    said = repo.push().output
    assert f"index of {len(index)} characters" in said
    assert "proxy http://proxy.example.com:3128" in said
    assert "s3same" not in said
    seen = everything_of(world, repo.app)
    assert "index.html" in seen
    for hidden in ("s3same", "proxy.example.com", "BEGIN CERTIFICATE"):
        assert hidden not in seen
    assert "s3same" not in json.dumps(world.local("events", "--format", "json").json)
    database = world.settings.database
    kept = b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))
    assert b"build-env" in kept
    assert b"s3same" not in kept
