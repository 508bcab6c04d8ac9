"""Redis, the official image: https://github.com/docker-library/docs/tree/master/redis.

Every write is in an append-only file before it is answered, and on the disk within a second (``appendfsync everysec``).
The password comes to the server by its standard input, never in its arguments. A backup is an RDB file of the server's
own, https://redis.io/docs/latest/operate/oss_and_stack/management/persistence.

What a comparison of contents proves: the number of keys and of expiring keys of each database, and ``DEBUG DIGEST``, a
SHA-1 over every key, its value whatever its encoding, and whether it expires, independent of order. It does not cover
when a key expires, nor the consumer groups of streams. A dataset of more than 256 MB gets no digest, because the live
server stands still for it (about 1 s for a million small keys); nor does one whose hashes have fields that expire.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from paas.api import (
    Contents,
    Datastore,
    Forged,
    Plan,
    Program,
    Reader,
    Secret,
    Service,
    ServiceError,
    Shell,
    Table,
    Writer,
    differences,
)

METHOD = "redis-1"
END = "--end--"
DIGEST_LIMIT = 256 * 1024 * 1024         # bytes of data up to which a live server is asked for its digest
PAUSE = 30                               # seconds that writers wait at the most while a snapshot begins
PATIENCE = 6 * 3600.0                    # seconds for a snapshot, a load, a rewrite
LABEL = re.compile(r"[A-Za-z0-9._-]+")
POLICIES = ("noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu",
            "volatile-random", "volatile-ttl")
# Arguments: program, options. Privileges are dropped by the image's entrypoint.
START = """program=$1; shift; exec docker-entrypoint.sh "$program" - "$@" <<EOF
requirepass $REDISCLI_AUTH
EOF"""


class Redis(Datastore):
    name, title, image = "redis", "Redis", "redis"
    versions, default = ("7", "8"), "7"
    port, variable, kind, unit = 6379, "REDIS", "rdb", "keys"
    settings = {"maxmemory-policy": POLICIES}
    by_hand = ("cat", ">", "dump.rdb", "&&", "redis-server", "--appendonly", "no", "--dir", ".")

    def plan(self, service: Service) -> Plan:
        return Plan(data="/data", environment={"REDISCLI_AUTH": service.secrets["password"]},
                    command=("sh", "-c", START, "start", f"{self.name}-server", *options(service)))

    def ready(self, shell: Shell, service: Service) -> bool:
        return self._ask(shell, service, "PING") == "PONG"

    def url(self, service: Service, host: str, port: int) -> str:
        return f"redis://:{service.secrets['password'].reveal()}@{host}:{port}"

    def console(self, service: Service) -> Program:
        return Program((f"{self.name}-cli",), {"REDISCLI_AUTH": service.secrets["password"]})

    def facts(self, shell: Shell, service: Service) -> dict[str, object]:
        said = self._info(shell, service)
        version = said.get("valkey_version") or said["redis_version"]
        return {"version": version, "size": int(said["used_memory"]), "connections": int(said["connected_clients"]) - 1,
                "keys": sum(keys for _, keys, _, _ in databases(said)), "max memory": int(said["maxmemory"]),
                "maxmemory-policy": said["maxmemory_policy"], "append-only file": said["aof_last_write_status"]}

    # data ----------------------------------------------------------------------------------------------------------
    @contextmanager
    def snapshot(self, shell: Shell, service: Service, label: str) -> Iterator[RedisSnapshot]:
        """Writers wait while the contents are taken and the snapshot's process is forked; then they go on."""
        if not LABEL.fullmatch(label):
            raise ServiceError(f"'{label}' cannot name a snapshot")
        saves = int(self._info(shell, service)["rdb_saves"])
        file = f"/data/{label}.rdb"
        contents = self._begin(shell, service)
        self._saved(shell, service)
        shell.run(("mv", "/data/dump.rdb", file))
        try:
            if int(self._info(shell, service)["rdb_saves"]) != saves + 1:
                raise ServiceError(f"somebody else made {self.title} save its data at the same time", "Try again.")
            yield RedisSnapshot(shell, file, contents)
        finally:
            shell.run(("rm", "-f", file))

    def _begin(self, shell: Shell, service: Service) -> Contents:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            since = time.monotonic()
            small = int(self._info(shell, service)["used_memory_dataset"]) <= DIGEST_LIMIT
            said = self._script(shell, service, f"CLIENT PAUSE {PAUSE * 1000} WRITE", "INFO",
                                "DEBUG DIGEST" if small else "PING", "BGSAVE", "CLIENT UNPAUSE")
            if said[3] == "Background saving started" and time.monotonic() - since < PAUSE:
                return contents(parsed(said[1]), said[2] if small else "")
            time.sleep(0.3)              # the server is rewriting its append-only file, or saving
        raise ServiceError(f"{self.title} begins no snapshot: {said[3]}", "Look at the service's logs.")

    def _saved(self, shell: Shell, service: Service) -> None:
        said = self._wait(shell, service, lambda one: one["rdb_bgsave_in_progress"] == "0")
        if said["rdb_last_bgsave_status"] != "ok":
            raise ServiceError(f"{self.title} could not write its snapshot", "Is the disk or the memory full?")

    def end_stale(self, shell: Shell, label: str) -> None:
        if LABEL.fullmatch(label):
            shell.run(("sh", "-c", 'rm -f "/data/$1"*.rdb', "sh", label))

    def load(self, shell: Shell, service: Service, write: Callable[[Writer], None]) -> None:
        """Into the running server, with the append-only file off meanwhile: with it on, an RDB file is not looked at.

        While it loads it is a replica of nobody: a replica drops no key that has expired since. Nor does it drop any
        until :meth:`contents` was asked, so that the contents are those of the snapshot.
        """
        shell.feed(("sh", "-c", "cat >/data/load.rdb"), write)
        try:
            shell.run((f"{self.name}-check-rdb", "/data/load.rdb"), timeout=PATIENCE)
        except ServiceError as error:
            shell.run(("rm", "-f", "/data/load.rdb"))
            raise Forged(f"this is not a whole RDB file: {error.what}", "Take another backup.") from error
        shell.run(("chmod", "644", "/data/load.rdb"))
        self._ask(shell, service, "CONFIG", "SET", "appendonly", "no")
        shell.run(("mv", "/data/load.rdb", "/data/dump.rdb"))
        self._ask(shell, service, "DEBUG", "SET-ACTIVE-EXPIRE", "0")
        self._ask(shell, service, "REPLICAOF", "127.0.0.1", "1")
        self._ask(shell, service, "DEBUG", "RELOAD", "NOSAVE")
        self._ask(shell, service, "REPLICAOF", "NO", "ONE")
        self._append_again(shell, service)
        shell.run(("rm", "-f", "/data/dump.rdb"))

    def _append_again(self, shell: Shell, service: Service) -> None:
        """Until the rewrite is over, a restart would find the old append-only file."""
        before = self._info(shell, service)["aof_rewrites"]
        self._ask(shell, service, "CONFIG", "SET", "appendonly", "yes")
        said = self._wait(shell, service, lambda one: one["aof_rewrite_in_progress"] == "0"
                          and one["aof_rewrite_scheduled"] == "0" and one["aof_rewrites"] != before)
        if said["aof_enabled"] != "1" or said["aof_last_bgrewrite_status"] != "ok":
            raise ServiceError(f"{self.title} could not write its append-only file", "Is the disk or the memory full?")

    def contents(self, shell: Shell, service: Service) -> Contents:
        """For a service that nobody writes to. After a load it lets keys expire again."""
        said, digest, _ = self._script(shell, service, "INFO", "DEBUG DIGEST", "DEBUG SET-ACTIVE-EXPIRE 1")
        return contents(parsed(said), digest)

    def same(self, before: Contents, after: Contents) -> tuple[str, ...]:
        if not (before.facts.get("digest") and after.facts.get("digest")):
            before, after = without_digest(before), without_digest(after)
        return differences(before, after)

    # questions -----------------------------------------------------------------------------------------------------
    def _ask(self, shell: Shell, service: Service, *command: str) -> str:
        return shell.run((f"{self.name}-cli", "-e", *command), environment=auth(service), timeout=PATIENCE).strip()

    def _script(self, shell: Shell, service: Service, *commands: str) -> list[str]:
        """What each of them said; an error does not keep the next from running."""
        text = "".join(f"{one}\nECHO {END}\n" for one in commands)
        said = shell.run((f"{self.name}-cli",), stdin=text.encode(), environment=auth(service), timeout=PATIENCE)
        return [one.strip() for one in said.split(END)[:len(commands)]]

    def _info(self, shell: Shell, service: Service) -> dict[str, str]:
        return parsed(self._ask(shell, service, "INFO"))

    def _wait(self, shell: Shell, service: Service, over: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        deadline = time.monotonic() + PATIENCE
        while not over(said := self._info(shell, service)):
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.title} does not finish writing its data", "Look at the service's logs.")
            time.sleep(0.1)
        return said


