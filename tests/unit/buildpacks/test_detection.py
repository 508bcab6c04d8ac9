"""From sources to facts and lines of a Dockerfile: one table a language. Nothing is built here."""

import json
from pathlib import Path

import pytest

from paas.adapters.buildpacks import Buildpacks
from paas.errors import PushRefused
from paas.model.buildpack import BuildEnvironment, SourceFiles

BUILDPACKS = Buildpacks()


def make(files, environment=None, language=""):
    """The recipe of a source: {path: content}, or {path: ""} where only the path counts."""
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    wanted = BUILDPACKS.wanted()
    source = SourceFiles(frozenset(files), {path: data for path, data in contents.items() if path in wanted})
    return BUILDPACKS.make(source, environment or BuildEnvironment(), language)


def package(**keys) -> dict[str, str]:
    return {"package.json": json.dumps({"name": "x", **keys})}


def check(recipe, language, words):
    """Each of *words* is a part of the Dockerfile, of a note or of a process; "!x" says that x is none."""
    said = "\n".join([recipe.dockerfile.decode(), *recipe.notes, *(f"{k}: {v}" for k, v in recipe.processes.items())])
    assert recipe.language == language
    for word in words:
        assert (word[1:] not in said) if word.startswith("!") else (word in said), f"{word}\n{said}"


PIP = {"requirements.txt": "flask\ngunicorn==23\n"}
APP = {"app.py": "app = Flask(__name__)\n"}
PROJECT = '[project]\nname = "x"\nrequires-python = "%s"\ndependencies = ["fastapi", "uvicorn[standard]>=0.3"]\n'

PYTHON = [
    (PIP, ["FROM python:3.13-slim AS build", "Python 3.13 by default", "COPY requirements.txt ./", "USER 1000:1000",
           "pip install --requirement requirements.txt", "no web process is certain", "!CMD", "!paas_ca"]),
    ({**PIP, **APP}, ["web: gunicorn app:app --bind 0.0.0.0:$PORT",
                      'CMD ["/bin/sh", "-c", "exec gunicorn app:app --bind 0.0.0.0:$PORT"]']),
    ({**PIP, **APP, "Procfile": "web: x"}, ["!web:", "!CMD"]),
    ({**PIP, **APP, "main.py": "site = Flask(__name__)"}, ["no web process is certain"]),
    ({"requirements.txt": "flask\n", **APP}, ["add gunicorn or uvicorn"]),
    ({"requirements.txt": "fastapi[standard]", "main.py": "api: FastAPI = FastAPI(x)"},
     ["web: uvicorn main:api --host 0.0.0.0"]),
    ({**PIP, ".python-version": "# mine\n3.11.4\n"}, ["FROM python:3.11-slim", "from .python-version"]),
    ({**PIP, "runtime.txt": "python-3.12.1\r\n"}, ["FROM python:3.12-slim", "from runtime.txt"]),
    ({"requirements.txt": "-r requirements/base.txt", "requirements/base.txt": ""},
     ["COPY requirements.txt ./", "COPY requirements/base.txt ./requirements/"]),
    ({"requirements.txt": "-e .\nx"}, ["every change installs them again", "COPY . ."]),
    ({"requirements.txt": "-r ../elsewhere.txt"}, ["every change installs them again"]),
    ({"requirements.txt": "psycopg2==2.9\n"}, ["apt-get install --yes --no-install-recommends gcc libc6-dev libpq-dev",
                                               "--no-install-recommends libpq5"]),
    ({**PIP, "Aptfile": "# libs\nffmpeg\n"}, ["--no-install-recommends ffmpeg"]),
    ({"requirements.txt": "x @ git+https://example.test/x"}, ["--no-install-recommends git"]),
    ({"pyproject.toml": PROJECT % ">=3.12,<3.13", "uv.lock": "", "main.py": "app = FastAPI()"},
     ["FROM python:3.12-slim", "which pyproject.toml allows",
      "uv sync --no-default-groups --locked --no-install-project",
      "web: uvicorn main:app"]),
    ({"pyproject.toml": PROJECT % ">=3.9" + "[build-system]\n", "uv.lock": ""},
     ["FROM python:3.13-slim", "uv sync --locked --no-default-groups"]),
    ({"pyproject.toml": PROJECT % ">=3.9" + "[tool.uv.workspace]\n", "uv.lock": ""},
     ["--frozen --no-install-workspace"]),
    ({"pyproject.toml": PROJECT % ">=3.9" + '[tool.uv.sources]\na = {path = "a"}\n', "uv.lock": ""},
     ["installs them again"]),
    ({"pyproject.toml": PROJECT % ">=3.14"},
     ["FROM python:3.14-slim", "pip install --requirement /tmp/requirements.txt"]),
    ({"pyproject.toml": '[project]\nname="x"\ndynamic = ["dependencies"]'}, ["pip install .", "installs them again"]),
    ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.11"\ngunicorn = "*"', "poetry.lock": ""},
     ["poetry install --only main --no-root", "!no poetry.lock"]),
    ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "~3.11"'},
     ["python:3.11-slim", "there is no poetry.lock"]),
    ({"Pipfile": '[packages]\nflask = "*"\n[requires]\npython_version = "3.10"', "Pipfile.lock": ""},
     ["FROM python:3.10-slim", "pipenv install --deploy"]),
    ({"Pipfile": "[packages]"}, ["pipenv install --skip-lock", "there is no Pipfile.lock"]),
    ({"setup.py": "x"}, ["pip install ."]),
    ({"requirements.txt": "Django>=5\ngunicorn", "manage.py": "", "shop/wsgi.py": "", "shop/asgi.py": ""},
     ["python manage.py collectstatic --noinput", "web: gunicorn shop.wsgi:application"]),
    ({"requirements.txt": "Django>=5\ngunicorn", "manage.py": "", "a/wsgi.py": "", "b/wsgi.py": ""},
     ["no web process is certain"]),
    ({"requirements.txt": "Django\nuvicorn", "manage.py": "", "shop/asgi.py": ""},
     ["web: uvicorn shop.asgi:application"]),
]

