"""Compose files → plans: nothing is dropped silently, what counts as used is used, commands mean the same."""

import contextlib
import copy
import random
import subprocess
from pathlib import Path

import pytest

from paas.adapters.yaml_files import YamlFiles
from paas.errors import BadInput, UsageError
from paas.model import procfile
from paas.model.compose_ledger import Ledger, interpolated, leaves, shown
from paas.model.compose_parts import check_path, port, procfile_line, seconds
from paas.model.compose_read import plan_of, read, tree_of

FILES = sorted((Path(__file__).parents[2] / "fixtures/compose").glob("*.yml"))
PRIVATE = "\ue000{}\ue001"


def load(name):
    return YamlFiles().yaml((FILES[0].parent / f"{name}.yml").read_bytes())


def plan(name, app="main"):
    return read(load(name), app)


def small(**web):
    return read({"services": {"web": {"build": ".", "ports": ["80:8000"], **web}}}, "main")


def why(made, where):
    return next(one.why for one in made.left if one.where == where)


def account(data):
    ledger = Ledger(tree_of(data))
    return plan_of(ledger, "" if "name" in data else "main"), ledger


def accounted(ledger, path):
    return path in ledger.used or any(path[:end] in ledger.left for end in range(1, len(path) + 1))


def at(data, path):
    for part in path:
        data = data[part]
    return data


def changed(data, path, value):
    made = copy.deepcopy(data)
    at(made, path[:-1])[path[-1]] = value
    return made


def mappings(value, path=()):
    if isinstance(value, dict):
        yield path
        for key, one in value.items():
            yield from mappings(one, (*path, key))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from mappings(one, (*path, place))


# No silent drops


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_value_is_used_or_named(file):
    data = load(file.stem)
    made, ledger = account(data)
    assert [path for path in leaves(data) if not accounted(ledger, path)] == []
    assert {one.where for one in made.left} == {shown(path) for path in ledger.left}
    assert all(one.why for one in made.left)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_unknown_key_anywhere_is_named(file):
    data = load(file.stem)
    for path in mappings(data):
        _, ledger = account(changed(data, (*path, "zz-unknown"), "needle"))
        here = (*path, "zz-unknown")
        assert here not in ledger.used, path
        assert accounted(ledger, here), path


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_counts_as_used_makes_a_difference(file):
    data = load(file.stem)
    made, ledger = account(data)
    assert len(ledger.used) > 2
    for path in ledger.used - set(ledger.left):
        other = "false" if at(data, path) is True else "zz9"
        with contextlib.suppress(BadInput, UsageError):          # a difference too
            assert account(changed(data, path, other))[0] != made, path


def test_powers_are_refused_by_name():
    made = plan("powers", "")
    assert made.apps[0].mounts == ()
    refused = {one.where for one in made.left if one.why.startswith("refused")}
    assert refused >= {f"web.{key}" for key in (
        "privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "userns_mode", "security_opt", "sysctls",
        "volumes[0]", "volumes[1]", "volumes[2]", "volumes[4]", "volumes_from", "build.privileged",
        "deploy.resources.reservations.devices")}


# Plans of common files


def test_fastapi_with_postgres_redis_and_a_worker():
    made = plan("fastapi", "")
    app, = made.apps
    assert (app.name, app.services, app.scale) == ("shop", ("web", "worker"), {"worker": 2})
    assert app.processes == {"web": "uvicorn app.main:app --host 0.0.0.0 --port 8000",
                             "worker": "celery -A app.worker worker --loglevel=info"}
    assert {key: value.reveal() for key, value in app.config.items()} == {"LOG_LEVEL": "info"}
    assert [one.key for one in app.to_set] == ["DATABASE_URL", "REDIS_URL", "SECRET_KEY", "SENTRY_DSN"]
    assert app.settings == {"proxy.port": "8000", "checks.path": "/health", "ps.restart-policy": "unless-stopped"}
    assert app.limits == {"worker": {"cpu": "0.50", "memory": "512M", "reserve": "128M"}}
    assert app.mounts == ("uploads:/code/uploads",)
    assert [(one.kind, one.commands) for one in made.datastores] == [
        ("postgres", (("postgres:create", "shop-db", "--version", "16"), ("postgres:link", "shop-db", "shop"))),
        ("redis", (("redis:create", "shop-redis", "--version", "7"), ("redis:link", "shop-redis", "shop")))]
    assert "for development" in why(made, "web.volumes[0]")


