"""Python: which package manager, which version, Django or not, and how it may be started. Reads, never runs."""

import re
from collections.abc import Iterable
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from paas.errors import PushRefused
from paas.model import manifests
from paas.model.buildpack import Facts, SourceFiles
from paas.model.names import printable

# Tags of https://hub.docker.com/_/python; newest last. Reviewed 2026-11.
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
DEFAULT = "3.13"
TOOLS = {"uv": "0.13.8", "poetry": "2.5.1", "pipenv": "2026.10.3"}

LOOKED_FOR = "requirements.txt, pyproject.toml, Pipfile, setup.py"
PROJECT = ("pyproject.toml", "uv.lock", "poetry.lock")
ENTRIES = ("app", "main", "wsgi", "asgi", "application")     # modules that an app object is looked for in
WANTED = frozenset({"requirements.txt", "pyproject.toml", "Pipfile", ".python-version", "runtime.txt", "Aptfile",
                    *(f"{name}.py" for name in ENTRIES)})
IGNORE = (".venv", "venv", "**/__pycache__", "**/*.pyc", ".pytest_cache")

NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)(\[[^\]]{0,100}\])?")
RUNTIME = re.compile(r"python-(\d+\.\d+(?:\.\d+)?)")
INCLUDE = re.compile(r"^[ \t]*(?:-r|-c|--requirement|--constraint)[ =]?[ \t]*(\S+)", re.MULTILINE)
LOCAL = re.compile(r"^[ \t]*(?:-e|--editable|\.{1,2}/|\.[ \t]*$|\.\[|file:|[\w.-]{1,100}[ \t]*@[ \t]*file:)",
                   re.MULTILINE)
DJANGO_PART = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,60})/([aw]sgi)\.py")
VARIABLE = r"^([A-Za-z_]\w{0,60})[ \t]*(?::[^=\n]{1,60})?=[ \t]*"
WSGI = re.compile(VARIABLE + r"(?:flask\.)?(?:Flask|Bottle|falcon\.App)\(", re.MULTILINE | re.ASCII)
ASGI = re.compile(VARIABLE + r"(?:fastapi\.)?(?:FastAPI|Starlette|Litestar|Quart)\(", re.MULTILINE | re.ASCII)
# What packages without a wheel, or with a system library, need: of Debian, to build and to run.
SYSTEM = {"psycopg2": (("gcc", "libc6-dev", "libpq-dev"), ("libpq5",)), "psycopg": ((), ("libpq5",)),
          "mysqlclient": (("gcc", "libc6-dev", "pkg-config", "default-libmysqlclient-dev"), ("libmariadb3",)),
          "uwsgi": (("gcc", "libc6-dev"), ())}


def fits(files: SourceFiles) -> str:
    for path in ("uv.lock", "poetry.lock", "Pipfile.lock", "Pipfile", "requirements.txt", "setup.py"):
        if path in files.paths and (path not in PROJECT or "pyproject.toml" in files.paths):
            return path
    text = files.contents.get("pyproject.toml", b"")     # many repositories keep only a linter's settings in it
    return "pyproject.toml" if re.search(rb"^[ \t]*\[(?:project|tool\.poetry)[\].]", text, re.MULTILINE) else ""


def detect(files: SourceFiles) -> Facts:
    project = manifests.read_toml(files, "pyproject.toml")
    pipfile = manifests.read_toml(files, "Pipfile")
    requirements = manifests.text(files, "requirements.txt")
    tool = tool_of(files, project)
    version, where = version_of(files, project, pipfile)
    names = required(tool, project, pipfile, requirements)
    found = Install(files, tool, project, requirements, version)
    processes, guess = web_process(files, names)
    system = [SYSTEM[name] for name in sorted(names) if name in SYSTEM]
    extra = manifests.debian_packages(files)
    git = ["git"] if "git+" in requirements or b"git+" in files.contents.get("pyproject.toml", b"") else []
    values = {"version": version, "tool": tool, "tool_version": TOOLS.get(tool, ""), **found.values(),
              "build_packages": sorted({one for build, _ in system for one in build} | set(extra) | set(git)),
              "run_packages": sorted({one for _, run in system for one in run} | set(extra)),
              "django": "manage.py" in files.paths and "django" in names}
    notes = [f"Python {version} {where}", *found.notes, *guess]
    return Facts(values, processes, tuple(notes), IGNORE)


# package manager ------------------------------------------------------------------------------------------------------


