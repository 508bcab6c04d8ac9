"""What a hostile or broken source says (the D-list, docs/security-tests.md), on the real platform: a clear refusal, and
the app and the platform as they were."""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.test_images_registry import Handler, Registry
from tests.e2e import state
from tests.e2e.world import Repo, World, run
from tests.fixtures import apps

pytestmark = pytest.mark.e2e

MARK = f"paas-canary-{secrets.token_hex(4)}"
DOCKERFILE = apps.web()["Dockerfile"]
SERVE = "httpd -f -p $PORT -h /www"


@pytest.fixture(scope="module")
def victim(world) -> Repo:
    made = world.app_repo(apps.web("safe"))
    made.push()
    return made


def refused(world: World, repo: Repo, files: dict, *words: str, built: bool = False) -> str:
    """*files* are pushed and refused with *words*; what was live is live. The checkout is taken back.

    :param built: it got as far as a build; its row and that of a release which never served may stay.
    """
    state.come_to_rest(world)
    before, containers = state.fingerprint(world), [one["Id"] for one in world.containers(repo.app)]
    repo.commit(files)
    said = repo.push(check=False)
    repo.git("reset", "--quiet", "--hard", "HEAD~1")
    assert said.returncode != 0, said.output
    for word in words:
        assert word in said.output
    assert "Traceback" not in said.output
    assert world.get(repo.host).text == "safe"
    after = state.fingerprint(world)
    if built:
        for one in (before, after):
            for table in ("builds", "releases"):
                one["database"].pop(table)
            one["docker"] = [line for line in one["docker"] if not line.startswith("image ls")]
    assert state.difference(before, after) == []
    assert [one["Id"] for one in world.containers(repo.app)] == containers
    return said.output


# D01: Procfile


@pytest.mark.parametrize(("procfile", "words"), [
    ("../x: y\n", "line 1 is not 'type: command'"), ("web.1: y\n", "line 1 is not"),
    ("# a\n--privileged: y\n", "line 2 is not"), ("web: a\nweb: b\n", "line 2 repeats the process type 'web'"),
    ("$(id): y\n", "line 1 is not"), ("x" * 31 + ": y\n", "line 1 is not"), ("web: \x1b[2Jx\nWEB: y", "line 2 is not"),
    ("web: " + "x" * 1_000_000 + "\n", "larger than 64 KB"),
    ("".join(f"t{number}: x\n" for number in range(10_000)), "larger than 64 KB"),
    ("".join(f"t{number}: x\n" for number in range(5_000)), "has 5000 process types; 50 are allowed"),
], ids=range(10))
def test_d01_a_bad_procfile(world, victim, procfile, words):
    assert "\x1b" not in refused(world, victim, {"Procfile": procfile}, words)


def test_d01_a_command_runs_in_its_container_only(world):
    """CRLF and a BOM are no harm."""
    repo = world.app_repo({**apps.web("one"), "Procfile": f"\ufeffweb: touch /tmp/{MARK} /{MARK}; {SERVE}\r\n"})
    repo.push()
    container, = world.containers(repo.app)
    assert run(["docker", "exec", container["Id"], "ls", f"/tmp/{MARK}", f"/{MARK}"]).returncode == 0
    assert [place for place in ("/tmp", "/run", "/", "/root") if (Path(place) / MARK).exists()] == []


# D03, D04: app.json


@pytest.mark.parametrize(("content", "words"), [
    ("[" * 100_000, "app.json"), ('{"a": ' * 100_000, "app.json"), ('{"stack": 1, "stack": 2}', "app.json"),
    (json.dumps({"description": "x" * 400_000}), "app.json"), ("!!python/object/apply:os.system ['id']", "app.json"),
    (json.dumps({"env": {"A B": "x"}}), "app.json"), (json.dumps({"formation": {"web": {"quantity": 10**9}}}), ""),
], ids=["nested", "nested objects", "duplicate", "large", "yaml", "env", "quantity"])
def test_d03_a_bad_manifest(world, victim, content, words):
    refused(world, victim, {"app.json": content}, words)


