"""Ways to a worthless backup that looks good, on the real platform and two S3 endpoints.

After each of them: no row says good of what the target has not, nothing in the target stands without a manifest, no
session and no upload is left, and the backup before is whole.
"""

import json
import os
import signal
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.e2e.targets import set_target
from tests.e2e.world import World, run, until
from tests.fixtures.s3 import BUCKET, Server, admin_client, moto_s3, rclone_s3
from tests.fixtures.s3_proxy import Proxy, Reset, flip_bit, proxied, same_head_other_body, status

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400), pytest.mark.usefixtures("base_images")]

MEGABYTES = 48
ROWS = f"""create table notes (id serial primary key, body text, doc json);
insert into notes (body, doc) select 'note ' || i, json_build_object('i', i) from generate_series(1, 5000) i;
create table noise as select i, decode(string_agg(md5(random()::text), ''), 'hex') as bytes
    from generate_series(1, {MEGABYTES}) i, generate_series(1, 62500) j group by i;
"""
PART, COMPLETE = r"PUT .*dump.*partNumber=", r"POST .*dump.*uploadId="
READ_BACK, MANIFEST = r"GET .*dump\.000", r"PUT .*manifest\.json"
FAULTS_WITHOUT_END = 10_000
INTERRUPTED = "interrupted: paasd stopped while this was running"


@dataclass
class Place:
    world: World
    server: Server
    proxy: Proxy
    kind: str

    # --- commands

    def backup(self, *words):
        return self.world.local("postgres:backup", "db", "--quiet", *words)

    def rows(self):
        """Newest first."""
        return json.loads(self.world.local("postgres:backups", "db", "--format", "json", check=True).stdout)

    def begun(self):
        """A backup that runs in the background; join it and look at ``.result``."""
        return Background(self.backup)

    @contextmanager
    def held(self, at, times=1):
        """A backup that waits at the next *times* requests like *at*, until the block ends."""
        reached, go = threading.Event(), threading.Event()

        def gate(proxy, request):
            reached.set()
            go.wait(100)
            return proxy.forward(request)

        self.proxy.on(at, gate, times)
        command = self.begun()
        try:
            assert reached.wait(60), "no such request"
            yield command
        finally:
            go.set()

    # --- what is there

    @property
    def container(self):
        return f"{self.world.settings.prefix}-service-1"

    def processes(self, name):
        """(pid on the host, arguments) of programs of that name in the service's container."""
        lines = run(["docker", "top", self.container, "-eo", "pid,comm,args"]).stdout.splitlines()[1:]
        found = [line.split(None, 2) for line in lines]
        return [(int(pid), args) for pid, comm, args in found if comm == name]

    def sessions(self):
        """Of backups, in the datastore."""
        done = run(["docker", "exec", self.container, "psql", "-U", "postgres", "-Atc",
                    "select pid from pg_stat_activity where application_name like 'paas-backup-%'"], check=True)
        return [int(line) for line in done.stdout.split()]

    def keys(self):
        client = admin_client(self.server.target)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    def uploads(self):
        return admin_client(self.server.target).list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])

    def sound(self):
        """Rows and target are of one opinion, and nothing is left over. Return the rows."""
        until(lambda: not self.processes("pg_dump") and not self.sessions(), "no dump goes on in the container")
        until(lambda: all(one["state"] in ("read-back", "drilled", "failed") and "may be left" not in one["reason"]
                          for one in self.rows()), "every row has its end")
        rows = self.rows()
        there = json.loads(self.world.local("backups:in-target", "--format", "json", check=True).stdout)
        good = {one["id"] for one in rows if one["state"] != "failed"}
        assert {one["id"] for one in there} == good
        assert {one["verdict"] for one in there} == {"good"}
        assert {key.split("/")[-2] for key in self.keys() if "/data/" in key} == good
        assert self.uploads() == []
        return rows

    def refused(self, done, code, words):
        """The command failed with *code* and *words*; so do its row and `doctor`; the last good one stays."""
        assert done.returncode == code, done.output
        assert words in done.stderr
        rows = self.sound()
        assert rows[0]["state"] == "failed"
        assert words in rows[0]["reason"]
        assert rows[-1]["state"] in ("read-back", "drilled")
        doctor = self.world.local("doctor")
        assert doctor.returncode == 1
        assert words in doctor.output