def tool_of(files: SourceFiles, project: dict[str, Any]) -> str:
    if project and "uv.lock" in files.paths:
        return "uv"
    if project and "poetry.lock" in files.paths:
        return "poetry"
    if {"Pipfile", "Pipfile.lock"} & files.paths:
        if "Pipfile" not in files.paths:
            raise PushRefused("there is a Pipfile.lock but no Pipfile", "Commit the Pipfile too.")
        return "pipenv"
    if "requirements.txt" in files.paths:
        return "pip"
    table = manifests.table(project, "pyproject.toml", "tool", "poetry")
    return "poetry" if table and "project" not in project else "pip"


class Install:
    """What is copied before the source, so that a change of the source alone installs nothing again."""

    def __init__(self, files: SourceFiles, tool: str, project: dict[str, Any], requirements: str, version: str) -> None:
        self._files, self._tool, self._project, self._version = files, tool, project, version
        self.notes: list[str] = []
        self._first = getattr(self, f"_{tool}")(requirements)
        if self._first is None:
            self.notes.append("the whole source is copied before its dependencies are installed, because they name "
                              "files of it: every change installs them again")

    def values(self) -> dict[str, Any]:
        own = "build-system" in self._project
        table = manifests.table(self._project, "pyproject.toml", "project")
        tools = manifests.table(self._project, "pyproject.toml", "tool")
        rooted = any(path.startswith("src/") for path in self._files.paths) or "scripts" in table
        return {"first": self._first or [], "source_first": self._first is None,
                "requirements": self._tool == "pip" and "requirements.txt" in self._files.paths,
                "pyproject": "pyproject.toml" in self._files.paths, "own": own, "rooted": rooted and own,
                "locked": {"uv.lock", "poetry.lock", "Pipfile.lock"} & self._files.paths and True or False,
                "workspace": "workspace" in (tools.get("uv") or {}), "frozen": "dynamic" in table}

    def _uv(self, _requirements: str) -> list[str] | None:
        sources = manifests.table(self._project, "pyproject.toml", "tool", "uv", "sources")
        paths = any(isinstance(one, dict) and "path" in one for one in sources.values())
        return None if paths else ["pyproject.toml", "uv.lock"]

    def _poetry(self, _requirements: str) -> list[str] | None:
        table = manifests.table(self._project, "pyproject.toml", "tool", "poetry", "dependencies")
        if "poetry.lock" not in self._files.paths:
            self.notes.append("there is no poetry.lock: versions can differ from build to build")
        if any(isinstance(one, dict) and "path" in one for one in table.values()):
            return None
        return [path for path in ("pyproject.toml", "poetry.lock") if path in self._files.paths]

    def _pipenv(self, _requirements: str) -> list[str] | None:
        if "Pipfile.lock" not in self._files.paths:
            self.notes.append("there is no Pipfile.lock: versions can differ from build to build")
        path = any("path" in one for one in manifests.table(manifests.read_toml(self._files, "Pipfile"), "Pipfile",
                                                            "packages").values() if isinstance(one, dict))
        return None if path else [one for one in ("Pipfile", "Pipfile.lock") if one in self._files.paths]

    def _pip(self, requirements: str) -> list[str] | None:
        if "requirements.txt" not in self._files.paths:
            table = manifests.table(self._project, "pyproject.toml", "project")
            plain = table and "dependencies" not in (table.get("dynamic") or []) and self._version != "3.10"
            return ["pyproject.toml"] if plain else None
        if LOCAL.search(requirements):
            return None
        included = {path.removeprefix("./") for path in INCLUDE.findall(requirements)}
        if not included:
            return ["requirements.txt"]
        near = {path for path in self._files.paths if re.fullmatch(r"(?:[^/]*|requirements/.*)\.(?:txt|in)", path)}
        return manifests.copyable(near) if included <= near else None


# names ----------------------------------------------------------------------------------------------------------------


def required(tool: str, project: dict[str, Any], pipfile: dict[str, Any], requirements: str) -> frozenset[str]:
    """Names of what is asked for directly, normalised (PEP 503); an extra as "name[extra]"."""
    if tool == "pipenv":
        return normalised(manifests.table(pipfile, "Pipfile", "packages"))
    if tool == "pip" and requirements:
        return normalised(requirements.splitlines())
    table = manifests.table(project, "pyproject.toml", "project")
    poetry = manifests.table(project, "pyproject.toml", "tool", "poetry", "dependencies")
    return normalised(manifests.strings(table, "dependencies", "pyproject.toml")) | normalised(poetry)


def normalised(lines: Iterable[str]) -> frozenset[str]:
    found = set()
    for line in lines:
        if match := NAME.match(line):
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            found |= {name, name + (match[2] or "").replace(" ", "").lower()}
    return frozenset(found)


# version --------------------------------------------------------------------------------------------------------------