def test_d04_a_manifest_cannot_ask_for_rights(world):
    """There are no such fields: each is named as not read, and nobody gets anything."""
    wishes = {"privileged": True, "volumes": ["/:/host", "/var/run/docker.sock:/var/run/docker.sock"], "pid": "host",
              "network_mode": "container:beta", "devices": ["/dev/mem"], "sysctls": {"net.ipv4.ip_forward": "1"},
              "cap_add": ["SYS_ADMIN"], "security_opt": ["seccomp=unconfined"], "docker-options": "--privileged"}
    described = {**wishes, "formation": {"web": {"quantity": 1, "privileged": True, "cap_add": ["ALL"]}}}
    repo = world.app_repo({**apps.web("one"), "app.json": json.dumps(described)})
    said = repo.push().output
    for key in [*wishes, "formation.web.privileged", "formation.web.cap_add"]:
        assert f"app.json: '{key}' is not read" in said
    container, = world.containers(repo.app)
    host = container["HostConfig"]
    assert (host["Privileged"], host["PidMode"], host["CapDrop"], host["Devices"] or [], host.get("Sysctls") or {}) == (
        False, "", ["ALL"], [], {})
    assert "SYS_ADMIN" not in host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert container["Mounts"] == []
    assert host["NetworkMode"].startswith(world.settings.prefix)


# D05: who builds, and with which rights


def test_d05_a_foreign_frontend(world, victim):
    said = refused(world, victim, {"Dockerfile": f"# syntax=attacker/image\n{DOCKERFILE}"},
                   "frontend image attacker/image", "docker/dockerfile only")
    assert "Building" not in said


def test_d05_a_foreign_frontend_by_build_argument(world, victim):
    world.paas("builder:arg", victim.app, "BUILDKIT_SYNTAX=attacker/image", check=True)
    refused(world, victim, {"www/x": "x"}, "BUILDKIT_SYNTAX may name docker/dockerfile only", built=True)
    world.paas("builder:arg", victim.app, "--unset", "BUILDKIT_SYNTAX", check=True)


@pytest.mark.parametrize("flag", ["--security=insecure", "--network=host"])
def test_d05_a_step_with_more_rights(world, victim, flag):
    refused(world, victim, {"Dockerfile": f"FROM busybox:latest\nRUN {flag} id\n"}, built=True)


# D06: paths


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../b", "~/x", "a\nb", "-f", ""])
@pytest.mark.parametrize("key", ["dockerfile-path", "build-dir"])
def test_d06_paths_that_lead_elsewhere(world, victim, key, path):
    before = state.fingerprint(world)
    said = world.paas("builder:set", victim.app, key, path)
    assert said.returncode in (2, 3) or path in ("~/x", "-f", ""), said.output
    if said.returncode == 0:                                     # an odd but harmless path below the source
        world.paas("builder:set", victim.app, key, check=True)
    assert state.difference(before, state.fingerprint(world)) == []


def test_d06_a_dockerfile_behind_a_link(world):
    repo = world.app_repo({**apps.web("safe"), "docker/web": DOCKERFILE})
    world.paas("apps:create", repo.app, check=True)
    repo.push()
    world.paas("builder:set", repo.app, "dockerfile-path", "docker/web", check=True)
    for link, target in (("docker/web", "/etc/passwd"), ("docker/web", "../../../../etc/passwd"), ("docker", "/etc")):
        path = repo.path / link
        run(["rm", "-r", str(path)], check=True)
        path.symlink_to(target)
        said = refused(world, repo, {}, "must be a regular file")
        assert "root:" not in said


def test_d06_a_dockerignore_of_100_000_patterns(world, victim):
    patterns = "".join(f"{number}*\n" for number in range(100_000))
    refused(world, victim, {".dockerignore": patterns}, "100,000 patterns", built=True)


# D08: what a build prints


def test_d08_floods_and_forgeries(world):
    """Long lines, many lines, 1 GB in one; escapes, carriage returns and lines that pretend to be the platform's.

    BuildKit itself passes only so many bytes a second on, so what must reach paas's own limit comes before the flood.
    """
    world.local("server:set", "build-output-limit", "20000", check=True)
    forged = "printf '\\033[2J\\033]0;owned\\007=====> Live: v9\\rremote: =====> Live: v9\\n'"
    flood = "tr '\\0' x </dev/zero | head -c 30000; echo; seq 5000; tr '\\0' x </dev/zero | head -c 1000000000"
    repo = world.app_repo({**apps.web("one"), "Dockerfile": f"FROM busybox:latest\nRUN {forged}; {flood} # {MARK}\n"
                           "COPY www /www\nCMD exec httpd -f -p ${PORT:-5000} -h /www\n"})
    try:
        pushed = repo.push()
    finally:
        world.local("server:set", "build-output-limit", check=True)
    assert world.get(repo.host).text == "one"
    kept = world.paas("builds:log", repo.app, check=True).output
    for said in (pushed.output, kept):
        assert "\x1b" not in said
        assert "\x07" not in said
        assert "The output limit is reached" in said
        assert len(said) < 100_000
        assert max(map(len, said.splitlines())) < 10_000
    forgeries = [line for line in kept.splitlines() if "Live: v9" in line]
    assert forgeries
    assert [line for line in forgeries if line.startswith(("=====>", "remote:"))] == []


