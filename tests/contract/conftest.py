"""Containers for the contract suite, from the fake and from a real engine; servers of S3; repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.adapters.docker_containers import DockerContainers
from paas.adapters.git import GitRepos
from paas.settings import Settings
from paas.testing.fake_containers import FakeContainers
from tests.contract.container_rig import BEHAVIOURS, Rig
from tests.contract.docker_lab import SOCKET, open_lab
from tests.fixtures.s3 import moto_s3, rclone_s3


@pytest.fixture(scope="module")
def lab():
    yield from open_lab()


@pytest.fixture
def real(lab):
    yield Rig(DockerContainers(SOCKET, lab.server, "ct"), lab.digest)
    lab.clean()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.docker)])
def rig(request):
    if request.param == "real":
        return request.getfixturevalue("real")
    fake = FakeContainers()
    for kind, behaviour in BEHAVIOURS.items():
        fake.behave(f"kind={kind}", behaviour)
    return Rig(fake, "sha256:" + "1" * 64)


@pytest.fixture(scope="module")
def rclone():
    with rclone_s3() as server:
        yield server


@pytest.fixture(scope="module")
def moto():
    with moto_s3() as server:
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "lib" / "hooks").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def repos(root: Path) -> GitRepos:
    return GitRepos(Settings(state_dir=root, lib_dir=root / "lib", ssh_user="no-such-user"))


@pytest.fixture
def bare(repos: GitRepos) -> Path:
    return repos.ensure(1)
