"""A reboot, a dead proxy, a full disk, over real parts (X06, X10, X25)."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.recovery import make_pair, newest, newest_live, serve_their_own, settle
from tests.e2e.world import BASE, Repo, World, run, until
from tests.fixtures import apps


@pytest.fixture(scope="module")
def pair(mine: World) -> list[Repo]:
    return make_pair(mine)


@pytest.mark.parametrize("order", ["left stopped", "started in another order"])
def test_a_reboot(mine, pair, order):
    """X25, L20: every app answers under its own name, an unknown host never reaches one (B09)."""
    mine.kill_daemon()
    mine.proxy.stop(signal.SIGKILL)
    ids = [one["Id"] for one in mine.containers()]
    run(["docker", "stop", "--time", "0", *ids], check=True)
    shutil.rmtree(mine.settings.run_dir / "proxy")
    mine.settings.socket.unlink()
    make_run_dirs(mine)
    if order != "left stopped":
        run(["docker", "start", *ids[::-1]], check=True)
    mine.proxy.start()
    until(lambda: proxy_answers(mine), "Caddy listens")
    assert mine.get("nobody.example").status == 404
    answer = mine.get(pair[1].host)
    assert answer.status in (502, 503) or answer.text == "second"
    mine.start_daemon()
    settle(mine)
    serve_their_own(mine, pair)
    assert mine.get("nobody.example").status == 404


def make_run_dirs(world: World) -> None:
    """As tmpfiles.d does at a boot."""
    path = world.settings.run_dir / "proxy"
    path.mkdir(mode=0o700)
    shutil.chown(path, world.settings.proxy_user, world.settings.proxy_user)


def proxy_answers(world: World) -> bool:
    with contextlib.suppress(OSError):
        return world.get("nobody.example").status > 0
    return False


def test_the_proxy_is_dead(mine, pair):
    """X06: a deploy fails and says why; the newest committed release serves as soon as the proxy is back."""
    repo = pair[1]
    live = newest_live(mine, repo.app)
    mine.proxy.stop(signal.SIGKILL)
    try:
        repo.commit(apps.page("too early"))
        refused = repo.push(check=False)
        assert refused.returncode != 0
        assert "proxy" in refused.output
        assert "Traceback" not in refused.output
        assert newest(mine, "releases", repo.app)["state"] == "failed"
        assert newest_live(mine, repo.app) == live
        examined = mine.local("doctor", "--format", "json")
        assert "proxy-down" in {row["id"] for row in examined.json}
    finally:
        mine.proxy.start()
        until(lambda: proxy_answers(mine), "Caddy listens")
    serve_their_own(mine, pair)
    settle(mine)
    repo.commit(apps.page("second"))
    repo.push()
    serve_their_own(mine, pair)


def test_the_newest_committed_route_survives_the_proxy(mine, pair):
    pair[1].commit(apps.page("newer"))
    pair[1].push()
    mine.restart_proxy(signal.SIGKILL)
    assert mine.get(pair[1].host).text == "newer"
    pair[1].commit(apps.page("second"))
    pair[1].push()


@pytest.fixture
def small_disk(request) -> Iterator[Path]:
    """A few MB (8, or as many as the test asks for) for everything that the platform keeps."""
    path = BASE / f"disk-{os.getpid()}"
    path.mkdir(parents=True)
    size = f"size={getattr(request, 'param', 8)}m,mode=755"
    run(["mount", "-t", "tmpfs", "-o", size, "paas-test", str(path)], check=True)
    yield path
    run(["umount", "--lazy", str(path)], check=True)
    path.rmdir()


def test_a_full_disk(small_disk):
    """X10, L19: pushes and changes fail with a clear word; reading and serving go on; with space again all works."""
    world = World.open(state_dir=str(small_disk))
    try:
        repo = world.app_repo(apps.web("one"))
        repo.push()
        ballast = small_disk / "ballast"
        fill(ballast)
        repo.commit({**apps.page("two"), "www/large": os.urandom(300_000)})
        refused = repo.push(check=False)
        changed = world.paas("config:set", repo.app, f"KEY={'x' * 60_000}")
        for result in (refused, changed):
            assert result.returncode != 0
            assert "Traceback" not in result.output
            assert "internal error" not in result.output
        assert world.get(repo.host).text == "one"
        assert repo.app in world.paas("apps:list", check=True).stdout
        assert "v1" in world.paas("releases", repo.app, check=True).stdout
        ballast.unlink()
        repo.push()
        assert world.get(repo.host).text == "two"
        settle(world)
    finally:
        world.close()


def fill(path: Path) -> None:
    """To the last byte."""
    for size in (65536, 512, 1):
        with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
            while file.write(os.urandom(size)):
                pass
    found = os.statvfs(path)
    assert found.f_bavail * found.f_frsize == 0


@pytest.mark.parametrize("small_disk", [100], indirect=True)
def test_work_on_a_full_disk(small_disk):
    """X10: at 0 bytes `logs`, `rollback`, `cleanup` and `apps:destroy` work, by the reserve; then it is held again."""
    world = World.open(state_dir=str(small_disk))
    reserve = small_disk / "reserve"
    try:
        repo, other = world.app_repo(apps.web("one")), world.app_repo(apps.web("other"))
        for each in (repo, other):
            each.push()
        repo.commit(apps.page("two"))
        repo.push()
        world.paas("server:set", "disk-reserve", "6000000", check=True)
        until(reserve.exists, "the reserve is held")
        fill(small_disk / "ballast")
        world.paas("logs", repo.app, check=True)
        world.paas("apps:list", check=True)
        assert reserve.exists()
        back = world.paas("rollback", repo.app, check=True)
        assert "the disk is full" in back.stderr
        assert world.get(repo.host).text == "one"
        assert not reserve.exists()
        world.paas("logs", repo.app, "--search", "x", check=True)
        world.paas("cleanup", check=True)
        world.paas("apps:destroy", other.app, "--confirm", other.app, check=True)
        assert world.get(other.host).status == 404
        assert world.paas("disk", check=True).stdout
        (small_disk / "ballast").unlink()
        until(reserve.exists, "the reserve is held again")
        settle(world)
        assert world.get(repo.host).text == "one"
    finally:
        world.close()
