"""The short set of faults: each kind, at the steps where most can go wrong. All of them: ``tests/faults/run --all``."""

from collections.abc import Iterator

import pytest

from tests.faults.harness import Case, Lab

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.usefixtures("base_images"), pytest.mark.timeout(300)]

SHORT = tuple(Case(*words) for words in (
    ("B2.before", "kill9"), ("K2.after", "kill9"), ("C1.after", "kill9"), ("S2.after", "kill9 twice"),
    ("S4.after", "kill9"), ("G1.before", "kill9"), ("D2.after", "kill9"),
    ("S2.after", "ENOSPC"), ("S4.after", "EIO"), ("G2.before", "EIO"),
    ("Y1.before", "hook"), ("S4.after", "hook"), ("C3.before", "ssh"), ("G1.before", "receive-pack"),
    ("S3.after", "proxy"), ("S2.after", "service"),
))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Its own world: everything in it is killed."""
    made = Lab()
    yield made
    made.close()


@pytest.mark.parametrize("case", SHORT, ids=str)
def test_nothing_is_lost(lab, case):
    """X01, X02, X03, X04, X06, X12: whatever dies at a step, the invariants hold and the same push works."""
    outcome = lab.run(case)
    assert outcome.violations == (), lab.world.daemon.tail()