def test_django_with_migrations_celery_and_nginx():
    made = plan("django")
    app, = made.apps
    assert app.release == "python manage.py migrate --noinput && python manage.py collectstatic --noinput"
    assert list(app.processes) == ["web", "celery-worker", "celery-beat", "flower"]
    assert app.settings == {"builder.build-dir": "app", "builder.dockerfile-path": "Dockerfile.prod",
                            "proxy.port": "8000", "ps.stop-timeout": "90"}
    assert list(app.arguments) == ["PYTHON_VERSION"]
    assert app.config["DEBUG"].reveal() == "0"
    assert "config:import main < ./.env.prod" in why(made, "web.env_file[0]")
    assert "proxy" in why(made, "nginx.volumes")
    assert "another service" in why(made, "celery_worker.environment.DEBUG")
    assert any("celery-beat=stop-first" in line for line in made.warnings)


def test_rails_shares_the_image_that_it_builds():
    made = plan("rails")
    app, = made.apps
    assert app.services == ("web", "sidekiq")
    assert app.config["DATABASE_PASSWORD"].reveal() == "$ecret"
    assert app.mounts == ("storage:/myapp/storage",)
    assert {one.key for one in app.to_set} == {"RAILS_MASTER_KEY", "DATABASE_HOST"}
    assert "last stage" in why(made, "web.build.target")
    assert made.datastores[0].kind == "mysql"


def test_front_end_and_api_are_two_apps():
    made = plan("node", "")
    assert [(app.name, app.settings.get("builder.build-dir")) for app in made.apps] == [
        ("todo-app", "client"), ("todo-app-backend", "server")]
    front, back = made.apps
    assert front.domains == ("todo.example.com", "www.todo.example.com")
    assert (front.procfile, back.procfile) == ("", "web: npm run dev\n")
    assert "todo-app-backend" in front.to_set[0].why
    assert back.settings["checks.path"] == "/healthz"
    assert made.datastores[0].apps == ("todo-app-backend",)
    assert any("development" in line for line in made.warnings)


def test_images_alone_are_apps_where_they_serve():
    made = plan("images", "")
    assert [(app.name, app.image) for app in made.apps] == [
        ("tickets", "ghcr.io/acme/tickets:3.2"), ("tickets-wiki", "requarks/wiki:2")]
    assert made.apps[0].procfile == '# web: write the CMD of the image here\nworker: tickets work --token "$TOKEN"\n'
    assert made.apps[0].scale == {"web": 2, "worker": 1}
    assert (made.apps[1].procfile, made.apps[1].domains) == ("", ("wiki.example.com",))
    assert {one.kind for one in made.datastores} == {"rabbitmq", "minio"}


def test_secrets_as_files_are_to_set():
    made = plan("flask")
    assert {one.key for one in made.apps[0].to_set} == {"API_KEY_FILE", "APP_MODULE"}
    assert made.apps[0].config == {}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_procfile_is_one(file):
    data = load(file.stem)
    for app in account(data)[0].apps:
        lines = procfile.parse(app.procfile.encode())
        known = {kind for kind, line in app.processes.items() if line}
        assert set(lines) == ((known | ({"release"} if app.release else set())) if app.procfile else set())


def test_a_lone_proxy_is_a_site():
    made = read({"services": {"site": {"image": "nginx:1.29", "ports": ["80:80"]}}}, "main")
    assert made.apps[0].image == "nginx:1.29"


@pytest.mark.parametrize(("value", "to_set"), [
    ("postgres://u:p@db:5432/x", True), ("db", True), ("https://example.com/db", False), ("sqlite:///db/file", False),
    ("mailto:a@db.com", False), ("x@db", True),
])
def test_what_points_to_a_service_is_to_set(value, to_set):
    services = {"web": {"build": ".", "environment": {"DATABASE_URL": value}}, "db": {"image": "postgres"}}
    app, = read({"services": services}, "main").apps
    assert bool(app.to_set) == to_set
    assert ("DATABASE_URL" in app.config) != to_set


# Parts


