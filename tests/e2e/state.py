"""What is there, looked at without the platform's own code: its database file, engine, proxy, git, keys, processes."""

import sqlite3
from pathlib import Path

from tests.e2e.world import World, run, until
from tests.faults import oracle

# An attempt may be noted, and the platform notes by itself what it sees as time passes.
OF_NO_ACCOUNT = frozenset({"events", "sqlite_sequence", "usage", "uptime", "disk_samples", "incidents", "deliveries",
                           "drain_positions"})
BY_THE_MINUTE = ("cron-decided", "daemon-alive")           # settings


def query(world: World, words: str, *values: object) -> list[dict]:
    """Rows of the database file, read-only, over a connection of our own."""
    return place(world).query(words, *values)


def alter(world: World, script: str) -> None:
    """Change the database file behind the back of a daemon that does not run."""
    connection = sqlite3.connect(world.settings.database)
    try:
        connection.executescript(script)
    finally:
        connection.close()


def database(world: World) -> dict[str, list]:
    """Every row of every table but the audit trail's, and the minutes that the daemon notes."""
    tables = [row["name"] for row in query(world, "select name from sqlite_master where type='table'")]
    return {name: sorted(repr(row) for row in query(world, f'select * from "{name}"')
                         if row.get("key") not in BY_THE_MINUTE)
            for name in tables if name not in OF_NO_ACCOUNT}


def docker_objects(world: World) -> list[str]:
    """Containers (with state), networks and images of this world."""
    prefix = world.settings.prefix
    found = []
    for kind, form in (("ps --all", "{{.Names}} {{.ID}} {{.State}}"), ("network ls", "{{.Name}} {{.ID}}"),
                       ("image ls", "{{.Repository}} {{.ID}}")):
        lines = run(["docker", *kind.split(), "--format", form], check=True).stdout.splitlines()
        found += [f"{kind}: {line}" for line in lines if line.startswith(f"{prefix}-")]
    return sorted(found)


def files(world: World) -> dict[str, bytes]:
    """The proxy's configuration and targets, and authorized_keys."""
    proxy = world.settings.proxy_dir
    paths = [world.settings.authorized_keys, proxy / "caddy.json",
             *(path for path in (proxy / "up").rglob("*") if path.is_file())]
    return {str(path): path.read_bytes() for path in paths if path.exists()}


def refs(world: World) -> dict[str, str]:
    return {path.name: git(path, "for-each-ref") for path in sorted(world.settings.repos_dir.glob("*.git"))}


def git(path: Path, *words: str) -> str:
    done = oracle.git(path, *words)
    assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


def fingerprint(world: World) -> dict:
    return {"database": database(world), "docker": docker_objects(world), "files": files(world), "refs": refs(world)}


def difference(before: dict, after: dict, path: str = "") -> list[str]:
    """In words, for a failing test; empty: the same."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [line for key in sorted(before.keys() | after.keys())
                for line in difference(before.get(key), after.get(key), f"{path}/{key}")]
    if isinstance(before, list) and isinstance(after, list):
        return ([f"{path} lost {one}" for one in before if one not in after]
                + [f"{path} gained {one}" for one in after if one not in before])
    return [] if before == after else [f"{path}: {before!r} became {after!r}"]


def repository(world: World, app: str) -> Path:
    return world.settings.repos_dir / f"{query(world, 'select id from apps where name = ?', app)[0]['id']}.git"


def quarantines(world: World) -> list[Path]:
    return list(world.settings.repos_dir.glob("*.git/objects/tmp_objdir-*"))


def strange_processes(world: World) -> list[str]:
    """Processes that name this world's directory, besides its own three, their children of sshd and of the daemon."""
    known = {process.popen.pid for process in (world.sshd, world.proxy, world.daemon) if process.popen}
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(world.root) in words and int(entry.name) not in known:
            found.append(words)
    return found


def unsettled(world: World) -> list[str]:
    """Builds, releases and instances on their way from one state to another."""
    return oracle.unsettled(place(world))


def come_to_rest(world: World) -> None:
    """The old instances of the last deploy are gone, and nothing else is under way."""
    until(lambda: not unsettled(world), "the platform comes to rest")


def faults(world: World, *, quarantine: bool = True) -> list[str]:
    """Invariants that do not hold at rest, as the oracle of tests/faults sees it; empty: all hold."""
    return oracle.violations(place(world), quarantine=quarantine)


def place(world: World) -> oracle.Place:
    return oracle.Place.of(world.root / "etc" / "paas.toml")


def inspect(container: str) -> dict:
    return oracle.inspected("container", container)
