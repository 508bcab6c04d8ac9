"""Links: an app gets a network path to a service, and its URL as a config var in a new release."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from paas.api import Datastore
from paas.errors import BadInput, Conflict, NotFound
from paas.model import names
from paas.model.access import Actor
from paas.model.app import App
from paas.model.service import Link, Service, ServiceState
from paas.ops import config
from paas.secret import Secret
from paas.services import container

if TYPE_CHECKING:
    from paas.runtime import Runtime

# The colours, and their order, of Heroku's and Dokku's further databases.
COLOURS = ("AQUA", "BLACK", "BLUE", "FUCHSIA", "GRAY", "GREEN", "LIME", "MAROON", "NAVY", "OLIVE", "PURPLE", "RED",
           "SILVER", "TEAL", "WHITE", "YELLOW")
NOTE = "linking"                         # setting: id of the app that is being linked
Say = Callable[[str], None]


def link(rt: Runtime, service: Service, app: App, actor: Actor, *, alias: str = "", restart: bool = True,
         say: Say = lambda line: None) -> Link:
    """The config var ``<alias>_URL``, in force with a new release. A release that fails leaves all as it was."""
    if find(rt, service, app):
        raise Conflict(f"{service.title} is linked to {app.name} already",
                       f"See: paas {service.datastore}:links {service.name}")
    if service.state != ServiceState.RUNNING:
        raise BadInput(f"{service.title} is {service.state}",
                       f"Start it: paas {service.datastore}:start {service.name}")
    alias = free_alias(rt, service, app, alias)
    with rt.turns.hold(service.uid, f"{service.datastore}:link {service.name} {app.name}"):
        rt.store.set_service_setting(service.id, NOTE, str(app.id))
        made = rt.store.put_link(service.id, app.id, alias)
        try:
            container.connect_links(rt, service)
            put_url(rt, service, app, actor, alias, f"{service.datastore}:link {service.name}", restart, say)
        except BaseException:
            forget(rt, service, app)
            raise
        rt.store.set_service_setting(service.id, NOTE, None)
        return made


def forget(rt: Runtime, service: Service, app: App) -> None:
    rt.store.delete_link(service.id, app.id)
    rt.store.set_service_setting(service.id, NOTE, None)
    if service.container_id:
        rt.containers.disconnect(service.container_id, container.app_network(rt, app.id))


def settle(rt: Runtime, service: Service) -> None:
    """For reconcile: a link that was cut. It counts if the app has the URL, otherwise it was never there."""
    noted, known = service.settings[NOTE], rt.store.links(service_id=service.id)
    made = next((one for one in known if str(one.app_id) == noted), None)
    if made and variable(made.alias) not in rt.store.config(made.app_id):
        forget(rt, service, rt.store.app_by_id(made.app_id))
    else:
        rt.store.set_service_setting(service.id, NOTE, None)


def misnamed(rt: Runtime, service: Service) -> list[tuple[Link, str]]:
    """For reconcile: links whose URL stands under another config var than they say, with that alias (a promotion that
    was cut)."""
    own, found = url(rt, service), []
    for one in rt.store.links(service_id=service.id):
        names_ = [key for key, value in rt.store.config(one.app_id).items() if value == own and key.endswith("_URL")]
        taken = {variable(other.alias) for other in rt.store.links(app_id=one.app_id)}       # then the next time
        if len(names_) == 1 and names_[0] not in taken:
            found.append((one, names_[0].removesuffix("_URL")))
    return found


def put_url(rt: Runtime, service: Service, app: App, actor: Actor, alias: str, reason: str, restart: bool,
            say: Say) -> None:
    value = url(rt, service)
    config.apply_change(rt, app, actor, lambda now: {**now, variable(alias): value}, reason, restart=restart, say=say)


def unlink(rt: Runtime, service: Service, app: App, actor: Actor, *, restart: bool = True,
           say: Say = lambda line: None) -> None:
    """First a release without the config var, then the network path goes."""
    found = require(rt, service, app)
    own = url(rt, service)
    with rt.turns.hold(service.uid, f"{service.datastore}:unlink {service.name} {app.name}"):
        config.apply_change(
            rt, app, actor, lambda now: {key: value for key, value in now.items()
                                         if key != variable(found.alias) or value != own},
            f"{service.datastore}:unlink {service.name}", restart=restart, say=say)
        rt.store.delete_link(service.id, app.id)
        if service.container_id:
            rt.containers.disconnect(service.container_id, container.app_network(rt, app.id))


def promote(rt: Runtime, service: Service, app: App, actor: Actor, *, say: Say = lambda line: None) -> Link:
    """Make it the one that ``DATABASE_URL`` names; the one that was gets a colour (as `pg:promote` of Heroku)."""
    found = require(rt, service, app)
    main = container.datastore_of(rt, service).variable
    if found.alias == main:
        raise BadInput(f"{variable(main)} of {app.name} is {service.title} already")
    before = rt.store.config(app.id).get(variable(main))
    displaced = next((one for one in rt.store.links(app_id=app.id) if one.alias == main), None)
    colour = free_alias(rt, service, app, "") if before else ""

    def change(now: dict[str, Secret]) -> dict[str, Secret]:
        kept = {variable(colour): now[variable(main)]} if colour and variable(main) in now else {}
        without = {key: value for key, value in now.items() if key != variable(found.alias)}
        return {**without, **kept, variable(main): url(rt, service)}

    config.apply_change(rt, app, actor, change, f"{service.datastore}:promote {service.name}", restart=True, say=say)
    if displaced:
        rt.store.put_link(displaced.service_id, app.id, colour)
    return rt.store.put_link(service.id, app.id, main)


def url(rt: Runtime, service: Service) -> Secret:
    store = container.datastore_of(rt, service)
    return Secret(store.url(service, container.host_name(rt, service), store.port))


def variable(alias: str) -> str:
    return f"{alias}_URL"


def find(rt: Runtime, service: Service, app: App) -> Link | None:
    return next((one for one in rt.store.links(service_id=service.id) if one.app_id == app.id), None)


def require(rt: Runtime, service: Service, app: App) -> Link:
    found = find(rt, service, app)
    if not found:
        raise NotFound(f"{service.title} is not linked to {app.name}",
                       f"See: paas {service.datastore}:links {service.name}")
    return found


def free_alias(rt: Runtime, service: Service, app: App, wanted: str) -> str:
    """*wanted*, or the datastore's own, or a colour. Conflict: that config var is taken."""
    taken = rt.store.config(app.id).keys()
    if wanted:
        alias = wanted.removesuffix("_URL")
        names.config_key(variable(alias))
        if variable(alias) in taken:
            raise Conflict(f"{app.name} has a config var {variable(alias)} already", "Choose another --alias.")
        return alias
    store = container.datastore_of(rt, service)
    for key in variables(store):
        if key not in taken:
            return key.removesuffix("_URL")
    raise Conflict(f"{app.name} has no free name for another {store.name} service", "Choose one with --alias.")


def variables(store: Datastore) -> list[str]:
    """Config vars of the first, second, … service of a datastore."""
    return [variable(alias) for alias in (store.variable, *(f"{store.name.upper()}_{colour}" for colour in COLOURS))]


def forget_app(rt: Runtime, app: App) -> None:
    """The app is being destroyed: its services leave its network, which could not be removed otherwise."""
    for one in rt.store.links(app_id=app.id):
        service = rt.store.service_by_id(one.service_id)
        if service.container_id:
            rt.containers.disconnect(service.container_id, container.app_network(rt, app.id))


def linked_apps(rt: Runtime, service: Service) -> list[tuple[str, str]]:
    """(app, config var)."""
    return [(rt.store.app_by_id(one.app_id).name, variable(one.alias))
            for one in rt.store.links(service_id=service.id)]
