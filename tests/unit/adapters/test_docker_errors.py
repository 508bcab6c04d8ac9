"""What the engine's refusals mean to the platform."""

import pytest

from paas.adapters.docker_client import refused
from paas.errors import Conflict, EngineError, NoSpace, NotFound


@pytest.mark.parametrize(("status", "said", "kind"), [
    (404, "No such container: x", NotFound),
    (409, "can not get logs from container which is dead or marked for removal", NotFound),
    (409, "name is in use", Conflict),
    (500, "write /x: no space left on device", NoSpace),
    (500, "boom", EngineError),
])
def test_a_refusal(status, said, kind):
    error = refused(status, said, "read it")
    assert type(error) is kind
    assert error.what.startswith("Docker could not read it: ")
