"""Streamed SQLite files where the outer things fail: S3 gone, the daemon gone, the container gone, hostile files; a
restore by hand, and on another machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paas.adapters.sealing import load_or_create
from paas.backups import keyring
from paas.model.access import Actor
from paas.ops import backup_keys, sqlite_restore, storage
from paas.runtime import Runtime, open_runtime
from paas.settings import Settings
from paas.store import open_store
from tests.e2e.targets import set_target
from tests.e2e.test_sqlite import contiguous, directory, info, iso, protected, restored, rows, sidecar
from tests.e2e.world import World, run, until
from tests.fixtures import sqlite_app

LITESTREAM = Path(os.sys.executable).parent / "litestream"
PAGE = Path(__file__).parents[2] / "docs" / "backups.md"


@pytest.fixture(scope="module")
def streamed(base_images, mine, s3):
    set_target(mine, s3.target)
    return mine


@pytest.fixture(scope="module")
def repo(streamed):
    return protected(streamed, "more:/more")


def opened(world: World):
    return open_store(world.settings.database, load_or_create(world.settings.master_key, may_create=False))


def count(world: World, repo) -> int:
    return int(world.get(repo.host, "/rows").text.split()[1])


def listed(world: World, repo) -> dict:
    (found,) = json.loads(world.paas("sqlite:list", repo.app, "--format", "json", check=True).stdout)
    return found


def streams(world: World, repo) -> bool:
    found = listed(world, repo)
    return found["state"] == "streaming" and found["lag"] < 1.0


@pytest.mark.parametrize(("path", "says"), [
    ("/tmp/app.db", "is in no mount"),
    ("/data/none.db", "there is no /data/none.db yet"),
    ("/data/link.db", "is a symbolic link"),
    ("/data/text.db", "is not a SQLite database"),
    ("/data/empty.db", "is not a SQLite database"),
    ("/data/old.db", "does not use a write-ahead log"),
    ("/data", "is in no mount"),
    ("/data/../etc/shadow", "not a plain absolute path"),
    ("/data/dir", "is a directory"),
    ("/data/app.db", "is protected already"),
])
def test_what_cannot_be_streamed_is_refused_with_a_reason(streamed, repo, path, says):
    place = directory(streamed, repo)
    if not (place / "link.db").is_symlink():
        (place / "link.db").symlink_to("/etc/shadow")
        (place / "text.db").write_text("no database, but long enough to have a header of a hundred bytes " * 3)
        (place / "empty.db").touch()
        (place / "dir").mkdir()
        with sqlite3.connect(place / "old.db") as db:
            db.execute("CREATE TABLE t (x)")
    refused = streamed.paas("sqlite:protect", repo.app, path, "--name", "other")
    assert refused.returncode in (3, 4)
    assert says in refused.output
    assert [one["name"] for one in json.loads(streamed.paas("sqlite:list", "--format", "json").stdout)] == ["app"]


def test_s3_is_gone_for_a_while(streamed, repo, s3):
    """The writer does not notice, the lag is shown, nothing is lost, and it catches up by itself."""
    try:
        until(lambda: streams(streamed, repo), "it streams")
    except AssertionError:
        print(listed(streamed, repo), info(streamed, repo))
        raise
    before = count(streamed, repo)
    s3.stop()
    time.sleep(6)
    gone = listed(streamed, repo)
    during = count(streamed, repo)
    print(f"S3 gone for 6 s: {gone}")
    assert gone["state"] == "failing"
    assert gone["reason"]
    assert gone["lag"] > 2
    assert during - before > 50          # a row each 50 ms
    began = time.time()
    s3.start()
    until(lambda: streams(streamed, repo), "it has caught up")
    print(f"caught up {time.time() - began:.1f} s after S3 was back")
    found = restored(streamed, repo)
    assert contiguous(found)
    assert found[-1][0] >= during


def test_what_is_written_while_the_daemon_is_gone_is_not_lost(streamed, repo):
    """Litestream goes on without it; the next daemon ships what has gathered."""
    streamed.kill_daemon()
    time.sleep(4)
    during, at = count(streamed, repo), time.time()
    streamed.start_daemon()
    until(lambda: streams(streamed, repo), "it streams again")
    found = restored(streamed, repo)
    assert contiguous(found)
    assert found[-1][0] >= during
    fine = restored(streamed, repo, "--at", iso(at - 2))
    assert contiguous(fine)
    assert -0.1 < at - 2 - fine[-1][1] < 1.0     # also the states of that time are there one by one


def test_a_restore_by_hand_needs_only_age_and_litestream(streamed, repo, s3, tmp_path):
    """The commands of docs/backups.md, word for word."""
    until(lambda: streams(streamed, repo), "it streams")
    during, at = count(streamed, repo), time.time()
    time.sleep(1.5)
    epoch = info(streamed, repo)["epoch"]
    (history,) = (s3.directory / "backups").rglob(epoch)
    shutil.copytree(history, tmp_path / "history")
    store = opened(streamed)
    (tmp_path / "history/key.txt").write_text(store.sealed_setting(keyring.IDENTITY).reveal() + "\n")
    store.close()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/litestream").symlink_to(LITESTREAM)
    path = f"{tmp_path}/bin:/usr/bin:/bin"
    script = re.search(r"```sh\n# SQLite by hand\n(.*?)```", PAGE.read_text(), re.S)[1]
    run(["bash", "-euc", script], cwd=tmp_path / "history", env={"PATH": path}, check=True)
    found = rows(tmp_path / "history/app.db")
    assert contiguous(found)
    assert found[-1][0] >= during
    (tmp_path / "history/app.db").unlink()
    timed = script.replace("-o app.db", f"-timestamp {iso(at).replace('+00:00', 'Z')} -o app.db")
    run(["bash", "-euc", timed[timed.index("litestream"):]], cwd=tmp_path / "history", env={"PATH": path}, check=True)
    assert -0.1 < at - rows(tmp_path / "history/app.db")[-1][1] < 1.0


@pytest.fixture
def elsewhere(streamed, tmp_path) -> Iterator[Runtime]:
    """A platform that knows nothing of the first one's database."""
    place = Path(f"{streamed.root}/elsewhere")
    place.mkdir()
    made = open_runtime(Settings(state_dir=place / "state", run_dir=place / "run", config_dir=place / "etc",
                                 lib_dir=place / "lib", litestream=LITESTREAM, prefix=f"{streamed.settings.prefix}-b"))
    yield made
    for image in made.images.list({"paas.kind": "litestream"}):
        made.images.remove(image.digest)
    made.store.close()


