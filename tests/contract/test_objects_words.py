"""What the user is told about a store of objects: errors in words, what a probe finds, directories."""

import logging
import os
import secrets
import socket
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from paas.adapters.objects import Objects
from paas.adapters.objects_s3 import S3Objects
from paas.adapters.objects_s3_upload import MIB
from paas.errors import BadInput, NotFound, StoreError
from paas.model.backup import Target
from paas.secret import Secret
from paas.testing.contract_objects import drain, send
from tests.contract.objects_rig import ANY, DATA, QUICK, rig_over, said
from tests.fixtures.s3 import BUCKET, free_port, rclone_s3
from tests.fixtures.s3_proxy import Answer, other_body, same_head_other_body, status


@pytest.fixture
def rig(rclone):
    yield from rig_over(rclone)


class TestWords:
    def test_a_bucket_that_is_not_there(self, rclone):
        store = Objects().open(replace(rclone.target, url="s3://no-such-bucket/p"))
        words = f"the bucket 'no-such-bucket' does not exist at {rclone.target.endpoint}"
        for act in (lambda: store.put("a", b""), lambda: store.get("a"), lambda: store.size("a"),
                    lambda: list(store.list()), lambda: send(store.upload("a"), DATA)):
            assert said(act) == words
        assert words in store.probe().problems

    @pytest.mark.parametrize("half", ["access", "secret"])
    def test_a_wrong_key(self, rclone, moto, half):
        for server in (rclone, moto):
            wrong = {"access_key": "AKWRONG"} if half == "access" else {"secret_key": Secret("wrongsecret")}
            store = Objects().open(replace(server.target, **wrong))
            for act in (lambda: store.put("a", b""), lambda: store.get("a"), lambda: store.size("a")):   # noqa: B023
                what = said(act)
                assert "access key" in what
                assert "AKWRONG" not in what
                assert "wrongsecret" not in what
            assert store.probe().problems

    def test_nobody_there(self):
        target = Target("s3://b/p", f"http://127.0.0.1:{free_port()}", "", "AK", Secret("x"))
        store = S3Objects(target, "b", "p/", QUICK)
        assert "cannot be reached" in said(lambda: store.get("a"))
        assert store.probe().problems == (f"{target.endpoint} cannot be reached",)

    def test_a_port_that_never_answers(self):
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            target = Target("s3://b/p", f"http://127.0.0.1:{deaf.getsockname()[1]}", "", "AK", Secret("x"))
            store = S3Objects(target, "b", "p/", replace(QUICK, read=0.2, attempts=2))
            assert "does not answer" in said(lambda: store.get("a"))

    def test_another_clock(self, rig):
        def skewed(proxy, request) -> Answer:
            date = (datetime.now(UTC) + timedelta(minutes=17)).strftime("%a, %d %b %Y %H:%M:%S GMT")
            answer = status(403, "RequestTimeTooSkewed")(proxy, request)
            return replace(answer, headers=[*answer.headers, ("Date", date)])
        rig.proxy.on("", skewed, ANY)
        assert said(lambda: rig.store.put("a", b"")).endswith("the clock differs by 17 min")
        assert abs((rig.store.now() - datetime.now(UTC)).total_seconds() - 17 * 60) < 60
        found = rig.store.probe()
        assert any("17 min" in one for one in found.problems)
        assert abs(found.clock_skew - 17 * 60) < 60

    def test_no_key_in_the_log_at_debug(self, rclone, caplog):
        caplog.set_level(logging.DEBUG)
        store = Objects().open(replace(rclone.target, url=f"s3://{BUCKET}/{secrets.token_hex(4)}"))
        store.put("a", b"text")
        said(lambda: store.get("b"))
        assert rclone.target.access_key not in caplog.text
        assert rclone.target.secret_key.reveal() not in caplog.text

    def test_what_stands_in_the_environment_and_in_aws_files_does_not_matter(self, rclone, tmp_path, monkeypatch):
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "config").write_text("[default]\ns3 =\n  addressing_style = virtual\n")
        for name, value in {"HOME": str(tmp_path), "AWS_PROFILE": "nobody", "AWS_CA_BUNDLE": "/none",
                            "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "other",
                            "AWS_DEFAULT_REGION": "mars", "AWS_MAX_ATTEMPTS": "1"}.items():
            monkeypatch.setenv(name, value)
        store = Objects().open(replace(rclone.target, url=f"s3://{BUCKET}/{secrets.token_hex(4)}"))
        store.put("a", b"text")
        assert store.get("a") == b"text"

    @pytest.mark.parametrize("changes", [
        {"url": "http://b"}, {"url": "s3://"}, {"url": "s3://b"}, {"url": "s3://user:pass@bucket/x"}, {"url": ""},
        {"url": "s3://bucket/a b"}, {"url": "s3://bucket/../x"}, {"url": "s3://bucket/x?versioning"},
        {"url": "file://host/dir"}, {"url": "file:///"}, {"url": "file:///a/../b"},
        {"endpoint": "example.com"}, {"endpoint": "https://user@example.com"}, {"endpoint": "https://example.com/x"},
        {"endpoint": "ftp://example.com"}, {"endpoint": "https://example.com:port"},
        {"access_key": ""}, {"secret_key": Secret("")}, {"storage_class": "cold"}, {"region": "eu west"},
        {"ca_bundle": "/no/such/file"},
    ], ids=str)
    def test_targets_that_cannot_be(self, changes):
        good = Target("s3://bucket/prefix", "https://s3.example.com", "eu-1", "AK", Secret("secret"))
        Objects().open(good)
        with pytest.raises(BadInput) as caught:
            Objects().open(replace(good, **changes))
        assert "pass" not in caught.value.what


