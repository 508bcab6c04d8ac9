"""Files that come with a push or are imported: Procfile, app.json, env files, compose files, manifests, schedules."""

import json
import re
from datetime import UTC, datetime

import pytest
from docker.utils.build import Pattern
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from paas.adapters import dockerignore
from paas.adapters.buildpacks import Buildpacks
from paas.adapters.docker_images import ignoring
from paas.adapters.objects import Objects
from paas.adapters.schedules import CronSchedules
from paas.adapters.yaml_files import MAX_BYTES, YamlFiles
from paas.errors import BuildFailed
from paas.model import app_settings, appjson, compose_read, durations, envfile, moments, names, procfile
from paas.model.backup import Target
from paas.model.backup_mac import canonical
from paas.model.backup_manifest import read_drill, read_manifest, write_manifest
from paas.model.buildpack import BuildEnvironment, SourceFiles
from paas.model.dockerfile import foreign_frontend
from paas.model.staticfile import read_staticfile
from paas.secret import Secret
from tests.unit.fuzz.bounds import answer, small
from tests.unit.model.backup_examples import IDENTITY, manifest

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MARKS = st.text(st.sampled_from("aA1 \t\n\r:=#'\"\\${}[]()<>|&*?!%@,.-_/~^\0\x0b\x85\u2028\u202e\ufeffé\ud800"),
                max_size=60)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), MARKS, st.sampled_from([10**400, -1, "",
    "$(id)"]))


def trees(keys: st.SearchStrategy[str]) -> st.SearchStrategy:
    return st.recursive(LEAVES, lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=5)), max_leaves=15)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# the Procfile


@QUIET
@given(st.one_of(st.binary(max_size=200), MARKS.map(encoded),
                 st.lists(st.tuples(st.sampled_from(["web", "worker", "release", "a" * 31]), MARKS), max_size=5).map(
                     lambda lines: encoded("\n".join(f"{kind}: {text}" for kind, text in lines)))))
def test_a_procfile(content):
    for kind, line in (answer(procfile.parse, content) or {}).items():
        assert names.PROCESS_TYPE.fullmatch(kind)
        assert "\n" not in line
        assert procfile.shell_command(line)[:2] == ("/bin/sh", "-c")


@pytest.mark.parametrize("content", [
    b"a " * 32_000, b"a" + b" " * 65_000, b"a" * 65_000, b":" * 65_000, b"web:" + b" " * 65_000, b"\n" * 65_000,
    b"a\t" * 32_000 + b":", b"#" * 65_000, b"a: " + b"$(" * 32_000, ("a" + "\x85" * 30_000).encode()])
def test_the_largest_procfiles(content):
    with small():
        for line in (answer(procfile.parse, content) or {}).values():
            answer(procfile.shell_command, line)


# app.json

KEYS = st.one_of(st.sampled_from([
    "healthchecks", "formation", "env", "scripts", "cron", "web", "worker", "type", "path", "attempts", "timeout",
    "wait",
    "initialDelay", "content", "httpHeaders", "name", "value", "command", "uptime", "listening", "port", "quantity",
    "required", "generator", "dokku", "predeploy", "postdeploy", "schedule", "concurrency_policy", "status", "host",
    "scheme", "warn", "description"]), MARKS)
ENTRY = st.dictionaries(KEYS, trees(KEYS), max_size=6)
SHAPED = st.fixed_dictionaries({}, optional={
    "healthchecks": st.dictionaries(st.sampled_from(["web", "worker", "X"]), st.lists(ENTRY, max_size=3), max_size=2),
    "formation": st.dictionaries(st.sampled_from(["web", "w" * 40]), ENTRY, max_size=2),
    "env": st.dictionaries(st.sampled_from(["KEY", "PATH", "1", "a b"]), st.one_of(MARKS, ENTRY), max_size=3),
    "scripts": st.dictionaries(st.sampled_from(["dokku", "predeploy", "postdeploy", "x"]), st.one_of(MARKS, ENTRY)),
    "cron": st.lists(st.fixed_dictionaries({"schedule": st.one_of(MARKS, st.just("* * * * *")), "command": MARKS},
                                           optional={"concurrency_policy": LEAVES}), max_size=3)})