NODE = [
    ({**package(scripts={"start": "node server.js"}), "package-lock.json": ""},
     ["FROM node:24-slim AS build", "npm ci --omit=dev", "web: node server.js", "Node 24 by default",
      "COPY package-lock.json package.json ./", "!no lock file"]),
    (package(scripts={"start": "node server.js", "prestart": "x"}), ["web: npm start", "there is no lock file"]),
    (package(scripts={"start": "node -r x $(id)"}), ["web: npm start", "!$(id)"]),
    ({**package(), "server.js": ""}, ["web: node server.js"]),
    (package(), ["no web process: add"]),
    (package(engines={"node": "^20.11"}), ["FROM node:20-slim", "engines.node"]),
    (package(engines={"node": ">=20"}), ["FROM node:24-slim"]),
    (package(engines={"node": "22.3.0"}), ["FROM node:22-slim"]),
    (package(engines={"node": "20 || 22"}), ["FROM node:22-slim"]),
    ({**package(), ".nvmrc": "lts/jod\n"}, ["FROM node:22-slim", "from .nvmrc"]),
    ({**package(), ".node-version": "v26.1.0"}, ["FROM node:26-slim", "from .node-version"]),
    ({**package(), "pnpm-lock.yaml": ""}, ["npm install --global --force pnpm@",
     "pnpm install --frozen-lockfile --prod"]),
    ({**package(packageManager="pnpm@9.1.2+sha512.ab"), "pnpm-lock.yaml": ""},
     ["pnpm@9.1.2", "from packageManager", "!sha512"]),
    ({**package(), "yarn.lock": ""}, ["yarn@1.22", "yarn install --frozen-lockfile --production"]),
    ({**package(), "yarn.lock": "", ".yarnrc.yml": ""},
     ["@yarnpkg/cli-dist@4", "yarn workspaces focus --all --production"]),
    ({**package(packageManager="yarn@4.1.0"), "yarn.lock": ""}, ["@yarnpkg/cli-dist@4.1.0"]),
    ({**package(), "bun.lock": ""}, ["bun@1", "bun install --frozen-lockfile --production"]),
    ({**package(scripts={"start": "bun run x.ts"}), "bun.lock": ""}, ["web: npm start"]),
    ({**package(scripts={"build": "x", "start": "node x"}), "package-lock.json": ""},
     ["npm ci && ", "NODE_ENV=production npm run build", "npm prune --omit=dev --ignore-scripts"]),
    (package(scripts={"postinstall": "prisma generate"}), ["installing uses it"]),
    (package(scripts={"prepare": "husky install"}), ["!installing uses it"]),
    (package(dependencies={"a": "file:../a"}), ["installing uses it"]),
    ({**package(workspaces=["packages/*"]), "packages/a/package.json": "", "packages/a/x.js": ""},
     ["COPY packages/a/package.json ./packages/a/"]),
    ({**package(scripts={"build": "vite build"}, devDependencies={"vite": "1"})},
     ["FROM caddy:2.11 AS server", "COPY --from=build /app/dist/ ./", "the files in dist are served", "!try_files",
      "!node:24-slim\n"]),
    (package(scripts={"build": "x", "start": "react-scripts start"}, dependencies={"react-scripts": "5"}),
     ["COPY --from=build /app/build/ ./"]),
    (package(scripts={"build": "next build", "start": "next start"}, dependencies={"next": "1", "vite": "1"}),
     ["web: npm start", "!caddy"]),
    ({**package(scripts={"build": "x"}), "Staticfile": "root: out\npushstate: enabled\n"},
     ["COPY --from=build /app/out/ ./", "try_files"]),
]

