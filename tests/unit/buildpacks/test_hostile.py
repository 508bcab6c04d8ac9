"""What a stranger may push as a manifest: refused in plain words within a moment, or of no effect on the Dockerfile."""

import contextlib
import json

import pytest

from paas.errors import PushRefused
from paas.model import manifests
from tests.unit.buildpacks.test_detection import BUILDPACKS, make, package

EVIL = ["1; id", "$(id)", "`id`", "${PATH}", "1\nRUN id", "1\r\nRUN id", "1 \\\nRUN id", '"; id; "', "'; id; '", "x y",
        "\x00", "{{ 7*7 }}", "{% raw %}", "../../etc", "--help", "€", "1" * 500, "9" * 5000, "\u202e1"]

# where a text of the source could reach the Dockerfile: name → the source with that text
PLACES = {
    "engines": lambda text: package(engines={"node": text}),
    "packageManager": lambda text: package(packageManager=text),
    "packageManager version": lambda text: package(packageManager=f"pnpm@{text}"),
    "start": lambda text: package(scripts={"start": f"node {text}"}),
    "nvmrc": lambda text: {**package(), ".nvmrc": text},
    "workspace": lambda text: {**package(workspaces=["*"]), f"{text}/package.json": "{}"},
    "python-version": lambda text: {"requirements.txt": "x", ".python-version": text},
    "runtime.txt": lambda text: {"requirements.txt": "x", "runtime.txt": f"python-{text}"},
    "requires-python": lambda text: {"pyproject.toml": f"[project]\nrequires-python = {json.dumps(text)}\n"},
    "poetry python": lambda text: {"pyproject.toml": f"[tool.poetry.dependencies]\npython = {json.dumps(text)}\n"},
    "Pipfile": lambda text: {"Pipfile": f"[requires]\npython_version = {json.dumps(text)}\n"},
    "requirements": lambda text: {"requirements.txt": f"-r requirements/{text}.txt", f"requirements/{text}.txt": ""},
    "app object": lambda text: {"requirements.txt": "gunicorn", "app.py": f"{text} = Flask(__name__)"},
    "django": lambda text: {"requirements.txt": "gunicorn\ndjango", "manage.py": "", f"{text}/wsgi.py": ""},
    "Aptfile": lambda text: {"requirements.txt": "x", "Aptfile": text},
    "Staticfile": lambda text: {"Staticfile": f"root: {text}", f"{text}/index.html": ""},
    "go": lambda text: {"go.mod": f"module x\ngo {text}\n", "main.go": ""},
    "go command": lambda text: {"go.mod": "module x", f"cmd/{text}/main.go": "", "main.go": ""},
    "ruby": lambda text: {"Gemfile": f"ruby '{text}'", "Gemfile.lock": "GEM"},
    "ruby-version": lambda text: {"Gemfile": "", "Gemfile.lock": "GEM", ".ruby-version": text},
    "php": lambda text: {"composer.json": json.dumps({"require": {"php": text}})},
    "php extension": lambda text: {"composer.json": json.dumps({"require": {f"ext-{text}": "*"}})},
    "java": lambda text: {"pom.xml": f"<java.version>{text}</java.version>"},
    "system.properties": lambda text: {"pom.xml": "", "system.properties": f"java.runtime.version={text}"},
    "gradle": lambda text: {"build.gradle": f"sourceCompatibility = '{text}'"},
    "maven wrapper": lambda text: {"pom.xml": "", f".mvn/{text}": ""},
}


def instructions(recipe) -> list[str]:
    return recipe.dockerfile.decode().splitlines()


@pytest.mark.parametrize("text", EVIL, ids=range(len(EVIL)))
@pytest.mark.parametrize("place", PLACES)
def test_no_text_of_the_source_becomes_an_instruction(place, text):
    """The Dockerfile is one that a harmless source gets too, or the push is refused."""
    try:
        recipe = make(PLACES[place](text))
    except PushRefused as error:
        said = error.what + error.hint
        assert "\n" not in said
        assert said.isprintable()
        assert len(said) < 1000
        return
    said = "\n".join([*instructions(recipe), *recipe.processes.values()])
    assert text not in said or text == "--help"          # in the midst of a path
    assert not any(words in said for words in (" --help", "RUN id", "$(id)", "`id`", "49"))


