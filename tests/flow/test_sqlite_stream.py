"""Litestream itself under the shipper, with its intervals shortened so that days pass in seconds: compaction,
retention, crashes, checkpoints and outages; states that the target offers are restored and compared."""

from __future__ import annotations

import json
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paas.adapters.age import AgeSealing
from paas.backups import sqlite_program
from paas.backups.spool import Spool
from paas.backups.sqlite_restore import OpenKeys, choose, download, epochs, layout
from paas.backups.sqlite_ship import Epoch, SealKeys, Shipper, put_epoch, stored_files
from paas.errors import NotFound, StoreError
from paas.model import sqlite
from paas.model.backup_layout import new_id
from paas.model.backup_mac import identity_key
from paas.testing.fake_objects import FakeObjects

LITESTREAM = str(Path(sys.executable).parent / "litestream")
SHORT = {"levels": [{"interval": "2s"}, {"interval": "6s"}], "snapshot": {"interval": "9s", "retention": "9s"},
         "l0-retention": "4s", "l0-retention-check-interval": "1s"}
WRITER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA busy_timeout = 5000")
db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, junk BLOB)")
while True:
    db.execute("INSERT INTO t (at, junk) VALUES (?, randomblob(3000))", (time.time(),))
    time.sleep(0.02)
"""


class Stream:
    """A writer, a Litestream, a shipper: each can be killed and started again."""

    def __init__(self, root: Path) -> None:
        self.root, self.database = root, root / "db/app.db"
        for name in ("db", "spool"):
            (root / name).mkdir()
        words = json.loads(sqlite_program.config(str(self.database)))
        words["dbs"][0]["meta-path"] = str(root / "spool/meta")
        words["dbs"][0]["replica"]["path"] = str(root / "spool/replica")
        (root / "litestream.yml").write_text(json.dumps({**words, **SHORT}))
        self.sealing, self.store = AgeSealing(), FakeObjects()
        identity, recipient = self.sealing.new_identity()
        self.keys = SealKeys((recipient,), identity_key(identity, recipient))
        self.open = OpenKeys(identity, (self.keys.mac,))
        now = datetime.now(UTC)
        epoch = Epoch("u1", new_id(now, secrets.randbits(32)), "hello", "app", "/data/app.db", "0:0", now, "protected")
        self.place = layout("srv", "u1").pitr(epoch.id)
        put_epoch(self.store, self.place, epoch, self.keys)
        self.shipper = Shipper(Spool(root / "spool/replica"), self.store, self.sealing, self.keys, self.place)
        self.down, self.ended = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=self.lane, args=(large,)) for large in (False, True)]
        self.processes: dict[str, subprocess.Popen] = {}

    def lane(self, large: bool) -> None:
        while not self.ended.is_set():
            try:
                if self.down.is_set():
                    raise StoreError("the store does not answer")
                busy = self.shipper.tick(large)
            except StoreError:
                busy = False
            if not busy:
                time.sleep(0.05)

    def start(self, *names: str) -> None:
        argv = {"writer": [sys.executable, "-c", WRITER, str(self.database)],
                "litestream": [LITESTREAM, "replicate", "-config", str(self.root / "litestream.yml"), "-no-expand-env"]}
        for name in names:
            with (self.root / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(argv[name], env={}, stdout=log, stderr=log)

    def kill(self, *names: str) -> None:
        for name in names:
            process = self.processes.pop(name)
            process.send_signal(signal.SIGKILL)
            process.wait()

    def end(self) -> None:
        self.ended.set()
        self.kill(*self.processes)
        for thread in self.threads:
            thread.join()

    def restored(self, at: datetime | None) -> list[tuple[int, float]]:
        place = self.root / f"r-{secrets.token_hex(4)}"
        place.mkdir()
        state = choose(self.store, "srv", epochs(self.store, "srv", self.open.macs), at)
        download(self.store, self.sealing, "srv", state, self.open, place)
        subprocess.run([LITESTREAM, "restore", "-integrity-check", "full", "-o", str(place / "db"), f"file://{place}"],
                       check=True, env={}, capture_output=True)
        with sqlite3.connect(place / "db") as db:
            return db.execute("SELECT id, at FROM t ORDER BY id").fetchall()

    def caught_up(self) -> None:
        deadline = time.monotonic() + 30
        while self.shipper.pending() or self.shipper.broken:
            assert time.monotonic() < deadline, self.shipper.pending()
            time.sleep(0.05)


@pytest.fixture
def stream(tmp_path):
    made = Stream(tmp_path)
    try:
        made.start("writer")
        time.sleep(0.5)
        made.start("litestream")
        for thread in made.threads:
            thread.start()
        yield made
    finally:
        made.end()


def test_days_in_seconds(stream):
    """Outages longer than single transactions are kept here; a crash of Litestream with a checkpoint meanwhile. At the
    end each sampled time gives a whole database with nothing later than the time, the newest one has every row."""
    began = time.time()
    bytes_here = []
    for turn in range(3):
        time.sleep(3)
        stream.down.set()
        time.sleep(6)                    # longer than `l0-retention`: steps go, the state does not
        stream.down.clear()
        if turn == 1:
            stream.kill("litestream")
            with sqlite3.connect(stream.database, timeout=5) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            time.sleep(1)
            stream.start("litestream")
        bytes_here.append(sum(path.stat().st_size for path in (stream.root / "spool").rglob("*.ltx")))
    time.sleep(2)
    stream.kill("writer")
    time.sleep(1.5)
    stream.caught_up()
    with sqlite3.connect(stream.database) as db:
        written = db.execute("SELECT id, at FROM t ORDER BY id").fetchall()
    assert stream.restored(None) == written
    files = list(stored_files(stream.store, stream.place))
    print({level: sum(one.level == level for one in files) for level in sqlite.LEVELS}, "bytes here", bytes_here)
    assert not sqlite.gap(files)
    assert {one.level for one in files} >= {0, 1, 2, 9}
    late = []
    for number in range(10):
        at = began + 1 + number * (written[-1][1] - began - 1) / 10
        found = stream.restored(datetime.fromtimestamp(at, UTC))
        assert found == written[: len(found)]
        assert found[-1][1] <= at + 0.1
        late.append(round(at - found[-1][1], 2))
    print("seconds short of the time asked for:", late)
    assert max(late) < 4                 # the coarsest step here: level 1, and a look


def test_a_file_that_is_made_anew_is_the_newest_state_and_the_old_one_is_still_there(stream):
    time.sleep(3)
    stream.kill("writer")
    time.sleep(1.2)
    stream.caught_up()
    at = datetime.now(UTC)
    old = stream.restored(None)
    for end in ("", "-wal", "-shm"):
        Path(f"{stream.database}{end}").unlink(missing_ok=True)
    stream.kill("litestream")            # as when the whole machine was restarted
    stream.start("writer")
    time.sleep(1)
    stream.start("litestream")
    time.sleep(3)
    stream.kill("writer")
    time.sleep(1.5)
    stream.caught_up()
    with sqlite3.connect(stream.database) as db:
        new = db.execute("SELECT id, at FROM t ORDER BY id").fetchall()
    assert new[0][1] > old[-1][1]
    assert stream.restored(None) == new
    assert stream.restored(at) == old


def test_before_the_first_state_there_is_none(stream):
    time.sleep(1.5)
    with pytest.raises(NotFound):
        choose(stream.store, "srv", epochs(stream.store, "srv", stream.open.macs), datetime(2026, 1, 1, tzinfo=UTC))
