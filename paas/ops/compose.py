"""What a compose file describes, made: apps with config, port, scale, limits and storage. Nothing is deployed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from paas.api import Datastore
from paas.errors import BadInput, Conflict, PaasError
from paas.model import compose_read
from paas.model.access import Actor
from paas.model.app import App
from paas.model.compose import AppPlan, Plan, ToSet
from paas.model.compose import Datastore as PlannedStore
from paas.model.procfile import MAX_TYPES
from paas.ops import apps, builder, config, ps, resources, settings, storage
from paas.services import engine, links

if TYPE_CHECKING:
    from paas.runtime import Runtime

Say = Callable[[str], None]


def plan(rt: Runtime, data: bytes, name: str = "") -> Plan:
    """The plan for a compose file; *name*: of its main app. BadInput and Conflict for what could not be carried out."""
    made = compose_read.read(rt.manifests.yaml(data), name)
    for app in made.apps:
        examine(rt, app)
    return with_services(rt, made)


def with_services(rt: Runtime, made: Plan) -> Plan:
    """What the data services that this version has will be and set, so that nobody is asked for it."""
    stores, warnings = [], list(made.warnings)
    taken = {app.name: set(app.config) for app in made.apps}
    for one in made.datastores:
        plugin = rt.plugins.datastores.get(one.kind)
        if plugin is None:
            stores.append(one)
            continue
        version = offered(plugin, one, warnings)
        if rt.store.find_service(one.kind, engine.service_name(one.name)):
            raise Conflict(f"the {one.kind} service {one.name} exists already: nothing was changed",
                           "Choose another name with --app NAME.")
        sets = {app: next_variable(plugin, taken[app]) for app in one.apps}
        stores.append(replace(one, version=version, sets=sets))
    apps_ = tuple(replace(app, to_set=tuple(one for one in app.to_set if not given(one, app.name, stores)))
                  for app in made.apps)
    return replace(made, apps=apps_, datastores=tuple(stores), warnings=tuple(warnings))


def offered(plugin: Datastore, one: PlannedStore, warnings: list[str]) -> str:
    if not one.version or one.version in {version.partition(".")[0] for version in plugin.versions}:
        return one.version
    warnings.append(f"{one.service}: {plugin.title} {one.version} is not offered; {one.name} will be {plugin.default}")
    return ""


def next_variable(plugin: Datastore, taken: set[str]) -> str:
    """As `links.free_alias` will choose; noted as taken."""
    found = next((key for key in links.variables(plugin) if key not in taken), "")
    taken.add(found)
    return found


def given(wanted: ToSet, app: str, stores: list[PlannedStore]) -> bool:
    """Does the link of a service set that config var, which points to the same service?"""
    return any(one.sets.get(app) == wanted.key and wanted.why.startswith(f"points to {one.service}:") for one in stores)


def examine(rt: Runtime, app: AppPlan) -> None:
    """All that can be known beforehand: nothing is changed for a plan that would fail half-way."""
    if rt.store.find_app(app.name):
        raise Conflict(f"the app {app.name} exists already: nothing was changed",
                       f"Choose another name with --app NAME, or destroy it first: paas apps:destroy {app.name}")
    if len(app.processes) > MAX_TYPES:
        raise BadInput(f"{app.name} would have more than {MAX_TYPES} process types", "Nothing was changed.")
    try:
        ps.parse_scale([f"{kind}={number}" for kind, number in app.scale.items()])
        for mount in app.mounts:
            storage.parse(mount)
    except PaasError as error:
        raise type(error)(f"{app.name}: {error.what}", f"Nothing was changed. {error.hint}".rstrip()) from error


def carry_out(rt: Runtime, actor: Actor, wanted: Plan, say: Say) -> list[App]:
    """Make every app of the plan. What fails takes all of them away again."""
    made: list[App] = []
    try:
        for one in wanted.apps:
            furnish(rt, actor, create(rt, actor, one.name, made), one)
            say(f"Created {one.name}.")
    except PaasError as error:
        kept = undo(rt, made)
        told = f"These are there and incomplete: {', '.join(kept)}." if kept else "Nothing was changed."
        raise type(error)(error.what, f"{told} {error.hint}".rstrip()) from error
    except Exception:
        undo(rt, made)
        raise
    return made


def create(rt: Runtime, actor: Actor, name: str, made: list[App]) -> App:
    """Into *made* goes what is there to be destroyed again, also when only half of it succeeded."""
    try:
        made.append(apps.create(rt, actor, name))
    except Conflict:
        raise                            # the app of that name is somebody else's
    except Exception:
        half = rt.store.find_app(name)
        made += [half] if half else []
        raise
    return made[-1]


def furnish(rt: Runtime, actor: Actor, app: App, wanted: AppPlan) -> None:
    for key, value in wanted.settings.items():
        namespace, _, rest = key.partition(".")
        settings.set_app(rt, app, namespace, rest, value)
    builder.set_arguments(rt, app, {key: value.reveal() for key, value in wanted.arguments.items()})
    for mount in wanted.mounts:
        storage.mount(rt, app, mount, local=False)
    for kind, limits in wanted.limits.items():
        resources.limit(rt, app, kind, limits)
    if wanted.scale:
        ps.scale(rt, app, actor, wanted.scale, silent, deploy=False)
    if wanted.config:
        values = {key: value.reveal() for key, value in wanted.config.items()}
        config.set_vars(rt, app, actor, values, restart=False, say=silent)


def silent(_: str) -> None:
    """What single steps have to say is in the plan."""


def undo(rt: Runtime, made: list[App]) -> list[str]:
    """Destroy what this import created; return the names of those that could not be."""
    kept = []
    for app in made:
        try:
            apps.destroy(rt, app, silent)
        except PaasError:
            kept.append(app.name)
    return kept
