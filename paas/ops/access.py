"""Who may do what: the one place that says yes. It is asked about the parsed command and the resolved objects.

Deny by default: a verb without a row in :mod:`paas.model.rights` is an admin's. Who may not even see an object gets the
same answer as if it did not exist; who may see it is told which role would do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from paas.errors import BadInput, Forbidden, NotFound
from paas.model import names
from paas.model.access import Actor, Grant
from paas.model.app import App
from paas.model.rights import ROLES, Right, Role, right_of
from paas.model.service import Service

if TYPE_CHECKING:
    from paas.runtime import Runtime

SERVER_ITSELF = frozenset({"root", "paas"})      # actors without a key


def authorise(actor: Actor, verb: str, app: App | None = None, service: Service | None = None, *,
              mutates: bool = True, datastores: frozenset[str] = frozenset()) -> None:
    """Return if *actor* may do *verb* to *app* and *service* (None: it is about no single one).

    A reading verb about no single app is allowed to whoever has its right anywhere: what it shows is filtered, see
    :class:`paas.ops.visible.Visible`. A verb about a service *and* an app (a link) needs the right on both.

    :raises NotFound: the object is not the actor's to see.
    :raises Forbidden: it is, but this may not be done.
    """
    right = right_of(verb, datastores)
    if is_admin(actor):
        return
    if not actor.grants and not mutates and right is Right.ANYONE:
        return
    if app and not sees(actor, app_id=app.id):
        raise absent_app(app.name)
    if service and not sees(actor, service_id=service.id):
        raise absent_service(service)
    if not allowed(actor, right, app, service, mutates):
        raise Forbidden(f"your role does not allow {verb}", advice(right))


def allowed(actor: Actor, right: Right, app: App | None, service: Service | None, mutates: bool) -> bool:
    if right is Right.ANYONE:
        return True
    if app and service:                  # both sides
        return may(actor, app_right(right), app_id=app.id) and may(actor, right, service_id=service.id)
    if app:
        return may(actor, right, app_id=app.id)
    if service:
        return may(actor, right, service_id=service.id)
    return may(actor, right) or (not mutates and right is not Right.ADMIN and anywhere(actor, right))


def app_right(right: Right) -> Right:
    """What a verb that needs *right* on a service needs on the app that it also names."""
    return Right.OPERATE if right is Right.SERVICE_OPERATE else Right.OWN


def may(actor: Actor, right: Right, *, app_id: int | None = None, service_id: int | None = None) -> bool:
    """On that object; without one: everywhere."""
    return is_admin(actor) or any(right in ROLES[grant.role] for grant in reaching(actor, app_id, service_id))


def reaching(actor: Actor, app_id: int | None, service_id: int | None) -> Iterator[Grant]:
    """The roles that count on that object: those on it, and those everywhere."""
    for grant in actor.grants:
        everywhere = grant.app_id is None and grant.service_id is None
        if everywhere or (app_id is not None and grant.app_id == app_id) \
                or (service_id is not None and grant.service_id == service_id):
            yield grant


def anywhere(actor: Actor, right: Right) -> bool:
    return any(right in ROLES[grant.role] for grant in actor.grants)


def sees(actor: Actor, *, app_id: int | None = None, service_id: int | None = None) -> bool:
    """Any role on it at all: who may push to it knows that it exists."""
    return is_admin(actor) or any(True for _ in reaching(actor, app_id, service_id))


def is_admin(actor: Actor) -> bool:
    """root, the platform itself, or a key whose user has the role admin everywhere."""
    if actor.key_id is None:
        return actor.name in SERVER_ITSELF
    return any(grant.role is Role.ADMIN and grant.app_id is None and grant.service_id is None
               for grant in actor.grants)


class Hidden(NotFound):
    """It exists, and is not the actor's to see: the same words and exit code as if it did not."""


def absent_app(name: str) -> NotFound:
    return Hidden(f"there is no app '{names.printable(name)}'", "See: paas apps:list")


def absent_service(service: Service) -> NotFound:
    return Hidden(f"there is no {service.datastore} service '{names.printable(service.name)}'",
                    f"See: paas {service.datastore}:list")


