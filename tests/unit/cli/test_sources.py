"""builder:set, buildpacks:…, git:from-archive, git:from-image, server:build-…, over the flow with fakes."""

import io
import subprocess
import tarfile

import pytest

APP = {"app.fake": b"web: serve\n", "main.c": b"int x;"}


def tar(files, mode="w:gz", **links):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for name, (kind, target) in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            archive.addfile(entry)
    return made.getvalue()


def live(desk):
    return desk.flow.rt.store.live_release(desk.flow.app().id)


@pytest.fixture
def pushed(desk):
    """hello, built by a buildpack."""
    flow = desk.flow
    assert flow.push(flow.repos.commit(flow.app().id, APP)) == 0, flow.lines.text
    flow.settle()
    return desk


def test_builder_set_takes_the_kind_alone(desk):
    desk.ok("builder:set hello buildpack")
    assert desk.flow.app().settings["builder.selected"] == "buildpack"
    desk.ok("builder:set hello selected")
    assert "builder.selected" not in desk.flow.app().settings


def test_the_dockerfile_of_a_buildpack_is_shown(pushed):
    assert pushed.ok("buildpacks:show hello").text == "FROM busybox\nEXPOSE 8080\n"


def test_eject_is_a_patch_that_git_applies(pushed, tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    patch = pushed.ok("buildpacks:eject hello").stdout
    subprocess.run(["git", "-C", tmp_path, "apply"], input=patch, check=True)
    assert (tmp_path / "Dockerfile").read_bytes() == b"FROM busybox\nEXPOSE 8080\n"
    assert (tmp_path / ".dockerignore").read_bytes() == b"left-out\n"
    assert (tmp_path / "Procfile").read_bytes() == b"web: serve\n"


def test_an_app_with_a_dockerfile_has_no_recipe(desk):
    desk.flow.deploy()
    said = desk.run("buildpacks:show hello")
    assert (said.code, "built from its own Dockerfile" in said.stderr) == (3, True)


def test_an_app_without_a_release_has_none(desk):
    desk.flow.app()
    assert "Push it first" in desk.run("buildpacks:eject hello").stderr


def test_buildpacks_are_listed_and_chosen(desk):
    assert desk.ok("buildpacks:list --format json").json == [{"language": "fake"}]
    desk.ok("buildpacks:set hello fake")
    assert desk.flow.app().settings["builder.buildpack"] == "fake"
    assert "There are: fake." in desk.run("buildpacks:set hello cobol").stderr


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_from_archive_deploys(desk, mode):
    desk.flow.app()
    said = desk.ok("git:from-archive hello", tar({"./Dockerfile": b"FROM busybox\nEXPOSE 8080\nCMD [\"x\"]\n",
                                                  "./docs/a": b"b"}, mode))
    assert "Live: v1" in said.text
    assert desk.flow.repos.ref(1, "main") == live(desk).commit
    desk.ok("git:from-archive hello", tar({"wrapped-1/app.fake": b"web: serve\n"}))
    assert live(desk).version == 2
    assert desk.flow.repos.is_ancestor(1, desk.flow.rt.store.release(1, 1).commit, live(desk).commit, None)


def test_what_went_live_a_moment_ago_is_built_upon(desk):
    """The branch is moved when the old instances are gone; the next deploy may be quicker."""
    desk.flow.app()
    for number in range(2):
        desk.ok("git:from-archive hello", tar({"app.fake": b"web: serve\n", "n": str(number).encode()}))
    second = live(desk).commit
    desk.flow.rt.jobs.accepted[1, "main"] = second
    desk.flow.repos.set_ref(1, "main", desk.flow.rt.store.release(1, 1).commit)
    desk.ok("git:from-archive hello", tar({"app.fake": b"web: serve\n"}))
    assert desk.flow.repos.is_ancestor(1, second, live(desk).commit, None)


@pytest.mark.parametrize(("data", "words"), [
    (b"PK\x03\x04 a zip", "not a tar archive"), (b"", "not a tar archive"), (tar({}), "holds no files"),
    (tar({"../x": b""}), "not an allowed name"), (tar({"/etc/x": b""}), "not an allowed name"),
    (tar({"a/.GIT/config": b""}), "not an allowed name"),
    (tar({"a": b"x"}, dev=(tarfile.CHRTYPE, "")), "neither a file nor"),
    (tar({"a": b"x"}, b=(tarfile.LNKTYPE, "a")), "neither a file nor"),
    (tar({"a": b"x" * 2_000_000})[:900], "not a tar archive"),
    (tar({f"f{number}": b"" for number in range(200)}), "more than a push may hold"),
    (tar({"big": bytes(50_000)}), "more than a push may hold"),
], ids=range(11))
def test_from_archive_refuses(desk, data, words):
    desk.flow.app()
    desk.flow.rt.store.set_setting("source-files-limit", "100")
    desk.flow.rt.store.set_setting("file-size-limit", "10000" if words.startswith("more") else "10000000")
    said = desk.run("git:from-archive hello", data)
    assert (said.code, words in said.stderr) == (10, True), said.stderr
    assert live(desk) is None


def test_from_image_deploys_it(desk):
    desk.flow.app()
    said = desk.ok("git:from-image hello nginx")
    assert "Live: v1" in said.text
    assert live(desk).subject == "Image nginx"
    desk.ok("git:from-image hello nginx")
    assert live(desk).version == 2


@pytest.mark.parametrize("image", [
    "Nginx", "a b", "x:y:z", "-x", "nginx\nRUN evil", "a@sha256:12", "$IMAGE", "a" * 300])
def test_from_image_refuses(desk, image):
    desk.flow.app()
    said = desk.run(["git:from-image", "hello", "--", image])
    assert said.code == 3, said.stderr
    assert live(desk) is None


def test_build_env_is_never_shown(desk):
    desk.ok("server:build-env-set PIP_INDEX_URL=https://u:hush@pypi.test HTTPS_PROXY=http://p:1")
    said = desk.ok("server:build-env")
    assert ("PIP_INDEX_URL" in said.text, "hush" in said.text) == (True, False)
    assert "hush" not in str(desk.flow.rt.store.events())
    assert desk.run("server:build-env-unset NOPE").code == 20
    assert desk.run("server:build-env-set A=1 'B C=2'").code == 3
    assert desk.ok("server:build-env --format json").json == [{"key": "HTTPS_PROXY"}, {"key": "PIP_INDEX_URL"}]
    desk.ok("server:build-env-unset PIP_INDEX_URL HTTPS_PROXY")
    assert desk.ok("server:build-env --format json").json == []


def test_build_ca(desk, tmp_path):
    pem = tmp_path / "ca.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=Office", "-keyout", "/dev/null", "-out", pem], check=True,
                   capture_output=True)
    assert "trust 1 certificates" in desk.ok("server:build-ca", pem.read_bytes()).text
    for bad in (b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff\xfe"):
        said = desk.run("server:build-ca", bad)
        assert (said.code, "not a bundle" in said.stderr) == (3, True)
    assert "Removed." in desk.ok("server:build-ca --clear").text
    assert "Nothing changed." in desk.ok("server:build-ca --clear").text