def test_another_machine_restores_from_the_bucket_and_the_key_alone(streamed, repo, s3, elsewhere):
    until(lambda: streams(streamed, repo), "it streams")
    during = count(streamed, repo)
    time.sleep(1.5)
    store = opened(streamed)
    identity, server = store.sealed_setting(keyring.IDENTITY), store.settings()["server-id"]
    store.close()
    keys = backup_keys.open_keys(elsewhere, identity)
    bucket = elsewhere.targets.open(s3.target)
    (histories,) = sqlite_restore.found_in(elsewhere, bucket, server, keys).values()
    assert (histories[-1].app, histories[-1].path) == (repo.app, "/data/app.db")
    app = elsewhere.store.create_app("again", "10.0.0.0/25", Actor("root"))
    place = elsewhere.settings.storage_dir / "again"
    storage.mount(elsewhere, app, f"{place}:/data", local=True, owner=sqlite_app.UID)
    done = sqlite_restore.restore_from(elsewhere, bucket, server, histories, keys, app, say=lambda _: None)
    assert done.path == "/data/app.db"
    found = rows(place / "app.db")
    assert contiguous(found)
    assert found[-1][0] >= during
    assert (place / "app.db").stat().st_uid == sqlite_app.UID
    assert not list((elsewhere.settings.state_dir / "sqlite").glob("*"))


def test_a_container_that_went_comes_again_and_nothing_is_missing(streamed, repo):
    found = sidecar(streamed)
    run(["docker", "rm", "--force", found["Id"]], check=True)
    time.sleep(2)
    during = count(streamed, repo)
    until(lambda: any(one["Config"]["Labels"].get("paas.kind") == "sqlite" and one["Id"] != found["Id"]
                      for one in streamed.containers()), "another container streams", 40)
    until(lambda: streams(streamed, repo), "it streams again", 40)
    again = restored(streamed, repo)
    assert contiguous(again)
    assert again[-1][0] >= during