def advice(right: Right) -> str:
    fitting = ", ".join(role for role in reversed(Role) if right in ROLES[role])
    return f"It takes one of the roles: {fitting}. Ask an admin of this server: paas access:grant"


# --- roles ---------------------------------------------------------------------------------------------------------


def grant(rt: Runtime, actor: Actor, user: str, role: Role, *, app: App | None = None,
          service: Service | None = None) -> Grant | None:
    """None: the user has that role there. Forbidden: not the actor's to give: owners give roles on what is theirs, and
    nobody gives what he has not."""
    require_owner(actor, app, service)
    require_user(rt, user)
    require_rights(actor, role, app, service)
    if role is Role.ADMIN and (app or service):
        raise BadInput("the role admin is for the whole server", "Grant owner on an app, or admin without one.")
    return rt.store.add_grant(user, role, actor, app_id=app.id if app else None,
                              service_id=service.id if service else None)


def revoke(rt: Runtime, actor: Actor, user: str, role: Role | None, *, app: App | None = None,
           service: Service | None = None) -> int:
    """That role there, or all there. BadInput: it would leave the server without any admin's key."""
    require_owner(actor, app, service)
    for one in here(rt, user, role, app, service):
        require_rights(actor, one.role, app, service)
        refuse_last_admin(rt, one)
    gone = rt.store.remove_grant(user, role, app_id=app.id if app else None,
                                 service_id=service.id if service else None)
    if not gone:
        raise NotFound(f"{names.printable(user)} has no such role there", "See: paas access:list")
    if user != actor.user:
        rt.sessions.end_user(user)
    return gone


def here(rt: Runtime, user: str, role: Role | None, app: App | None, service: Service | None) -> list[Grant]:
    place = (app.id if app else None, service.id if service else None)
    return [one for one in rt.store.grants(user=user)
            if (one.app_id, one.service_id) == place and role in (None, one.role)]


def refuse_last_admin(rt: Runtime, gone: Grant) -> None:
    if gone.role is not Role.ADMIN:
        return
    users = {key.user for key in rt.store.keys()}
    others = [one for one in rt.store.grants() if one.role is Role.ADMIN and one.id != gone.id and one.user in users]
    if not others:
        raise BadInput(f"{gone.user} is the last admin with a key",
                       "Make another one first; root on the server always is one.")


def require_owner(actor: Actor, app: App | None, service: Service | None) -> None:
    right = Right.OWN if app else Right.SERVICE_OWN if service else Right.ADMIN
    if not may(actor, right, app_id=app.id if app else None, service_id=service.id if service else None):
        raise Forbidden("you may not give or take roles there", advice(right))


def require_rights(actor: Actor, role: Role, app: App | None, service: Service | None) -> None:
    if is_admin(actor):
        return
    there = reaching(actor, app.id if app else None, service.id if service else None)
    own = set().union(*(ROLES[one.role] for one in there))
    if not ROLES[role] <= own:
        raise Forbidden(f"you cannot give the role {role}: you have not all of its rights yourself",
                        "Ask an admin of this server.")


def require_user(rt: Runtime, user: str) -> None:
    if all(key.user != user for key in rt.store.keys()):
        raise NotFound(f"nobody is called '{names.printable(user)}'",
                       "A user is named when a key is added: paas ssh-keys:add NAME --user USER")


def listed(rt: Runtime, user: str = "", app: App | None = None) -> list[tuple[str, str, str, object, str]]:
    """user, role, on what, since, by whom."""
    apps = {one.id: one.name for one in rt.store.apps()}
    services = {one.id: f"{one.datastore}/{one.name}" for one in rt.store.services()}
    found = []
    for one in rt.store.grants(user=user):
        place = apps.get(one.app_id, "") if one.app_id else services.get(one.service_id, "") if one.service_id \
            else "everything"
        if place and (app is None or one.app_id == app.id or place == "everything"):
            found.append((one.user, str(one.role), place, one.created_at, one.created_by))
    return found
