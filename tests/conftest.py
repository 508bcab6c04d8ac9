"""What every kind of test shares: the engine's socket, and the markers' meaning."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("usual", deadline=None)                       # a busy machine is no fault
settings.load_profile("usual")
settings.register_profile("long", max_examples=5000, deadline=None)     # pytest --hypothesis-profile=long


@pytest.fixture(scope="session")
def docker_socket() -> Path:
    """The unix socket of the Docker engine that the tests use ($DOCKER_HOST or the usual place)."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    assert host.startswith("unix://"), "the tests need an engine on a unix socket"
    return Path(host.removeprefix("unix://"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every test under ``tests/e2e`` is end to end and needs Docker, whether it says so or not."""
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session")
def base_images() -> None:
    """The base images under their official names: made on the first use, then there."""
    subprocess.run([Path(__file__).parent / "base_images" / "make"], check=True)