@pytest.mark.parametrize(("text", "value"), [
    ("a$$b", "a$b"), ("${A:-x}", "x"), ("${A-x}", "x"), ("${A:-${B:-y}}z", "yz"), ("${A:-}", ""),
    ("$A/b", PRIVATE.format("A") + "/b"), ("${A}", PRIVATE.format("A")), ("${A:?no}", PRIVATE.format("A")),
    ("${A:+x}", PRIVATE.format("A")), ("plain", "plain"),
])
def test_interpolation(text, value):
    assert interpolated(text) == value


@pytest.mark.parametrize("text", ["${", "$", "$1", "${A", "a $ b", "${A!x}", "${}", "${A:-" * 50 + "}" * 50, "\ue000"])
def test_bad_interpolation_is_refused(text):
    with pytest.raises(BadInput) as refused:
        small(environment={"KEY": text})
    assert "web.environment.KEY" in refused.value.what


def test_a_line_runs_what_compose_would_run():
    dice = random.Random(7)
    for _ in range(60):
        words = ["".join(dice.choices("ab $'\"\\!*~#;&|<>(){}`=é\t", k=dice.randrange(0, 8))) for _ in range(4)]
        place = dice.randrange(4)
        filled = [*words]
        filled[place] = words[place][:3] + "$(v) '\"" + words[place][3:]
        words[place] = words[place][:3] + PRIVATE.format("V") + words[place][3:]
        line = procfile_line(["printf", "%s\\0", *words])
        done = subprocess.run(["/bin/sh", "-c", line], env={"V": "$(v) '\"", "PATH": "/usr/bin:/bin"},
                              capture_output=True, check=True)
        assert done.stdout.decode().split("\0")[:-1] == filled, line


@pytest.mark.parametrize(("words", "line"), [
    (["sh", "-c", "a && b $X"], "a && b $X"), (["sh", "-c", "a &&\n  b \\\n c"], "a && b c"),
    (["sh", "-c", "a\nb"], None), (["x", "a\nb"], None), ([], None), (["bash", "-c", "a && b"], "bash -c 'a && b'"),
])
def test_lines_of_shells(words, line):
    assert procfile_line(words) == line


@pytest.mark.parametrize(("test", "found"), [
    (["CMD", "curl", "-f", "http://localhost:8000/up?x=1"], ("8000", "/up?x=1")),
    ("curl --fail http://localhost/ || exit 1", ("80", "/")),
    (["CMD-SHELL", "wget -qO- http://127.0.0.1:3000/up || exit 1"], ("3000", "/up")),
    (["CMD", "wget", "--no-verbose", "--tries=1", "--spider", "http://web:80/a"], ("80", "/a")),
    (["CMD", "curl", "-X", "POST", "http://localhost/a"], None), (["CMD", "curl", "-f", "https://localhost/"], None),
    (["CMD", "curl", "http://example.com/"], None), (["CMD", "pg_isready"], None), (["NONE"], None),
    ("curl http://localhost/a | grep ok", None), ("curl 'http://localhost:99999999/'", None), (None, None),
])
def test_paths_of_health_checks(test, found):
    assert check_path(test, ["web"]) == found


def test_a_check_of_another_port_is_named():
    made = small(healthcheck={"test": "curl -f http://localhost:9000/health"})
    assert "checks.path" not in made.apps[0].settings
    assert "checks:set" in why(made, "web.healthcheck.test")


def test_a_second_port_is_named_with_the_command_that_opens_it():
    made = small(ports=["80:8000", "8080:9000"])
    assert made.apps[0].settings["proxy.port"] == "8000"
    assert "paas ports:add APP http:PUBLIC:9000" in why(made, "web.ports[1]")


@pytest.mark.parametrize(("text", "target"), [
    ("8000", "8000"), ("80:8000", "8000"), ("127.0.0.1:80:8000", "8000"), ("[::1]:80:8000/tcp", "8000"),
    ("53:53/udp", None), ("8000-8010", None), ("x", None), ("0", None), ("70000", None), ("", None), ("²", None),
])
def test_ports(text, target):
    found = port(text)
    assert (found and found.target) == target


@pytest.mark.parametrize(("text", "value"), [("10s", 10), ("1m30s", 90), ("1h", 3600), ("1.5s", 2), ("x", None),
                                             ("", None)])
