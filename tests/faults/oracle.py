"""Judges an installation at rest by the invariants I1 to I11 of docs/faults.md. Shares no code with the platform.

It reads what is there: the database file (read-only), the engine by its client, the configuration that the proxy runs,
git's refs and objects by git, /proc, and each app's answer through the proxy. An app's token is the file
``www/index.html`` of the commit that it was deployed from, where there is one.
"""

import hashlib
import http.client
import json
import os
import re
import socket
import sqlite3
import subprocess
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = "www/index.html"
UNSETTLED = {"builds": ("queued", "building"), "releases": ("created", "checking", "switching"),
             "instances": ("starting", "draining")}
TEMPORARY = re.compile(r"^\.(new|check|tmp)-|\.lock$|\.tmp$")
ASKED = 5                                # requests for an app's token
SCANNED = 20_000_000                     # bytes of a file in which a secret is looked for


@dataclass(frozen=True)
class Place:
    """An installation, by its settings file alone."""

    root: Path                           # what of the file system is its own, besides the engine's
    state: Path
    run: Path
    prefix: str
    http_port: int

    @classmethod
    def of(cls, toml: Path) -> "Place":
        words = tomllib.loads(toml.read_text())
        return cls(toml.parent.parent, Path(words["state-dir"]), Path(words["run-dir"]), words["prefix"],
                   words["http-port"])

    def query(self, words: str, *values: object) -> list[dict]:
        """Rows of the database file, over a read-only connection of our own."""
        connection = sqlite3.connect(f"file:{self.state / 'paas.db'}?mode=ro", uri=True, timeout=10)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(words, values)]
        finally:
            connection.close()

    def repository(self, app_id: int) -> Path:
        return self.state / "repos" / f"{app_id}.git"


@dataclass
class Told:
    """What clients were told, and what must not be lost: kept by the harness over all faults."""

    live: set[tuple[str, int, str]] = field(default_factory=set)     # app, version, commit: reported as deployed
    newest: dict[str, int] = field(default_factory=dict)             # app → highest version ever seen
    volumes: set[str] = field(default_factory=set)                   # names in the engine
    files: dict[Path, str] = field(default_factory=dict)             # users' data → digest
    secrets: tuple[str, ...] = ()                                    # values that may stand in no file


def violations(place: Place, told: Told | None = None, *, quarantine: bool = True) -> list[str]:
    """In words, each with the invariant that does not hold; empty: all do."""
    told = told or Told()
    found = [*unsettled(place), *database(place), *leftovers(place, quarantine), *locks(place)]
    found += remembered(place, told)
    for app in place.query("select * from apps"):
        found += [f"{fault} ({app['name']})" for fault in of_app(place, app)]
    return found


def silent(answers: Sequence[str], tokens: set[str]) -> list[str]:
    """I1: what a visitor got that no release of the app says."""
    strange = [one for one in answers if one not in tokens]
    return [f"I1: {len(strange)} of {len(answers)} requests were answered by {strange[0]!r}"] if strange else []


# I4, I6 -------------------------------------------------------------------------------------------------------------


def unsettled(place: Place) -> list[str]:
    """Builds, releases and instances on their way from one state to another."""
    return [f"I4: {table} {row['id']} is {row['state']}" for table, states in UNSETTLED.items()
            for row in place.query(f"select id, state from {table}") if row["state"] in states]


def database(place: Place) -> Iterator[str]:
    for row in place.query("pragma integrity_check"):
        if row["integrity_check"] != "ok":
            yield f"I6: integrity: {row['integrity_check']}"
    for row in place.query("pragma foreign_key_check"):
        yield f"I6: foreign key: {row}"
    before = ""
    for place_in, row in enumerate(place.query("select * from events order by id")):
        number, said = row.pop("id"), row.pop("hash")
        row["detail"] = json.loads(row["detail"])
        document = json.dumps(row, sort_keys=True, separators=(",", ":"))
        wanted = hashlib.sha256(f"{before}\n{document}".encode("utf-8", "backslashreplace")).hexdigest()
        if place_in and said != wanted and (said or before):
            yield f"I6: event {number} does not fit the one before"
        before = said


