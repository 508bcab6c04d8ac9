"""A compose file → the plan. https://docs.docker.com/reference/compose-file/

Services that are built from the same source become one app with several process types; images of databases and the
like become services; proxies are what paas itself is. What is not carried over is named, value by value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from paas.errors import BadInput, UsageError
from paas.model import compose_known as known
from paas.model import names
from paas.model.compose import Datastore, Left, Plan
from paas.model.compose_app import AppReader
from paas.model.compose_ledger import EMPTY, Ledger, Path, Value, interpolated, shown, slug
from paas.model.compose_services import Group, Service, groups_of, mentions, services_of


def read(data: object, name: str = "") -> Plan:
    """The plan for the compose file *data* (parsed YAML). *name*: of the main app; empty: the project's.

    :raises BadInput: it is no compose file, or holds what cannot be read without guessing.
    :raises UsageError: nothing names the main app.
    """
    return plan_of(Ledger(tree_of(data)), name)


def plan_of(ledger: Ledger, name: str) -> Plan:
    services = services_of(ledger)
    groups = groups_of(services)
    main = main_name(ledger, name)
    if not groups:
        raise BadInput("the compose file has no service that could be an app",
                       "An app is a service with 'build', or with an image of its own and a port.")
    app_names = name_groups(groups, main)
    stores = [datastore(one, main, groups, app_names) for one in services if one.kind == "datastore"]
    hosts = hosts_of(services, groups, app_names, stores)
    return assemble(ledger, services, groups, app_names, stores, hosts)


def tree_of(data: object) -> dict[str, Value]:
    if not isinstance(data, dict) or not isinstance(data.get("services"), dict) or not data["services"]:
        raise BadInput("this is no compose file: it has no 'services'",
                       "Give the docker-compose.yml or compose.yaml of the project.")
    return {key: value if key.startswith("x-") else interpolated(value, (key,)) for key, value in data.items()}


def main_name(ledger: Ledger, given: str) -> str:
    project = ledger.text(("name",), ledger.tree["name"]) if "name" in ledger.tree else None
    if given:
        return names.app_name(given)
    if not project:
        raise UsageError("the compose file has no 'name' to call the app by", "Repeat it with --app NAME")
    return names.app_name(slug(project))


def name_groups(groups: list[Group], main: str) -> list[str]:
    """The first group with a web process is the main app; others are called after their service."""
    first = next((one for one in groups if one.web), groups[0])
    made: list[str] = []
    for group in groups:
        wanted = main if group is first else names.app_name(f"{main}-{slug(group.services[0].name)}")
        if wanted in made or (wanted == main and group is not first):
            raise BadInput(f"two apps would be called {wanted}", "Give the services names that differ more.")
        made.append(wanted)
    return made


def datastore(one: Service, main: str, groups: list[Group], app_names: list[str]) -> Datastore:
    """Linked to the apps that name it; to the main one where none does."""
    apps = [name for group, name in zip(groups, app_names, strict=True)
            if any(mentions(service.node, one) for service in group.services)]
    return Datastore(one.what, names.app_name(slug(f"{main}-{one.name}")), one.name, one.image, tuple(apps or [main]),
                     version_of(one.image))


def version_of(image: str) -> str:
    """``postgres:15.3-alpine`` → 15. Empty: the tag names none."""
    match = re.match(r"\d+", image.rpartition("/")[2].partition("@")[0].partition(":")[2])
    return match[0] if match else ""


def hosts_of(services: list[Service], groups: list[Group], app_names: list[str],
             stores: list[Datastore]) -> dict[str, str]:
    """Host name inside the compose project → why a config var that holds it cannot stay as it is."""
    why = {one.service: f"points to {one.service}: linking {one.name} gives its address" for one in stores}
    for group, name in zip(groups, app_names, strict=True):
        for service in group.services:
            why[service.name] = f"points to {service.name}, which is a part of the app {name}: give that app's URL"
    return {host: why.get(service.name, f"points to {service.name}, which is not carried over")
            for service in services for host in service.hosts}


def assemble(ledger: Ledger, services: list[Service], groups: list[Group], app_names: list[str],
             stores: list[Datastore], hosts: Mapping[str, str]) -> Plan:
    readers = [AppReader(ledger, group, name, hosts) for group, name in zip(groups, app_names, strict=True)]
    apps = tuple(reader.read() for reader in readers)
    for service in services:
        if service.kind != "app":
            leave_service(ledger, service, {one.service: one for one in stores})
    read_top(ledger, {mount.partition(":")[0] for app in apps for mount in app.mounts})
    ledger.close()
    left = tuple(Left(shown(path), why) for path, why in sorted(ledger.left.items(), key=lambda item: key_of(item[0])))
    return Plan(apps, tuple(stores), left, tuple(line for reader in readers for line in reader.warnings))


def key_of(path: Path) -> list[tuple[int, str]]:
    """Sorts list places as numbers."""
    return [(part, "") if isinstance(part, int) else (-1, part) for part in path]


def leave_service(ledger: Ledger, service: Service, stores: Mapping[str, Datastore]) -> None:
    """A service that becomes no app: each of its keys is named, powers in their own words."""
    store = stores.get(service.name)
    why = f"{service.name} becomes the service {store.name}, which has its own" if store else service.what
    if not isinstance(service.node, dict) or not service.node:
        ledger.leave(service.path, why)
        return
    for key, value in service.node.items():
        path = (*service.path, key)
        if key == "image" and store:
            ledger.text(path, value)
        elif key == "environment" and store:
            ledger.leave(path, f"{why} user, password and name; linking it sets them for the app")
        elif key == "volumes" and store:
            ledger.leave(path, f"{why} storage; bring the data by a dump")
        else:
            ledger.leave(path, known.POWERS.get(key, why))
        if key == "volumes" and "docker.sock" in str(value):
            ledger.left[path] = f"{known.DOCKER_SOCKET}; {ledger.left[path]}"


def read_top(ledger: Ledger, mounted: set[str]) -> None:
    """What stands beside ``services``."""
    for key, value in ledger.tree.items():
        if key.startswith("x-"):
            ledger.leave((key,), known.EXTENSION)
        elif key == "volumes" and isinstance(value, dict):
            for name, entry in value.items():
                read_volume(ledger, name, entry, name in mounted)
        elif key == "services":
            continue
        elif key in known.TOP_REASONS:
            ledger.leave((key,), known.TOP_REASONS[key])


def read_volume(ledger: Ledger, name: str, entry: Value, mounted: bool) -> None:
    path = ("volumes", name)
    if not mounted:
        ledger.leave(path, "no app mounts it; the data of a service comes by a dump")
    elif entry in EMPTY:
        ledger.use(path)
    else:
        ledger.leave(path, "each app has volumes of its own, on the server's disk; they start empty")