@QUIET
@given(st.one_of(SHAPED, trees(KEYS)))
@example({"healthchecks": {"web": [{"timeout": float("nan")}]}})
@example({"healthchecks": {"web": [{"attempts": float("inf")}]}})
@example({"healthchecks": {"web": [{"name": "\ud800"}]}})
@example({"cron": [{"schedule": "* * * * *", "command": "\ud800"}]})
@example({"cron": [{"schedule": "* * * * *", "command": "x", "concurrency_policy": []}]})
@example({"scripts": {"predeploy": "\ud800"}})
@example({"env": {"KEY": {"description": ["\n"], "generator": {}}}})
def test_an_app_json(data):
    read = answer(appjson.parse, json.dumps(data).encode())
    if read is not None:
        assert all(one.isprintable() for one in read.ignored)
        for task in (*read.tasks, *read.cron):
            assert all(word.encode() for word in task.command)      # it can be an argument


@QUIET
@given(st.one_of(st.binary(max_size=200), MARKS.map(encoded)))
def test_bytes_that_are_no_app_json(content):
    answer(appjson.parse, content)


@pytest.mark.parametrize("content", [
    b"[" * 260_000, b'{"a":' * 40_000, b'{"cron": [' + b"{}," * 80_000 + b"{}]}", b"1" * 260_000,
                       b'{"a": ' + b"9" * 5000 + b"}",
    b'"' + b"\\u0000" * 40_000 + b'"', b'{"formation": {"web": {"quantity": 1e999}}}', b"-" * 260_000,
    b'{"healthchecks": {"web": [' + b"{}," * 80_000 + b"{}]}}",
    b"{" + b",".join(b'"%d": 1' % n for n in range(20_000)) + b"}"])
def test_the_largest_app_json(content):
    with small():
        answer(appjson.parse, content)


# env files


@QUIET
@given(st.one_of(MARKS, st.lists(MARKS.map("K={}".format), max_size=4).map("\n".join)), st.sampled_from(["envfile",
    "json"]))
@example("K=''\x85", "envfile")
@example("K=''\x0bb", "envfile")
def test_an_env_file(text, format):
    for key, value in (answer(envfile.READERS[format], text) or {}).items():
        answer(names.config_key, key)
        answer(names.config_value, value)


@pytest.mark.parametrize("text", [
    "A=" + "\\" * 500_000, "A='" + "x" * 500_000, 'A="' + '\\"' * 250_000, "A=" + " " * 500_000 + "x",
    " " * 500_000 + "x",
    "A" * 500_000, "A" + " " * 500_000, "A=" + " #" * 250_000, "A=b\n" * 100_000, "A=''" + "''" * 250_000,
    "\n" * 200_000,
    "export " * 70_000, "A=''" + " " * 500_000 + "x", "\t \n" * 150_000, "A=" + "\ta" * 250_000])
def test_the_largest_env_files(text):
    with small(256 * 1024**2):
        answer(envfile.read_envfile, text)


# compose files

COMPOSE = st.sampled_from([
    "services", "web", "db", "image", "build", "context", "dockerfile", "args", "ports", "environment", "volumes",
    "command",
    "entrypoint", "depends_on", "condition", "healthcheck", "test", "interval", "labels", "deploy", "resources",
    "limits",
    "memory", "cpus", "replicas", "networks", "name", "x-a", "extends", "profiles", "secrets", "configs", "env_file",
    "restart", "expose", "type", "source", "target", "stop_grace_period", "extra_hosts", "mem_limit", "scale"])
TEXTS = st.one_of(MARKS, st.sampled_from([
    "postgres:17", "redis", "nginx", ".", "80", "8080:80", "127.0.0.1:1-5:1-5/udp", "./a:/b:ro", "data:/data", "A=b",
    "$A", "${A}",
    "${A:-${B:-${C}}}", "${", "$$", "10s", "1h30m", "512m", "service_healthy", "CMD-SHELL", "curl -f http://localhost/",
    "Host(`a.example`)", "traefik.http.routers.a.rule", "host.docker.internal:host-gateway", "9" * 400]))
NODES = st.recursive(st.one_of(LEAVES, TEXTS, TEXTS), lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(st.one_of(COMPOSE, TEXTS), inner, max_size=4)), max_leaves=12)
SERVICE = st.dictionaries(COMPOSE, NODES, max_size=7)


@QUIET
@given(st.fixed_dictionaries({"services": st.dictionaries(st.sampled_from(["web", "db", "worker", "a b"]),
                                                          st.one_of(SERVICE, NODES), max_size=3)},
                             optional={"name": TEXTS, "volumes": NODES, "x-a": NODES, "networks": NODES}),
       st.sampled_from(["shop", "", "A b"]))
def test_a_compose_file(data, name):
    parsed = answer(YamlFiles().yaml, json.dumps(data).encode())
    if parsed is not None:
        answer(compose_read.read, parsed, name)


