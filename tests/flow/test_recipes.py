"""Sources without a Dockerfile, and how the builder is chosen; over fakes."""

import io
import tarfile
from dataclasses import replace

import pytest

from paas.ops import build_settings, settings
from paas.secret import Secret
from paas.testing.fake_containers import Behaviour

APP = {"app.fake": b"web: serve\nworker: work\n", "main.c": b"int x;", "left-out": b"big"}


def push(flow, files, **builder):
    app = flow.app()
    for key, value in builder.items():
        settings.set_app(flow.rt, flow.rt.store.app_by_id(app.id), "builder", key.replace("_", "-"), value)
    code = flow.push(flow.repos.commit(app.id, files))
    flow.settle()
    return code


def live(flow):
    return flow.rt.store.live_release(flow.app().id)


def context(flow):
    with tarfile.open(fileobj=io.BytesIO(flow.images.contexts[-1])) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive if one.isfile()}


def test_a_buildpack_builds_what_has_no_dockerfile(flow):
    assert push(flow, APP) == 0, flow.lines.text
    for words in ("Fake app: found app.fake", "Fake 1 by default", "Building with the fake buildpack"):
        assert words in flow.lines.text
    assert {one.type: one.command[-1] for one in live(flow).formation} == {"web": "exec serve", "worker": "exec work"}
    assert context(flow) == {"app.fake": APP["app.fake"], "main.c": b"int x;",
                             "Dockerfile": b"FROM busybox\nEXPOSE 8080\n"}


def test_a_procfile_wins_over_its_processes(flow):
    assert push(flow, {**APP, "Procfile": b"web: mine\n"}) == 0
    assert [one.command[-1] for one in live(flow).formation] == ["exec mine"]


def test_its_own_dockerignore_wins(flow):
    assert push(flow, {**APP, ".dockerignore": b"main.c\n"}) == 0
    assert context(flow).keys() == {"app.fake", ".dockerignore", "left-out", "Dockerfile"}


def test_how_to_start_it_must_be_known_before_the_build(flow):
    assert push(flow, {"app.fake": b""}) == 10
    assert "how to start this fake app is not certain" in flow.lines.text
    assert flow.rt.store.builds(flow.app().id) == []


def test_a_dockerfile_wins(flow):
    assert push(flow, {**APP, "Dockerfile": b"FROM busybox\nEXPOSE 8080\nCMD [\"mine\"]\n"}) == 0
    assert "buildpack" not in flow.lines.text


def test_a_buildpack_that_was_chosen_wins_over_a_dockerfile(flow):
    assert push(flow, {**APP, "Dockerfile": b"FROM nothing\n"}, selected="buildpack") == 0, flow.lines.text
    assert context(flow)["Dockerfile"] == b"FROM busybox\nEXPOSE 8080\n"


@pytest.mark.parametrize(("builder", "words"), [
    ({"selected": "dockerfile"}, "there is no Dockerfile in the source"),
    ({"dockerfile_path": "docker/web"}, "there is no docker/web in the source"),
    ({"selected": "image"}, "runs images, not source"),
    ({"buildpack": "other"}, "no buildpack fits"),
    ({"build_dir": "nope"}, "no directory 'nope'"),
])
def test_what_is_refused(flow, builder, words):
    assert push(flow, APP, **builder) == 10
    assert words in flow.lines.text
    assert live(flow) is None


def test_one_directory_of_a_monorepo(flow):
    files = {**{f"services/api/{path}": data for path, data in APP.items()}, "services/web/index.html": b"x"}
    assert push(flow, files, build_dir="services/api") == 0, flow.lines.text
    assert context(flow).keys() == {"app.fake", "main.c", "Dockerfile"}
    assert push(flow, {**files, "services/web/index.html": b"y"}) == 0
    assert "Using build 1" in flow.lines.text


def test_build_settings_of_the_server_reach_every_build(flow):
    store = flow.rt.store
    build_settings.set_variables(store, {"PIP_INDEX_URL": Secret("https://u:p'w@pypi.test/x"),
                                         "https_proxy": Secret("http://proxy:3128")})
    assert push(flow, APP) == 0
    assert flow.rt.buildpacks.environment.environment
    request = flow.images.requests[-1]
    assert request.secrets["paas_env"].reveal() == (
        "export PIP_INDEX_URL='https://u:p'\"'\"'w@pypi.test/x'\nexport https_proxy=http://proxy:3128\n")
    assert request.arguments == {"HTTPS_PROXY": "http://proxy:3128", "https_proxy": "http://proxy:3128"}
    assert "p'w" not in flow.lines.text
    assert "PIP_INDEX_URL" not in str(store.settings())
    build_settings.unset_variables(store, ["PIP_INDEX_URL", "https_proxy"])
    assert build_settings.secrets(store) == {}


def test_a_change_of_the_recipe_is_another_build(flow):
    flow.containers.behave("paas.process=worker", Behaviour())
    assert push(flow, APP) == 0
    make = flow.rt.buildpacks.make
    again = flow.repos.commit(1, APP, "the same tree")
    assert flow.push(again) == 0
    flow.settle()
    assert len(flow.rt.store.builds(1)) == 1
    flow.rt.buildpacks.make = lambda *words: replaced(make(*words))
    assert flow.push(flow.repos.commit(1, APP, "once more")) == 0
    assert len(flow.rt.store.builds(1)) == 2


def replaced(recipe):
    return replace(recipe, dockerfile=recipe.dockerfile + b"# new\n")