# I2, I3, I7: one app -------------------------------------------------------------------------------------------------


def of_app(place: Place, app: dict) -> list[str]:
    releases = place.query("select * from releases where app_id = ? order by id", app["id"])
    found = list(numbers(place, releases))
    live = [row for row in releases if row["state"] == "live"]
    if len(live) != 1:
        return found + ([f"I2: {len(live)} live releases"] if live or any(row["live_at"] for row in releases) else [])
    rows = place.query("select * from instances where app_id = ?", app["id"])
    found += instances(live[0], [row for row in rows if row["state"] != "warm"], bool(app.get("asleep")))
    if not app["maintenance"] and not app["stopped"] and not app.get("asleep"):
        serving = [row for row in rows if row["process_type"] == "web" and row["state"] == "healthy" and row["port"]]
        found += routed(place, app, serving)
        found += answers(place, app, live[0]) if serving else []
    return found + list(branch(place, app, live[0]))


def numbers(place: Place, releases: list[dict]) -> Iterator[str]:
    versions = [row["version"] for row in releases]
    if versions != sorted(set(versions)):
        yield f"I3: release numbers repeat or go back: {versions}"
    for row in releases:
        if row["state"] in ("live", "retired") and not (row["image"] and row["created_by"] and row["live_at"]):
            yield f"I3: v{row['version']} was live and has no image, author or time"
        if row["state"] == "live" and not inspected("image", row["image"]):
            yield f"I3: the image of v{row['version']} is gone"


def instances(live: dict, rows: list[dict], asleep: bool) -> Iterator[str]:
    for row in rows:
        container = inspected("container", row["container_id"])
        state = container.get("State", {})
        networks = container.get("NetworkSettings", {}).get("Networks", {}).values()
        if row["release_id"] != live["id"]:
            yield f"I2: instance {row['id']} is not of the live release"
        elif asleep:
            continue
        elif not state.get("Running"):
            yield f"I2: instance {row['id']} does not run"
        elif row["address"] not in [one["IPAddress"] for one in networks]:
            yield f"I2: instance {row['id']} has another address"
        elif state.get("Health", {}).get("Status") == "unhealthy":
            yield f"I2: instance {row['id']} is unhealthy"


def routed(place: Place, app: dict, serving: list[dict]) -> Iterator[str]:
    """The files that the proxy's running configuration names for the app's hosts hold these instances and no others."""
    wanted = {f"{row['address']}:{row['port']}" for row in serving}
    hosts = hosts_of(place, app)
    try:
        routes = proxy_routes(place)
    except OSError as error:
        yield f"I2: the proxy does not say what it routes ({error})"
        return
    for host in hosts:
        targets = {path.read_text() if path.exists() else "nothing" for path in routes.get(host, ())}
        if wanted and targets != wanted:
            yield f"I2: {host} is routed to {targets or 'nothing'}, not {wanted}"


def hosts_of(place: Place, app: dict) -> list[str]:
    return [row["name"] for row in place.query("select name from domains where app_id = ? order by id", app["id"])]


def proxy_routes(place: Place) -> dict[str, list[Path]]:
    """host → the files whose content says where its requests go: Caddy's ``map`` handler, as it runs now."""
    found: dict[str, list[Path]] = {}

    def walk(node: object) -> None:
        if isinstance(node, list):
            for one in node:
                walk(one)
        elif isinstance(node, dict):
            for mapping in node.get("mappings", ()) if node.get("handler") == "map" else ():
                paths = [re.fullmatch(r"\{file\.(.*)\}", str(one)) for one in mapping["outputs"]]
                found[mapping["input"]] = [Path(path[1]) for path in paths if path]
            walk(list(node.values()))

    walk(over_socket(place.run / "proxy" / "admin.sock", "/config/"))
    return found


