"""Orders of failpoints: which files and lines are taken, what each does, and that a real installation has none."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from paas import failpoints
from paas.errors import StateError
from tests.e2e.world import until

SOURCE = Path(__file__).parents[2]


@pytest.fixture
def orders(tmp_path, monkeypatch):
    """Write the file of orders; failpoints are on."""
    monkeypatch.setattr(failpoints, "_orders", None)
    monkeypatch.setenv("PAAS_FAILPOINTS", "allowed")

    def give(*lines: str) -> Path:
        path = tmp_path / "failpoints"
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(0o600)
        failpoints.arm(tmp_path)
        return path

    return give


def raised(point: str) -> int:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
        failpoints.failpoint(point)
    return caught.value.errno


def test_an_order_holds_once(orders):
    path = orders("S2.before=raise:ENOSPC", "S4.after=raise:EIO")
    assert raised("S2.before") == errno.ENOSPC
    failpoints.failpoint("S2.before")
    assert path.read_text() == "S4.after=raise:EIO\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert raised("S4.after") == errno.EIO


def test_always_and_by_chance(orders):
    orders("S1.before=raise:EBUSY always", "S2.before=raise:EIO p=0", "S3.before=raise:EIO p=1")
    assert [raised("S1.before") for _ in range(3)] == [errno.EBUSY] * 3
    failpoints.failpoint("S2.before")
    assert [raised("S3.before") for _ in range(3)] == [errno.EIO] * 3


def test_a_step_has_two_points_and_none_after_a_failure(orders):
    orders("C1.before=raise:EIO", "C1.after=raise:ENOSPC")
    worked = []
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), failpoints.step("C1"):
        worked.append("never")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), failpoints.step("C1"):
        worked.append("once")
    assert worked == ["once"]


def test_a_pause_waits_for_its_gate(orders, tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    orders(f"S2.before=pause:{gate}")
    paused = threading.Thread(target=failpoints.failpoint, args=("S2.before",))
    paused.start()
    until(Path(f"{gate}.reached").exists, "the point is reached")
    assert paused.is_alive()
    gate.unlink()
    paused.join()


@pytest.mark.parametrize(("order", "code"), [("kill9", -9), ("exit:3", 3)])
def test_the_process_ends(orders, tmp_path, order, code):
    path = orders(f"S2.before={order}")
    script = ("import sys, pathlib; from paas import failpoints; failpoints.arm(pathlib.Path(sys.argv[1]));"
              "failpoints.failpoint('S2.before'); print('lives')")
    words = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(words, cwd=SOURCE, env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True,
                          check=False)
    assert (done.returncode, done.stdout) == (code, b"")
    assert path.read_text() == ""                        # what starts next does not die again


@pytest.mark.parametrize("line", ["S2.before", "S2.before=", "S2.before=explode", "S2.before=exit:x",
                                  "S2.before=kill9:1", "S2.before=raise:ENOWAY", "S2.before=raise:os",
                                  "S2.before=pause:gate", "S2.before=sleep:x", "S2.before=kill9 twice",
                                  "S2.before=kill9 p=2"])
def test_what_is_no_order_is_refused(orders, line):
    with pytest.raises(StateError, match="not an order"):
        orders(line)


def test_a_file_that_is_not_roots_alone_is_refused(orders, tmp_path):
    path = orders()
    for spoil in (lambda: path.chmod(0o644), lambda: os.chown(path, 1, 1), lambda: link(path)):
        path.chmod(0o600)
        spoil()
        with pytest.raises(StateError, match=r"0600|is a link"):
            failpoints.failpoint("S2.before")
        os.chown(path, 0, 0)


def link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def test_without_the_mark_nothing_happens_and_the_file_is_an_error(orders, tmp_path, monkeypatch):
    path = orders()
    monkeypatch.delenv("PAAS_FAILPOINTS")
    with pytest.raises(StateError, match="for tests of the platform only"):
        failpoints.arm(tmp_path)
    path.unlink()
    failpoints.arm(tmp_path)
    path.write_text("S2.before=raise:EIO\n")
    path.chmod(0o600)
    failpoints.failpoint("S2.before")                    # decided at the start