class Background(threading.Thread):
    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.result = work, None
        self.start()

    def run(self):
        self.result = self.work()

    def done(self):
        self.join(100)
        assert not self.is_alive(), "the command does not end"
        return self.result


@contextmanager
def opened(kind):
    world = World.open()
    try:
        with {"rclone": rclone_s3, "moto": moto_s3}[kind]() as server, proxied(server.target) as (proxy, target):
            set_target(world, target)
            world.local("postgres:create", "db", check=True)
            world.local("postgres:backup-drills", "db", "off", check=True)
            done = world.local("postgres:connect", "db", input=ROWS, check=True)
            assert "ERROR" not in done.output, done.output
            place = Place(world, server, proxy, kind)
            assert place.backup().returncode == 0
            yield place
    except BaseException:
        print(world.logs())
        raise
    finally:
        world.close()


@pytest.fixture(scope="module", params=["rclone", "moto"])
def shared(request):
    with opened(request.param) as place:
        yield place


@pytest.fixture
def place(shared):
    yield shared
    shared.proxy.rules.clear()
    if not shared.world.daemon.running:
        shared.world.start_daemon()


# --- programs that die ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["pg_dump", "zstd", "backend"])
def test_a_program_of_the_dump_is_killed(place, victim):
    with place.held(PART) as command:
        until(lambda: place.processes("pg_dump"), "pg_dump runs")
        if victim == "backend":
            inside = [pid for pid, args in place.processes("postgres") if " COPY" in args]
        else:
            inside = [pid for pid, _ in place.processes(victim)]
        assert inside
        for pid in inside:
            os.kill(pid, signal.SIGKILL)
    done = command.done()
    until(lambda: run(["docker", "exec", place.container, "pg_isready"]).returncode == 0, "the datastore is back")
    place.refused(done, 36, "failed with exit code")


def test_the_datastore_is_killed(place):
    with place.held(PART) as command:
        run(["docker", "kill", place.container], check=True)
    done = command.done()
    place.world.local("postgres:restart", "db", check=True)
    place.refused(done, 36, "bash ")


def test_the_datastore_does_not_run(place):
    place.world.local("postgres:stop", "db", check=True)
    done = place.backup()
    place.world.local("postgres:start", "db", check=True)
    place.refused(done, 36, "does not run")


# --- the daemon dies -----------------------------------------------------------------------------------------------


def test_the_daemon_is_stopped_during_a_dump(place):
    with place.held(PART) as command:
        place.world.restart_daemon()
    assert command.done().returncode != 0
    assert place.sound()[0]["reason"] == INTERRUPTED


@pytest.mark.parametrize("stage", ["part", "before complete", "after complete", "read back", "before manifest"])
def test_the_daemon_is_killed_on_the_way(place, stage):
    dies(place, stage)
    rows = place.sound()
    assert (rows[0]["state"], rows[0]["reason"]) == ("failed", INTERRUPTED)


def test_the_daemon_is_killed_behind_the_manifest(place):
    """It is a backup: whatever there is to say about it stands in the target."""
    dies(place, "after manifest")
    rows = place.sound()
    assert (rows[0]["state"], rows[0]["reason"]) == ("read-back", "")
    place.world.local("backups:drill", rows[0]["id"], check=True)
    assert place.rows()[0]["state"] == "drilled"


