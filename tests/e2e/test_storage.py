"""Storage of an image that does not run as root, and extra hosts, on the real platform."""

import os

import pytest

from tests.e2e import state
from tests.e2e.world import run
from tests.fixtures import apps

UID = 4711
USER = f"RUN echo 'app:x:{UID}:{UID}::/app:/bin/sh' >>/etc/passwd && echo 'app:x:{UID}:' >>/etc/group\nUSER app\n"
NOTE = "set -e\nfor place in /data /files; do echo $PAAS_PROCESS $PAAS_RELEASE >>$place/seen; done\n"


def app(text="one"):
    """Runs as the user ``app``; each container adds a line to a file in both mounts, and ends if it may not."""
    files = apps.script(f"{NOTE}exec httpd -f -p $PORT -h /app/www\n", text)
    return {**files, "Dockerfile": files["Dockerfile"].replace("CMD", f"{USER}CMD"), "note": NOTE,
            "Procfile": "web: sh /app/start\nrelease: sh /app/note\n"}


@pytest.fixture
def repo(world):
    others = volumes(world)
    made = world.app_repo(app())
    world.paas("apps:create", made.app, check=True)
    world.paas("storage:mount", made.app, "data:/data", check=True)
    world.paas("storage:mount", made.app, f"{world.settings.state_dir}/storage/{made.app}:/files", check=True)
    yield made
    world.paas("apps:destroy", made.app, "--confirm", made.app, check=True)
    for name in set(volumes(world)) - set(others):
        run(["docker", "volume", "rm", name], check=True)


def volumes(world):
    words = ["docker", "volume", "ls", "--quiet", "--filter", f"name={world.settings.prefix}-volume-"]
    return run(words, check=True).stdout.split()


def seen(world, repo, place):
    return world.paas("run", repo.app, "cat", f"{place}/seen", check=True).stdout.split()


def test_an_app_that_is_not_root_writes_to_new_storage_and_finds_it_after_a_deploy(world, repo):
    first = repo.push().output
    assert "Given to the image's user: /data, /files" in first
    repo.commit(apps.page("two"))
    second = repo.push().output
    assert "Given to the image's user" not in second
    assert world.get(repo.host).text == "two"
    for place in ("/data", "/files"):
        lines = seen(world, repo, place)
        assert lines[1::2] == ["v1", "v1", "v2", "v2"]
        assert lines[2::4] == ["web.1", "web.1"]
    directory = world.settings.state_dir / "storage" / repo.app
    assert {os.stat(path).st_uid for path in (directory, directory / "seen")} == {UID}


def test_what_somebody_chose_wins_and_a_failed_push_says_why(world, repo):
    kept = f"{world.settings.state_dir}/storage/{repo.app}-kept"
    world.paas("storage:unmount", repo.app, "/files", check=True)
    world.paas("storage:mount", "--chown", "0", repo.app, f"{kept}:/files", check=True)
    refused = repo.push(check=False)
    assert refused.returncode != 0
    assert "/files/seen" in refused.output
    assert os.stat(kept).st_uid == 0
    run(["chown", str(UID), kept], check=True)
    assert repo.push(check=False).returncode == 0


def test_extra_hosts_reach_instances_and_one_off_containers(world, repo):
    repo.push()
    state.come_to_rest(world)
    world.paas("network:set", repo.app, "extra-hosts", "db:10.0.0.5,api.example.com:192.0.2.7", check=True)
    assert "10.0.0.5" not in hosts(world, repo)
    world.paas("ps:rebuild", repo.app, check=True)
    state.come_to_rest(world)
    once = world.paas("run", repo.app, "cat", "/etc/hosts", check=True).stdout
    for text in (hosts(world, repo), once):
        assert "10.0.0.5\tdb\n" in text
        assert "192.0.2.7\tapi.example.com\n" in text
    assert "db:10.0.0.5" in world.paas("network:report", repo.app, check=True).stdout
    bad = world.paas("network:set", repo.app, "extra-hosts", "db:10.0.0.5;reboot")
    assert (bad.returncode, "neither an IP address" in bad.stderr) == (3, True)


def hosts(world, repo):
    (found,) = world.containers(repo.app)
    return run(["docker", "exec", found["Id"], "cat", "/etc/hosts"], check=True).stdout
