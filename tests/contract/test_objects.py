"""The stores of objects: one contract over the fake, a directory, rclone's and moto's S3."""

import secrets
from dataclasses import replace

import pytest

from paas.adapters.objects import Objects
from paas.errors import StoreError
from paas.model.backup import Target
from paas.testing.contract_objects import ObjectStoreContract
from paas.testing.fake_objects import FakeObjects
from tests.fixtures.s3 import BUCKET, rclone_s3


class TestFakeObjects(ObjectStoreContract):
    @pytest.fixture
    def store(self):
        return FakeObjects()


class TestFileObjects(ObjectStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return Objects().open(Target(f"file://{tmp_path}/backups"))


def own_prefix(server) -> Target:
    return replace(server.target, url=f"s3://{BUCKET}/{secrets.token_hex(4)}/deep")


class TestRclone(ObjectStoreContract):
    @pytest.fixture
    def store(self, rclone):
        return Objects().open(own_prefix(rclone))


class TestMoto(ObjectStoreContract):
    knows_when_uploads_began = False     # moto says 2010 of all

    @pytest.fixture
    def store(self, moto):
        return Objects().open(own_prefix(moto))


def test_over_tls_with_a_certificate_of_its_own():
    with rclone_s3(tls=True) as server:
        store = Objects().open(server.target)
        store.put("a", b"text")
        assert store.get("a") == b"text"
        with pytest.raises(StoreError, match="certificate"):
            Objects().open(replace(server.target, ca_bundle="")).get("a")
