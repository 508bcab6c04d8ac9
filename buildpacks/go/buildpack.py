"""Go: which version, and which of its packages are programs."""

import re

from paas.errors import PushRefused
from paas.model import manifests
from paas.model.buildpack import Facts, SourceFiles

# Tags of https://hub.docker.com/_/golang; newest last. Reviewed 2026-11. A go.mod of an older version is built by the
# oldest of these: https://go.dev/doc/go1compat
VERSIONS = ("1.24", "1.25")
DEFAULT = "1.25"

LOOKED_FOR = "go.mod"
WANTED = frozenset({"go.mod"})
DIRECTIVE = re.compile(r"^(?:go|toolchain)[ \t]+(?:go)?(\S{1,40})", re.MULTILINE)
RELEASE = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.\d{1,4})?(?:(?:rc|beta)\d{1,3})?(?:-[a-z0-9.-]{1,30})?")
LOCAL = re.compile(r"=>[ \t]*(?:\./|\.\./|/)")
COMMAND = re.compile(r"cmd/([a-z0-9][a-z0-9._-]{0,60})/[^/]+\.go")
WEB = ("web", "server", "app", "api")


def fits(files: SourceFiles) -> str:
    return "go.mod" if "go.mod" in files.paths else ""


def detect(files: SourceFiles) -> Facts:
    text = manifests.text(files, "go.mod")
    version, where = version_of(text)
    programs = programs_of(files)
    vendored = "vendor/modules.txt" in files.paths
    apart = not vendored and not LOCAL.search(text) and "go.work" not in files.paths and "require" in text
    processes, guess = web_process(programs)
    first = [path for path in ("go.mod", "go.sum") if path in files.paths]
    values = {"version": version, "programs": sorted(programs.items()), "first": first, "apart": apart}
    notes = [f"Go {version} {where}", *(["modules from vendor/"] if vendored else []), *guess]
    return Facts(values, {} if "Procfile" in files.paths else processes, tuple(notes))


def version_of(text: str) -> tuple[str, str]:
    """The oldest known version that is at least what go.mod needs."""
    needed = [(asked, RELEASE.fullmatch(asked)) for asked in DIRECTIVE.findall(text) if asked != "default"]
    for asked, match in needed:
        if not match:
            raise manifests.refused_version("Go", asked, "go.mod", VERSIONS)
    least = max(((int(match[1]), int(match[2])) for _, match in needed), default=None)
    if least is None:
        return DEFAULT, "by default; go.mod names none"
    for one in VERSIONS:
        if least <= tuple(map(int, one.split("."))):
            return one, "from go.mod" if one == f"{least[0]}.{least[1]}" else f"for {least[0]}.{least[1]} of go.mod"
    raise manifests.refused_version("Go", ".".join(map(str, least)), "go.mod", VERSIONS)


def programs_of(files: SourceFiles) -> dict[str, str]:
    """Name → package directory. The top level is a program if it has Go files and there is no cmd/, or main.go."""
    found = {match[1]: f"./cmd/{match[1]}" for path in sorted(files.paths)
             if (match := COMMAND.fullmatch(path)) and not path.endswith("_test.go")}
    top = [path for path in files.paths if re.fullmatch(r"[^/]+\.go", path) and not path.endswith("_test.go")]
    if "main.go" in top or (top and not found):
        found.setdefault("app", ".")
    if not found:
        raise PushRefused("there is a go.mod, but no main.go and no cmd/NAME/*.go: no program to build",
                          "Put package main at the top or below cmd/, or add a Dockerfile.")
    return dict(list(found.items())[:50])


def web_process(programs: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    chosen = next(iter(programs)) if len(programs) == 1 else next((name for name in WEB if name in programs), "")
    if not chosen:
        names = ", ".join(sorted(programs))
        return {}, [f"programs: {names}; write a Procfile with a line like 'web: {min(programs)}'"]
    others = sorted(programs.keys() - {chosen})
    more = [f"programs without a process: {', '.join(others)}; a Procfile names them"] if others else []
    return {"web": chosen}, [f"web: {chosen}", *more]
