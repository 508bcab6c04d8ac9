"""Sources without a Dockerfile, pushed: real apps in python, node, go and plain files; each is also broken."""

import json
import secrets
from dataclasses import dataclass

import pytest

from tests.e2e.world import run

FLASK = """import os
import flask

app = flask.Flask(__name__)


@app.get("/")
def home():
    return "one"
"""
GUNICORN = "web: gunicorn -b :$PORT app:app\n"
EXPRESS = """const express = require('express')
const app = express()
app.get('/', (request, response) => response.send('one'))
app.listen(process.env.PORT)
"""
GO = """package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "one") })
	http.ListenAndServe(":"+os.Getenv("PORT"), nil)
}
"""
NEW = secrets.token_hex(4)               # what an earlier run of the tests has not built yet
WRONG_PORT = "it listens on port 7777, not on 8080"
PACKAGE = {"name": f"sample-{NEW}", "scripts": {"start": "node server.js"}, "dependencies": {"express": "^4.19.2"}}


@dataclass(frozen=True)
class Sample:
    """One app; *breaks*: what is wrong → (files, words of the push that refuses it)."""

    files: dict
    source: str                          # the file that says "one"
    said: tuple[str, ...]                # words of the first push
    installs: str                        # a word of the first push's build that the second must not have
    breaks: dict[str, tuple[dict, str]]


SAMPLES = {
    "python": Sample(
        {"requirements.txt": f"flask>=3,<4\ngunicorn>=22\n# {NEW}\n", "app.py": FLASK}, "app.py",
        ("Python app: found requirements.txt", "Building with the python buildpack"), "Collecting flask", {
            "missing dependency": ({"requirements.txt": "gunicorn>=22\n", "Procfile": GUNICORN},
                                   "No module named 'flask'"),
            "syntax error": ({"app.py": "def (:\n", "Procfile": GUNICORN}, "SyntaxError"),
            "wrong port": ({"Procfile": "web: gunicorn -b :7777 app:app\n"}, WRONG_PORT),
        }),
    "node": Sample(
        {"package.json": json.dumps(PACKAGE), "server.js": EXPRESS}, "server.js",
        ("Node app: found package.json", "Building with the node buildpack"), "added ", {
            "missing dependency": ({"server.js": "require('left-out')\n"}, "Cannot find module 'left-out'"),
            "syntax error": ({"server.js": "const = 3\n"}, "SyntaxError"),
            "wrong port": ({"server.js": EXPRESS.replace("process.env.PORT", "7777")}, WRONG_PORT),
        }),
    "go": Sample(
        {"go.mod": "module example.com/sample\n\ngo 1.24\n", "main.go": GO}, "main.go",
        ("Go app: found go.mod", "Building with the go buildpack"), "", {
            "missing dependency": ({"main.go": GO.replace('"os"', '"os"\n\t_ "example.com/nothing"')},
                                   "example.com/nothing"),
            "syntax error": ({"main.go": "package main\n\nfunc main( {\n"}, "syntax error"),
            "wrong port": ({"main.go": GO.replace('":"+os.Getenv("PORT")', '":7777"').replace('\t"os"\n', "")},
                           WRONG_PORT),
        }),
    "static": Sample(
        {"index.html": "one", "about/index.html": "about"}, "index.html",
        ("Static app: found index.html", "Building with the static buildpack"), "", {
            "wrong port": ({"Procfile": "web: httpd -f -p 7777\n"}, WRONG_PORT),
            "not startable": ({"Procfile": "web: no-such-program\n"}, "no-such-program"),
        }),
}


@pytest.fixture(scope="module", params=SAMPLES)
def pushed(request, world):
    sample = SAMPLES[request.param]
    repo = world.app_repo(sample.files)
    world.local("apps:create", repo.app, check=True)
    world.local("checks:set", repo.app, "timeout", "6", check=True)
    said = repo.push().output
    return sample, repo, said


def test_a_push_says_what_it_found_and_serves_it(world, pushed):
    sample, repo, said = pushed
    for words in sample.said:
        assert words in said
    assert sample.installs in said
    assert world.get(repo.host).text == "one"
    (container,) = world.containers(repo.app)
    process = int(run(["docker", "exec", container["Id"], "id", "-u"], check=True).stdout)
    assert process != 0


def test_a_small_change_installs_nothing_again(world, pushed):
    sample, repo, _ = pushed
    repo.commit({sample.source: sample.files[sample.source].replace("one", "two")})
    said = repo.push().output
    assert "Building" in said
    assert not sample.installs or sample.installs not in said
    assert world.get(repo.host).text == "two"


def test_what_is_broken_is_refused_with_its_own_words(world, pushed):
    sample, repo, _ = pushed
    good = {name: (repo.path / name).read_text() for name in sample.files}
    for what, (files, words) in sample.breaks.items():
        repo.commit(files, what)
        refused = repo.push(check=False)
        assert refused.returncode != 0, what
        assert words in refused.output, (what, refused.output)
        assert world.get(repo.host).text == "two"
        repo.commit({**{name: None for name in files.keys() - good.keys()}, **good}, "repaired")
    repo.push()
    assert world.get(repo.host).text == "two"


def test_the_recipe_is_shown_and_ejected(world, pushed):
    _, repo, _ = pushed
    shown = world.paas("buildpacks:show", repo.app, check=True).stdout
    assert shown.count("FROM ") >= 2
    patch = world.paas("buildpacks:eject", repo.app, check=True).stdout
    run(["git", "-C", str(repo.path), "apply"], input=patch, check=True)
    assert (repo.path / "Dockerfile").read_text() == shown
    repo.commit(message="ejected")
    said = repo.push().output
    assert "Building from Dockerfile" in said
    assert world.get(repo.host).text == "two"


def test_nothing_found_names_what_was_looked_for(world):
    repo = world.app_repo({"README": "hello", "notes.txt": "x"})
    refused = repo.push(check=False)
    assert refused.returncode != 0
    for words in ("there is no Dockerfile in the source", "requirements.txt", "package.json", "go.mod", "index.html",
                  "its top level holds: README, notes.txt"):
        assert words in refused.output