DEEP = 10**5
BAD = {
    "not json": {"package.json": "{"},
    "a list": {"package.json": "[]"},
    "deep json": {"package.json": "[" * DEEP},
    "deep json object": {"package.json": '{"a":' * 40000},
    "big json": {"package.json": '{"a": "' + "x" * 2**20 + '"}'},
    "not utf-8": {"package.json": b"\xff\xfe\x00"},
    "long number": {"package.json": '{"a": ' + "9" * 10**5 + "}"},
    "scripts": package(scripts=[]),
    "start": package(scripts={"start": 1}),
    "engines": package(engines={"node": {}}),
    "dependencies": package(dependencies="x"),
    "manager": package(packageManager=["npm"]),
    "lock files": {**package(), "yarn.lock": "", "package-lock.json": ""},
    "another lock file": {**package(packageManager="pnpm@10.0.0"), "yarn.lock": ""},
    "unknown node": package(engines={"node": "14.x"}),
    "no such node": package(engines={"node": ">=99"}),
    "not toml": {"pyproject.toml": "[project]\nx", "requirements.txt": ""},
    "deep toml": {"pyproject.toml": "[project]\nx = " + "[" * DEEP},
    "dotted toml": {"pyproject.toml": "[project]\n" + "a." * DEEP + "b = 1"},
    "dotted table": {"pyproject.toml": "[project]\n[" + "'a' . " * 30000 + "b]"},
    "dotted quoted": {"pyproject.toml": "[project]\n" + '"a\\"b".' * 20000 + "b = 1"},
    "project": {"pyproject.toml": "[project]\n[project.x]\n", "requirements.txt": "", "Pipfile": "packages = 1"},
    "a project that is none": {"pyproject.toml": "project = 1\n[tool.poetry]\n"},
    "dependencies of a project": {"pyproject.toml": "[project]\ndependencies = 1\n"},
    "python": {"requirements.txt": "", ".python-version": "2.7"},
    "pypy": {"requirements.txt": "", ".python-version": "pypy3.10"},
    "runtime": {"requirements.txt": "", "runtime.txt": "3.12"},
    "specifier": {"pyproject.toml": "[project]\nrequires-python = '>=banana'\n"},
    "a lock alone": {"Pipfile.lock": ""},
    "no program": {"go.mod": "module x\n", "lib/x.go": ""},
    "go of tomorrow": {"go.mod": "module x\ngo 1.99\n", "main.go": ""},
    "go": {"go.mod": "module x\ngo latest\n", "main.go": ""},
    "no Gemfile.lock": {"Gemfile": ""},
    "ruby": {"Gemfile": "ruby '1.8.7'", "Gemfile.lock": "GEM"},
    "composer": {"composer.json": '{"require": []}'},
    "php": {"composer.json": '{"require": {"php": "^5.6"}}'},
    "extension": {"composer.json": '{"require": {"ext-oci8": "*"}}'},
    "java": {"pom.xml": "<java.version>99</java.version>"},
    "root": {"Staticfile": "root: gone", "index.html": ""},
    "Staticfile": {"Staticfile": "no colon"},
    "pushstate": {"Staticfile": "pushstate: maybe", "index.html": ""},
}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("name", BAD)
def test_a_manifest_that_cannot_be_read_is_refused(name):
    with pytest.raises(PushRefused) as caught:
        make(BAD[name])
    said = caught.value.what + caught.value.hint
    assert said.isprintable()
    assert len(said) < 1000
    assert caught.value.hint


SLOW = ["a" * 2**18, "." * 2**18, "- " * 2**17, "=" * 2**18, "a=" * 2**17, "[" * 2**18, "\n" * 2**18, " " * 2**18,
        "ruby " * 50000, "a, " * 80000, "gem 'a'\n" * 30000, "x: " * 80000, "(" * 2**18, "a\n.b = 1\n" * 20000,
        "go 1.24\n" * 30000, "-r a\n" * 50000, "sourceCompatibility" * 13000, "<java.version>" * 18000,
        "    a (1)\n" * 25000, "'" * 2**18, '"\\' * 2**17, "\t\n" * 2**17, "a = [" * 50000, "\r" * 2**18, "a:" * 2**17,
        "RUBY VERSION\n" * 20000, "=>" * 2**17, "a@" * 2**17, "[a.b]\n" * 40000, "a = {" * 50000]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", SLOW, ids=range(len(SLOW)))
def test_no_text_takes_long(text):
    """Every file that is looked into, filled with it, at the largest size that is read at all."""
    for language in BUILDPACKS.names():
        for path in sorted(BUILDPACKS.wanted()):
            files = {"requirements.txt": "", "package.json": "{}", "go.mod": "", "main.go": "", "Gemfile": "",
                     "Gemfile.lock": "GEM", "index.php": "", "pom.xml": "", "index.html": "",
                     path: text[:manifests.MAX_BYTES]}
            with contextlib.suppress(PushRefused):
                make(files, language=language)


def test_contents_are_asked_for_at_the_top_level_only():
    assert not [path for path in BUILDPACKS.wanted() if "/" in path]