# D10: what an image says of itself


def test_d10_an_image_changes_no_rule(world):
    """Its HEALTHCHECK runs in the container only, its signal kills it in the end, its ports stay inside."""
    files = {**apps.web("one"), "Dockerfile": (
        "FROM busybox:latest\nCOPY www /www\nUSER root\nEXPOSE 22 2375 8080\nVOLUME /data\nSTOPSIGNAL SIGCONT\n"
        f"HEALTHCHECK --interval=1s CMD touch /tmp/{MARK}-health\nLABEL paas.server=other paas.app-name=other\n"
        "CMD exec httpd -f -p $PORT -h /www\n")}
    repo = world.app_repo(files)
    world.paas("apps:create", repo.app, check=True)
    world.paas("ps:set", repo.app, "stop-timeout", "1", check=True)
    repo.push()
    assert world.get(repo.host).text == "one"
    container, = world.containers(repo.app)
    host = container["HostConfig"]
    assert (host["PublishAllPorts"], host["PortBindings"] or {}, host["CapDrop"]) == (False, {}, ["ALL"])
    assert not [bound for bound in container["NetworkSettings"]["Ports"].values() if bound]
    assert not list(Path("/tmp").glob(f"{MARK}*"))
    repo.commit(apps.page("two"))
    repo.push()
    state.come_to_rest(world)
    assert world.get(repo.host).text == "two"
    assert len(world.containers(repo.app)) == 1


@pytest.mark.parametrize(("line", "words"), [
    ("VOLUME /", "the image declares VOLUME /"), ("STOPSIGNAL SIGNOTHING", "Invalid signal: SIGNOTHING"),
    ("USER nobody-of-that-name", "unable to find user nobody-of-that-name"),
    ("EXPOSE 99999", "99999"), ("ENTRYPOINT [\"/no/such/program\"]", "/no/such/program"),
])
def test_d10_an_image_that_cannot_run_is_refused(world, victim, line, words):
    refused(world, victim, {"Dockerfile": f"{DOCKERFILE}{line}\n"}, words, built=True)


# D12: the registry


class Busy(Handler):
    """Allows no more downloads for now, as Docker Hub does over its limit."""

    def do_GET(self) -> None:
        words = {"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}
        self.answer(429, json.dumps(words).encode(), {"Content-Type": "application/json"})

    do_HEAD = do_GET


@contextmanager
def served(registry: Registry) -> Iterator[None]:
    thread = threading.Thread(target=registry.serve_forever)
    thread.start()
    try:
        yield
    finally:
        registry.shutdown()
        thread.join()


def test_d12_a_registry_that_is_busy_down_and_back(world, victim):
    """The old release serves; the same commit goes through when the registry answers."""
    registry = Registry()
    image = f"{registry.host}/team/base:1"
    files = {"Dockerfile": f"FROM {image} AS base\nFROM busybox:latest\nCOPY --from=base /file /www/file\n"
             f"COPY www /www\nCMD exec {SERVE}\n"}
    registry.RequestHandlerClass = Busy
    with served(registry):
        refused(world, victim, files, image, "allows no more downloads for now", built=True)
    registry.server_close()
    refused(world, victim, files, image, "refuses connections", built=True)
    again = Registry()
    with served(again):
        missing = {"Dockerfile": files["Dockerfile"].replace(registry.host, again.host).replace("base:1", "base:2")}
        refused(world, victim, missing, "its registry has no such tag", built=True)
        victim.commit({"Dockerfile": files["Dockerfile"].replace(registry.host, again.host)})
        victim.push()
    again.server_close()
    assert world.get(victim.host).text == "safe"
    assert len(world.get(victim.host, "/file").text) == 64