OTHERS = [
    ("go", {"go.mod": "module x\n\ngo 1.24.2\n", "main.go": ""},
     ["FROM golang:1.24-bookworm AS build", "-o /out/app .", "web: app", "!go mod download",
      "FROM debian:bookworm-slim"]),
    ("go", {"go.mod": "module x\ngo 1.18\nrequire a v1\n", "go.sum": "", "cmd/web/main.go": "", "cmd/job/main.go": ""},
     ["FROM golang:1.24-bookworm", "COPY go.mod go.sum ./", "go mod download", "-o /out/job ./cmd/job",
      "-o /out/web ./cmd/web",
      "web: web", "programs without a process: job"]),
    ("go", {"go.mod": "module x\ngo 1.25\ntoolchain go1.25.1", "cmd/a/x.go": "", "cmd/b/y.go": ""},
     ["FROM golang:1.25-bookworm", "programs: a, b"]),
    ("go", {"go.mod": "module x\nrequire a v1\nreplace a => ./a\n", "main.go": ""}, ["!go mod download"]),
    ("go", {"go.mod": "module x\nrequire a v1\n", "main.go": "", "vendor/modules.txt": ""},
     ["!go mod download", "modules from vendor/"]),
    ("ruby", {"Gemfile": 'ruby "3.3.4"', "Gemfile.lock": "GEM\n    puma (6)\n    pg (1)\n", "config.ru": ""},
     ["FROM ruby:3.3.4-slim AS build", "web: bundle exec puma --bind tcp://0.0.0.0:$PORT", "libpq-dev", "libpq5"]),
    ("ruby", {"Gemfile": 'gem "rails"', "Gemfile.lock": "    railties (8)\n    propshaft (1)\n",
     "config/application.rb": "",
              ".ruby-version": "ruby-3.4\n", "package.json": "{}"},
     ["FROM ruby:3.4-slim", "rails assets:precompile", "SECRET_KEY_BASE_DUMMY=1", "web: bundle exec rails server",
      "package.json is there too"]),
    ("ruby", {"Gemfile": 'ruby "~> 3.2.1"\n', "Gemfile.lock": "GEM"},
     ["FROM ruby:3.2-slim", "no web process is certain"]),
    ("php", {"composer.json": '{"require": {"php": "^8.1", "ext-gd": "*", "ext-redis": "*", "ext-json": "*"}}',
             "composer.lock": "", "public/index.php": ""},
     ["FROM php:8.4-apache-bookworm", "docker-php-ext-configure gd", "docker-php-ext-install -j\"$(nproc)\" gd opcache",
      "pecl install redis-", "DocumentRoot /app/public", 'CMD ["apache2-foreground"]',
       "COPY composer.json composer.lock ./"]),
    ("php", {"composer.json": '{"require": {"php": "~8.2.0 || 8.3.*"}}'}, ["FROM php:8.3-apache", "no composer.lock"]),
    ("php", {"composer.json": '{"require": {"php": ">=8.1 <8.3"}}'}, ["FROM php:8.2-apache"]),
    ("php", {"index.php": ""}, ["FROM php:8.4-apache", "DocumentRoot /app'", "!composer install"]),
    ("java", {"pom.xml": "<java.version>21</java.version>spring-boot", "mvnw": "",
     ".mvn/wrapper/maven-wrapper.properties": ""},
     ["FROM eclipse-temurin:21-jdk AS build", "sh ./mvnw --batch-mode dependency:go-offline", "-Dserver.port=$PORT",
      "FROM eclipse-temurin:21-jre"]),
    ("java", {"pom.xml": "<maven.compiler.release>11</maven.compiler.release>"},
     ["FROM maven:3.9-eclipse-temurin-17", "it must listen on $PORT"]),
    ("java", {"pom.xml": "<modules>"}, ["FROM maven:3.9-eclipse-temurin-21", "!go-offline"]),
    ("java", {"build.gradle": "JavaLanguageVersion.of(25)"},
     ["FROM gradle:8-jdk25", "gradle --no-daemon assemble", "build/libs"]),
    ("java", {"build.gradle.kts": "sourceCompatibility = JavaVersion.VERSION_1_8"}, ["FROM gradle:8-jdk17"]),
    ("static", {"index.html": "", "a.css": ""},
     ["FROM caddy:2.11", "COPY ./ ./", "!try_files", "whole source", "file_server"]),
    ("static", {"public/index.html": "", "x": ""}, ["COPY public/ ./"]),
    ("static", {"Staticfile": "root: site # here\npushstate: enabled\nhost_dot_files: true\n", "site/index.html": ""},
     ["COPY site/ ./", "try_files {path} {path}/index.html /index.html", "'host_dot_files' is not read"]),
]