def version_of(files: SourceFiles, project: dict[str, Any], pipfile: dict[str, Any]) -> tuple[str, str]:
    """(minor version, where it is from). PushRefused for one that is not understood or that is not there."""
    if asked := manifests.first_line(files, ".python-version"):
        return manifests.minor(asked, "Python", ".python-version", VERSIONS), "from .python-version"
    if asked := manifests.first_line(files, "runtime.txt"):
        match = RUNTIME.fullmatch(asked)
        if not match:
            raise PushRefused(f"runtime.txt holds '{printable(asked, 40)}'", "Write a line like: python-3.13")
        return manifests.minor(match[1], "Python", "runtime.txt", VERSIONS), "from runtime.txt"
    requires = manifests.table(pipfile, "Pipfile", "requires")
    for key in ("python_full_version", "python_version"):
        if asked := manifests.string(requires, key, "Pipfile"):
            return manifests.minor(asked, "Python", "Pipfile", VERSIONS), "from the Pipfile"
    return ranged(project)


def ranged(project: dict[str, Any]) -> tuple[str, str]:
    table = manifests.table(project, "pyproject.toml", "project")
    poetry = manifests.table(project, "pyproject.toml", "tool", "poetry", "dependencies")
    asked = manifests.string(table, "requires-python", "pyproject.toml")
    asked = asked or manifests.string(poetry, "python", "pyproject.toml")
    if not asked:
        return DEFAULT, "by default; a file .python-version chooses another"
    for version in (DEFAULT, *reversed(VERSIONS)):
        if allows(asked, version):
            return version, "which pyproject.toml allows"
    raise manifests.refused_version("Python", asked, "pyproject.toml", VERSIONS)


def allows(asked: str, version: str) -> bool:
    try:
        specifiers = SpecifierSet(",".join(map(standard, asked.split(","))))
    except InvalidSpecifier:
        raise PushRefused(f"pyproject.toml asks for Python '{printable(asked, 40)}', which is no version specifier",
                          "Write it like '>=3.12' (PEP 440), or add a file .python-version.") from None
    return any(f"{version}.{patch}" in specifiers for patch in range(40))


def standard(part: str) -> str:
    """Poetry's ^ and ~ as PEP 440 has them."""
    part = part.strip()
    match = re.fullmatch(r"([\^~])\s*(\d{1,3})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?", part)
    if match and match[1] == "^":
        return f">={part[1:].strip()},<{int(match[2]) + 1}"
    if match:
        return f">={part[1:].strip()},<{match[2]}.{int(match[3]) + 1}" if match[3] else f"=={match[2]}.*"
    return f"=={part}" if re.fullmatch(r"\d[\d.]*(?:\.\*)?", part) else part


# start ----------------------------------------------------------------------------------------------------------------


def web_process(files: SourceFiles, names: frozenset[str]) -> tuple[dict[str, str], list[str]]:
    """A web process where exactly one is possible, and a note otherwise."""
    if "Procfile" in files.paths:
        return {}, []
    servers = {"gunicorn"} & names | ({"uvicorn"} if names & {"uvicorn", "uvicorn[standard]", "fastapi[standard]",
                                                             "fastapi[all]"} else set())
    found = django(files) if "django" in names else objects(files)
    lines = sorted({line for kind, target in found if (line := served(kind, target, servers))})
    if len({target for _, target in found}) == 1 and lines:
        return {"web": lines[0]}, [f"web: {lines[0]}"]
    if found and not servers:
        return {}, ["no web process: add gunicorn or uvicorn to the dependencies, or write a Procfile"]
    return {}, ["no web process is certain: write a Procfile with a line like 'web: gunicorn module:app'"]


def served(kind: str, target: str, servers: set[str]) -> str:
    if kind == "wsgi" and "gunicorn" in servers:
        return f"gunicorn {target} --bind 0.0.0.0:$PORT"
    if kind == "asgi" and "uvicorn" in servers:
        return f"uvicorn {target} --host 0.0.0.0 --port $PORT"
    return ""


def django(files: SourceFiles) -> list[tuple[str, str]]:
    """Django's own layout has both; wsgi is what most projects mean."""
    parts = [match for path in files.paths if (match := DJANGO_PART.fullmatch(path))]
    chosen = [match for match in parts if match[2] == "wsgi"] or parts
    return [(match[2], f"{match[1]}.{match[2]}:application") for match in chosen]


def objects(files: SourceFiles) -> list[tuple[str, str]]:
    """("wsgi" or "asgi", "module:variable") of every app object at the top level of the usual modules."""
    found = []
    for module in ENTRIES:
        text = files.contents.get(f"{module}.py", b"")[:manifests.MAX_BYTES].decode("utf-8", "replace")
        found += [("wsgi", f"{module}:{name}") for name in WSGI.findall(text)]
        found += [("asgi", f"{module}:{name}") for name in ASGI.findall(text)]
    return found
