import pytest

from tests.flow.over_fakes import make_flow
from tests.unit.cli.desk import Desk


@pytest.fixture
def desk(tmp_path) -> Desk:
    """Commands over fakes, with the app `hello` there and not yet deployed."""
    made = Desk(make_flow(tmp_path))
    made.flow.app()
    return made


@pytest.fixture
def deployed(desk) -> Desk:
    """The same, with v1 of `hello` live."""
    desk.flow.deploy("one")
    return desk


@pytest.fixture
def pair(desk):
    """hello with an instance of web and one of worker."""
    flow = desk.flow
    assert flow.push(flow.commit({"Procfile": b"web: serve\nworker: work\n"})) == 0, flow.lines.text
    flow.settle()
    desk.ok("ps:scale hello worker=1")
    return desk
