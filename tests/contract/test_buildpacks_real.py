"""Sources without a Dockerfile, built by their buildpack on a real engine, started, asked, and broken once each."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

import certifi
import pytest

from paas.adapters.buildpacks import Buildpacks
from paas.adapters.docker_images import DockerImages
from paas.errors import BuildFailed
from paas.model import procfile
from paas.model.buildpack import BuildEnvironment, SourceFiles
from paas.ports import BuildRequest
from paas.secret import Secret
from tests.contract.docker_lab import SOCKET, tar

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300), pytest.mark.usefixtures("base_images")]

FLASK = {"requirements.txt": b"flask\ngunicorn\n",
         "app.py": b'from flask import Flask\napp = Flask(__name__)\n\n@app.get("/")\ndef hello():\n    return "one"\n'}
UV = {"pyproject.toml": b'[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\n'
                        b'dependencies = ["gunicorn"]\n',
      "main.py": b'def app(environ, start):\n    start("200 OK", [])\n    return [b"one"]\n',
      "Procfile": b"web: gunicorn main:app --bind 0.0.0.0:$PORT\n"}
EXPRESS = {"package.json": json.dumps({"name": "x", "version": "1.0.0", "dependencies": {"express": "^5"},
                                       "scripts": {"start": "node server.js"}}).encode(),
           "server.js": b'const app = require("express")();\napp.get("/", (_, answer) => answer.send("one"));\n'
                        b"app.listen(process.env.PORT);\n"}
PAGES = {"package.json": json.dumps({"name": "x", "version": "1.0.0", "scripts": {"build": "node build.js"},
                                     "devDependencies": {"is-odd": "3.0.1"}}).encode(),
         "build.js": b'const fs = require("fs");\nrequire("is-odd");\nfs.mkdirSync("dist");\n'
                     b'fs.writeFileSync("dist/index.html", "one");\n',
         "Staticfile": b"root: dist\npushstate: enabled\n"}
STATIC = {"index.html": b"one", "style.css": b"p {}", "404.html": b"not here", ".env": b"secret", "a/index.html": b"a"}
GO = {"go.mod": b"module example.test/x\n\ngo 1.24\n",
      "main.go": b'package main\n\nimport (\n\t"net/http"\n\t"os"\n)\n\nfunc main() {\n'
                 b'\thttp.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("one")) })\n'
                 b'\tpanic(http.ListenAndServe(":"+os.Getenv("PORT"), nil))\n}\n'}

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Rig:
    def __init__(self, lab) -> None:
        self._lab = lab
        self.images = DockerImages(SOCKET, lab.server, "ct")
        self.buildpacks = Buildpacks()
        self.text = ""
        self.procfile = {}
        self.recipe = None

    def build(self, files, environment=None, given=None, change=lambda text: text):
        wanted = self.buildpacks.wanted()
        self.procfile = procfile.parse(files.get("Procfile", b""))
        source = SourceFiles(frozenset(files), {path: data for path, data in files.items() if path in wanted})
        self.recipe = self.buildpacks.make(source, environment or BuildEnvironment())
        dockerfile = change(self.recipe.dockerfile.decode()).encode()
        heard: list[bytes] = []
        request = BuildRequest(tag=f"ct-buildpack-{secrets.token_hex(4)}", labels={"run": "1"}, secrets=given or {},
                               context=[tar({**files, "Dockerfile": dockerfile})])
        try:
            return self.images.build(request, heard.append, lambda: False)
        finally:
            self.text = b"".join(heard).decode()

    @contextlib.contextmanager
    def running(self, image, environment=None):
        """The container, as the platform would start and reach it: at its own address; yields (id, URL)."""
        api, port = self._lab.api, 7000
        line = self.recipe.processes.get("web", "") or self.procfile.get("web", "")
        made = api.create_container(
            image.digest, command=list(procfile.shell_command(line)) if line else None,
            environment={"PORT": str(port), **(environment or {})}, labels={"paas.server": self._lab.server},
            host_config=api.create_host_config(cap_drop=["ALL"], security_opt=["no-new-privileges:true"]))["Id"]
        try:
            api.start(made)
            yield made, f"http://{api.inspect_container(made)['NetworkSettings']['IPAddress']}:{port}"
        finally:
            api.remove_container(made, force=True)

    def get(self, made, url: str, path: str = "/") -> tuple[int, str, str]:
        """(status, type, body), as soon as it answers."""
        last = None
        for _ in range(200):
            try:
                with DIRECT.open(url + path, timeout=10) as answer:
                    return answer.status, answer.headers.get_content_type(), answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.headers.get_content_type(), error.read().decode()
            except OSError as error:
                last = error
                assert self._lab.api.inspect_container(made)["State"]["Running"], self._lab.api.logs(made).decode()
                time.sleep(0.1)
        raise AssertionError(f"{url}: {last}\n{self._lab.api.logs(made).decode()}")

    def fails_to_start(self, image) -> str:
        with self.running(image) as (made, _):
            assert self._lab.api.wait(made, timeout=60)["StatusCode"] != 0
            return self._lab.api.logs(made).decode()

    def run(self, image, *words: str) -> str:
        api = self._lab.api
        made = api.create_container(image.digest, entrypoint=[words[0]], command=list(words[1:]),
                                    labels={"paas.server": self._lab.server})["Id"]
        try:
            api.start(made)
            api.wait(made, timeout=60)
            return api.logs(made).decode()
        finally:
            api.remove_container(made, force=True)

    def users(self, made) -> set[str]:
        """User ids of its processes."""
        return {row[1] for row in self._lab.api.top(made, ps_args="-eo pid,uid,args")["Processes"]}

    def config(self, image):
        return [self._lab.api.inspect_image(image.digest)["Config"]]

    def remains(self, image) -> bytes:
        """All that the image is: its history, its config, and its layers as one tar."""
        api = self._lab.api
        said = json.dumps([api.history(image.digest), api.inspect_image(image.digest)]).encode()
        return said + b"".join(api.get_image(image.digest))


@pytest.fixture
def rig(lab):
    yield Rig(lab)
    lab.clean()


def locks(name: str, path: str) -> dict[str, bytes]:
    return {path: (Path(__file__).parents[1] / "fixtures" / "buildpacks" / name).read_bytes()}


# name → (source, the file that is changed, a step that a change of that file does not run again)
SOURCES = {"pip": (FLASK, "app.py", "pip install --requirement"),
           "uv": ({**UV, **locks("uv.lock", "uv.lock")}, "main.py", "uv sync"),
           "npm": ({**EXPRESS, **locks("express.lock.json", "package-lock.json")}, "server.js", "npm ci"),
           "pages": ({**PAGES, **locks("pages.lock.json", "package-lock.json")}, "build.js", "npm ci"),
           "static": (STATIC, "index.html", "cp /usr/bin/caddy"),
           "go": (GO, "main.go", "useradd")}


def outcome(text: str, step: str) -> str:
    """What BuildKit says of the step with these words: "CACHED" or "DONE"."""
    number = re.search(rf"^(#\d+) .*{re.escape(step)}", text, re.MULTILINE)[1]
    return re.search(rf"^{number} (CACHED|DONE)", text, re.MULTILINE)[1]


@pytest.mark.parametrize("name", SOURCES)
def test_it_runs_and_a_changed_line_installs_nothing_again(rig, name):
    files, changed, step = SOURCES[name]
    image = rig.build(files)
    with rig.running(image) as (made, url):
        assert rig.get(made, url)[2] == "one"
        assert rig.users(made) == {"1000"}
    again = rig.build({**files, changed: files[changed].replace(b"one", b"two")})
    assert outcome(rig.text, step) == "CACHED"
    with rig.running(again) as (made, url):
        assert rig.get(made, url)[2] == "two"


def test_static_pages_have_types_and_errors_and_no_hidden_files(rig):
    with rig.running(rig.build(STATIC)) as (made, url):
        assert rig.get(made, url, "/style.css") == (200, "text/css", "p {}")
        assert rig.get(made, url, "/a/")[2] == "a"
        for path in ("/nothing", "/.env", "/Dockerfile", "/a/../.env"):
            assert rig.get(made, url, path)[::2] == (404, "not here")


def test_a_fallback_only_where_it_is_asked_for(rig):
    with rig.running(rig.build(SOURCES["pages"][0])) as (made, url):
        assert rig.get(made, url, "/deep/route")[::2] == (200, "one")


def test_development_dependencies_are_not_in_the_image(rig):
    package = {"name": "x", "version": "1.0.0", "dependencies": {"is-number": "6.0.0"},
               "devDependencies": {"is-odd": "3.0.1"},
               "scripts": {"build": "node -e 'require(\"is-odd\")'", "start": "node x"}}
    image = rig.build({"package.json": json.dumps(package).encode()})
    assert rig.run(image, "ls", "/app/node_modules").split() == ["is-number"]


BUILT = {**json.loads(EXPRESS["package.json"]), "devDependencies": {"is-odd": "3.0.1"},
         "scripts": {"build": "node -e 1", "start": "node server.js"}}


def with_manager(asked: str) -> dict[str, bytes]:
    return {**EXPRESS, "package.json": json.dumps({**BUILT, "packageManager": asked}).encode()}


@pytest.mark.parametrize("asked", ["pnpm@10.34.8", "yarn@1.22.22", "yarn@4.18.1", "bun@1.4.5"])
def test_each_manager_of_node_installs_and_removes_what_only_the_build_needs(rig, asked):
    image = rig.build(with_manager(asked))
    there = rig.run(image, "ls", "/app/node_modules").split()
    assert "express" in there
    assert "is-odd" not in there
    with rig.running(image) as (made, url):
        assert rig.get(made, url)[2] == "one"


HELLO = {"app.py": FLASK["app.py"]}
# Poetry reads PyPI's JSON by default, which mirrors need not have.
MANAGERS = {
    "poetry": {**HELLO, "pyproject.toml": b"[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\n"
                                          b'python = "^3.11"\nflask = "*"\ngunicorn = "*"\n'
                                          b'[[tool.poetry.source]]\nname = "index"\n'
                                          b'url = "https://pypi.org/simple/"\npriority = "primary"\n'},
    "pipenv": {**HELLO, "Pipfile": b'[[source]]\nurl = "https://pypi.org/simple"\nverify_ssl = true\nname = "pypi"\n'
                                   b'[packages]\nflask = "*"\ngunicorn = "*"\n'},
    "a package": {**HELLO, "pyproject.toml": b'[build-system]\nrequires = ["setuptools"]\nbuild-backend = '
                                             b'"setuptools.build_meta"\n[project]\nname = "x"\nversion = "1"\n'
                                             b'dependencies = ["flask", "gunicorn"]\n'
                                             b'[tool.setuptools]\npy-modules = ["app"]\n'},
    "included": {**FLASK, "requirements.txt": b"-r requirements/base.txt\n-r extra.txt\ngunicorn\n",
                 "requirements/base.txt": b"flask\n", "extra.txt": b""},
}


@pytest.mark.parametrize("name", MANAGERS)
def test_each_manager_of_python_installs(rig, name):
    source = MANAGERS[name]
    line = {} if "requirements.txt" in source else {"Procfile": b"web: gunicorn app:app --bind 0.0.0.0:$PORT\n"}
    with rig.running(rig.build({**source, **line})) as (made, url):
        assert rig.get(made, url)[2] == "one"


DJANGO = {
    "requirements.txt": b"django\ngunicorn\n", "shop/__init__.py": b"", "assets/x.css": b"x",
    "shop/settings.py": b'import os\nSECRET_KEY = os.environ["SECRET_KEY"]\nALLOWED_HOSTS = ["*"]\n'
                        b'INSTALLED_APPS = ["django.contrib.staticfiles"]\nSTATICFILES_DIRS = ["/app/assets"]\n'
                        b'STATIC_URL = "/s/"\nSTATIC_ROOT = "/app/collected"\nROOT_URLCONF = "shop.urls"\n',
    "shop/urls.py": b"from django.http import HttpResponse\nfrom django.urls import path\n"
                    b'urlpatterns = [path("", lambda request: HttpResponse("one"))]\n',
    "shop/wsgi.py": b"from django.core.wsgi import get_wsgi_application\nimport os\n"
                    b'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
                    b"application = get_wsgi_application()\n",
    "manage.py": b"import os, sys\nfrom django.core.management import execute_from_command_line\n"
                 b'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
                 b"execute_from_command_line(sys.argv)\n"}


def test_django_collects_static_files_or_says_that_it_cannot(rig):
    image = rig.build(DJANGO)
    assert rig.run(image, "ls", "/app/collected").split() == ["x.css"]
    with rig.running(image, {"SECRET_KEY": "x"}) as (made, url):
        assert rig.get(made, url)[2] == "one"
    once = secrets.token_hex(8).encode()         # what a step says is there only when it really runs
    needs_more = DJANGO["shop/settings.py"] + b'DATABASE = os.environ["DATABASE_URL"]\n# ' + once
    rig.build({**DJANGO, "shop/settings.py": needs_more})
    assert "\nWARNING: collectstatic failed" in rig.text


# each broken ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "change", "words"), [
    ("pip", {"requirements.txt": b"flask\ngunicorn\nno-such-package-of-paas\n"}, "no-such-package-of-paas"),
    ("uv", {"pyproject.toml": UV["pyproject.toml"].replace(b'"gunicorn"', b'"gunicorn", "flask"')}, "lockfile"),
    ("npm", {"package.json": EXPRESS["package.json"].replace(b'"^5"', b'"^5", "is-odd": "1.0.0"')}, "in sync"),
    ("pages", {"build.js": b"let ="}, "SyntaxError"),
    ("go", {"main.go": b"package main\n\nfunc main() { x }\n"}, "undefined: x"),
    ("go", {"main.go": b'package main\n\nimport _ "example.test/none"\n\nfunc main() {}\n'}, "example.test/none"),
])
def test_a_build_that_fails_says_why(rig, name, change, words):
    with pytest.raises(BuildFailed) as caught:
        rig.build({**SOURCES[name][0], **change})
    assert words in rig.text + caught.value.what + caught.value.hint


@pytest.mark.parametrize(("name", "change", "words"), [
    ("pip", {"requirements.txt": b"gunicorn\n"}, "No module named 'flask'"),
    ("pip", {"app.py": FLASK["app.py"] + b"def (\n"}, "SyntaxError"),
    ("uv", {"main.py": b"import nothing_like_it\n"}, "No module named 'nothing_like_it'"),
    ("npm", {"server.js": b'require("koa")\n'}, "Cannot find module 'koa'"),
    ("npm", {"server.js": b"let =\n"}, "SyntaxError"),
    ("go", {"main.go": b'package main\n\nfunc main() { panic("no settings") }\n'}, "no settings"),
])
def test_an_app_that_cannot_start_says_why(rig, name, change, words):
    image = rig.build({**SOURCES[name][0], **change})
    assert words in rig.fails_to_start(image)


# what the server gives to builds ----------------------------------------------------------------------------------

NO_CA = "ENV PIP_CERT= SSL_CERT_FILE= REQUESTS_CA_BUNDLE= NODE_EXTRA_CA_CERTS=\n"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def bare(text: str) -> str:
    """The base images of the tests bring the machine's certificate authorities, and a cache may hold all that is asked
    for; on a genuine new server neither is so."""
    text = re.sub(r"--mount=type=cache\S+ \\\n *", "", text)
    return re.sub(r"^(FROM .*\n)", rf"\1{NO_CA}", text, flags=re.MULTILINE)


def fresh(name: str) -> dict[str, bytes]:
    """A source whose dependencies are in no cache of layers."""
    files, mark = SOURCES[name][0], secrets.token_hex(8)
    if name == "npm":
        package = files["package.json"].replace(b'"1.0.0"', f'"1.0.0", "mark": "{mark}"'.encode(), 1)
        return {**files, "package.json": package, ".npmrc": b"fetch-retries=0\n"}
    path = "pyproject.toml" if name == "uv" else "requirements.txt"
    return {**files, path: files[path] + f"# {mark}\n".encode()}


@pytest.fixture
def signed_again() -> None:
    """Skips where certificates of public sites are the public ones: there is nothing to prove."""
    context = ssl.create_default_context(cafile=certifi.where())
    try:
        with urllib.request.urlopen("https://pypi.org/simple/pip/", timeout=30, context=context):
            pytest.skip("HTTPS is not re-signed here")
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ssl.SSLCertVerificationError):
            raise


@pytest.mark.usefixtures("signed_again")
@pytest.mark.parametrize("name", ["pip", "uv", "npm"])
def test_a_network_that_signs_again_needs_the_servers_ca_which_stays_in_no_image(rig, name):
    mark = f"mark-{secrets.token_hex(8)}"
    ca = Path(os.environ.get("SSL_CERT_FILE") or BUNDLE).read_text()
    given = {"paas_ca": Secret(f"{ca}\n# {mark}\n"), "paas_env": Secret(f"export TOKEN='{mark}'\nexport FROM_ENV=1\n")}
    files = fresh(name)
    with pytest.raises(BuildFailed) as caught:
        rig.build(files, change=bare)
    assert re.search(r"(?i)certificate|UnknownIssuer|SSL", rig.text + caught.value.hint)
    image = rig.build(files, BuildEnvironment(ca=True, environment=True), given, bare)
    remains = rig.remains(image)
    assert mark.encode() not in remains
    assert b"FROM_ENV" not in remains
    assert "/dev/shm/ca.pem" not in json.dumps(rig.config(image))
    with rig.running(image) as (made, url):
        assert rig.get(made, url)[2] == "one"


def test_the_servers_variables_reach_what_installs(rig):
    given = {"paas_env": Secret("export PIP_INDEX_URL='http://127.0.0.1:9/simple'\nexport PIP_RETRIES=0\n")}
    with pytest.raises(BuildFailed):
        rig.build(fresh("pip"), BuildEnvironment(environment=True), given)
    assert "127.0.0.1" in rig.text


@pytest.mark.parametrize("name", ["pip", "npm"])
def test_a_recipe_that_asks_for_them_builds_without_them(rig, name):
    """As it does when it was ejected, elsewhere."""
    rig.build(fresh(name), BuildEnvironment(ca=True, environment=True))


def test_the_classic_builder_can_build_it(lab, rig):
    rig.images = DockerImages(SOCKET, lab.server, "ct", builder="classic")
    with rig.running(rig.build(SOURCES["npm"][0], BuildEnvironment(buildkit=False, ca=True))) as (made, url):
        assert rig.get(made, url)[2] == "one"