def over_socket(path: Path, url: str) -> object:
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    try:
        connection.sock.connect(str(path))
        connection.request("GET", url)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def answers(place: Place, app: dict, live: dict) -> Iterator[str]:
    """Each of some requests gets the token of the live release."""
    wanted = token(place, app["id"], live["commit"])
    host = next((name for name in hosts_of(place, app) if not name.startswith("*")), "")
    if not host or wanted is None:
        return
    for _ in range(ASKED):
        said = ask(place, host)
        if said.startswith("status 308"):
            return                       # to HTTPS, which is another test's
        if said != wanted:
            yield f"I2: {host} answers {said[:60]!r}, not {wanted[:60]!r}"
            return


def token(place: Place, app_id: int, commit: str) -> str | None:
    done = git(place.repository(app_id), "show", f"{commit}:{TOKEN}")
    return done.stdout.strip() if done.returncode == 0 else None


def ask(place: Place, host: str) -> str:
    """The body of an answer 200, stripped; else ``status N``, or the error's name."""
    connection = http.client.HTTPConnection("127.0.0.1", place.http_port, timeout=30)
    try:
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace").strip()
        return body if answer.status == 200 else f"status {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def branch(place: Place, app: dict, live: dict) -> Iterator[str]:
    """I7. Objects may be missing in the history of a shallow push only, which git knows of."""
    key = "select value from app_settings where app_id = ? and key = 'git.deploy-branch'"
    for row in place.query(key, app["id"]):
        repository = place.repository(app["id"])
        tip = git(repository, "for-each-ref", "--format=%(objectname)", f"refs/heads/{row['value']}").stdout.strip()
        if tip != live["commit"]:
            yield f"I7: the branch is at {tip[:8]}, live is {live['commit'][:8]}"
        done = git(repository, "fsck", "--connectivity-only", live["commit"])
        if done.returncode:
            yield f"I7: the commit is not whole: {done.stderr.strip()[:200]}"


def git(repository: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1",
                   "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    return subprocess.run(["git", f"--git-dir={repository}", *words], env=environment, capture_output=True, text=True,
                          errors="replace", check=False)


# I5, I10: what is left ------------------------------------------------------------------------------------------------


def leftovers(place: Place, quarantine: bool) -> Iterator[str]:
    yield from unexplained_containers(place)
    ids = {str(row["id"]) for row in place.query("select id from apps")}
    prefix = f"{place.prefix}-app-"
    for name in docker("network", "ls", "--format", "{{.Name}}", "--filter", f"name={prefix}"):
        if name.removeprefix(prefix) not in ids:
            yield f"I5: network {name} without an app"
    yield from unexplained_images(place)
    for path in (place.state / "repos").glob("*.git/objects/tmp_objdir-*") if quarantine else ():
        yield f"I5: quarantine {path.name}"
    for directory in ("repos", "proxy"):
        for path in (place.state / directory).rglob("*"):
            if TEMPORARY.search(path.name) and "proxy/data" not in str(path):
                yield f"I5: temporary file {path.relative_to(place.state)}"
    if quarantine:                       # a push in between has both
        yield from strange_processes(place)


def unexplained_containers(place: Place) -> Iterator[str]:
    known = {("paas.instance", str(row["id"])) for row in place.query("select id from instances")}
    known |= {("paas.run", str(row["id"])) for row in place.query("select id from runs")}
    known |= {("paas.cron", str(row["id"]))
              for row in place.query("select id from cron_runs where state = 'running'")}
    known |= {(mark, str(row["id"])) for row in place.query("select id from services")
              for mark in ("paas.service", "paas.pitr")}
    known |= {("paas.sqlite", str(row["id"])) for row in place.query("select id from protected_files")}
    known |= {("paas.drill", str(row["id"])) for row in place.query("select id from drills where finished_at is null")}
    names = [name for name in docker("ps", "--all", "--filter", "label=paas.server", "--format", "{{.Names}}")
             if name.startswith(f"{place.prefix}-")]
    for name in names:
        labels = inspected("container", name).get("Config", {}).get("Labels", {})
        if labels and labels.get("paas.kind") != "sqlite-work" and not known & labels.items():
            yield f"I5: container {name} without a row"