class RedisSnapshot:
    def __init__(self, shell: Shell, file: str, found: Contents) -> None:
        self._shell, self._file, self._found = shell, file, found

    def dump(self) -> Reader:
        return self._shell.compressed(("cat", self._file))

    def contents(self) -> Contents:
        return self._found


def options(service: Service) -> Iterator[str]:
    """``DEBUG`` is for connections from inside the container only. A quarter of the memory is for copies of pages."""
    yield from ("--appendonly", "yes", "--save", "", "--enable-debug-command", "local", "--dir", "/data")
    yield from ("--maxmemory-policy", service.settings.get("maxmemory-policy", POLICIES[0]))
    if memory := service.settings.get("memory-bytes"):
        yield from ("--maxmemory", str(int(memory) * 3 // 4))


def auth(service: Service) -> dict[str, Secret]:
    return {"REDISCLI_AUTH": service.secrets["password"]}


def parsed(info: str) -> dict[str, str]:
    """``INFO``: lines ``name:value``. https://redis.io/docs/latest/commands/info"""
    return dict(line.strip().split(":", 1) for line in info.splitlines() if ":" in line and not line.startswith("#"))


def databases(said: dict[str, str]) -> Iterator[tuple[str, int, int, int]]:
    """(name, keys, of which expire, hashes with fields that expire)."""
    for name, text in sorted(said.items()):
        if re.fullmatch(r"db\d+", name):
            numbers = dict(one.split("=", 1) for one in text.split(","))
            yield name, int(numbers["keys"]), int(numbers["expires"]), int(numbers.get("subexpiry", 0))


def contents(said: dict[str, str], digest: str) -> Contents:
    found = list(databases(said))
    facts = {f"expiring keys of {name}": str(expires) for name, _, expires, _ in found}
    facts["function libraries"] = said.get("number_of_libraries", "0")
    if re.fullmatch(r"[0-9a-f]{40}", digest) and not any(fields for *_, fields in found):
        facts["digest"] = digest
    return Contents(tuple(Table(name, keys, "") for name, keys, _, _ in found), facts, METHOD)


def without_digest(one: Contents) -> Contents:
    return Contents(one.tables, {key: value for key, value in one.facts.items() if key != "digest"}, one.method)


datastore = Redis()