def dies(place, stage):
    """SIGKILL of paasd when that request comes; it reaches the store where the stage says "after"."""
    pattern = {"part": PART, "complete": COMPLETE, "back": READ_BACK, "manifest": MANIFEST}[stage.split()[-1]]
    before = place.rows()

    def kill(proxy, request):
        if stage.startswith("after"):
            proxy.forward(request)
        os.kill(place.world.daemon.popen.pid, signal.SIGKILL)
        raise Reset

    place.proxy.on(pattern, kill)
    assert place.backup().returncode == 69
    place.world.kill_daemon()            # it is dead: wait for it
    place.proxy.rules.clear()
    place.world.start_daemon()
    assert len(place.rows()) == len(before) + 1


# --- the store -----------------------------------------------------------------------------------------------------


def test_the_store_is_down_and_comes_back(place):
    if place.kind == "moto":
        pytest.skip("moto forgets everything when it ends")
    place.server.stop()
    done = place.backup()
    place.server.start()
    assert done.returncode == 34, done.output
    assert place.rows()[0]["state"] == "failed"
    assert place.backup().returncode == 0
    assert place.sound()[0]["state"] == "read-back"


@pytest.mark.parametrize(("code", "name", "pattern", "words"), [
    (500, "InternalError", PART, "failed (500)"), (403, "AccessDenied", PART, "refuses the access key"),
    (503, "SlowDown", COMPLETE, "takes no more requests"), (500, "InternalError", READ_BACK, "failed (500)"),
    (403, "AccessDenied", MANIFEST, "refuses the access key")])
def test_a_store_that_goes_on_saying_no(place, code, name, pattern, words):
    place.proxy.on(pattern, status(code, name), FAULTS_WITHOUT_END)
    done = place.backup()
    place.proxy.rules.clear()
    place.refused(done, 34, words)


def test_a_store_that_says_no_now_and_then(place):
    for pattern in (PART, COMPLETE, READ_BACK, MANIFEST):
        place.proxy.on(pattern, status(500, "InternalError"), 2)
    assert place.backup().returncode == 0
    assert place.sound()[0]["state"] == "read-back"


def test_a_slow_store(place):
    """Nothing comes through for a while; the dump waits in its pipe."""
    with place.held(PART, 2) as command:
        threading.Event().wait(3)
    assert command.done().returncode == 0
    assert place.sound()[0]["state"] == "read-back"


def test_a_store_that_gives_back_something_else(place):
    """Its sizes and its answers are right."""
    place.proxy.on(READ_BACK, same_head_other_body, FAULTS_WITHOUT_END)
    done = place.backup()
    place.proxy.rules.clear()
    place.refused(done, 34, "something else than it was given")


def test_a_bit_that_flips_on_the_way_to_the_store(place):
    """rclone compares Content-MD5, so the part is sent again; moto does not, so reading back finds it."""
    place.proxy.on(PART, flip_bit)
    done = place.backup()
    if place.kind == "moto":
        place.refused(done, 34, "something else than it was given")
    else:
        assert done.returncode in (0, 34), done.output
        place.sound()


def test_a_full_disk(place, tmp_path):
    """A directory of this machine as the target of this service."""
    disk = tmp_path / "disk"
    disk.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES // 2}m", "tmpfs", str(disk)], check=True)
    try:
        place.world.local("postgres:backup-target", "set", "db", f"file://{disk}", check=True)
        done = place.backup()
        assert done.returncode in (32, 34), done.output
        assert "full" in done.stderr or "space" in done.stderr
        assert not [one for one in disk.rglob("*") if one.is_file() and "dump" in one.name or "upload" in one.name]
    finally:
        place.world.local("postgres:backup-target", "unset", "db", check=True)
        run(["umount", str(disk)], check=True)
    assert place.sound()[0]["state"] == "failed"


def test_the_second_of_two_is_refused(place):
    with place.held(PART) as first:
        second = place.backup()
    assert second.returncode == 4
    assert "already under way: a backup of postgres db" in second.stderr
    assert first.done().returncode == 0
    assert place.sound()[0]["state"] == "read-back"


# --- data that are not what they seem ------------------------------------------------------------------------------