def test_durations(text, value):
    assert seconds(text) == value


# Refusals


@pytest.mark.parametrize(("data", "told"), [
    (None, "no compose file"), ([], "no compose file"), ("x", "no compose file"), ({}, "no compose file"),
    ({"services": None}, "no compose file"), ({"services": []}, "no compose file"),
    ({"services": {"db": {"image": "postgres"}}}, "could be an app"), ({"services": {"a": None}}, "could be an app"),
    ({"services": {"web": {"build": "a"}, "x y": {"build": "b"}, "x-y": {"build": "c"}}}, "two apps"),
    ({"services": {"web": {"build": "."}, "1": {"build": "."}}}, "process type"),
    ({"services": {"web": {"build": "a"}, "b" * 60: {"build": "b"}}}, "cannot name an app"),
])
def test_what_is_no_compose_file_is_refused(data, told):
    with pytest.raises(BadInput) as refused:
        read(data, "main")
    assert told in refused.value.what


def test_the_name_is_asked_for():
    with pytest.raises(UsageError, match="no 'name'"):
        read({"services": {"web": {"build": "."}}})


@pytest.mark.parametrize("odd", [None, True, "x", "", [], {}, [[]], [{}], [None], {"a": []}, {"a": None}, [True],
                                 {"a": {"b": {}}}, ["${X}"], "${X}", {"a": "${X}"}])
def test_odd_values_are_named_and_break_nothing(odd):
    for key in ("build", "image", "command", "entrypoint", "environment", "env_file", "ports", "expose", "volumes",
                "labels", "healthcheck", "deploy", "scale", "restart", "stop_grace_period", "mem_limit", "depends_on",
                "networks", "profiles", "links", "container_name", "secrets"):
        data = {"services": {"web": {"build": ".", key: odd}, "other": {"build": "."}}, "volumes": odd, "networks": odd}
        made, ledger = account({**data, "name": "main"})
        assert [path for path in leaves(data) if not accounted(ledger, path)] == []
        assert len(made.apps) <= 2


def test_what_docker_compose_config_prints_is_read():
    made = read({"name": "shop", "networks": {"default": {"name": "shop_default"}}, "services": {"web": {
        "build": {"context": ".", "dockerfile": "Dockerfile"}, "command": ["serve", "--all"], "entrypoint": None,
        "environment": {"A": "x"}, "networks": {"default": None},
        "deploy": {"resources": {"limits": {"cpus": "0.5", "memory": "536870912"}}},
        "ports": [{"mode": "ingress", "target": "8000", "published": "8000", "protocol": "tcp"}],
        "volumes": [{"type": "volume", "source": "data", "target": "/data", "volume": {}}]}},
        "volumes": {"data": {"name": "shop_data"}}})
    app, = made.apps
    assert (app.processes, app.settings, app.mounts) == (
        {"web": "serve --all"}, {"proxy.port": "8000"}, ("data:/data",))
    assert app.limits == {"web": {"cpu": "0.5", "memory": "536870912"}}


@pytest.mark.parametrize(("image", "version"), [
    ("postgres", ""), ("postgres:latest", ""), ("postgres:16", "16"), ("postgres:16.3-alpine3.20", "16"),
    ("registry.example.com:5000/library/postgres:15@sha256:" + "0" * 64, "15"), ("localhost:5000/postgres", "")])
def test_the_version_of_a_service_is_its_image_s(image, version):
    made = read({"services": {"web": {"build": "."}, "db": {"image": image}}}, "main")
    assert [(one.kind, one.version) for one in made.datastores] == [("postgres", version)]


@pytest.mark.parametrize("image", ["postgis/postgis:16-3.4", "pgvector/pgvector:pg16", "timescale/timescaledb:2.1-pg15",
                                   "redis/redis-stack"])
def test_an_image_with_more_than_the_official_one_is_not_replaced_by_it(image):
    made = read({"services": {"web": {"build": ".", "environment": {"DATABASE_URL": "postgres://db/x"}},
                              "db": {"image": image}}}, "main")
    assert made.datastores == ()
    assert "official image" in why(made, "db.image")
    assert made.apps[0].to_set[0].key == "DATABASE_URL"
