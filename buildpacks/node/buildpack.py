"""Node: which package manager, which version, what is built, and whether the result is only files."""

import re
from typing import Any

from semantic_version import NpmSpec, Version

from paas.errors import PushRefused
from paas.model import manifests
from paas.model.buildpack import Facts, SourceFiles
from paas.model.names import printable
from paas.model.staticfile import Staticfile, read_staticfile, static_notes

# Tags of https://hub.docker.com/_/node: majors with long-term support; newest last. Reviewed 2026-11.
VERSIONS = ("20", "22", "24", "26")
DEFAULT = "24"
NAMES = {"iron": "20", "jod": "22", "krypton": "24"}     # https://github.com/nodejs/release#release-schedule
TOOLS = {"npm": "", "pnpm": "10.34.8", "yarn": "1.22.22", "berry": "4.18.1", "bun": "1.4.5"}

LOOKED_FOR = "package.json"
WANTED = frozenset({"package.json", ".nvmrc", ".node-version", "Aptfile", "Staticfile"})
IGNORE = ("**/node_modules", "npm-debug.log", ".npm", ".next/cache")
LOCKS = {"package-lock.json": "npm", "npm-shrinkwrap.json": "npm", "pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn",
         "bun.lock": "bun", "bun.lockb": "bun"}
# Where a tool that makes files puts them.
OUTPUT = {"vite": "dist", "astro": "dist", "@vue/cli-service": "dist", "parcel": "dist", "react-scripts": "build",
          "gatsby": "public", "@11ty/eleventy": "_site", "@docusaurus/core": "build", "vitepress": ".vitepress/dist"}
SERVES = re.compile(r"@astrojs/(?:node|cloudflare|vercel)|@sveltejs/kit|@remix-run/.*|@react-router/.*|next|nuxt|vike")
DEVELOPMENT = re.compile(r"(?:react-scripts start|vite(?: dev| serve| preview)?|astro (?:dev|preview|start)|"
                         r"gatsby (?:develop|serve)|vue-cli-service serve|parcel|docusaurus (?:start|serve)|"
                         r"eleventy --serve)(?: --?[\w=.-]+| \d+)*")
PLAIN = re.compile(r"node [A-Za-z0-9_][A-Za-z0-9._/-]{0,150}")
MANAGER = re.compile(r"(npm|pnpm|yarn|bun)@(\d{1,3}\.\d{1,4}\.\d{1,4})(?:\+[A-Za-z0-9.-]{1,200})?")
HARMLESS = re.compile(r"husky(?: install)?|is-ci \|\| husky(?: install)?|husky(?: install)? \|\| (?:true|exit 0)|true|")
INSTALL_SCRIPTS = ("preinstall", "install", "postinstall", "prepare")


def fits(files: SourceFiles) -> str:
    return "package.json" if "package.json" in files.paths else ""


def detect(files: SourceFiles) -> Facts:
    package = manifests.read_json(files, "package.json")
    scripts = manifests.table(package, "package.json", "scripts")
    tool, tool_version, tool_notes = manager(files, package)
    version, where = version_of(files, package)
    static = read_staticfile(files)
    build, start = "build" in scripts, script(scripts, "start")
    root = static_root(files, package, static, build, start)
    served = ({}, [f"nothing serves what is built: the files in {root} are served"])
    processes, guess = served if root else web_process(files, scripts)
    first = None if needs_source(scripts) else copied(files, package)
    if first is None:
        guess.append("the whole source is copied before its dependencies are installed, because installing uses it: "
                     "every change installs them again")
    values = {"version": version, "tool": tool, "tool_version": tool_version, "build": build, "root": root,
              "fallback": static.fallback, "first": first or [], "source_first": first is None,
              "locked": bool(LOCKS.keys() & files.paths), "packages": manifests.debian_packages(files),
              "apart": not build and first is not None and not workspaces(files, package),
              "tool_runs": bool(re.search(r"\b(?:pnpm|yarn|bun)\b", start)) and tool != "npm"}
    notes = (f"Node {version} {where}", *tool_notes, *guess, *static_notes(static))
    return Facts(values, processes, notes, IGNORE)


def script(scripts: dict[str, Any], name: str) -> str:
    return manifests.string(scripts, name, "package.json", 4000).strip()


# package manager ------------------------------------------------------------------------------------------------------


def manager(files: SourceFiles, package: dict[str, Any]) -> tuple[str, str, list[str]]:
    """(tool, its version or "" for what the image has, notes); yarn 2 and newer is "berry"."""
    locks = sorted(LOCKS.keys() & files.paths)
    asked = manifests.string(package, "packageManager", "package.json", 400)
    if asked:
        tool, version = asked_manager(asked)
    elif len({LOCKS[lock] for lock in locks}) > 1:
        raise PushRefused(f"the source has lock files of several package managers: {', '.join(locks)}",
                          "Remove all but one, or name the one to use: \"packageManager\": \"pnpm@10.0.0\".")
    else:
        tool = LOCKS[locks[0]] if locks else "npm"
        tool = "berry" if tool == "yarn" and ".yarnrc.yml" in files.paths else tool
        version = TOOLS[tool]
    notes = [f"{'yarn' if tool == 'berry' else tool}{' ' + version if version else ''}"
             + (f" from {locks[0]}" if locks and not asked else " from packageManager" if asked else " by default")]
    own = [lock for lock in locks if LOCKS[lock] == ("yarn" if tool == "berry" else tool)]
    if not own:
        if locks:
            raise PushRefused(f"packageManager names {tool}, but the lock file is {locks[0]}", "Make them agree.")
        notes.append("there is no lock file: versions can differ from build to build")
    return tool, version, notes


