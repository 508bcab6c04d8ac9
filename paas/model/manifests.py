"""Reading the manifests of a source that somebody else wrote: bounded, never run, and refused in plain words."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from paas.errors import PushRefused
from paas.model.buildpack import SourceFiles
from paas.model.names import printable

MAX_BYTES = 256 * 1024
MAX_LINE = 200                           # a version, a range, a name
MAX_COPIED = 60                          # manifests that are copied before the source
PATH = re.compile(r"(?!/)(?!.*\.\.)[A-Za-z0-9@_][A-Za-z0-9@._/+-]{0,199}")
VERSION = re.compile(r"v?(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,6}))?")
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,63}")   # Debian Policy 5.6.1
# tomllib needs time quadratic in the parts of a dotted key.
STRING = re.compile(r'"(?:[^"\\\n]|\\.)*+"?|\'[^\'\n]*+\'?')
DEEP_KEY = re.compile(r"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){32}")


def text(files: SourceFiles, path: str) -> str:
    """The file as text; "" where it is not there. PushRefused: larger than 256 KB, or not UTF-8."""
    content = files.contents.get(path, b"")
    if len(content) > MAX_BYTES:
        raise PushRefused(f"{path} is larger than 256 KB", "Make it smaller, or add a Dockerfile.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PushRefused(f"{path} is not UTF-8 text", "Save it as UTF-8, or add a Dockerfile.") from None


def first_line(files: SourceFiles, path: str) -> str:
    """The first line that is neither blank nor a comment (#). PushRefused where it is very long."""
    lines = (line.strip() for line in text(files, path).splitlines())
    return short(next((line for line in lines if line and not line.startswith("#")), ""), path)


def read_json(files: SourceFiles, path: str) -> dict[str, Any]:
    """The object in a JSON file (RFC 8259); {} where there is no file."""
    return read(files, path, "JSON", json.loads)


def read_toml(files: SourceFiles, path: str) -> dict[str, Any]:
    """The tables of a TOML 1.0 file; {} where there is none."""
    return read(files, path, "TOML", load_toml)


def load_toml(content: str) -> dict[str, Any]:
    if any(len(line) > 64 and DEEP_KEY.search(STRING.sub("q", line)) for line in content.splitlines()):
        raise ValueError("a key has more than 32 parts")
    return tomllib.loads(content)


def read(files: SourceFiles, path: str, kind: str, parse: Any) -> dict[str, Any]:
    if path not in files.contents:
        return {}
    try:
        found = parse(text(files, path))
    except RecursionError:
        raise PushRefused(f"{path} is nested too deeply", "Correct it and push again.") from None
    except ValueError as error:
        raise PushRefused(f"{path} is not {kind}: {printable(str(error), 120)}", "Correct it and push again.") from None
    if not isinstance(found, dict):
        raise PushRefused(f"{path} holds no {kind} object", "Correct it and push again.")
    return found


def table(found: Mapping[str, Any], path: str, *keys: str) -> dict[str, Any]:
    """The table at *keys*; {} where it is not there. PushRefused where it is something else."""
    for key in keys:
        found = found.get(key, {})
        if not isinstance(found, dict):
            raise PushRefused(f"{'.'.join(keys)} in {path} is not a table of names and values", "Correct it.")
    return dict(found)


def string(found: Mapping[str, Any], key: str, path: str, limit: int = MAX_LINE) -> str:
    """The text at *key*, "" where it is not there. PushRefused: it is no text, or is longer than *limit*."""
    value = found.get(key, "")
    if not isinstance(value, str):
        raise PushRefused(f"'{key}' in {path} is not text", "Correct it and push again.")
    return short(value, f"'{key}' in {path}", limit)


def strings(found: Mapping[str, Any], key: str, path: str) -> list[str]:
    value = found.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise PushRefused(f"'{key}' in {path} is not a list of texts", "Correct it and push again.")
    return value


def short(value: str, where: str, limit: int = MAX_LINE) -> str:
    if len(value) > limit:
        raise PushRefused(f"{where} is longer than {limit} characters", "Correct it and push again.")
    return value


def refused_version(language: str, asked: str, where: str, known: Iterable[str]) -> PushRefused:
    return PushRefused(f"{where} asks for {language} {printable(asked, 40)}, which the buildpack does not have",
                       f"It has {language} {', '.join(known)}. For another version add a Dockerfile.")


def minor(asked: str, language: str, where: str, known: Iterable[str]) -> str:
    """The one of *known* ("3.13", "24") that a plain version ("3.13.1", "v24.2", "24") names. PushRefused."""
    match = VERSION.fullmatch(asked)
    for one in known if match else ():
        if list(one.split(".")) == [part for part in match.groups() if part is not None][: one.count(".") + 1]:
            return one
    raise refused_version(language, asked, where, known)


def copyable(paths: Iterable[str]) -> list[str] | None:
    """Paths in order, for a COPY line; None where one could mean something else there, or they are many."""
    found = sorted(paths)
    return found if len(found) <= MAX_COPIED and all(PATH.fullmatch(path) for path in found) else None


def debian_packages(files: SourceFiles) -> list[str]:
    """The `Aptfile`: one Debian package a line, as heroku-buildpack-apt reads it (no URLs, no `:repo:`)."""
    lines = (line.strip() for line in text(files, "Aptfile").splitlines())
    found = [line for line in lines if line and not line.startswith("#")]
    for line in found:
        if not PACKAGE.fullmatch(line):
            raise PushRefused(f"Aptfile: '{printable(line, 40)}' is not the name of a Debian package",
                              "Write one package name a line; for other sources of packages add a Dockerfile.")
    return sorted(set(found))[:200]
