"""The services of a compose file: what each is, and which of them are one app."""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass

from paas.errors import BadInput
from paas.model import compose_known as known
from paas.model.compose_ledger import MISSING, Ledger, Path, Value, variables
from paas.model.compose_parts import hosts_in

MAX_SERVICES = 100
WEB_LABELS = ("traefik.http.", "caddy")
WEB_VARIABLES = ("VIRTUAL_HOST", "VIRTUAL_PORT")


@dataclass(frozen=True)
class Service:
    name: str
    node: dict[str, Value]
    kind: str                            # "app", "datastore", or "left"
    what: str = ""                       # kind of datastore; why it is left

    @property
    def path(self) -> Path:
        return ("services", self.name)

    @property
    def image(self) -> str:
        image = self.node.get("image")
        return image if isinstance(image, str) and not MISSING.search(image) else ""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names under which other containers of the project reach it."""
        networks = self.node.get("networks") if isinstance(self.node, dict) else None
        entries = networks.values() if isinstance(networks, dict) else []
        aliases = [alias for one in entries if isinstance(one, dict) for alias in as_list(one.get("aliases"))]
        given = [self.node.get(key) for key in ("container_name", "hostname")] if isinstance(self.node, dict) else []
        return tuple(dict.fromkeys(one for one in (self.name, *given, *aliases) if isinstance(one, str)))


@dataclass(frozen=True)
class Group:
    """Services that run the same image: one app. The web process comes first."""

    services: tuple[Service, ...]
    web: Service | None


def services_of(ledger: Ledger) -> list[Service]:
    """BadInput: more than anybody would read a plan of."""
    if len(ledger.tree["services"]) > MAX_SERVICES:
        raise BadInput(f"the compose file has more than {MAX_SERVICES} services", "Import it in parts.")
    found = [classified(name, node) for name, node in ledger.tree["services"].items()]
    if any(one.kind == "app" for one in found):
        return found
    return [Service(one.name, one.node, "app") if one.what.startswith("a proxy") and (one.image or "build" in one.node)
            else one for one in found]


def classified(name: str, node: Value) -> Service:
    """The first that fits. A lone proxy (a static site, say) is an app after all: see services_of."""
    if not isinstance(node, dict):
        return Service(name, {}, "left", "it holds nothing that paas could run")
    image, built = node.get("image"), "build" in node
    image = image if isinstance(image, str) else ""
    if node.get("profiles"):
        return Service(name, node, "left", "only started with a profile, which paas does not have")
    if not built and (extended := known.listed(image, known.EXTENDED)):
        return Service(name, node, "left", f"it brings {known.EXTENDED[extended]}, which the official image that paas "
                       "runs does not have; run it elsewhere, and set its URL")
    if not built and (store := known.listed(image, known.DATASTORES)):
        return Service(name, node, "datastore", known.DATASTORES[store])
    if known.PROXY_NAME.fullmatch(name.lower()) or (not built and known.listed(image, known.PROXIES)):
        return Service(name, node, "left", "a proxy: paas itself routes to the apps and gets their certificates; files "
                       "that it served must come from an app")
    if not built and known.listed(image, known.TOOLS):
        return Service(name, node, "left", "a tool for development or administration, not for the internet; to have "
                       "it all the same: paas apps:create and paas git:from-image")
    if not built and not image:
        return Service(name, node, "left", "it has neither 'build' nor 'image'; where they come from other files, "
                       "give what `docker compose config --no-path-resolution` prints")
    if not built and MISSING.search(image):
        return Service(name, node, "left", f"its image needs {variables(image)}, which has no value in this file")
    if not built and not (serves(node) or node.get("command") or node.get("entrypoint")):
        return Service(name, node, "left", "an image without a port or a command: paas would take it for a site")
    return Service(name, node, "app")


def groups_of(services: list[Service]) -> list[Group]:
    """By what is built or run. An image that another service builds and names is the same."""
    apps = [one for one in services if one.kind == "app"]
    built = {one.image: build_key(one.node["build"]) for one in apps if "build" in one.node and one.image}
    found: dict[str, list[Service]] = {}
    for one in apps:
        key = build_key(one.node["build"]) if "build" in one.node else built.get(one.image) or f"image {one.image}"
        found.setdefault(key, []).append(one)
    groups = [group_of(members, behind_proxy(services)) for members in found.values()]
    return sorted(groups, key=lambda group: rank(group.web) if group.web else len(known.WEB_NAMES) + 1)


def build_key(build: Value) -> str:
    """Context, Dockerfile and arguments; of several stages paas builds the last."""
    if not isinstance(build, dict):
        build = {"context": build}
    context = build.get("context") or "."
    context = posixpath.normpath(context) if isinstance(context, str) else str(context)
    file = posixpath.normpath(str(build.get("dockerfile") or "Dockerfile"))
    return json.dumps(["build", context, file, build.get("args")], sort_keys=True)


def group_of(members: list[Service], behind: set[str]) -> Group:
    """A service is `web` if it has a port, or a proxy depends on it, or at last by its name."""
    candidates = ([one for one in members if serves(one.node)] or [one for one in members if one.name in behind]
                  or [one for one in members if one.name.lower() in known.WEB_NAMES])
    web = min(candidates, key=rank, default=None)
    return Group(tuple(([web] if web else []) + [one for one in members if one is not web]), web)


def rank(service: Service) -> int:
    name = service.name.lower()
    return known.WEB_NAMES.index(name) if name in known.WEB_NAMES else len(known.WEB_NAMES)


def serves(node: dict[str, Value]) -> bool:
    """Does it say that somebody reaches it by HTTP, or at all?"""
    if node.get("ports") or node.get("expose"):
        return True
    keys = [key for key, _ in pairs(node.get("labels"))]
    return any(key.startswith(WEB_LABELS) for key in keys) or any(
        key in WEB_VARIABLES for key, _ in pairs(node.get("environment")))


def behind_proxy(services: list[Service]) -> set[str]:
    """What the proxies of the file depend on."""
    return {name for one in services if one.what.startswith("a proxy") for name in depends_on(one.node)}


def depends_on(node: dict[str, Value]) -> dict[str, str]:
    """Service → condition."""
    value = node.get("depends_on")
    if isinstance(value, dict):
        return {name: str(one.get("condition", "")) if isinstance(one, dict) else "" for name, one in value.items()}
    return {name: "" for name in as_list(value) if isinstance(name, str)}


def mentions(node: dict[str, Value], other: Service) -> bool:
    """Does a service depend on *other*, link it, or hold its host name in its environment?"""
    links = [link.partition(":")[0] for link in as_list(node.get("links")) if isinstance(link, str)]
    if other.name in depends_on(node) or other.name in links:
        return True
    return any(isinstance(value, str) and not set(other.hosts).isdisjoint(hosts_in(key, value))
               for key, value in pairs(node.get("environment")))


def pairs(value: Value) -> list[tuple[str, Value]]:
    """A mapping, or a list of ``KEY=VALUE`` and ``KEY``, as pairs; None: no value."""
    if isinstance(value, dict):
        return list(value.items())
    split = [one.partition("=") for one in as_list(value) if isinstance(one, str)]
    return [(key, text if equals else None) for key, equals, text in split]


def as_list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []
