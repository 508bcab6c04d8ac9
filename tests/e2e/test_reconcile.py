"""Things broken by hand (X26), over real parts: doctor names each, one run of reconcile repairs it, the next finds
nothing. What holds afterwards is judged by ``state.faults``, which reads the parts themselves."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import state
from tests.e2e.recovery import ended, make_pair, reconcile, serve_their_own, settle, start_push, starting
from tests.e2e.world import Repo, World, run, until
from tests.fixtures import apps


@pytest.fixture(scope="module")
def pair(mine: World) -> list[Repo]:
    return make_pair(mine)


@pytest.fixture(scope="module", autouse=True)
def only_by_hand(mine: World) -> Iterator[None]:
    """The daemon does not repair by itself what the tests are just breaking."""
    gate = mine.root / "gate"
    gate.touch()
    mine.failpoints(f"background.before=pause:{gate} always")
    yield
    gate.unlink()


def repaired(world: World, pair, *kinds: str) -> None:
    """doctor and a dry run name it and change nothing, one run repairs it, the next finds nothing."""
    planned = world.local("reconcile", "--dry-run", "--format", "json", check=True).json
    assert {row["kind"] for row in planned} >= set(kinds)
    examined = world.local("doctor", "--format", "json")
    assert examined.returncode == 1
    assert {row["id"] for row in examined.json} >= set(kinds)
    assert [row["kind"] for row in world.local("reconcile", "--dry-run", "--format", "json").json] == [
        row["kind"] for row in planned]
    done = world.local("reconcile", "--format", "json")
    assert done.returncode == 0, done.output
    settle(world)
    serve_their_own(world, pair)
    noted = state.query(world, "select * from events where verb = 'reconcile'")
    assert {kind for kind in kinds if any(f'"{kind}"' in str(row["detail"]) for row in noted)} == set(kinds)


def test_a_live_container_is_removed(mine, pair):
    for container in mine.containers(pair[0].app)[:2]:
        run(["docker", "rm", "--force", container["Id"]], check=True)
    repaired(mine, pair, "instance-missing")


def test_a_live_container_is_stopped(mine, pair):
    for container in mine.containers(pair[0].app):
        run(["docker", "stop", "--time", "0", container["Id"]], check=True)
    repaired(mine, pair, "instance-stopped")


def test_a_network_is_removed(mine, pair):
    for container in mine.containers(pair[0].app):
        run(["docker", "stop", "--time", "0", container["Id"]], check=True)
    network = next(iter(mine.containers(pair[0].app)[0]["NetworkSettings"]["Networks"]))
    run(["docker", "network", "rm", network], check=True)
    repaired(mine, pair, "network-missing")


def test_a_container_is_cut_off_its_network(mine, pair):
    container = mine.containers(pair[1].app)[0]
    network = next(iter(container["NetworkSettings"]["Networks"]))
    run(["docker", "network", "disconnect", "--force", network, container["Id"]], check=True)
    repaired(mine, pair, "instance-missing")


def upstream(world: World, repo) -> Path:
    number = state.repository(world, repo.app).name.removesuffix(".git")
    return world.settings.proxy_dir / "up" / number


def test_an_upstream_file_is_edited(mine, pair):
    """It names the other app's container: the worst that an edit can do."""
    theirs = (upstream(mine, pair[1]) / "0").read_text()
    for slot in upstream(mine, pair[0]).iterdir():
        slot.write_text(theirs)
    repaired(mine, pair, "route-wrong")


def test_an_upstream_file_is_removed(mine, pair):
    (upstream(mine, pair[0]) / "3").unlink()
    repaired(mine, pair, "route-wrong")


def test_all_upstream_files_are_removed(mine, pair):
    shutil.rmtree(upstream(mine, pair[1]))
    repaired(mine, pair, "route-wrong")


def test_the_proxys_config_is_replaced(mine, pair):
    """What it would start from, while it is down."""
    mine.proxy.stop()
    (mine.settings.proxy_dir / "caddy.json").write_text('{"admin": {"listen": "unix/%s|0600"}}'
                                                        % (mine.settings.run_dir / "proxy/admin.sock"))
    mine.proxy.start()
    until(lambda: (mine.settings.run_dir / "proxy/admin.sock").exists(), "Caddy runs")
    until(lambda: mine.local("reconcile").returncode == 0, "the proxy takes its config")
    settle(mine)
    serve_their_own(mine, pair)


def test_authorized_keys_is_edited(mine, pair):
    path = mine.settings.authorized_keys
    before = path.read_bytes()
    mallory = mine.new_key("mallory", add=False).with_suffix(".pub").read_text()
    path.write_text(f"{mallory}{before.decode()}")
    repaired(mine, pair, "authorized-keys")
    assert path.read_bytes() == before
    aside = path.with_name("authorized_keys.foreign")
    assert (aside.read_text(), aside.stat().st_mode & 0o777) == (mallory, 0o600)
    assert "keys-foreign" in {row["id"] for row in mine.local("doctor", "--format", "json").json}
    noted = [row["detail"] for row in state.query(mine, "select detail from events where verb = 'reconcile'")]
    assert any("1 lines that paas did not write" in str(detail) for detail in noted)
    aside.unlink()
    path.write_text("")
    assert mine.paas("version").returncode == 255
    repaired(mine, pair, "authorized-keys")
    assert mine.paas("version").returncode == 0


def test_a_ref_is_moved_and_one_is_removed(mine, pair):
    path = state.repository(mine, pair[0].app)
    old = state.git(path, "rev-parse", "refs/heads/main")
    tree = state.git(path, "rev-parse", f"{old}^{{tree}}")
    by_hand = {"GIT_DIR": str(path), "PATH": os.environ["PATH"], "GIT_AUTHOR_NAME": "o", "GIT_AUTHOR_EMAIL": "o@o",
               "GIT_COMMITTER_NAME": "o", "GIT_COMMITTER_EMAIL": "o@o", "GIT_CONFIG_COUNT": "1",
               "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    other = run(["git", "commit-tree", tree, "-m", "by hand"], env=by_hand, check=True).stdout.strip()
    state.git(path, "update-ref", "refs/heads/main", other)
    repaired(mine, pair, "ref-wrong")
    state.git(path, "update-ref", "-d", "refs/heads/main")
    repaired(mine, pair, "ref-wrong")
    assert "Everything up-to-date" in pair[0].push().output


def test_containers_and_networks_that_no_row_explains(mine, pair):
    number = state.repository(mine, pair[0].app).name.removesuffix(".git")
    server = mine.containers(pair[0].app)[0]["Config"]["Labels"]["paas.server"]
    prefix = mine.settings.prefix
    gone_app, gone = gone_ids(mine, pair)
    for suffix, app in (("left-1", number), ("left-2", gone_app)):
        run(["docker", "create", "--name", f"{prefix}-{suffix}", "--label", f"paas.server={server}", "--label",
             f"paas.app={app}", "--label", f"paas.instance={gone}", "busybox:latest", "true"], check=True)
    run(["docker", "network", "create", "--label", f"paas.server={server}", "--label", f"paas.app={gone_app}",
         "--subnet", f"{mine.settings.network_pool.rpartition('.')[0].rpartition('.')[0]}.250.0/24",
         f"{prefix}-app-{gone_app}"], check=True)
    foreign = run(["docker", "create", "--name", f"{prefix}-foreign", "busybox:latest", "true"], check=True).stdout
    try:
        repaired(mine, pair, "container-unknown", "network-unknown")
        assert state.inspect(foreign.strip())
    finally:
        run(["docker", "rm", foreign.strip()])


def gone_ids(world: World, pair: list[Repo]) -> tuple[str, str]:
    """Of an app and an instance that were there once. Higher ones would be those of a newer database (X27)."""
    world.paas("apps:create", "passing", check=True)
    number = str(state.query(world, "select id from apps where name = 'passing'")[0]["id"])
    world.paas("apps:destroy", "passing", "--confirm", "passing", check=True)
    for wanted in ("web=2", "web=1"):
        world.paas("ps:scale", pair[1].app, wanted, check=True)
    highest = state.query(world, "select seq from sqlite_sequence where name = 'instances'")[0]["seq"]
    until(lambda: not state.query(world, "select id from instances where id = ?", highest), "the second one is gone")
    return number, str(highest)


def test_what_killed_pushes_left_is_removed(mine, pair):
    """Not while git works on that repository."""
    repository = state.repository(mine, pair[0].app)
    left = repository / "objects" / "tmp_objdir-incoming-left"
    (left / "pack").mkdir(parents=True)
    (left / "pack" / "x").write_text("x")
    words = ["/bin/sh", "-c", "read x", "git", "receive-pack", str(repository)]
    with subprocess.Popen(words, stdin=subprocess.PIPE):
        reconcile(mine)
        assert left.exists()
    repaired(mine, pair, "push-left")
    assert not left.exists()


def test_an_app_under_deploy_is_left_alone(mine):
    """reconcile beside a deploy removes nothing of it."""
    repo = mine.app_repo(apps.slow_start(2, "one"))
    push = start_push(repo)
    until(lambda: starting(mine, repo), "an instance starts")
    while push.poll() is None:
        reconcile(mine)
    output = ended(push)
    assert push.returncode == 0, output
    settle(mine)