def test_a_spool_that_was_lost_begins_a_new_history(streamed, repo):
    before = info(streamed, repo)
    streamed.daemon.stop()
    run(["docker", "rm", "--force", sidecar(streamed)["Id"]], check=True)
    shutil.rmtree(streamed.settings.state_dir / "sqlite")
    streamed.start_daemon()
    until(lambda: streams(streamed, repo), "it streams again", 40)
    after = info(streamed, repo)
    assert len(after["histories"]) == len(before["histories"]) + 1
    assert after["epoch"] != before["epoch"]
    assert contiguous(restored(streamed, repo))


def test_a_link_in_the_place_of_the_file_leads_to_nothing_of_the_hosts(streamed, repo, tmp_path_factory):
    """The app turns its database into a link to a file of root's, and its directory's child into one to a directory."""
    secret = tmp_path_factory.mktemp("root") / "secret.db"
    with sqlite3.connect(secret) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, at REAL)")
        db.execute("INSERT INTO t VALUES (1, 4711.0)")
    db.close()
    streamed.paas("ps:stop", repo.app, check=True)
    until(lambda: streams(streamed, repo), "all is shipped")
    place = directory(streamed, repo)
    files = [place / f"app.db{end}" for end in ("", "-wal", "-shm")]
    for path in files:
        if path.exists():
            path.rename(f"{path}.away")
    (place / "app.db").symlink_to(secret)
    (place / "out").symlink_to(secret.parent)
    at = time.time()
    time.sleep(12)                       # also the supervisor looks meanwhile
    found = restored(streamed, repo)
    assert 4711.0 not in {one[1] for one in found}
    assert contiguous(found)
    assert found[-1][1] < at
    refused = streamed.paas("sqlite:restore", repo.app, "app", "--into", "/data/out/planted.db")
    assert not (secret.parent / "planted.db").exists(), refused.output
    (place / "app.db").unlink()
    for path in files:
        if Path(f"{path}.away").exists():
            Path(f"{path}.away").rename(path)
    streamed.paas("ps:start", repo.app, check=True)
    until(lambda: streams(streamed, repo), "it streams again", 60)


def test_not_protected_any_more(streamed, repo, s3):
    at = time.time()
    time.sleep(1)
    streamed.paas("sqlite:unprotect", repo.app, "app", check=True)
    assert not [one for one in streamed.containers() if one["Config"]["Labels"].get("paas.kind") == "sqlite"]
    assert listed(streamed, repo)["state"] == "off"
    assert contiguous(restored(streamed, repo, "--at", iso(at)))
    streamed.paas("sqlite:protect", repo.app, "/data/app.db", check=True)
    until(lambda: streams(streamed, repo), "it streams again")
    assert len(info(streamed, repo)["histories"]) > 1
    refused = streamed.paas("sqlite:unprotect", repo.app, "app", "--purge")
    assert refused.returncode == 2
    streamed.paas("sqlite:unprotect", repo.app, "app", "--purge", "--confirm", "app", check=True)
    assert not list((s3.directory / "backups").rglob("*.ltx.age"))
    assert json.loads(streamed.paas("sqlite:list", repo.app, "--format", "json").stdout) == []
    assert not (streamed.settings.state_dir / "sqlite").exists() or not list(
        (streamed.settings.state_dir / "sqlite").iterdir())


def test_what_a_destroyed_app_leaves(streamed, s3):
    """No container, no spool; the history stays in the target."""
    made = streamed.app_repo(sqlite_app.FILES)
    streamed.paas("apps:create", made.app, check=True)
    streamed.paas("storage:mount", made.app, "data:/data", check=True)     # a volume this time
    made.push()
    until(lambda: streamed.get(made.host, "/rows").status == 200, "the app answers")
    streamed.paas("sqlite:protect", made.app, "/data/app.db", check=True)
    uid = info(streamed, made)["uid"]
    streamed.paas("sqlite:restore", made.app, "app", "--in-place", "--confirm", "app", check=True)
    until(lambda: streamed.get(made.host, "/rows").status == 200, "the app answers again")
    seen = streamed.paas("run", made.app, "ls", "-l", "/data", check=True).stdout
    assert re.search(rf"{sqlite_app.UID} .*app\.db\.before-\d+T\d+Z\n", seen)
    streamed.paas("apps:destroy", made.app, "--confirm", made.app, check=True)
    assert not [one for one in streamed.containers() if one["Config"]["Labels"].get("paas.kind") == "sqlite"]
    until(lambda: not (streamed.settings.state_dir / "sqlite" / uid).exists(), "its spool is gone")
    (stored,) = (s3.directory / "backups").rglob(uid)
    assert list(stored.rglob("*.ltx.age"))