@pytest.mark.parametrize(("files", "words"), PYTHON)
def test_python(files, words):
    check(make(files), "python", words)


@pytest.mark.parametrize(("files", "words"), NODE)
def test_node(files, words):
    check(make(files), "node", words)


@pytest.mark.parametrize(("language", "files", "words"), OTHERS)
def test_others(language, files, words):
    check(make(files), language, words)


# which ------------------------------------------------------------------------------------------------------------


def test_what_was_looked_for():
    with pytest.raises(PushRefused) as caught:
        make({"README.md": "", "pyproject.toml": "[tool.ruff]\n"})
    for name in BUILDPACKS.names():
        assert f"{name} looks for" in caught.value.what
    assert "requirements.txt" in caught.value.what
    assert "build-dir" in caught.value.hint


def test_a_named_language_must_fit():
    with pytest.raises(PushRefused, match="the go buildpack does not fit: it looks for go.mod"):
        make(PIP, language="go")
    with pytest.raises(PushRefused, match="no buildpack 'cobol'"):
        make(PIP, language="cobol")


def test_another_that_fits_is_named_and_can_be_chosen():
    both = {**PIP, **package()}
    assert "package.json is there too; another choice: paas buildpacks:set APP node" in make(both).notes
    assert make(both, language="node").language == "node"


@pytest.mark.parametrize("files", [{**PIP, **APP}, {**package(),
 "server.js": ""}, {"index.html": ""}, {"index.php": ""},
                                   {"go.mod": "module x", "main.go": ""}, {"pom.xml": ""},
                                   {"Gemfile": "", "Gemfile.lock": "GEM"}])
@pytest.mark.parametrize(("buildkit", "ca", "environment"),
 [(True, False, False), (True, True, True), (False, True, True)])
def test_every_dockerfile_keeps_the_rules(files, buildkit, ca, environment):
    text = make(files, BuildEnvironment(buildkit, ca, environment)).dockerfile.decode()
    final = text.rpartition("\nFROM ")[2]
    assert "\nUSER 1000:1000\n" in final
    assert "\nENV PORT=8080\n" in final
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    assert "{{" not in text
    for line in text.splitlines():
        assert not line.startswith(("ENV", "ARG", "COPY")) or "paas_" not in line
        assert not line.startswith("FROM") or ":" in line or line.split()[1] in ("runtime", "build")
    assert ("--mount=" not in text) or buildkit
    if not buildkit or not ca:
        assert "paas_ca" not in text


@pytest.mark.parametrize(("files", "ignored"), [
    ({**PIP, "venv/x": ""}, "venv"), (package(), "**/node_modules"), ({"composer.json": "{}"}, "vendor"),
    ({"pom.xml": ""}, "target"), ({"index.html": ""}, ".git")])
def test_what_does_not_reach_the_build(files, ignored):
    assert ignored in make(files).dockerignore.decode().splitlines()


def test_committed_packages_of_php_reach_the_build_where_nothing_installs_them():
    assert "vendor" not in make({"index.php": "", "vendor/autoload.php": ""}).dockerignore.decode().splitlines()


def test_the_languages_are_the_directories():
    found = {path.parent.name for path in (Path(__file__).parents[3] / "buildpacks").glob("*/buildpack.py")}
    assert set(BUILDPACKS.names()) == found
