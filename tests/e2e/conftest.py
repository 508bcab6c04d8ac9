"""The whole platform: one for each file (the fixture ``world``), a second for what a file kills, breaks or compares
(``mine``), one for a single test (``own_world``). A failing test shows the daemon's log."""

from collections.abc import Iterator

import pytest

from tests.e2e.world import World
from tests.fixtures.s3 import Server, rclone_s3

OPEN: dict[str, World] = {}              # by the name of its fixture


def opened(name: str) -> Iterator[World]:
    OPEN[name] = World.open()
    yield OPEN[name]
    OPEN.pop(name).close()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Which files share a process differs from run to run: what one of them makes shall not meet another."""
    yield from opened("world")


@pytest.fixture(scope="module")
def mine() -> Iterator[World]:
    yield from opened("mine")


@pytest.fixture
def own_world() -> Iterator[World]:
    """For tests that kill, fill or reconfigure what others share."""
    yield from opened("own_world")


@pytest.fixture(scope="module")
def s3() -> Iterator[Server]:
    with rclone_s3() as server:
        yield server


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = (yield).get_result()
    used = set(getattr(item, "fixturenames", ()))
    for name in used & {"world", "mine", "own_world"}:
        if report.failed and name in OPEN:
            report.sections.append((f"{name}: logs", OPEN[name].logs()))