class TestProbe:
    def test_what_differs(self, rclone, moto):
        """rclone ignores conditions and would overwrite; moto keeps them."""
        ignorant, strict = (Objects().open(replace(server.target, url=f"s3://{BUCKET}/{secrets.token_hex(4)}")).probe()
                            for server in (rclone, moto))
        assert not ignorant.conditional_put
        assert strict.conditional_put
        assert [one for one in ignorant.warnings if "overwrites" in one]
        assert strict.warnings == ()

    def test_a_public_store(self):
        with rclone_s3(public=True) as server:
            found = Objects().open(server.target).probe()
        assert found.problems == ()
        assert [one for one in found.warnings if "anyone can read" in one]

    @pytest.mark.parametrize(("pattern", "fault", "problem"), [
        ("GET .*small$", same_head_other_body, "not what was written"),
        ("GET .*large$", same_head_other_body, "not what was written"),
        ("PUT ", status(403, "AccessDenied"), "refuses the access key"),
        ("POST .*uploads", status(403, "AccessDenied"), "refuses the access key"),
        ("list-type=2", other_body(b"<ListBucketResult></ListBucketResult>"), "not in the listing"),
    ], ids=["other bytes", "other bytes in large", "no put", "no multipart", "no list"])
    def test_a_store_that_lies_or_refuses(self, rig, pattern, fault, problem):
        rig.proxy.on(pattern, fault, ANY)
        assert any(problem in one for one in rig.store.probe().problems)

    def test_append_only_credentials(self, rig):
        rig.proxy.on("(DELETE .*small|POST .*delete)", status(403, "AccessDenied"), ANY)
        found = rig.store.probe()
        assert found.problems == ()
        assert not found.deletes

    def test_a_get_that_ignores_ranges(self, rig):
        whole = []

        def forget(proxy, request) -> Answer:
            if not any(name == "Range" for name, _ in request.headers):
                whole.append(proxy.forward(request))
            return whole[-1]
        rig.proxy.on("GET .*small", forget, ANY)
        assert any("another part" in one for one in rig.store.probe().problems)


class TestDirectory:
    def test_files_are_private_and_an_unmounted_parent_is_not_made_up(self, tmp_path):
        store = Objects().open(Target(f"file://{tmp_path}/backups"))
        store.put("a/b", b"x")
        assert (tmp_path / "backups").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "backups" / "a" / "b").stat().st_mode & 0o777 == 0o600
        lost = Objects().open(Target(f"file://{tmp_path}/not-mounted/backups"))
        assert "does not exist" in said(lambda: lost.put("a", b"x"))
        assert lost.probe().problems
        with pytest.raises(NotFound):
            lost.get("a")

    def test_a_full_disk_leaves_the_old(self, tmp_path):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "paas-test", str(tmp_path)], check=True)
        try:
            store = Objects().open(Target(f"file://{tmp_path}/b"))
            store.put("a", b"before")
            for act in (lambda: store.put("a", bytes(2 * MIB)), lambda: send(store.upload("a"), bytes(2 * MIB))):
                assert said(act) == "the directory of backups cannot be used: its disk is full"
            assert store.get("a") == b"before"
            assert os.listdir(tmp_path / "b") == ["a"]
        finally:
            subprocess.run(["umount", str(tmp_path)], check=True)

    def test_a_file_cut_while_it_is_read(self, tmp_path):
        store = Objects().open(Target(f"file://{tmp_path}/b"))
        store.put("a", DATA)
        reader = store.read("a")
        reader.read(1000)
        os.truncate(tmp_path / "b" / "a", 2 * MIB)
        with pytest.raises(StoreError, match="early"):
            drain(reader)

    def test_a_killed_writer_leaves_nothing_that_counts(self, tmp_path):
        store = Objects().open(Target(f"file://{tmp_path}/b"))
        upload = store.upload("d/x")
        upload.write(DATA)
        del upload                       # as when the process died: the hidden file stays
        (tmp_path / "b" / ".bashrc").write_text("mine")
        assert list(store.list()) == []
        assert store.abort_uploads(3600) == 0
        assert store.abort_uploads(-60) == 1
        assert (tmp_path / "b" / ".bashrc").exists()
