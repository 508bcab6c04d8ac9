"""SQLite files of a real app: streamed by a real Litestream, killed, lost, restored, also on another machine."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paas.errors import Forged
from tests.e2e.targets import set_directory
from tests.e2e.world import Repo, World, run, until
from tests.fixtures import sqlite_app

MOST_LOST = 1.0                          # seconds: what the product promises
LATE = 50                                # rows that the app may have written in that time, on a slow machine


@pytest.fixture(scope="module")
def streamed(base_images, mine):
    set_directory(mine)
    return mine


@pytest.fixture(scope="module")
def repo(streamed):
    return protected(streamed)


def protected(world: World, *mounts: str) -> Repo:
    """An app that writes a SQLite file, streamed; with further mounts."""
    made = world.app_repo(sqlite_app.FILES)
    world.paas("apps:create", made.app, check=True)
    for mount in (f"{world.settings.storage_dir}/{made.app}:/data", *mounts):
        world.paas("storage:mount", made.app, mount, check=True)
    made.push()
    until(lambda: world.get(made.host, "/rows").status == 200, "the app answers")
    world.paas("sqlite:protect", made.app, "/data/app.db", check=True)
    return made


def directory(world: World, repo) -> Path:
    return world.settings.storage_dir / repo.app


def info(world: World, repo) -> dict:
    return json.loads(world.paas("sqlite:info", repo.app, "app", "--format", "json", check=True).stdout)


def sidecar(world: World) -> dict:
    (found,) = [one for one in world.containers() if one["Config"]["Labels"].get("paas.kind") == "sqlite"]
    return found


def rows(path: Path) -> list[tuple[int, float]]:
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return db.execute("SELECT id, at FROM t ORDER BY id").fetchall()


def restored(world: World, repo, *words: str) -> list[tuple[int, float]]:
    name = f"/data/restored-{secrets.token_hex(4)}.db"
    world.paas("sqlite:restore", repo.app, "app", "--into", name, *words, check=True)
    return rows(directory(world, repo) / name.rpartition("/")[2])


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def contiguous(found: list[tuple[int, float]]) -> bool:
    return [one[0] for one in found] == list(range(1, len(found) + 1))


def test_it_is_streamed_as_the_owner_without_network_and_without_capabilities(streamed, repo):
    found = sidecar(streamed)
    assert found["State"]["Running"]
    assert found["Config"]["User"] == f"{sqlite_app.UID}:{sqlite_app.UID}"
    assert found["HostConfig"]["NetworkMode"] == "none"
    assert {one["Destination"] for one in found["Mounts"]} >= {"/data", "/.paas-sqlite/spool", "/.paas-sqlite/config"}
    shown = info(streamed, repo)
    assert (shown["state"], shown["reason"]) == ("streaming", "")
    assert shown["stored_objects"] > 1
    stored = [path for path in Path(f"{streamed.root}/target").rglob("*.ltx.age") if path.is_file()]
    assert stored
    assert all(path.read_bytes().startswith(b"age-encryption.org/v1") for path in stored)


def test_a_restore_beside_it_has_every_row_up_to_now(streamed, repo):
    before = int(streamed.get(repo.host, "/rows").text.split()[1])
    time.sleep(1.0)
    found = restored(streamed, repo)
    assert contiguous(found)
    assert found[-1][0] >= before
    assert (directory(streamed, repo) / "app.db").stat().st_uid == sqlite_app.UID


def test_a_restore_to_a_time_has_nothing_later_and_all_but_a_look_before(streamed, repo):
    time.sleep(3)
    at = time.time() - 2
    found = restored(streamed, repo, "--at", iso(at))
    assert contiguous(found)
    print(f"restored to {at - found[-1][1]:.3f} s before the time asked for")
    assert -0.1 < at - found[-1][1] < MOST_LOST


def test_a_drill_proves_it_and_objects_that_were_changed_are_told(streamed, repo):
    before = int(streamed.get(repo.host, "/rows").text.split()[0])
    said = streamed.paas("sqlite:drill", repo.app, "app", check=True).stdout
    assert "is proved" in said
    assert int(re.search(r"Tables: 1, rows: ([\d,]+)\.", said)[1].replace(",", "")) >= before - LATE
    assert "passed in" in info(streamed, repo)["drill"]
    assert wrong(streamed, repo) == []
    whole: dict[Path, bytes] = {}

    def is_found() -> bool:
        """A file of compacted transactions may come while the others are changed: once more then."""
        for path in set(Path(f"{streamed.root}/target").rglob("*.ltx.age")) - whole.keys():
            whole[path] = path.read_bytes()
            path.write_bytes(whole[path][:-1] + bytes([whole[path][-1] ^ 1]))
        return streamed.paas("sqlite:drill", repo.app, "app").returncode == Forged.exit_code

    try:
        until(is_found, "a drill fails")
        assert "failed" in info(streamed, repo)["drill"]
        assert wrong(streamed, repo) == [f"{repo.app} app"]
    finally:
        for path, data in whole.items():
            path.write_bytes(data)
    streamed.paas("sqlite:drill", repo.app, "app", check=True)
    assert wrong(streamed, repo) == []
    assert not list((streamed.settings.state_dir / "sqlite").glob("*/restore-*"))
    assert [one for one in streamed.containers() if one["Config"]["Labels"].get("paas.kind") == "sqlite-work"] == []


def wrong(world: World, repo) -> list[str]:
    """What doctor says of drills of files."""
    found = json.loads(world.paas("doctor", "--format", "json").stdout)
    return [one["object"] for one in found if one["id"] == "sqlite-drill"]


@pytest.mark.parametrize("attempt", range(4))
def test_everything_is_killed_and_the_file_is_lost(streamed, repo, attempt):
    """Writer, Litestream and the daemon that ships die at a random instant; the file goes."""
    time.sleep(1 + secrets.randbelow(1500) / 1000)
    names = [one["Name"].lstrip("/") for one in streamed.containers()]
    died = time.time()
    streamed.kill_daemon()
    run(["docker", "kill", *names])
    lost = directory(streamed, repo) / "app.db"
    last = rows_of_the_dead(lost)
    for path in (lost, Path(f"{lost}-wal"), Path(f"{lost}-shm")):
        path.unlink(missing_ok=True)
    streamed.start_daemon()              # reconcile starts the app again, which begins an empty file
    found = restored(streamed, repo, "--at", iso(died))
    print(f"loss: {died - found[-1][1]:.3f} s, {last[0] - found[-1][0]} rows")
    assert contiguous(found)
    assert died - found[-1][1] <= MOST_LOST
    until(lambda: streamed.get(repo.host, "/rows").status == 200, "the app has begun an empty file")
    words = ("--at", iso(died), "--in-place", "--confirm", "app")
    streamed.paas("sqlite:restore", repo.app, "app", *words, check=True)
    until(lambda: streamed.get(repo.host, "/rows").status == 200, "the app answers again")
    again = rows(directory(streamed, repo) / "app.db")
    assert contiguous(again)
    assert again[: len(found)] == found
    assert len(again) > len(found)
    (kept,) = directory(streamed, repo).glob("app.db.before-*Z")
    assert contiguous(rows(kept))        # the empty file that the app had begun
    for path in directory(streamed, repo).glob("app.db.before-*"):
        path.unlink()


def rows_of_the_dead(path: Path) -> tuple[int, float]:
    copy = path.with_name("dead.db")
    for end in ("", "-wal"):
        Path(f"{copy}{end}").write_bytes(Path(f"{path}{end}").read_bytes())
    last = rows(copy)[-1]
    for end in ("", "-wal", "-shm"):
        Path(f"{copy}{end}").unlink(missing_ok=True)
    return last
