"""Redis and Valkey, real servers: what a dump proves, that it comes back, and that a worthless one is refused."""

import subprocess
import threading
import time

import pytest

from paas.errors import Forged
from tests.fixtures.datastores import Stand

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120), pytest.mark.usefixtures("base_images")]

FILL = "\n".join((
    "SET text value", "SET large " + "x" * 5000, "HSET hash a 1 b 2", "SADD ids 1 2 3", "SADD names a b c",
    "RPUSH list 1 2 3 " + "y" * 100, "ZADD sorted 1 a 2 b", "XADD stream * field value", "SETBIT bits 100 1",
    "SET later value EX 10000", "SET soon value PX 1500", "SELECT 5", "SET elsewhere 1"))


@pytest.fixture(scope="module")
def stand():
    made = Stand()
    yield made
    made.close()


@pytest.fixture(scope="module", params=["redis", "valkey"])
def source(request, stand):
    made = stand.make(request.param)
    ask(made, FILL)
    return made


def ask(made, script):
    return made.shell.run((f"{made.store.name}-cli",), stdin=script.encode() + b"\n",
                          environment={"REDISCLI_AUTH": made.service.secrets["password"]}).strip()


@pytest.fixture(scope="module")
def dump(source):
    return source.dumped()


def test_a_dump_comes_back_with_what_expired_meanwhile(stand, source, dump):
    data, before = dump
    assert [(table.name, table.rows) for table in before.tables] == [("db0", 11), ("db5", 1)]
    assert before.facts["expiring keys of db0"] == "2"
    while ask(source, "EXISTS soon") != "0":
        time.sleep(0.1)
    copy = stand.make(source.store.name)
    copy.load(data)
    assert source.store.same(before, copy.contents()) == ()
    assert ask(copy, "EXISTS soon later") == "1"
    assert 0 < int(ask(copy, "TTL later")) <= 10000
    assert ask(copy, "INFO replication").splitlines()[1] == "role:master"
    ask(copy, "SET after load")
    copy.restart("SIGKILL")                          # the append-only file has it all
    assert ask(copy, "GET text\nGET after\nDBSIZE").split() == ["value", "load", "11"]
    until_gone(copy, "soon")


def until_gone(made, key):
    """Keys are dropped by themselves again, nobody asks for this one."""
    for _ in range(100):
        if "keys=11,expires=1" in ask(made, "INFO keyspace"):
            return
        time.sleep(0.1)
    raise AssertionError(f"{key} is still in memory")


def test_a_plain_copy_of_the_file_would_have_been_empty(stand, source, dump):
    """The trap: an RDB file in the volume of a server that is started with its append-only file on."""
    copy = stand.make(source.store.name)
    copy.shell.feed(("sh", "-c", "cat >/data/dump.rdb"), lambda sink: sink.write(dump[0]))
    copy.restart("SIGTERM")
    assert ask(copy, "DBSIZE") == "0"


@pytest.mark.parametrize("change", ["SET text other", "DEL text", "HSET hash a 2", "PERSIST later", "RPUSH list z",
                                    "SELECT 5\nSET one more", "ZADD sorted 3 a"])
def test_any_difference_is_seen(stand, source, dump, change):
    before = dump[1]
    copy = stand.make(source.store.name)
    copy.load(dump[0])
    ask(copy, change)
    assert source.store.same(before, copy.contents())


def test_a_cut_or_changed_dump_is_refused_and_the_service_lives(stand, source, dump):
    data, copy = dump[0], stand.make(source.store.name)
    ask(copy, "SET mine 1")
    bad = [data[:len(data) // 2], data[:-1], data[:-8], b"", b"REDIS0010"]
    bad += [data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:]
            for at in range(len(data) // 20, len(data), len(data) // 7)]
    for one in bad:
        with pytest.raises(Forged):
            copy.load(one)
    assert ask(copy, "GET mine\nDBSIZE").split() == ["1", "1"]
    copy.restart("SIGKILL")
    assert ask(copy, "GET mine") == "1"
    assert files(copy) == {"appendonlydir"}


def files(made):
    return set(made.shell.run(("ls", "/data")).split())


def test_the_contents_are_those_of_the_dump_while_somebody_writes(stand, source):
    """Every command is counted in one key, so a snapshot that is not of one moment shows."""
    stop = threading.Event()

    def write():
        while not stop.is_set():
            ask(source, "MULTI\nINCR count\nRPUSH counted x\nEXEC\n" * 50)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        dumps = [source.dumped() for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    assert len({before.facts["digest"] for _, before in dumps}) == 3
    for data, before in dumps:
        copy = stand.make(source.store.name)
        copy.load(data)
        assert source.store.same(before, copy.contents()) == ()
        count, counted = ask(copy, "GET count\nLLEN counted").split()
        assert count == counted
    assert files(source) == {"appendonlydir"}


def test_a_snapshot_that_died_is_cleaned_up(source):
    source.shell.run(("touch", "/data/paas-backup-1.rdb", "/data/other.rdb"))
    source.store.end_stale(source.shell, "paas-backup-")
    assert files(source) == {"appendonlydir", "other.rdb"}
    source.shell.run(("rm", "/data/other.rdb"))


def test_the_password_is_in_no_argument_and_needed(stand, source):
    password = source.service.secrets["password"].reveal()
    seen = subprocess.run(["docker", "inspect", "--format", "{{.Path}} {{.Args}}", source.service.container_id],
                          capture_output=True, text=True, check=True).stdout
    lines = source.shell.run(("sh", "-c", "cat /proc/[0-9]*/cmdline"))
    assert f"{source.store.name}-server" in lines
    assert password not in seen + lines
    said = source.shell.run((f"{source.store.name}-cli",), stdin=b"AUTH wrong\nGET text\n")
    assert "WRONGPASS" in said
    assert source.store.url(source.service, "host", 6379) == f"redis://:{password}@host:6379"


def test_limits_and_policy(stand, source):
    small = stand.make(source.store.name, memory="64m", **{"maxmemory-policy": "allkeys-lru"})
    assert ask(small, "CONFIG GET maxmemory").split() == ["maxmemory", str(48 * 1024 * 1024)]
    assert ask(small, "CONFIG GET maxmemory-policy").split()[1] == "allkeys-lru"
    facts = source.store.facts(source.shell, source.service)
    assert facts["maxmemory-policy"] == "noeviction"
    assert facts["connections"] == 0
    assert facts["size"] > 500_000


def test_what_redis_cli_gives_of_a_foreign_server_can_be_loaded(stand, source):
    """``redis-cli --rdb -`` adds the marker of a replication stream behind the file."""
    data = bytearray()
    reader = source.shell.output((f"{source.store.name}-cli", "--rdb", "-"),
                                 environment={"REDISCLI_AUTH": source.service.secrets["password"]})
    while piece := reader.read(65536):
        data += piece
    copy = stand.make(source.store.name)
    copy.load(bytes(data))
    assert ask(copy, "GET text\nGET elsewhere\nSELECT 5\nGET elsewhere").split() == ["value", "OK", "1"]
