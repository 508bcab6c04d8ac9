"""apps:import-compose over the platform with fakes: what it shows, makes, refuses and takes back."""

import io
from pathlib import Path

import pytest

from paas.cli import base
from paas.cli.base import Local
from paas.errors import EngineError, ProxyError
from tests.unit.cli import desk as desks

FIXTURES = Path(__file__).parents[2] / "fixtures/compose"
MAIN = "apps:import-compose --app shop"
SMALL = b"services: {web: {build: ., ports: ['80:8000'], environment: {TOKEN: tiptop}}}"


def file(name):
    return (FIXTURES / f"{name}.yml").read_bytes()


def app_names(desk):
    return [app.name for app in desk.flow.rt.store.apps()]


@pytest.fixture
def terminal(desk, monkeypatch):
    """A person at a terminal, who types *answer*."""
    def typing(answer):
        class Person(desks.Screen):
            def __init__(self, stdin=b""):
                super().__init__(stdin)
                self.tty = type("Tty", (), {"columns": 80})()
                self.lines = io.StringIO(answer)

            def read_line(self, limit=1000):
                return self.lines.readline()

        monkeypatch.setattr(desks, "Screen", Person)
        return desk
    return typing


def test_an_app_is_made_as_planned(desk):
    said = desk.ok(f"{MAIN} --yes", file("fastapi"))
    rt, app = desk.flow.rt, desk.flow.rt.store.app("shop")
    assert {key: value.reveal() for key, value in rt.store.config(app.id).items()} == {"LOG_LEVEL": "info"}
    assert app.settings == {"proxy.port": "8000", "checks.path": "/health", "ps.restart-policy": "unless-stopped"}
    assert rt.store.scale(app.id) == {"worker": 2}
    assert rt.store.limits(app.id) == {"worker": {"memory": "512M", "cpu": "0.50", "reserve": "128M"}}
    assert [(one.source, one.target) for one in rt.store.mounts(app.id)] == [
        (f"paas-volume-{app.id}-uploads", "/code/uploads")]
    assert rt.store.live_release(app.id) is None
    for line in ("web: uvicorn app.main:app --host 0.0.0.0 --port 8000", "paas postgres:create shop-db", "git push",
                 "sets DATABASE_URL of shop", "sets REDIS_URL of shop", "config:set shop SECRET_KEY=… SENTRY_DSN=…",
                 "worker.depends_on", "pg_dump -Fc", "paas postgres:import shop-db <dump"):
        assert line in said.text


@pytest.mark.parametrize("name", ["django", "fastapi", "flask", "images", "node", "powers", "rails"])
def test_common_files_are_carried_out(desk, name):
    shown = desk.ok(f"{MAIN} --dry-run --format json", file(name)).json
    assert app_names(desk) == ["hello"]
    desk.ok(f"{MAIN} --yes", file(name))
    assert sorted(app_names(desk)) == sorted(["hello", *(app["name"] for app in shown["apps"])])
    for app in shown["apps"]:
        made = desk.flow.rt.store.app(app["name"])
        assert sorted(desk.flow.rt.store.config(made.id)) == sorted(app["config"])
        assert desk.flow.rt.store.scale(made.id) == app["scale"]
        assert {key: value for key, value in made.settings.items() if "build-arg" not in key} == app["settings"]
        assert len(desk.flow.rt.store.mounts(made.id)) == len(app["storage"])


def test_the_built_arguments_are_kept(desk):
    desk.ok(f"{MAIN} --yes", file("django"))
    assert desk.flow.rt.store.app("shop").settings["build-arg.PYTHON_VERSION"] == "3.12"


def test_no_value_of_a_config_var_is_shown_or_recorded(desk):
    for options in ("--dry-run", "--dry-run --format json", "--yes"):
        assert "tiptop" not in desk.ok(f"{MAIN} {options}", SMALL).all
    assert "tiptop" not in repr(desk.events("apps:import-compose"))
    assert desk.events("apps:import-compose")[0].detail["apps"] == "shop"


def test_without_yes_nothing_is_changed(desk):
    said = desk.run(MAIN, SMALL)
    assert (said.code, app_names(desk)) == (2, ["hello"])
    assert "--yes" in said.stderr
    assert "App shop" in said.text


@pytest.mark.parametrize(("answer", "code", "names"), [("yes\n", 0, ["hello", "shop"]), ("no\n", 2, ["hello"]),
                                                       ("", 2, ["hello"])])
def test_a_person_is_asked(terminal, answer, code, names):
    desk = terminal(answer)
    assert desk.run(MAIN, SMALL).code == code
    assert sorted(app_names(desk)) == names


def test_root_may_name_a_file_and_nobody_else(desk):
    desk.local = Local(cwd=str(FIXTURES))
    desk.ok("apps:import-compose fastapi.yml --yes")
    assert "shop" in app_names(desk)
    desk.local = None
    assert desk.run("apps:import-compose fastapi.yml --yes").code == 6


def test_an_app_that_is_there_is_left_alone(desk):
    before = desk.flow.app().settings
    said = desk.run("apps:import-compose --app hello --yes", file("fastapi"))
    assert (said.code, "exists already" in said.stderr) == (4, True)
    assert (app_names(desk), desk.flow.app().settings) == (["hello"], before)


def test_the_second_app_that_is_there_keeps_the_first_from_being_made(desk):
    desk.ok("apps:create shop-backend")
    assert desk.run(f"{MAIN} --yes", file("node")).code == 4
    assert app_names(desk) == ["hello", "shop-backend"]


