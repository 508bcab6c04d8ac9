"""S3 through a proxy that does the wrong thing: equal content or a clean error; never a wrong object."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from paas.adapters.objects import Objects
from paas.adapters.objects_s3 import S3Objects
from paas.adapters.objects_s3_upload import MIB, part_size
from paas.errors import Conflict, StoreError
from paas.testing.contract_objects import LARGE, drain, noise, send
from tests.contract.objects_rig import ANY, DATA, QUICK, rig_over
from tests.fixtures.s3 import BUCKET, admin_client, rclone_s3
from tests.fixtures.s3_proxy import (
    Answer,
    cut_body,
    error_in_200,
    flip_bit,
    lose_reply,
    other,
    other_body,
    reset,
    same_head_other_body,
    short_body,
    stall,
    status,
)


@pytest.fixture(scope="module")
def rclone():
    # With streaming, its default, rclone cannot take a part again that came with a wrong Content-MD5; S3 can.
    with rclone_s3("--disable-multipart-streaming") as server:
        yield server


@pytest.fixture
def rig(rclone):
    yield from rig_over(rclone)


@pytest.fixture
def moto_rig(moto):
    yield from rig_over(moto)


PART_TWO = "PUT .*partNumber=2"
SURVIVED = {
    "500": (PART_TWO, status(500, "InternalError"), 2),
    "503": (PART_TWO, status(503, "SlowDown"), 2),
    "reset": (PART_TWO, reset, 2),
    "reply lost": (PART_TWO, lose_reply, 1),
    "bit flipped": (PART_TWO, flip_bit, 2),
    "stalled": (PART_TWO, stall, 1),
    "timeout said": (PART_TWO, status(400, "RequestTimeout"), 2),
    "begin: 500": ("POST .*uploads", status(500, "InternalError"), 2),
    "complete: 500": ("POST .*uploadId", status(500, "InternalError"), 2),
    "complete: reply lost": ("POST .*uploadId", lose_reply, 1),
    "complete: error in 200": ("POST .*uploadId", error_in_200, 2),
    "head: reset": ("HEAD ", reset, 2),
}
LOST = {
    "500": (PART_TWO, status(500, "InternalError")),
    "503": (PART_TWO, status(503, "SlowDown")),
    "reset": (PART_TWO, reset),
    "bit flipped": (PART_TWO, flip_bit),
    "403": (PART_TWO, status(403, "AccessDenied")),
    "begin: 403": ("POST .*uploads", status(403, "AccessDenied")),
    "complete: 403": ("POST .*uploadId", status(403, "AccessDenied")),
    "complete: error in 200": ("POST .*uploadId", error_in_200),
    "all: reset": ("", reset),
    "wrong body": ("POST .*uploads", other_body(b"<html>please log in</html>")),
}


class TestUploads:
    @pytest.mark.parametrize("name", SURVIVED)
    def test_faults_that_pass(self, rig, name):
        pattern, fault, times = SURVIVED[name]
        rig.proxy.on(pattern, fault, times)
        assert send(rig.store.upload("d/x"), DATA) == LARGE
        assert len(rig.proxy.done) == times
        assert drain(rig.straight.read("d/x")) == DATA
        assert rig.straight.abort_uploads(-60) == 0

    @pytest.mark.parametrize("name", LOST)
    def test_faults_that_stay(self, rig, name):
        pattern, fault = LOST[name]
        rig.straight.put("d/x", b"before")
        rig.proxy.on(pattern, fault, ANY)
        with pytest.raises(StoreError) as caught:
            send(rig.store.upload("d/x"), DATA)
        assert "AKSECRET" not in caught.value.what
        assert rig.proxy.done
        assert rig.straight.get("d/x") == b"before"
        assert [one.key for one in rig.straight.list()] == ["d/x"]
        if name != "all: reset":
            assert rig.straight.abort_uploads(-60) == 0          # it was ended at once

    def test_a_flipped_bit_at_a_store_that_then_ends_the_upload(self):
        with rclone_s3() as server:
            for rig in rig_over(server):
                rig.straight.put("d/x", b"before")
                rig.proxy.on("PUT .*partNumber=1", flip_bit)
                with pytest.raises(StoreError):
                    send(rig.store.upload("d/x"), DATA)
                assert rig.straight.get("d/x") == b"before"

    def test_a_stall_ends_with_an_error_although_no_timeout_of_the_socket_passed(self, rig):
        rig.proxy.on("PUT .*partNumber", stall, ANY)
        store = rig.with_patience(read=30, progress=1, connect=0.1)
        with pytest.raises(StoreError, match="has taken nothing"):
            send(store.upload("d/x"), DATA)
        assert list(rig.straight.list()) == []

    def test_a_lost_reply_to_the_end_of_an_upload_that_replaces_is_no_success(self, rig):
        """Whether the new object is there cannot be told from the old one's size."""
        rig.straight.put("d/x", b"before")
        rig.proxy.on("POST .*uploadId", lose_reply, 1)
        with pytest.raises(StoreError):
            send(rig.store.upload("d/x"), DATA)
        assert drain(rig.straight.read("d/x")) in (DATA, b"before")

    def test_a_store_that_keeps_less_than_it_got(self, rig, rclone):
        cut = rclone.directory / BUCKET / rig.store.prefix / "d/x"

        def truncate(proxy, request) -> Answer:
            answer = proxy.forward(request)
            os.truncate(cut, LARGE - 1)
            time.sleep(0.1)              # until rclone looks at its directory again
            return answer
        rig.proxy.on("POST .*uploadId", truncate)
        with pytest.raises(StoreError, match=f"holds {LARGE - 1} bytes of the {LARGE}"):
            send(rig.store.upload("d/x"), DATA)

    def test_a_killed_uploader_leaves_nothing_at_the_key(self, rig):
        rig.straight.put("d/x", b"before")
        rig.proxy.on("PUT .*partNumber=3", stall, ANY)
        script = ("import sys, time\n"
                  "from paas.adapters.objects import Objects\nfrom paas.model.backup import Target\n"
                  "from paas.secret import Secret\n"
                  "url, endpoint, access = sys.argv[1:]\n"
                  "secret = Secret(sys.stdin.readline().strip())\n"
                  "store = Objects().open(Target(url, endpoint, 'us-east-1', access, secret))\n"
                  "upload = store.upload('d/x')\n"
                  "for _ in range(25): upload.write(bytes(1024 * 1024))\n"
                  "print('sent', flush=True)\ntime.sleep(60)\n")
        words = [sys.executable, "-c", script, rig.target.url, rig.target.endpoint, rig.target.access_key]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            process.stdin.write(rig.target.secret_key.reveal() + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "sent\n"
            process.send_signal(signal.SIGKILL)
        assert rig.straight.get("d/x") == b"before"
        assert [one.key for one in rig.straight.list()] == ["d/x"]
        assert rig.straight.abort_uploads(3600) == 0
        assert rig.straight.abort_uploads(-60) == 1
        assert rig.straight.abort_uploads(-60) == 0
        assert rig.straight.get("d/x") == b"before"

    def test_parts_have_one_size_and_the_checksum_is_content_md5(self, rig):
        seen = []

        def note(proxy, request) -> Answer:
            seen.append((len(request.body), {name.lower() for name, _ in request.headers}))
            return proxy.forward(request)
        rig.proxy.on("PUT ", note, ANY)
        send(rig.store.upload("d/x"), DATA, 999_983)
        rig.store.put("d/y", b"text")
        assert sorted(size for size, _ in seen) == [4, LARGE % (8 * MIB), 8 * MIB, 8 * MIB]
        for _, headers in seen:
            assert "content-md5" in headers
            assert not any(name.startswith(("x-amz-checksum", "x-amz-meta", "x-amz-tagging", "x-amz-acl"))
                           for name in headers)

    def test_the_storage_class_is_for_data_only(self, rig):
        seen = {}

        def note(proxy, request) -> Answer:
            seen[request.path.split("/")[-1].split("?")[0]] = dict(request.headers).get("x-amz-storage-class")
            return proxy.forward(request)
        rig.proxy.on("(PUT .*/[abc]$|POST .*uploads)", note, ANY)
        store = S3Objects(replace(rig.target, storage_class="STANDARD_IA"), BUCKET, rig.store.prefix, QUICK)
        store.put("a", b"x")
        send(store.upload("b"), b"y")
        send(store.upload("c"), DATA)
        assert seen == {"a": None, "b": "STANDARD_IA", "c": "STANDARD_IA"}


UPLOADER = """
import sys
from paas.adapters.objects import Objects
from paas.model.backup import Target
from paas.secret import Secret

url, endpoint, access, size = sys.argv[1:]
upload = Objects().open(Target(url, endpoint, "", access, Secret(sys.stdin.readline().strip()))).upload("d/x")
for _ in range(int(size)):
    upload.write(bytes(1024 * 1024))
upload.commit()
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""


def test_the_memory_does_not_grow_with_the_data():
    peaks = []
    with rclone_s3() as server:
        for size in ("40", "250"):
            words = [sys.executable, "-c", UPLOADER, server.target.url, server.target.endpoint,
                     server.target.access_key, size]
            done = subprocess.run(words, input=server.target.secret_key.reveal() + "\n", text=True, check=True,
                                  capture_output=True)
            peaks.append(int(done.stdout))
    assert peaks[1] < 130
    assert peaks[1] < peaks[0] + 12


def test_a_part_goes_out_in_blocks_so_that_a_slow_uplink_meets_no_timeout(rclone, monkeypatch):
    """Python's sendall has one timeout for all that it is given: with 10 s, a part of 8 MiB would need 0.8 MB/s."""
    blocks = []
    send_all = socket.socket.sendall

    def note(self, data, *rest):
        blocks.append(len(data))
        return send_all(self, data, *rest)
    monkeypatch.setattr(socket.socket, "sendall", note)
    store = Objects().open(replace(rclone.target, url=f"s3://{BUCKET}/{secrets.token_hex(4)}"))
    send(store.upload("d/x"), DATA)
    store.put("a", noise(3 * MIB))
    assert sum(blocks) > LARGE
    assert max(blocks) <= 128 * 1024


def test_the_size_of_parts():
    assert part_size(0) == part_size(10**9) == 8 * MIB
    for expected in (10**11, 5 * 10**11 + 1, 10**12):
        size = part_size(expected)
        assert size % MIB == 0
        assert 2 * expected <= size * 9_000 < 2 * expected + 9_000 * MIB


class TestReading:
    @pytest.fixture(autouse=True)
    def _object(self, rig):
        send(rig.straight.upload("d/x"), DATA)

    @pytest.mark.parametrize("fault", [cut_body, reset, status(500, "InternalError"), stall],
                             ids=["cut", "reset", "500", "stall"])
    def test_faults_that_pass(self, rig, fault):
        rig.proxy.on("GET .*d/x", fault, 2)
        assert drain(rig.store.read("d/x", 5)) == DATA[5:]
        assert len(rig.proxy.done) == 2
        rig.proxy.on("GET .*d/x", fault, 2)
        assert rig.store.get("d/x", LARGE) == DATA

    @pytest.mark.parametrize("fault", [short_body, reset, other_body(b"<html>please log in</html>"), other_body(DATA),
                                       status(403, "AccessDenied")], ids=["short", "reset", "html", "bare", "403"])
    def test_faults_that_stay(self, rig, fault):
        rig.proxy.on("GET .*d/x", fault, ANY)
        for ask in (lambda: drain(rig.store.read("d/x")), lambda: drain(rig.store.read("d/x", 5))):
            with pytest.raises(StoreError):
                ask()
        if fault is not short_body:                    # whole by all that its headers say: `get` cannot know
            with pytest.raises(StoreError):
                rig.store.get("d/x", LARGE)

    def test_a_body_cut_again_and_again_is_read_to_its_end(self, rig):
        rig.proxy.on("GET .*d/x", cut_body, 12)        # each gives half of what is left: progress
        assert drain(rig.store.read("d/x")) == DATA
        assert len(rig.proxy.done) == 12

    @pytest.mark.parametrize("size", [LARGE, LARGE + 1])
    def test_an_object_that_is_replaced_meanwhile_is_not_mixed(self, rig, size):
        """Of one size, they are told apart by Last-Modified, which counts whole seconds."""
        reader = rig.store.read("d/x")
        rig.proxy.on("GET .*d/x", cut_body)
        first = reader.read(1000)
        time.sleep(1.1)
        send(rig.straight.upload("d/x"), noise(size, 8))
        with pytest.raises(StoreError, match="another part" if size > LARGE else "replaced"):
            drain(reader)
        assert first == DATA[:1000]

    def test_an_object_that_is_deleted_meanwhile(self, rig):
        reader = rig.store.read("d/x")
        rig.proxy.on("GET .*d/x", cut_body)
        reader.read(1000)
        rig.straight.delete(["d/x"])
        with pytest.raises(StoreError, match="deleted"):
            drain(reader)

    def test_other_bytes_under_the_right_headers_are_for_the_seal_to_find(self, rig):
        """Stated, not hidden: no ETag is compared, so content is proved by sha256, age and the manifest's MAC alone."""
        rig.proxy.on("GET .*d/x", same_head_other_body, ANY)
        assert drain(rig.store.read("d/x")) == other(DATA)


class TestSmall:
    @pytest.mark.parametrize("name", ["500", "503", "reset", "reply lost", "bit flipped", "stalled"])
    def test_puts_that_pass(self, rig, name):
        _, fault, times = SURVIVED[name]
        rig.proxy.on("PUT ", fault, times)
        rig.store.put("a", b"text")
        assert rig.straight.get("a") == b"text"
        assert len(rig.proxy.done) == times

    def test_a_put_that_fails_leaves_the_old(self, rig):
        rig.straight.put("a", b"before")
        for fault in (status(500, "InternalError"), flip_bit, status(403, "AccessDenied")):
            rig.proxy.rules.clear()
            rig.proxy.on("PUT ", fault, ANY)
            with pytest.raises(StoreError):
                rig.store.put("a", b"after")
            assert rig.straight.get("a") == b"before"

    def test_a_new_put_whose_answer_got_lost_is_no_conflict(self, moto_rig):
        moto_rig.proxy.on("PUT ", lose_reply)
        moto_rig.store.put("a", b"text", new=True)
        assert moto_rig.proxy.done
        with pytest.raises(Conflict):
            moto_rig.store.put("a", b"text", new=True)

    def test_a_new_put_that_somebody_else_wins_at_the_last_moment(self, moto_rig):
        def late(proxy, request) -> Answer:
            moto_rig.straight.put("a", b"theirs")
            return proxy.forward(request)
        moto_rig.proxy.on("PUT ", late)
        with pytest.raises(Conflict):
            moto_rig.store.put("a", b"ours", new=True)
        assert moto_rig.straight.get("a") == b"theirs"

    def test_a_store_without_conditions(self, rig):
        def refuse(proxy, request) -> Answer:
            if any(name.lower() == "if-none-match" for name, _ in request.headers):
                return status(501, "NotImplemented")(proxy, request)
            return proxy.forward(request)
        rig.proxy.on("PUT ", refuse, ANY)
        rig.store.put("a", b"text", new=True)
        assert rig.straight.get("a") == b"text"


class TestListing:
    def test_pages_are_followed(self, rig, monkeypatch):
        for number in range(7):
            rig.straight.put(f"a/{number}", b"x")
        call = rig.store.calls._made().list_objects_v2
        monkeypatch.setattr(rig.store.calls._made(), "list_objects_v2", lambda **words: call(MaxKeys=2, **words))
        assert [one.key for one in rig.store.list("a")] == [f"a/{number}" for number in range(7)]
        assert sum("list-type=2" in line for line in rig.proxy.seen) == 4
        rig.proxy.on("continuation-token", status(500, "InternalError"), ANY)
        with pytest.raises(StoreError):
            list(rig.store.list("a"))

    def test_a_listing_that_says_there_is_more_but_not_where(self, rig):
        body = (b"<ListBucketResult><Name>backups</Name><IsTruncated>true</IsTruncated></ListBucketResult>")
        rig.proxy.on("list-type=2", lambda *_: Answer(200, [("Content-Type", "application/xml")], body), ANY)
        with pytest.raises(StoreError, match="listing short"):
            list(rig.store.list())

    def test_more_than_a_thousand_are_deleted(self, moto_rig):
        for number in range(3):
            moto_rig.straight.put(f"a/{number}", b"x")
        moto_rig.store.delete([f"a/{number}" for number in range(1003)])
        assert list(moto_rig.straight.list()) == []
        assert sum("?delete" in line for line in moto_rig.proxy.seen) == 2

    def test_a_batch_that_was_refused_in_part(self, moto_rig):
        body = b"<DeleteResult><Error><Key>a/2</Key><Code>AccessDenied</Code></Error></DeleteResult>"
        moto_rig.proxy.on("POST .*delete", lambda *_: Answer(200, [("Content-Type", "application/xml")], body))
        with pytest.raises(StoreError, match="refuses"):
            moto_rig.store.delete(["a/1", "a/2", "a/3"])

    def test_objects_of_others_are_not_listed(self, rclone, moto):
        prefix = secrets.token_hex(4)
        client = admin_client(moto.target)
        for key in (f"{prefix}/", f"{prefix}/a b", f"{prefix}/ok", f"{prefix}x/no"):
            client.put_object(Bucket=BUCKET, Key=key, Body=b"x")
        store = Objects().open(replace(moto.target, url=f"s3://{BUCKET}/{prefix}"))
        assert [one.key for one in store.list()] == ["ok"]