def unexplained_images(place: Place) -> Iterator[str]:
    """An image is one of a build that is known."""
    builds = {str(row["id"]) for row in place.query("select id from builds")}
    for name in docker("image", "ls", "--format", "{{.Repository}}", "--filter", f"reference={place.prefix}-build-*"):
        number = name.removeprefix(f"{place.prefix}-build-")
        if number.isdigit() and number not in builds:
            yield f"I5: image {name} without a build"


def strange_processes(place: Place) -> Iterator[str]:
    """Hooks and receive-packs of this installation that outlived their push."""
    repos = str(place.state / "repos")
    for words in processes():
        if repos in words and ("receive-pack" in words or "pre-receive" in words):
            yield f"I5: process {words[:120]}"


def processes() -> Iterator[str]:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")


def locks(place: Place) -> Iterator[str]:
    """I10: each flock(2) below the state directory is held by a process that lives; one release a time switches."""
    for row in place.query("select app_id, count(*) n from releases where state = 'switching' group by app_id"):
        if row["n"] > 1:
            yield f"I10: {row['n']} deploys of app {row['app_id']} switch at once"
    inodes = {path.stat().st_ino: path for path in place.state.glob("*.lock")}
    for line in Path("/proc/locks").read_text().splitlines():
        held = re.search(r"FLOCK\s+\S+\s+WRITE\s+(\d+)\s+\S+:(\d+)", line)
        if held and int(held[2]) in inodes and not Path(f"/proc/{held[1]}").exists():
            yield f"I10: {inodes[int(held[2])].name} is held by {held[1]}, which is no more"


# I3, I9, I11: what must not be lost, or found -------------------------------------------------------------------------


def remembered(place: Place, told: Told) -> Iterator[str]:
    rows = {(row["name"], row["version"]): row
            for row in place.query("select a.name, r.* from releases r join apps a on a.id = r.app_id")}
    for app, version, commit in sorted(told.live):
        row = rows.get((app, version))
        if row is None or row["commit"] != commit or row["state"] not in ("live", "retired"):
            yield f"I3: {app} v{version} was reported as deployed and is {row['state'] if row else 'gone'}"
    for app, version in {app: max(v for a, v in rows if a == app) for app, _ in rows}.items():
        if version < told.newest.get(app, 0):
            yield f"I3: {app} was at v{told.newest[app]} and is at v{version}"
        told.newest[app] = max(version, told.newest.get(app, 0))
    for name in sorted(told.volumes - set(volumes(place))):
        yield f"I9: the volume {name} is gone"
    for path, digest in told.files.items():
        if not path.exists() or digest_of(path) != digest:
            yield f"I9: {path.name} is gone or changed"
    for value in told.secrets:
        for path in holding(place, value.encode()):
            yield f"I11: a secret stands in {path}"


def volumes(place: Place) -> list[str]:
    names = docker("volume", "ls", "--quiet", "--filter", "label=paas.server")
    return [name for name in names if name.startswith(f"{place.prefix}-")]


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def holding(place: Place, value: bytes) -> Iterator[Path]:
    """Files of the installation with *value* in them; the developers' checkouts are none."""
    for directory in (place.state, place.root / "log", place.root / "etc"):
        for path in directory.rglob("*"):
            with suppress(OSError):
                if path.is_file() and path.stat().st_size < SCANNED and value in path.read_bytes():
                    yield path


# The engine ---------------------------------------------------------------------------------------------------------


def docker(*words: str) -> list[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.split()


def inspected(kind: str, name: str) -> dict:
    """What the engine says of it; empty: it is not there."""
    if not name:
        return {}
    done = subprocess.run(["docker", kind, "inspect", name], capture_output=True, check=False)
    return json.loads(done.stdout)[0] if done.returncode == 0 else {}


def until_none(place: Place, told: Told, seconds: float, mend: object = None) -> tuple[list[str], float]:
    """Wait until nothing is violated (calling *mend* before each look); what still is, and the seconds it took."""
    begin = time.monotonic()
    while True:
        if callable(mend):
            mend()
        found = violations(place, told)
        took = time.monotonic() - begin
        if not found or took > seconds:
            return found, took
        time.sleep(0.1)