@pytest.mark.parametrize(("where", "nth", "error"), [
    ("router.apply", 1, ProxyError("no proxy")), ("router.apply", 2, ProxyError("no proxy")),
    ("containers.taken_subnets", 2, EngineError("no engine")), ("repos.ensure", 2, EngineError("no disk")),
    ("repos.ensure", 2, RuntimeError("unforeseen")),
])
def test_what_fails_takes_everything_back(desk, where, nth, error):
    desk.flow.faults.fail_on(where, nth, error)
    said = desk.run(f"{MAIN} --yes", file("node"))
    assert said.code == getattr(error, "exit_code", 1)
    assert app_names(desk) == ["hello"]
    assert "Nothing was changed" in said.stderr or isinstance(error, RuntimeError)


def test_what_cannot_be_taken_back_is_named(desk):
    desk.flow.faults.fail_on("repos.ensure", 2, EngineError("no disk"))
    desk.flow.faults.fail_on("containers.list", 1, EngineError("no engine"))
    said = desk.run(f"{MAIN} --yes", file("node"))
    assert (said.code, "incomplete: shop." in said.stderr) == (30, True)
    assert app_names(desk) == ["hello", "shop"]


@pytest.fixture
def commands(monkeypatch):
    """Commands of data services that only note their words; those in *failing* fail."""
    made, failing = [], []

    def note(call, words, name):
        if name in failing:
            raise EngineError("no image")
        made.append((name, *words))

    for name in ("postgres:create", "postgres:link", "redis:create", "redis:link"):
        words = base.click.argument("words", nargs=-1, type=base.click.UNPROCESSED)(
            lambda call, words, name=name: note(call, words, name))
        monkeypatch.delitem(base.COMMANDS, name, raising=False)
        base.command(name, mutates=True, passthrough=True)(words)
        monkeypatch.setitem(base.COMMANDS, name, base.COMMANDS[name])
    return made, failing


def test_data_services_are_made_and_linked(desk, commands):
    said = desk.ok(f"{MAIN} --yes", file("fastapi"))
    assert commands[0] == [("postgres:create", "shop-db", "--version", "16"), ("postgres:link", "shop-db", "shop"),
                           ("redis:create", "shop-redis", "--version", "7"), ("redis:link", "shop-redis", "shop")]
    assert "To do when" not in said.text


def test_what_could_not_be_made_is_left_to_do_with_what_needs_it(desk, commands):
    commands[1].append("postgres:create")
    said = desk.ok(f"{MAIN} --yes", file("fastapi"))
    assert [words[0] for words in commands[0]] == ["redis:create", "redis:link"]
    assert "no image" in said.stderr
    then = said.text.partition("To do when what is in the way is gone:")[2]
    assert then.index("paas postgres:create shop-db --version 16") < then.index("paas postgres:link shop-db shop")


def test_a_kind_that_this_version_has_not_is_left_to_do(desk):
    said = desk.ok(f"{MAIN} --yes", file("rails"))
    assert "(this version has no such command)" in said.text
    assert "mysql:create" in said.text.partition("To do when there are these commands")[2]


def test_a_service_of_the_name_and_a_version_that_is_not_offered(desk):
    old = b"services: {web: {build: ., ports: ['80:8000']}, db: {image: 'postgres:9.6'}}"
    said = desk.ok(f"{MAIN} --dry-run", old)
    assert "PostgreSQL 9 is not offered; shop-db will be 17" in said.text
    store = desk.flow.rt.store
    store.create_service("postgres", "shop-db", uid="x", version="17", image="i", subnet="10.1.0.0/25", volume="v",
                         settings={}, secrets={}, actor=desks.ROOT)
    assert desk.run(f"{MAIN} --yes", old).code == 4
    assert app_names(desk) == ["hello"]


def bomb():
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join([*lines, SMALL.decode()]).encode()


HOSTILE = {
    "bomb": bomb(), "itself": b"a: &a [*a]\n" + SMALL, "tag": b"x: !!python/object/apply:os.system [id]\n" + SMALL,
    "twice": SMALL + b"\nservices: {}", "deep": b"services: " + b"[" * 100_000, "large": b"#" * 50_000_000,
    "binary": bytes(range(256)), "empty": b"", "list": b"- a", "two documents": b"---\n" + SMALL + b"\n---\n" + SMALL,
    "mount point": b"services: {web: {build: ., volumes: ['data:/etc']}}",
    "scale": b"services: {web: {build: ., deploy: {replicas: 500}}}",
    "many services": b"services:\n" + b"\n".join(b"  s%d: {build: a%d}" % (n, n) for n in range(3000)),
    "many processes": b"services:\n" + b"\n".join(b"  s%d: {build: .}" % n for n in range(60)),
    "dollars": b"services: {web: {build: ., command: '" + b"${A:-" * 40_000 + b"'}}",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_and_change_nothing(desk, data):
    said = desk.run(f"{MAIN} --yes", data)
    assert said.code in (2, 3), said.all[:500]
    assert app_names(desk) == ["hello"]


def test_no_power_reaches_an_app(desk):
    desk.ok("apps:import-compose --yes", file("powers"))
    app = desk.flow.rt.store.app("rogue")
    assert desk.flow.rt.store.mounts(app.id) == []
    assert app.settings == {"proxy.port": "8000"}
