"""Domains: which host names belong to which app. One name, one app; the proxy follows in the same command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from paas.errors import BadInput, Conflict, NotFound, PaasError, ProxyError
from paas.model import app_settings, names
from paas.model.access import Domain
from paas.model.app import App
from paas.ops import routes

if TYPE_CHECKING:
    from paas.runtime import Runtime

GLOBAL = "global-domain"


@dataclass(frozen=True)
class DomainLine:
    """A domain as `domains:report` shows it."""

    app: str
    domain: str
    generated: bool
    url: str
    certificate: str                     # "own", "automatic" or ""
    expires: datetime | None


def report(rt: Runtime, app: App | None = None) -> list[DomainLine]:
    automatic = rt.router.certificates()
    apps = [app] if app else rt.store.apps()
    return [line(rt, one, domain, automatic) for one in apps for domain in rt.store.domains(one.id)]


def line(rt: Runtime, app: App, domain: Domain, automatic: Mapping[str, datetime]) -> DomainLine:
    own = rt.store.certificate(app.id)
    expires = own[0].not_after if own else automatic.get(domain.name)
    kind = "own" if own else "automatic" if expires else ""
    return DomainLine(app.name, domain.name, domain.generated, routes.url(rt, domain.name, bool(kind)), kind, expires)


def global_domain(rt: Runtime) -> str:
    return app_settings.value_of(app_settings.SERVER, rt.store.settings(), GLOBAL)


# changes of one app ---------------------------------------------------------------------------------------------


def add(rt: Runtime, app: App, given: Sequence[str]) -> list[str]:
    """Give *app* these names; return lines to show. Conflict if another app's name, wildcard or sub-domain has one."""
    with rt.routing:
        now = current(rt, app)
        return replace(rt, app, [*now, *(name for name in canonical(given) if name not in now)])


def set_all(rt: Runtime, app: App, given: Sequence[str]) -> list[str]:
    """Exactly these from now on."""
    with rt.routing:
        return replace(rt, app, canonical(given))


def remove(rt: Runtime, app: App, given: Sequence[str]) -> list[str]:
    """NotFound, and nothing is removed, if the app lacks one of them."""
    with rt.routing:
        now, going = current(rt, app), canonical(given)
        for name in going:
            if name not in now:
                raise NotFound(f"{app.name} has no domain {name}", f"See: paas domains:report {app.name}")
        return replace(rt, app, [name for name in now if name not in going])


def clear(rt: Runtime, app: App) -> list[str]:
    with rt.routing:
        return replace(rt, app, [])


def reset(rt: Runtime, app: App) -> list[str]:
    """Back to <app>.<global domain> only."""
    base = global_domain(rt)
    if not base:
        raise BadInput("there is no global domain", "Set one: paas domains:set-global example.com")
    with rt.routing:
        return replace(rt, app, [f"{app.name}.{base}"])


def canonical(given: Iterable[str]) -> list[str]:
    """Checked, in canonical form, each once, in the given order."""
    return list(dict.fromkeys(names.domain(text) for text in given))


def current(rt: Runtime, app: App) -> list[str]:
    return [one.name for one in rt.store.domains(app.id)]


def replace(rt: Runtime, app: App, wanted: Sequence[str]) -> list[str]:
    """All or nothing: what the proxy refuses, or cannot be told, is put back as it was."""
    before = rt.store.domains(app.id)
    fresh = [name for name in wanted if name not in {one.name for one in before}]
    for name in fresh:
        refuse_overlap(rt, app, name)
    base = global_domain(rt)
    generated = {one.name for one in before if one.generated} | ({f"{app.name}.{base}"} if base else set())
    try:
        write(rt, app, {name: name in generated for name in wanted})
        refused = routes.apply(rt)
        if app.id in refused and fresh:
            raise ProxyError(f"the proxy does not take these domains: {refused[app.id]}")
    except PaasError as error:
        put_back(rt, app, before)
        raise type(error)(error.what, f"The domains of {app.name} are as they were. {error.hint}".rstrip()) from error
    return quarantine_lines(rt, refused)