def test_an_emptied_database(place):
    """Its tables seem to be gone: they are made an extension's for a moment."""
    run(["docker", "exec", place.container, "psql", "-U", "postgres", "-d", "db", "-c",
         "alter extension plpgsql add table notes; alter extension plpgsql add table noise"], check=True)
    try:
        done = place.backup()
    finally:
        run(["docker", "exec", place.container, "psql", "-U", "postgres", "-d", "db", "-c",
             "alter extension plpgsql drop table notes; alter extension plpgsql drop table noise"], check=True)
    place.refused(done, 36, "it is empty, though the backup")


def test_a_table_truncated_between_dump_and_counting_waits(place):
    """TRUNCATE is seen through every snapshot: the dump would have rows that the manifest says are not there."""
    truncate = ["docker", "exec", place.container, "psql", "-U", "postgres", "-d", "db", "-c", "truncate notes"]
    with place.held(COMPLETE) as command:        # the dump has been read, the counting comes
        truncating = Background(lambda: run(truncate, check=True))
        threading.Event().wait(1)
        assert truncating.is_alive()
    done = command.done()
    assert done.returncode == 0, done.output
    truncating.done()
    made = done.stdout.split()[0]
    info = json.loads(place.world.local("backups:info", made, "--format", "json", check=True).stdout)
    assert info["rows"] == 5000 + MEGABYTES
    place.world.local("backups:drill", made, check=True)
    place.world.local("postgres:connect", "db", input="insert into notes (body) values ('x');\n", check=True)


def test_a_bit_that_flipped_in_the_bucket(place):
    """The newest is taken out of the good ones; the one before is not, and restores."""
    if place.kind == "moto":
        pytest.skip("its objects are in memory")
    made = place.backup().stdout.split()[0]
    [data] = [one for one in (place.server.directory / BUCKET).rglob("dump.000.zst.age") if one.parent.name == made]
    with open(data, "r+b") as file:
        file.seek(data.stat().st_size // 3)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 8]))
    refusal = place.world.local("postgres:restore", "db", "--backup", made, "--into", "copy")
    assert refusal.returncode == 35, refusal.output
    assert "copy" not in place.world.local("postgres:list").stdout
    assert place.world.local("backups:drill", made).returncode == 35
    rows = {one["id"]: one for one in place.rows()}
    assert (rows[made]["state"], rows[made]["reason"][:7]) == ("failed", "drill: ")
    doctor = place.world.local("doctor")
    assert doctor.returncode == 1
    assert "drill" in doctor.output
    before = next(one["id"] for one in place.rows() if one["state"] == "read-back")
    place.world.local("postgres:restore", "db", "--backup", before, "--into", "copy", check=True)
    place.world.local("postgres:destroy", "copy", "--confirm", "copy", "--no-final-backup", check=True)


# --- the same faults, and a plain pipeline -------------------------------------------------------------------------


def test_a_plain_pipeline_calls_a_killed_dump_good(place, tmp_path):
    """dash has no pipefail, and what comes of it is a whole zstd frame."""
    target = tmp_path / "dump.zst"
    script = "PGAPPNAME=plain pg_dump -U postgres -Fc -Z0 db | zstd -q"
    with open(target, "wb") as sink:
        command = subprocess.Popen(["docker", "exec", place.container, "sh", "-c", script], stdout=subprocess.PIPE)
        sink.write(command.stdout.read(1024 * 1024))
        for pid, _ in place.processes("pg_dump"):
            os.kill(pid, signal.SIGKILL)
        sink.write(command.stdout.read())
    assert command.wait() == 0
    assert subprocess.run(["zstd", "-t", "-q", str(target)]).returncode == 0
    dump = subprocess.run(["zstd", "-dc", str(target)], capture_output=True, check=True).stdout
    assert len(dump) < MEGABYTES * 1_000_000
    listed = subprocess.run(["docker", "exec", "-i", place.container, "pg_restore", "-l"], input=dump,
                            capture_output=True)
    assert listed.returncode == 0                        # `pg_restore -l` finds nothing wrong with it, either
    assert b"noise" in listed.stdout
