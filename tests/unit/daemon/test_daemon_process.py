"""paasd as a process: ready, only once, stopped by SIGTERM."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from paas.daemon import __main__ as daemon
from paas.errors import Conflict, NoSpace
from paas.testing.door import door_runtime

ROOT = Path(__file__).parents[3]
# The real main() over a stub runtime.
START = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
import paas.runtime
from paas.daemon import __main__ as daemon
from paas.errors import NoSpace
from paas.testing.door import door_runtime
paas.runtime.open_runtime = lambda settings: door_runtime(Path(sys.argv[1]))
daemon.start_background = lambda rt: None
daemon.settings.load = lambda: door_runtime(Path(sys.argv[1])).settings
sys.exit(daemon.main(sys.argv[2:]))
"""


@pytest.fixture
def home():
    if os.geteuid():
        pytest.skip("needs root")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as path:
        yield Path(path)


def argv(home: Path, *words: str) -> list:
    return [sys.executable, "-c", START, home, *words]


def test_ready_only_once_and_stopped(home):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(home / "notify"))
        notified.settimeout(30)
        process = subprocess.Popen(argv(home, "--foreground"), stderr=subprocess.PIPE,
                                   env={**os.environ, "NOTIFY_SOCKET": str(home / "notify")})
        try:
            assert notified.recv(100) == b"READY=1"
            assert (home / "run" / "paas.sock").exists()
            second = subprocess.run(argv(home), capture_output=True, timeout=30)
            assert second.returncode == 33
            assert b"another paasd runs" in second.stderr
            assert (home / "run" / "paas.sock").exists()
            process.send_signal(signal.SIGTERM)
            assert notified.recv(100) == b"STOPPING=1"
            assert process.wait(30) == 0
        finally:
            process.kill()
            log = process.communicate()[1]
    assert b"paasd listens" in log
    assert not (home / "run" / "paas.sock").exists()
    assert (home / "state" / "paasd.lock").exists()          # a flock file is never unlinked


def test_usage(home):
    assert subprocess.run(argv(home, "--what"), capture_output=True, timeout=30).returncode == 2


def test_after_a_restore_a_daemon_that_cannot_start_its_work_ends_to_be_started_anew(home, monkeypatch):
    """One that served without its background work would look well, and repair, back up and tell nothing."""
    killed = []
    monkeypatch.setattr(daemon.os, "kill", lambda pid, number: killed.append((pid, number)))
    monkeypatch.setattr(daemon.House, "_open", lambda house: door_runtime(home))
    monkeypatch.setattr(daemon, "start_background", lambda rt: None)
    house = daemon.House(door_runtime(home).settings)
    try:
        def no_thread(rt):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(daemon, "start_background", no_thread)
        with pytest.raises(RuntimeError):
            house._begin_anew()
    finally:
        house._server.stop(grace=0)
    assert killed == [(os.getpid(), signal.SIGTERM)]


def test_on_a_full_disk_it_starts_although_what_was_cut_cannot_be_recorded(home, monkeypatch, caplog):
    def full(rt):
        raise NoSpace("the disk that holds the state database is full; nothing was changed")

    monkeypatch.setattr(daemon.events, "settle", full)
    monkeypatch.setattr(daemon.House, "_open", lambda house: door_runtime(home))
    monkeypatch.setattr(daemon, "start_background", lambda rt: None)
    house = daemon.House(door_runtime(home).settings)
    house._server.stop(grace=0)
    assert "could not be recorded: the disk that holds the state database is full" in caplog.text


def test_when_it_stops_no_command_waits_for_the_platforms_own_work(home, monkeypatch):
    monkeypatch.setattr(daemon.House, "_open", lambda house: door_runtime(home))
    monkeypatch.setattr(daemon, "start_background", lambda rt: None)
    house = daemon.House(door_runtime(home).settings)
    rt = house._rt
    assert rt.jobs.try_turn(1, "reconcile", housekeeping=True)
    with ThreadPoolExecutor(2) as pool, rt.turns.hold("db", "the retention", housekeeping=True):
        wanted = rt.jobs.turn(1, "apps:destroy"), rt.turns.hold("db", "a restore")
        waiting = [pool.submit(enter, turn) for turn in wanted]
        assert wait(waiting, 0.2).done == set()
        house.close()
        assert [type(one.exception(10)) for one in waiting] == [Conflict, Conflict]


def enter(turn) -> None:
    with turn:
        pass