def asked_manager(asked: str) -> tuple[str, str]:
    match = MANAGER.fullmatch(asked)
    if not match:
        raise PushRefused(f"packageManager in package.json is '{printable(asked, 40)}'",
                          'Write npm, pnpm, yarn or bun with a whole version: "pnpm@10.34.8".')
    tool = "berry" if match[1] == "yarn" and not match[2].startswith(("0.", "1.")) else match[1]
    return tool, match[2]


def needs_source(scripts: dict[str, Any]) -> bool:
    return any(not HARMLESS.fullmatch(script(scripts, name)) for name in INSTALL_SCRIPTS)


def workspaces(files: SourceFiles, package: dict[str, Any]) -> bool:
    return "workspaces" in package or "pnpm-workspace.yaml" in files.paths


def copied(files: SourceFiles, package: dict[str, Any]) -> list[str] | None:
    """What decides what is installed: manifests of all workspaces, lock files, settings, patches."""
    kept = {"package.json", ".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml", ".pnpmfile.cjs", "bunfig.toml"}
    found = {path for path in files.paths if path in kept or path in LOCKS
             or path.startswith(("patches/", ".yarn/releases/", ".yarn/plugins/", ".yarn/patches/"))}
    if workspaces(files, package):
        found |= {path for path in files.paths if path.endswith("/package.json") and "node_modules/" not in path}
    local = any(isinstance(one, str) and one.startswith(("file:", "link:", "portal:"))
                for key in ("dependencies", "devDependencies", "optionalDependencies")
                for one in manifests.table(package, "package.json", key).values())
    hidden = {path.removeprefix(".") for path in found}      # a leading dot is fine in these
    return sorted(found) if not local and manifests.copyable(hidden) is not None else None


# version --------------------------------------------------------------------------------------------------------------


def version_of(files: SourceFiles, package: dict[str, Any]) -> tuple[str, str]:
    engines = package.get("engines")
    asked = manifests.string(engines, "node", "package.json").strip() if isinstance(engines, dict) else ""
    if asked:
        return in_range(asked), "which engines.node in package.json allows"
    for path in (".nvmrc", ".node-version"):
        if asked := manifests.first_line(files, path):
            return named(asked, path), f"from {path}"
    return DEFAULT, "by default; engines.node in package.json chooses another"


def in_range(asked: str) -> str:
    """The default major if a range of node-semver allows it, or else the newest that it allows."""
    try:
        spec = NpmSpec(asked)
    except ValueError:
        raise PushRefused(f"engines.node in package.json is '{printable(asked, 40)}', which is no range of versions",
                          'Write it like "24.x" or ">=22".') from None
    mentioned = re.findall(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})", asked)
    for major in (DEFAULT, *reversed(VERSIONS)):
        tried = [(major, "0", "0"), (major, "999", "999"), *(one for one in mentioned if one[0] == major)]
        if any(Version(".".join(one)) in spec for one in tried):
            return major
    raise manifests.refused_version("Node", asked, "engines.node", VERSIONS)


def named(asked: str, path: str) -> str:
    if asked in ("node", "lts/*", "stable"):
        return DEFAULT
    if asked.startswith("lts/") and asked.removeprefix("lts/").lower() in NAMES:
        return NAMES[asked.removeprefix("lts/").lower()]
    return manifests.minor(asked, "Node", path, VERSIONS)


# start ----------------------------------------------------------------------------------------------------------------


def static_root(files: SourceFiles, package: dict[str, Any], static: Staticfile, build: bool, start: str) -> str:
    """The directory of files that the build makes, if nothing serves them; or "" ."""
    if "Procfile" in files.paths:
        return ""
    if static.there:
        return static.root or ("dist" if build else "public")
    names = set()
    for key in ("dependencies", "devDependencies"):
        names |= manifests.table(package, "package.json", key).keys()
    development = not start or DEVELOPMENT.fullmatch(start)
    if not build or not development or "server.js" in files.paths or any(SERVES.fullmatch(name) for name in names):
        return ""
    return next((directory for name, directory in OUTPUT.items() if name in names), "")


def web_process(files: SourceFiles, scripts: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """`node FILE` straight where the start script is just that: npm does not pass every signal on."""
    if "Procfile" in files.paths:
        return {}, []
    start = script(scripts, "start")
    if not start and "server.js" not in files.paths:
        return {}, ['no web process: add a "start" script to package.json, or write a Procfile']
    start = start or "node server.js"
    line = start if PLAIN.fullmatch(start) and not {"prestart", "poststart"} & scripts.keys() else "npm start"
    return {"web": line}, [f"web: {line}"]