def write(rt: Runtime, app: App, wanted: Mapping[str, bool]) -> None:
    """New names first, so that a cut in between takes none away. *wanted*: name → generated."""
    now = {one.name for one in rt.store.domains(app.id)}
    for name, generated in wanted.items():
        if name not in now:
            rt.store.add_domain(app.id, name, generated=generated)
    for name in now - wanted.keys():
        rt.store.remove_domain(app.id, name)


def put_back(rt: Runtime, app: App, before: Iterable[Domain]) -> None:
    write(rt, app, {one.name: one.generated for one in before})
    try:
        routes.apply(rt)
    except PaasError:
        return                           # reconcile tells the proxy; the first error is the one to report


def quarantine_lines(rt: Runtime, refused: Mapping[int, str]) -> list[str]:
    return [f"{rt.store.app_by_id(app_id).name} is not routed: {reason}" for app_id, reason in refused.items()]


# who owns a name ----------------------------------------------------------------------------------------------------


def refuse_overlap(rt: Runtime, app: App, name: str) -> None:
    """Conflict if *name* is another app's, is inside or around another's wildcard, or is under its default name."""
    for other in rt.store.domains():
        if other.app_id != app.id and overlaps(name, other):
            owner = rt.store.app_by_id(other.app_id).name
            raise Conflict(f"{name} overlaps {other.name}, which belongs to {owner}",
                           f"Remove that one first: paas domains:remove {owner} {other.name}")
    refuse_default_names(rt, app, name, global_domain(rt))


def overlaps(name: str, other: Domain) -> bool:
    return name == other.name or inside(name, other.name) or inside(other.name, name) \
        or (other.generated and name.endswith(f".{other.name}"))


def inside(name: str, wildcard: str) -> bool:
    """A wildcard stands for one label or more here, so that nobody sits in the middle of another's tree."""
    return wildcard.startswith("*.") and name.endswith(wildcard[1:])


def refuse_default_names(rt: Runtime, app: App, name: str, base: str) -> None:
    """Names under the global domain are the apps' default ones: <app>.<base> is kept for that app."""
    if not base or not name.endswith(f".{base}"):
        return
    label = name.removesuffix(f".{base}").rpartition(".")[2]
    if label == "*":
        raise Conflict(f"{name} covers the default names of all apps", "Add the single names that this app needs.")
    if label != app.name and rt.store.find_app(label):
        raise Conflict(f"{name} is under the default name of the app {label}",
                       f"Choose another name, or give it to that app: paas domains:add {label} {name}")


# the global domain ---------------------------------------------------------------------------------------------------


def set_global(rt: Runtime, text: str) -> list[str]:
    """New apps get <app>.<text>; default names of existing apps move there; return lines that say which.

    An app whose names were all chosen by hand keeps just those. With the first global domain, an app that has no
    domain at all gets its default name.
    """
    base = names.domain(text)
    if base.startswith("*."):
        raise BadInput("the global domain is a plain name", f"Give it without the star: {base[2:]}")
    with rt.routing:
        old = global_domain(rt)
        rt.store.set_setting(GLOBAL, base)
        told = [line for app in rt.store.apps() for line in move_default(rt, app, old, base)]
        return told + quarantine_lines(rt, routes.apply(rt))


def move_default(rt: Runtime, app: App, old: str, base: str) -> list[str]:
    mine, wanted = rt.store.domains(app.id), f"{app.name}.{base}"
    going = [one.name for one in mine if one.generated and one.name != wanted]
    if wanted in {one.name for one in mine} or not (going or (not old and not mine)):
        return []
    try:
        rt.store.add_domain(app.id, wanted, generated=True)
    except Conflict:
        return [f"{app.name} keeps its domains: {wanted} belongs to another app"]
    for name in going:
        rt.store.remove_domain(app.id, name)
    return [f"{app.name}: {', '.join(going)} → {wanted}" if going else f"{app.name}: {wanted}"]


def clear_global(rt: Runtime) -> list[str]:
    """New apps get no domain any more; existing ones keep theirs, as with Dokku."""
    with rt.routing:
        rt.store.set_setting(GLOBAL, None)
    kept = [one.name for one in rt.store.domains() if one.generated]
    return [f"Kept: {', '.join(kept)}"] if kept else []