FRAGMENTS = st.lists(st.sampled_from(["a", ": ", "- ", "\n", "  ", "&a ", "*a", "<<: ", "!!python/object ", "{", "}",
                                      "[", "]",
                                      "|", ">", "'", '"', "#", "%YAML 9.9\n", "---\n", "...", "? ", ",", "\t", "\0",
                                      "\\x",
                                      "é", "0x1", "2001-01-01", "~"]), max_size=40).map("".join)


@QUIET
@given(st.one_of(FRAGMENTS.map(str.encode), st.binary(max_size=100)))
@example(b"{? a}")
@example(b"<<: [*a]")
@example(b"&a [*a]")
@example(b"a: &a {b: *a}")
def test_yaml_of_strangers(data):
    parsed = answer(YamlFiles().yaml, data)
    if parsed is not None:
        answer(compose_read.read, parsed, "shop")


@pytest.mark.parametrize("data", [
    b"[" * MAX_BYTES, b"- " * (MAX_BYTES // 2), b"a: " * (MAX_BYTES // 3), b"? " * (MAX_BYTES // 2), b"'" * MAX_BYTES,
    b" " * MAX_BYTES, b"#" * MAX_BYTES, b"a" * MAX_BYTES, b"&a " * (MAX_BYTES // 3), b"!" * 60_000, b"{" * MAX_BYTES,
    b'"' + b"\\n" * 30_000, b"|\n" + b" a\n" * 20_000, b"---\n" * (MAX_BYTES // 4),
    b"services: {web: {image: '" + b"${A:-" * 40_000 + b"'}}", b"services: {web: {image: '" + b"$" * 90_000 + b"'}}",
    b"services: {web: {command: '" + b"a " * 40_000 + b"'}}",
    b"services: {web: {build: ., labels: ['" + b"Host(`" * 40_000 + b"']}}",
    b"services: {web: {build: ., ports: ['" + b"1:" * 100_000 + b"']}}",
    b"services: {web: {build: ., environment: {A: '" + b"http://a" * 10_000 + b"'}}}"],
                         ids=lambda data: repr(data[:40]))
def test_the_largest_compose_files(data):
    with small():
        parsed = answer(YamlFiles().yaml, data)
        if parsed is not None:
            answer(compose_read.read, parsed, "shop")


# schedules, spans, moments, settings

FIELD = st.one_of(st.sampled_from(["*", "0", "59", "60", "*/5", "1-5", "5-1", "L", "*/0", "1,2,3", "MON", "sun-sat",
                                   "31", "2",
                                   "30", "1#5", "5L", "9" * 30, "-", "1-", "*-*", "²", "1/1/1", "LW", "?", "0-59/59",
                                   ","]), MARKS)


@QUIET
@given(st.one_of(st.lists(FIELD, min_size=4, max_size=6).map(" ".join), MARKS, st.sampled_from(["@daily", "@reboot",
    "@x"])),
       st.sampled_from(["UTC", "Europe/Berlin", "../../etc/passwd", "", "\0", "Etc", "A" * 300]))
@example("0 0 30 2 *", "UTC")
@example("0 0 31 2 MON#5", "UTC")
@example("0 0 29 2 MON", "Europe/Berlin")
def test_a_schedule(text, zone):
    due = answer(CronSchedules().next, text, zone, NOW)
    assert due is None or due > NOW
    answer(appjson.read_cron, [{"schedule": text, "command": "x"}], [])


WORDS = st.one_of(MARKS, st.text(max_size=30), st.sampled_from(["9" * 400, "1e999", "nan", "-0", "٣", "1h" * 50,
                                                                "2026-13-45",
                                                                "0000-00-00T00:00:00Z", "9999-12-31T23:59:59-23:59",
                                                                "1000000000w"]))


@QUIET
@given(WORDS)
def test_words_that_are_values(text):
    for read in (durations.read_span, names.app_name, names.app_of, names.config_key, names.config_value, names.domain,
                 names.branch, names.key_name, names.process_type):
        answer(read, text)
    answer(moments.read_moment, text, NOW)
    for setting in (*app_settings.APP.values(), *app_settings.SERVER.values()):
        answer(setting.check, text)


@QUIET
@given(st.builds(Target, url=st.one_of(MARKS, MARKS.map("s3://{}".format), MARKS.map("file:///{}".format),
                                       st.sampled_from(["s3://[", "s3://bucket/../x", "file:////", "s3://b\nc/x",
                                                               "file://[::1"])),
                 endpoint=st.one_of(st.just(""), MARKS, MARKS.map("https://{}".format), st.sampled_from(
                     ["https://[", "https://a:99999", "https://a:b", "https://u@h", "http://\u2100"])),
                 region=MARKS, access_key=MARKS, secret_key=MARKS.map(Secret), storage_class=MARKS, ca_bundle=MARKS))
def test_a_target(target):
    answer(Objects().open, target)


# files of the source that decide how it is built

PACKS = Buildpacks()
NAMES = sorted(PACKS.wanted())
ENVIRONMENT = BuildEnvironment()
JSONS = {"package.json", "composer.json", "composer.lock", "package-lock.json", "Pipfile.lock", "nx.json", "turbo.json"}
MANIFEST_KEYS = st.one_of(st.sampled_from(["engines", "node", "scripts", "start", "build", "packageManager",
                                           "workspaces",
                                           "packages", "require", "php", "ext-gd", "dependencies", "main", "name"]),
                                           MARKS)
CONTENT = st.one_of(MARKS.map(encoded), st.binary(max_size=80),
                    trees(MANIFEST_KEYS).map(lambda data: json.dumps(data).encode()),
                    st.sampled_from([b"go 1.23\n", b"ruby '3.3'\n", b"[project]\nrequires-python='>=3'\n",
                                     b"[requires]\n",
                                     b"[tool.poetry]\nx=1\n", b"<project>", b"[" * 3000, b"a." * 40 + b"b=1",
                                     b"a=" + b"[" * 3000,
                                     b"a=" + b"9" * 5000, b'{"engines": {"node": "' + b"9" * 5000 + b'"}}']))


@QUIET
@given(st.dictionaries(st.sampled_from(NAMES), CONTENT, min_size=1, max_size=4),
       st.lists(st.one_of(MARKS, st.sampled_from(["index.html", "main.go", "app.py", "manage.py"])), max_size=3))
def test_a_source_without_a_dockerfile(contents, more):
    files = SourceFiles(frozenset({*contents, *more}), contents)
    answer(PACKS.make, files, ENVIRONMENT)
    answer(read_staticfile, files)


@QUIET
@given(st.one_of(MARKS.map(encoded), MARKS.map(lambda text: encoded(f"# syntax={text}")), st.binary(max_size=80)))
def test_the_head_of_a_dockerfile(content):
    answer(foreign_frontend, content)


@QUIET
@given(st.lists(st.text(st.sampled_from("a*?[]!^-\\/.# \0é"), max_size=20), max_size=6).map("\n".join),
       st.text("a/b.*", max_size=30))
def test_a_dockerignore(rules, path):
    left_out = answer(ignoring, rules.encode(), "Dockerfile", also=(BuildFailed,))
    if left_out is not None:
        answer(left_out, path)


@QUIET
@given(st.text(st.sampled_from("ab*?[]!^-\\/."), min_size=1, max_size=12), st.text("ab/.-", min_size=1, max_size=10))
@example("a**b*?*", "a/b/")
@example("***a**/*", "a/a/b")
@example("*[!a]*[^b]*", "aab")
def test_a_pattern_means_what_it_means_to_docker(pattern, path):
    theirs = Pattern(pattern)
    assume(theirs.dirs)
    tokens = answer(dockerignore.tokens_of, theirs.cleaned_pattern)
    try:
        expected = theirs.match(path)
    except re.error:
        return
    if tokens is not None:
        assert dockerignore.States(tokens).fit(path) == expected
        assert bool(dockerignore.matcher(theirs.cleaned_pattern)(path)) == expected


@pytest.mark.parametrize("pattern", ["*a" * 30, "**/" * 60 + "b", "**a" * 40, "[a" * 200, "?*" * 60, "\\" * 999])
def test_patterns_of_a_dockerignore_that_could_go_back_and_back(pattern):
    left_out = answer(ignoring, pattern.encode(), "Dockerfile")
    if left_out is not None:
        answer(left_out, "a" * 200 + "c")
        answer(left_out, "a/" * 100 + "c")


# what a bucket holds

WHOLE = json.loads(write_manifest(manifest(), IDENTITY))


@QUIET
@given(st.sampled_from(sorted(WHOLE)), trees(st.one_of(st.sampled_from(sorted(WHOLE)), MARKS)), st.booleans())
def test_a_manifest_with_another_field(name, value, missing):
    changed = {key: one for key, one in WHOLE.items() if not (missing and key == name)}
    if not missing:
        changed[name] = value
    try:
        data = canonical(changed)
    except ValueError:
        return
    for read in (read_manifest, read_drill):
        found = answer(read, data, [])                     # whose key is not known: nothing but its form protects
        answer(read, data, [IDENTITY])
        assert found is None or name != "format" or value == 1


@QUIET
@given(st.one_of(st.binary(max_size=100), MARKS.map(encoded)))
def test_bytes_that_are_no_manifest(data):
    answer(read_manifest, data, [IDENTITY])
    answer(read_drill, data, [IDENTITY])
